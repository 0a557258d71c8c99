"""Serve the classifier in a SageMaker container: texts in, labels and scores out."""

import json
from pathlib import Path

from classifier import Classifier


def model_fn(model_dir: str) -> Classifier:
    return Classifier.load(Path(model_dir))


def input_fn(body: str, content_type: str) -> list[str]:
    """Return the texts of a request: JSON like `{"texts": [...]}`, or plain text with one review on each line."""
    if content_type.startswith("application/json"):
        texts = json.loads(body)["texts"]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("texts must be a list of strings")
        return texts
    if content_type.startswith("text/plain"):
        return body.splitlines()
    raise ValueError(f"Content type {content_type} is not supported: use application/json or text/plain")


def predict_fn(texts: list[str], classifier: Classifier) -> list[float]:
    return [classifier.probability(text) for text in texts]


def output_fn(scores: list[float], accept: str) -> tuple[str, str]:
    """Return the label of each text and its score: the probability, from 0 to 1, that the text is positive."""
    labels = ["positive" if score > 0.5 else "negative" for score in scores]
    return json.dumps({"labels": labels, "scores": [round(score, 4) for score in scores]}), "application/json"
