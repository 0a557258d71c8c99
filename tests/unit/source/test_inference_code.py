"""A model of a training job has the environment and the code that the SDK gives it."""

import json
from pathlib import Path
from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from promotion.source import inference_code
from promotion.source.candidate import from_training_job
from promotion.source.inference_code import InferenceCode, Served
from tests.support.descriptions import TAGS, training_job

RECORDED = json.loads((Path(__file__).parents[2] / "sdk_models/v2.json").read_text())["cases"]
# The SDK points these containers to an archive on S3, which they cannot read in network isolation.
BROKEN_IN_SDK = {"xgboost", "pytorch 1.1", "mxnet 1.3"}
REGION = "eu-west-1"
AWS, SKLEARN_ACCOUNT = (f"{account}.dkr.ecr.eu-west-1.amazonaws.com" for account in ("763104351884", "141502667606"))
OWN = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/team/server:1"
PYTORCH = f"{AWS}/pytorch-inference:2.3-cpu-py311"
HUGGING_FACE = f"{AWS}/huggingface-pytorch-inference:2.6-transformers4.51-cpu-py312"
SKLEARN = f"{SKLEARN_ACCOUNT}/sagemaker-scikit-learn:1.2-1-cpu-py3"
CODE = "s3://sagemaker-eu-west-1-111111111111/job/source/sourcedir.tar.gz"
CHANNEL = "s3://sagemaker-eu-west-1-111111111111/job/input/code"


def job(program: str | None = "train.py", code: str = CODE, channel: str = "", **specification: Any) -> dict[str, Any]:
    hyperparameters = {"sagemaker_program": json.dumps(program), "sagemaker_submit_directory": json.dumps(code)}
    source = {"ChannelName": "code", "DataSource": {"S3DataSource": {"S3Uri": channel, "S3DataType": "S3Prefix"}}}
    return training_job(
        HyperParameters=hyperparameters if program else {"epochs": "3"},
        InputDataConfig=[source] if channel else None,
        AlgorithmSpecification={"TrainingImage": SKLEARN, "TrainingInputMode": "File"} | specification,
    )


def of_model_trainer(**specification: Any) -> dict[str, Any]:
    """A job as ModelTrainer starts it: tests/sdk_models/v3.json."""
    recorded = json.loads((Path(__file__).parents[2] / "sdk_models/v3.json").read_text())["job"]
    request = recorded["AlgorithmSpecification"] | specification
    return training_job(**recorded | {"AlgorithmSpecification": request})


def of_tuner(image: str) -> dict[str, Any]:
    """A training job as a HyperparameterTuner of version 3 starts it: tests/sdk_models/v3.json."""
    definition = json.loads((Path(__file__).parents[2] / "sdk_models/v3.json").read_text())["TrainingJobDefinition"]
    return training_job(
        AlgorithmSpecification=definition["AlgorithmSpecification"] | {"TrainingImage": image},
        HyperParameters=definition["StaticHyperParameters"] | {"rate": "0.5"},
        InputDataConfig=definition["InputDataConfig"],
    )


def served(
    description: dict[str, Any], image: str, other: InferenceCode | None = None, *, isolated: bool = False
) -> Served:
    return inference_code.of_training_job(description, image, other or InferenceCode(), REGION, isolated=isolated)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['name']}{', isolated' * case['isolated']}")
def test_a_model_equals_that_of_the_sdk(case: dict[str, Any]) -> None:
    request, container = case["job"], case["container"]
    channel = {
        "ChannelName": "code",
        "DataSource": {"S3DataSource": {"S3Uri": request.get("CodeChannel"), "S3DataType": "S3Prefix"}},
    }
    description = training_job(
        AlgorithmSpecification={"TrainingImage": request["TrainingImage"], "TrainingInputMode": "File"},
        HyperParameters=request["HyperParameters"],
        InputDataConfig=[channel] if request.get("CodeChannel") else None,
        EnableNetworkIsolation=request["EnableNetworkIsolation"],
    )
    # The SDK sets empty variables for Hugging Face, with which its toolkit finds no code at all.
    variables = {name: value for name, value in container["Environment"].items() if value}
    expected: dict[str, Any] = {"environment": variables, "code": None}
    if case["repacked"]:
        [repacked] = case["repacked"]
        expected["code"] = {"uri": repacked["source_directory"], "program": repacked["inference_script"]}
    if case["isolated"] and case["name"] in BROKEN_IN_SDK:
        expected["environment"] |= {"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
        expected["code"] = {"uri": CODE, "program": "train.py"}

    found = served(description, container["Image"], isolated=case["isolated"])

    assert {"environment": found.environment, "code": found.code} == expected


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['name']}{', isolated' * case['isolated']}")
def test_an_own_inference_image_gets_what_the_estimator_would_set(case: dict[str, Any]) -> None:
    request = case["job"]
    description = training_job(
        AlgorithmSpecification={"TrainingImage": request["TrainingImage"], "TrainingInputMode": "File"},
        HyperParameters=request["HyperParameters"],
    )

    assert served(description, OWN) == served(description, request["TrainingImage"])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (SKLEARN, ("inference.py", "inference.py")),
        (PYTORCH, ("inference.py", "inference.py")),
        (HUGGING_FACE, ("inference.py", None)),
    ],
)
def test_a_job_of_model_trainer_serves_inference_py_of_its_code_channel(image: str, expected: Any) -> None:
    found = served(of_model_trainer(TrainingImage=image), image)

    assert found.environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert found.code
    assert (found.environment["SAGEMAKER_PROGRAM"], found.code["program"]) == expected
    assert str(found.code["uri"]).endswith("/input/code")


