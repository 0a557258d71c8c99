"""The names and ARNs of the sources of a promotion, and how a manual input names them."""

from __future__ import annotations

import re

from promotion.aws.input_checks import matching, quoted
from promotion.errors import InvalidRequestError

# botocore's sagemaker model: TrainingJobName, ModelName.
NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
# HyperParameterTuningJobName, AutoMLJobName.
SHORT_NAME = re.compile(r"(?=.{1,32}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
# A versioned package in a group, or a package without a group.
_PACKAGE_ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]{1,25}:\d{12}:model-package/(?=[^/]{1,63}(/|\Z))[a-zA-Z0-9](-*[a-zA-Z0-9])*"
    r"(/[0-9]{1,9})?"
)

SOURCES = {
    "training_job": "training-job",
    "tuning_job": "hyper-parameter-tuning-job",
    "automl_job": "automl-job",
    "model": "model",
    "model_package": "model-package",
}
"""The kinds of source: the key in a manual input, and the resource type in the ARN."""

VALID_INPUT = (
    'Start the promotion with {"training_job": "<name>"}, {"tuning_job": "<name>"}, {"automl_job": "<name>"}, '
    '{"model": "<name>"} or {"model_package": "<ARN>"}. Add "application" if the source has no tag '
    'model-promotion:application. Add "preview": true to change nothing.'
)


def source_name(kind: str, text: str, upstream_account: str, region: str) -> str:
    """Return the name of a source that is given by name or ARN, or a model package's ARN, which is its only name.

    `kind` is a key of SOURCES. Raise InvalidRequestError for another kind, and for a source of another account than
    `upstream_account` or another region than `region`.
    """
    where = f'The input\'s "{kind}"'
    if not text.startswith("arn:") and kind in ("tuning_job", "automl_job"):
        job = "a tuning job" if kind == "tuning_job" else "an AutoML job"
        return matching(SHORT_NAME, text, where, f"{job} name: up to 32 letters, digits and hyphens")
    if not text.startswith("arn:") and kind != "model_package":
        return matching(NAME, text, where, "a SageMaker name: up to 63 letters, digits and hyphens")
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[2] != "sagemaker" or not parts[5].startswith(f"{SOURCES[kind]}/"):
        raise InvalidRequestError(
            f"{where} is {quoted(text)}, which is not the ARN of a SageMaker {SOURCES[kind]}. {VALID_INPUT}"
        )
    if parts[4] != upstream_account:
        raise InvalidRequestError(
            f"{where} is in account {quoted(parts[4])}, but this stage promotes models only from account "
            f"{upstream_account}. Promote the model into that account first, or specify a source in it."
        )
    if parts[3] != region:
        raise InvalidRequestError(
            f"{where} is in the region {quoted(parts[3])}, but this stage promotes models only in {region}. Specify a "
            f"source in {region}."
        )
    if kind == "model_package":
        return matching(_PACKAGE_ARN, text, where, "the ARN of a model package")
    name = parts[5].split("/", 1)[1]
    return matching(SHORT_NAME if kind in ("tuning_job", "automl_job") else NAME, name, where, "a SageMaker name")
