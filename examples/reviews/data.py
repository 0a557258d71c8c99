"""Write the training and validation data of the classifier: the VADER lexicon, whose words ten people each have rated.

    python examples/reviews/data.py DIRECTORY

The lexicon is part of the package vaderSentiment (C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model
for Sentiment Analysis of Social Media Text", 2014; MIT license).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = ("word", "label", "strength")
_WORD = re.compile(r"[a-z][a-z'-]+")
_ONE_IN = 5


def write(directory: Path) -> None:
    """Write `train/train.csv` and `validation/validation.csv`. Each word is always in the same file."""
    files = {}
    for name in ("train", "validation"):
        (directory / name).mkdir(parents=True, exist_ok=True)
        files[name] = [HEADER]
    for word, mean in _ratings():
        held_out = int(hashlib.sha256(word.encode()).hexdigest(), 16) % _ONE_IN == 0
        row = (word, "positive" if mean > 0 else "negative", str(abs(mean)))
        files["validation" if held_out else "train"].append(row)
    for name, rows in files.items():
        with (directory / name / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def _ratings() -> Iterator[tuple[str, float]]:
    """Yield the words of the lexicon, without emoticons and acronyms, and their mean rating from -4 to 4."""
    spec = importlib.util.find_spec("vaderSentiment")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("The package vaderSentiment (the lexicon) is not installed. Run `make setup`.")
    lexicon = Path(spec.submodule_search_locations[0]) / "vader_lexicon.txt"
    for line in lexicon.read_text(encoding="utf-8").splitlines():
        word, mean, *_ = line.split("\t")
        if _WORD.fullmatch(word):
            yield word, float(mean)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