@pytest.mark.parametrize("image", [SKLEARN, PYTORCH, HUGGING_FACE])
def test_a_job_of_a_tuner_of_version_3_serves_inference_py_and_not_its_training_script(image: str) -> None:
    found = served(of_tuner(image), image)

    assert found.environment["SAGEMAKER_PROGRAM"] == "inference.py"
    assert found.environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert found.code
    assert str(found.code["uri"]).endswith("/sourcedir.tar.gz")
    assert found.code["program"] == (None if image == HUGGING_FACE else "inference.py")


def test_a_job_of_model_trainer_with_an_own_image_has_no_environment() -> None:
    assert served(of_model_trainer(TrainingImage=OWN), OWN) == Served({})


def test_a_job_of_model_trainer_without_a_code_channel_has_no_environment() -> None:
    description = of_model_trainer(TrainingImage=PYTORCH) | {"InputDataConfig": []}

    assert served(description, PYTORCH) == Served({})


@pytest.mark.parametrize("image", [SKLEARN, PYTORCH, HUGGING_FACE, OWN])
def test_other_code_and_its_program_replace_the_training_code(image: str) -> None:
    other = InferenceCode("s3://upstream/serving/", "serve.py")

    found = served(job(), image, other)

    assert found.environment["SAGEMAKER_PROGRAM"] == "serve.py"
    assert found.environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert found.code
    assert found.code["uri"] == "s3://upstream/serving/"


def test_another_archive_is_read_from_s3_by_the_containers_that_can() -> None:
    found = served(job(), SKLEARN, InferenceCode("s3://upstream/serving.tar.gz", None))

    assert found.environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "s3://upstream/serving.tar.gz"
    assert found.environment["SAGEMAKER_PROGRAM"] == "inference.py"
    assert found.code is None


def test_another_program_of_the_training_code_can_serve() -> None:
    found = served(job(), PYTORCH, InferenceCode(None, "serve.py"))

    assert found.environment["SAGEMAKER_PROGRAM"] == "serve.py"
    assert found.code == {"uri": CODE, "program": "serve.py"}


def test_the_code_of_tensorflow_is_added_without_a_program() -> None:
    image = f"{AWS}/tensorflow-inference:2.13-cpu"

    found = served(job(), image, InferenceCode("s3://upstream/serving.tar.gz", None))

    assert found.environment == {"SAGEMAKER_TFS_NGINX_LOGLEVEL": "info"}
    assert found.code == {"uri": "s3://upstream/serving.tar.gz", "program": "inference.py"}


def test_values_of_the_training_never_get_into_a_model() -> None:
    description = job(code="/opt/ml/input/data/code/sourcedir.tar.gz", channel=CODE)
    for image in (SKLEARN, PYTORCH, HUGGING_FACE, OWN):
        for isolated in (False, True):
            found = served(description, image, isolated=isolated)
            assert not [value for value in found.environment.values() if value.startswith("/opt/ml/input")]


def test_a_setting_wins_over_a_tag() -> None:
    tags = {"model-promotion:inference-code": "s3://b/tag.tar.gz", "model-promotion:inference-program": "tag.py"}

    assert inference_code.named(tags, {}) == InferenceCode("s3://b/tag.tar.gz", "tag.py")
    assert inference_code.named(tags, {"S3Uri": "s3://b/set.tar.gz"}) == InferenceCode("s3://b/set.tar.gz", "tag.py")
    assert inference_code.named(tags, {"Program": "set.py"}) == InferenceCode("s3://b/tag.tar.gz", "set.py")
    assert inference_code.named({}, {}) == InferenceCode()


def test_the_candidate_has_the_code_and_a_required_isolation_of_the_stage_counts() -> None:
    settings = {"Model": {"EnableNetworkIsolation": True}}

    plain = from_training_job(job(), TAGS, None, REGION, {})
    isolated = from_training_job(job(), TAGS, None, REGION, settings)

    assert plain.code is None
    assert plain.containers[0]["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == CODE
    assert isolated.code == {"uri": CODE, "program": "train.py"}
    assert isolated.containers[0]["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"


def test_code_without_its_program_is_refused() -> None:
    inference_code.assert_contained("inference.py", {"inference.py"}, CHANNEL)
    inference_code.assert_contained(None, set(), CHANNEL)

    with pytest.raises(PromotionRefusedError) as refusal:
        inference_code.assert_contained("inference.py", {"train.py"}, CHANNEL)

    assert f"The code in {CHANNEL} has no file 'inference.py'" in str(refusal.value)
    assert "set the tag model-promotion:inference-program" in str(refusal.value)
