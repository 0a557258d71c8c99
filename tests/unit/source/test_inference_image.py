from __future__ import annotations

from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.source import inference_image
from tests.support.descriptions import training_job

AWS = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"
OWN = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
TAG = "model-promotion:inference-image"


def of(image: str | None, **tags: str) -> str:
    specification: dict[str, Any] = {"TrainingImage": image} if image else {"AlgorithmName": "algorithm/a"}
    return inference_image.of_training_job(training_job(AlgorithmSpecification=specification), tags)


def refusal(image: str | None, **tags: str) -> str:
    with pytest.raises(InvalidRequestError) as error:
        of(image, **tags)
    return str(error.value)


@pytest.mark.parametrize(
    "image",
    [
        f"{AWS}/pytorch-training:2.6.0-gpu-py312",
        f"{AWS}/pytorch-training@sha256:" + "0" * 64,
        f"{AWS}/pytorch-training",
        f"{AWS}/pytorch:2.13-cu133-amzn2023-sagemaker",
        f"{AWS}/huggingface-pytorch-trcomp-training:1.10.2-transformers4.17.0-gpu-py38-cu113-ubuntu20.04",
        f"{AWS}/smdistributed-modelparallel:2.4.1-gpu-py311-cu121",
        "520713654638.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-tensorflow-scriptmode:1.12.0-cpu-py3",
        "462105765813.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-rl-ray-container:ray-1.6.0-torch-cpu-py36",
        "708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-latest",
    ],
)
def test_an_aws_image_that_only_trains_is_refused_with_the_tag_and_the_setting(image: str) -> None:
    said = refusal(image)

    assert f"AWS provides the image {image} for training, not for inference." in said
    assert f"Set the tag {TAG} of the training job" in said
    assert "Model.PrimaryContainer.Image in the application's settings" in said


def test_an_aws_image_for_another_purpose_is_refused_with_the_purpose() -> None:
    image = "131013547314.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0"

    assert f"AWS provides the image {image} for processing, not for inference." in refusal(image)


@pytest.mark.parametrize(
    "image",
    [
        "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:99.0-1",
        "685385470294.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1",
        f"{AWS}/djl-inference:0.36.0-lmi20.0.0-cu128",
        f"{OWN}/pytorch-training:1",
        f"{OWN}/churn-training@sha256:" + "0" * 64,
    ],
)
def test_an_image_that_serves_and_every_image_of_a_customer_is_accepted(image: str) -> None:
    assert of(image) == image


def test_an_unknown_aws_image_is_refused_as_a_training_image_and_accepted_in_the_tag() -> None:
    image = f"{AWS}/brand-new:1.0"

    assert f"used AWS's image {image}, which is not known to serve models. Set the tag {TAG}" in refusal(image)
    assert of(f"{AWS}/pytorch-training:2.6.0-gpu-py312", **{TAG: image}) == image


@pytest.mark.parametrize(
    ("trained", "serving"),
    [
        ("pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-sagemaker", "pytorch-inference:2.6.0-gpu-py312"),
        ("pytorch-training:2.6-cpu-py312", "pytorch-inference:2.6.0-cpu-py312"),
        ("tensorflow-training:2.19.0-cpu-py312-ubuntu22.04-sagemaker", "tensorflow-inference:2.19.0-cpu"),
        (
            "huggingface-pytorch-training:2.0.0-transformers4.28.1-gpu-py310-cu118-ubuntu20.04",
            "huggingface-pytorch-inference:2.0.0-transformers4.28.1-gpu-py310-cu118-ubuntu20.04",
        ),
    ],
)
def test_the_refusal_names_the_inference_image_of_the_same_version(trained: str, serving: str) -> None:
    said = refusal(f"{AWS}/{trained}")

    assert "For inference, AWS provides the same version as" in said
    assert f"{AWS}/{serving}" in said


@pytest.mark.parametrize(
    "trained",
    ["pytorch-training:2.10.0-gpu-py313", "pytorch-training:2.6.0", "pytorch:2.13-cu133-amzn2023-sagemaker"],
)
def test_no_other_version_is_named(trained: str) -> None:
    assert "the same version" not in refusal(f"{AWS}/{trained}")


def test_a_training_image_in_the_tag_is_refused() -> None:
    image = f"{AWS}/pytorch-training:2.6.0-gpu-py312"

    said = refusal(f"{OWN}/reviews:1", **{TAG: image})

    assert f"The tag {TAG} of the training job reviews-1 is no inference image." in said
    assert f"AWS provides the image {image} for training" in said


def test_the_tag_overrides_a_training_image() -> None:
    assert of(f"{AWS}/pytorch-training:2.5", **{TAG: "serves"}) == "serves"


def test_a_job_of_an_algorithm_resource_is_refused_with_the_required_tag() -> None:
    assert f"Set the tag {TAG}" in refusal(None)
