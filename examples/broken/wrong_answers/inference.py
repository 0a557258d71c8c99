"""Serve the classifier with one mistake: the labels are in the wrong order."""

import json
from pathlib import Path

from classifier import Classifier

LABELS = ("positive", "negative")


def model_fn(model_dir: str) -> Classifier:
    return Classifier.load(Path(model_dir))


def input_fn(body: str, content_type: str) -> list[str]:
    if content_type.startswith("text/plain"):
        return body.splitlines()
    texts: list[str] = json.loads(body)["texts"]
    return texts


def predict_fn(texts: list[str], classifier: Classifier) -> list[float]:
    return [classifier.probability(text) for text in texts]


def output_fn(scores: list[float], accept: str) -> tuple[str, str]:
    labels = [LABELS[round(score)] for score in scores]
    return json.dumps({"labels": labels, "scores": [round(score, 4) for score in scores]}), "application/json"
