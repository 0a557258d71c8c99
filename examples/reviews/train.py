"""Trains the classifier as a SageMaker training job in script mode.

The data is in SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION, the model and the code that serves it go to SM_MODEL_DIR.
"""

import argparse
import csv
import os
import random
import shutil
from pathlib import Path

from classifier import Classifier, Example

# A model that is made of the job serves with the script that trained it, so that has to have inference's functions too.
from inference import input_fn, model_fn, output_fn, predict_fn  # noqa: F401

SERVED_WITH = ("inference.py", "classifier.py")


def read(directory: Path) -> list[Example]:
    examples = []
    for path in sorted(directory.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            examples += [
                Example(row["word"], row["label"] == "positive", float(row["strength"])) for row in csv.DictReader(file)
            ]
    return examples


def accuracy(classifier: Classifier, examples: list[Example]) -> float:
    right = [(classifier.probability(example.word) > 0.5) == example.positive for example in examples]
    return right.count(True) / len(examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ngrams", type=int, default=4, help="the longest run of letters that is looked at")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the training data is used, from 0 to 1")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", type=Path, default=os.environ.get("SM_CHANNEL_VALIDATION"))
    arguments = parser.parse_args()

    examples = read(arguments.train)
    part = random.Random(0).sample(examples, round(len(examples) * arguments.share))  # noqa: S311 - always the same part
    classifier = Classifier(arguments.ngrams)
    classifier.fit(part, arguments.epochs)

    print(f"train:accuracy={accuracy(classifier, part):.4f}")
    print(f"validation:accuracy={accuracy(classifier, read(arguments.validation)):.4f}")
    classifier.save(arguments.model_dir)
    code = arguments.model_dir / "code"
    code.mkdir(exist_ok=True)
    for name in SERVED_WITH:
        shutil.copy(Path(__file__).with_name(name), code)


if __name__ == "__main__":
    main()
