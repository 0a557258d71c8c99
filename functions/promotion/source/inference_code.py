"""The inference code of a trained model: which environment its container gets, and which code is added to the model.

The result equals that of SageMaker's Python SDK: `estimator.create_model()` of version 2, whose results are recorded in
tests/sdk_models. Version 3 (ModelTrainer, HyperparameterTuner) does not create models of its jobs. The code of its jobs
is added to the model, and must contain the script that serves it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from promotion.aws.input_checks import kind_of, quoted
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import images
from promotion.source.tags import INFERENCE_CODE_TAG, INFERENCE_PROGRAM_TAG

CODE_DIRECTORY = "/opt/ml/model/code"

# Repositories of AWS's images by how their containers find their code. These read an archive on S3.
_FROM_S3 = re.compile(r"sagemaker-(scikit-learn|xgboost|pytorch|mxnet|chainer)")
# These read only `code/` in the model (sagemaker-pytorch-inference-toolkit, sagemaker-mxnet-inference-toolkit).
_FROM_MODEL = re.compile(r"(pytorch|mxnet)-(inference|training)(-.+)?")
_HUGGING_FACE = re.compile(r"huggingface-.+")
_TENSORFLOW = re.compile(r"(sagemaker-)?tensorflow-.+")

_TENSORFLOW_LOG_LEVELS = {"10": "debug", "20": "info", "30": "warn", "40": "error", "50": "crit"}
_DEFAULT_PROGRAM = "inference.py"
_SDK_3_SCRIPT, _SDK_3_CHANNEL = "sm_train.sh", "sm_drivers"


@dataclasses.dataclass(frozen=True)
class InferenceCode:
    """The inference code that operators or the training job name, instead of the training code."""

    uri: str | None = None
    program: str | None = None


@dataclasses.dataclass(frozen=True)
class Served:
    """The environment of a container, and the code to add to its model: {"uri", "program"}, or None.

    `program` is the file that the code must contain, if the container cannot serve without it.
    """

    environment: dict[str, str]
    code: dict[str, str | None] | None = None


def named(tags: dict[str, str], setting: dict[str, str]) -> InferenceCode:
    """Return the code that the tags of a training job and `InferenceCode` of the settings name; the setting wins."""
    return InferenceCode(
        setting.get("S3Uri") or tags.get(INFERENCE_CODE_TAG), setting.get("Program") or tags.get(INFERENCE_PROGRAM_TAG)
    )


def validated(value: Any, where: str) -> dict[str, str]:
    """Return the setting {"S3Uri", "Program"}, of which one is optional; raise InvalidRequestError if it is not valid.

    `where` names the setting and its parameter.
    """
    if not isinstance(value, dict) or not value or not value.keys() <= {"S3Uri", "Program"}:
        raise InvalidRequestError(f'{where} must be an object with the keys "S3Uri" and "Program", or one of them.')
    for key, text in value.items():
        if not isinstance(text, str) or not text:
            raise InvalidRequestError(f"{where}.{key} is {kind_of(text)}, not a string.")
    if not value.get("S3Uri", "s3://").startswith("s3://"):
        raise InvalidRequestError(f"{where}.S3Uri is {quoted(value['S3Uri'])}, which is not an S3 URI.")
    return dict(value)


def of_training_job(
    description: dict[str, Any], image: str, other: InferenceCode, region: str, *, isolated: bool
) -> Served:
    """Return the environment and the code of a job's model, which `image` serves.

    `description` is the response of DescribeTrainingJob; `isolated` is whether the model has network isolation.
    """
    specification, hyperparameters = (
        description.get("AlgorithmSpecification", {}),
        description.get("HyperParameters", {}),
    )
    trained_with = str(specification.get("TrainingImage", ""))
    # An own image serves what the estimator of the training image would set.
    repository = _repository(image) or _repository(trained_with)
    log_level = _decoded(hyperparameters.get("sagemaker_container_log_level")) or "20"
    program, uri = _of_job(description, hyperparameters)
    if other.uri or other.program:
        program, uri = other.program or _DEFAULT_PROGRAM, other.uri or uri
    elif _HUGGING_FACE.fullmatch(repository) and program and not _is_of_sdk_3(description):
        # HuggingFace.create_model does not use the training code; a container looks for the model's own code. It sets
        # an empty program, with which the published toolkit does not find even `inference.py`, the default.
        return Served(_environment(None, None, log_level, region))
    elif _TENSORFLOW.fullmatch(repository):
        return Served(
            {"SAGEMAKER_TFS_NGINX_LOGLEVEL": _TENSORFLOW_LOG_LEVELS.get(log_level, "info")} if program else {}
        )
    if not program:
        return Served({})
    # The code of version 3 is added to the model, which shows whether it contains the program.
    must_contain = _is_of_sdk_3(description) and not other.uri
    if _FROM_S3.fullmatch(repository) and uri and uri.endswith(".tar.gz") and not isolated and not must_contain:
        return Served(_environment(program, uri, log_level, region))
    reads_code = any(kind.fullmatch(repository) for kind in (_FROM_S3, _FROM_MODEL, _HUGGING_FACE))
    if not reads_code and not other.uri:
        return Served({})
    required = None if _HUGGING_FACE.fullmatch(repository) else program
    code = {"uri": uri, "program": required} if uri else None
    if _TENSORFLOW.fullmatch(repository):
        return Served({"SAGEMAKER_TFS_NGINX_LOGLEVEL": _TENSORFLOW_LOG_LEVELS.get(log_level, "info")}, code)
    return Served(_environment(program, CODE_DIRECTORY, log_level, region), code)


def assert_contained(program: str | None, names: set[str], uri: str) -> None:
    """Raise PromotionRefusedError if the code at `uri` lacks the program that the container starts."""
    if program and program not in names:
        raise PromotionRefusedError(
            f"The code in {uri} has no file {program!a:.200}, which serves the model. Add the file to the code, set "
            f"the tag {INFERENCE_PROGRAM_TAG} of the training job to the name of another file, or set the tag "
            f"{INFERENCE_CODE_TAG} to the URI of other code."
        )


def _environment(program: str | None, directory: str | None, log_level: str, region: str) -> dict[str, str]:
    """Return the variables of sagemaker.model.Model._script_mode_env_vars that have a value."""
    variables = {
        "SAGEMAKER_CONTAINER_LOG_LEVEL": log_level,
        "SAGEMAKER_PROGRAM": program,
        "SAGEMAKER_REGION": region,
        "SAGEMAKER_SUBMIT_DIRECTORY": directory,
    }
    return {name: value for name, value in variables.items() if value}


def _of_job(description: dict[str, Any], hyperparameters: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the program that serves the model of a job, and the URI of the job's code."""
    source = _channels(description).get("code", {}).get("DataSource", {}).get("S3DataSource", {}).get("S3Uri")
    submitted = _decoded(hyperparameters.get("sagemaker_submit_directory")) or ""
    # In network isolation, the code is an input channel. Its path means nothing outside of the training.
    uri = submitted if submitted.startswith("s3://") else source
    if _is_of_sdk_3(description):
        # A tuner sets a program as well, which is the training script.
        return _DEFAULT_PROGRAM if uri else None, uri
    return _decoded(hyperparameters.get("sagemaker_program")), uri


def _is_of_sdk_3(description: dict[str, Any]) -> bool:
    """Return whether version 3 of the SDK started the job: its training script, or the channel of its tuning jobs.

    sagemaker.train.constants: DEFAULT_CONTAINER_ARGUMENTS, SM_DRIVERS. A tuning job cannot have arguments.
    """
    arguments = description.get("AlgorithmSpecification", {}).get("ContainerArguments", [])
    return any(_SDK_3_SCRIPT in argument for argument in arguments) or _SDK_3_CHANNEL in _channels(description)


def _channels(description: dict[str, Any]) -> dict[str, Any]:
    return {channel["ChannelName"]: channel for channel in description.get("InputDataConfig", [])}


def _repository(image: str) -> str:
    """Return the name of an AWS image's repository, or an empty string."""
    try:
        parsed = images.parse(image)
    except PromotionRefusedError:
        return ""
    return parsed.repository if parsed.is_aws_own else ""


def _decoded(hyperparameter: str | None) -> str | None:
    """Return a hyperparameter without the JSON encoding that the SDK adds and other clients do not."""
    try:
        value = json.loads(hyperparameter or '""')
    except (RecursionError, ValueError):
        return hyperparameter
    return value if isinstance(value, str) else hyperparameter
