"""Serve the classifier with a vocabulary that the artifact does not contain, so that the container fails to start."""

import json
from pathlib import Path

from classifier import Classifier


def model_fn(model_dir: str) -> tuple[Classifier, dict[str, str]]:
    vocabulary = json.loads((Path(model_dir) / "vocabulary.json").read_text(encoding="utf-8"))
    return Classifier.load(Path(model_dir)), vocabulary


def input_fn(body: str, content_type: str) -> list[str]:
    texts: list[str] = json.loads(body)["texts"]
    return texts


def predict_fn(texts: list[str], model: tuple[Classifier, dict[str, str]]) -> list[float]:
    classifier, vocabulary = model
    return [classifier.probability(" ".join(vocabulary.get(word, word) for word in text.split())) for text in texts]


def output_fn(scores: list[float], accept: str) -> tuple[str, str]:
    labels = ["positive" if score > 0.5 else "negative" for score in scores]
    return json.dumps({"labels": labels, "scores": scores}), "application/json"
