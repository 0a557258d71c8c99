"""Train the classifier as a SageMaker training job in script mode.

The data is in SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION. The model and its inference code are written to SM_MODEL_DIR.
"""

import argparse
import csv
import os
import random
import shutil
from pathlib import Path

from classifier import Classifier, Example

# A model of this job uses its training script for inference, so this module must contain the inference functions, too.
from inference import input_fn, model_fn, output_fn, predict_fn  # noqa: F401

SERVED_WITH = ("inference.py", "classifier.py")


def read(directory: Path) -> list[Example]:
    """Return the examples of all CSV files in `directory`."""
    examples = []
    for path in sorted(directory.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            examples += [
                Example(row["word"], row["label"] == "positive", float(row["strength"])) for row in csv.DictReader(file)
            ]
    return examples


def accuracy(classifier: Classifier, examples: list[Example]) -> float:
    """Return the share of `examples` that are classified correctly, from 0 to 1."""
    correct = [(classifier.probability(example.word) > 0.5) == example.positive for example in examples]
    return correct.count(True) / len(examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ngrams", type=int, default=4, help="the length of the longest n-gram")
    parser.add_argument("--share", type=float, default=1.0, help="the share of the training data to use, from 0 to 1")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", type=Path, default=os.environ.get("SM_CHANNEL_VALIDATION"))
    arguments = parser.parse_args()

    examples = read(arguments.train)
    part = random.Random(0).sample(examples, round(len(examples) * arguments.share))  # noqa: S311 - reproducible, not secret
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
