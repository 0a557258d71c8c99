"""Classify texts as positive or negative by the letters of their words."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FILE_NAME = "model.json"
_RATE = 1.0
_SHORTEST_WORD = 3


class Example(NamedTuple):
    """A word, whether it is positive, and how strongly it was rated (0 to 4)."""

    word: str
    positive: bool
    strength: float


class Classifier:
    """A logistic regression on the character n-grams of words; texts are scored by the sum over their words."""

    def __init__(self, longest_ngram: int, weights: dict[str, float] | None = None, bias: float = 0.0) -> None:
        self.longest_ngram = longest_ngram
        self.weights = weights or {}
        self.bias = bias

    def fit(self, examples: Iterable[Example], epochs: int, seed: int = 0) -> None:
        """Train on `examples`. The same examples, epochs and seed give the same model."""
        shuffled = [(self._features(example.word), example) for example in examples]
        generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
        for epoch in range(epochs):
            generator.shuffle(shuffled)
            rate = _RATE / (1 + 0.3 * epoch)
            for features, example in shuffled:
                error = rate * (example.positive - _logistic(self._word_score(features)))
                self.bias += 0.1 * error
                step = error * math.sqrt(example.strength / len(features))
                for feature in features:
                    self.weights[feature] = self.weights.get(feature, 0.0) + step

    def probability(self, text: str) -> float:
        """Return the probability that the text is positive, from 0 to 1."""
        words = [word for word in re.findall(r"[\w'-]+", text.lower()) if len(word) >= _SHORTEST_WORD]
        return _logistic(sum(self._word_score(self._features(word)) for word in words))

    def save(self, directory: Path) -> None:
        """Write the model to `directory`."""
        weights = {feature: round(weight, 5) for feature, weight in sorted(self.weights.items())}
        content = {"longest_ngram": self.longest_ngram, "bias": round(self.bias, 5), "weights": weights}
        (directory / FILE_NAME).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Classifier:
        """Return the model that `save` wrote to `directory`."""
        content = json.loads((directory / FILE_NAME).read_text(encoding="utf-8"))
        return cls(content["longest_ngram"], content["weights"], content["bias"])

    def _word_score(self, features: list[str]) -> float:
        return self.bias + sum(self.weights.get(feature, 0.0) for feature in features) / math.sqrt(len(features))

    def _features(self, word: str) -> list[str]:
        """Return the word and its n-grams, in a fixed order so that the same data gives the same model."""
        marked = f"^{word}$"
        sizes = range(1, self.longest_ngram + 1)
        ngrams = {marked[start : start + size] for size in sizes for start in range(len(marked) - size + 1)}
        return sorted(ngrams | {marked})


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))
