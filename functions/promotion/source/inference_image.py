"""The inference image of a training job: the image of its tag, or its training image if that can serve, too."""

from __future__ import annotations

from typing import Any

from promotion.errors import InvalidRequestError
from promotion.source import aws_images, images
from promotion.source.tags import INFERENCE_IMAGE_TAG


def of_training_job(description: dict[str, Any], tags: dict[str, str]) -> str:
    """Return the inference image of the job in a response of DescribeTrainingJob.

    An image of AWS's own must be known to serve, since most of those that train cannot. Raise InvalidRequestError, with
    the tag, the setting and the matching inference image, for any other one and for a job without an image.
    """
    name = description["TrainingJobName"]
    if tagged := tags.get(INFERENCE_IMAGE_TAG):
        if why := images.why_not_serving(tagged):
            raise InvalidRequestError(
                f"The tag {INFERENCE_IMAGE_TAG} of the training job {name} is no inference image. {why} {_places(name)}"
            )
        return tagged
    image = description.get("AlgorithmSpecification", {}).get("TrainingImage")
    if not image:
        raise InvalidRequestError(
            f"The training job {name} has no training image because it uses an algorithm resource. Set the tag "
            f"{INFERENCE_IMAGE_TAG} of the training job to the URI of its inference image."
        )
    if why := images.why_not_serving(image):
        raise InvalidRequestError(f"The training job {name} used a training image. {why} {_places(name)}")
    if images.is_of_aws(image) and not aws_images.is_known_to_serve(images.parse(image).repository):
        raise InvalidRequestError(
            f"The training job {name} used AWS's image {image}, which is not known to serve models. {_places(name)}"
        )
    return str(image)


def _places(name: str) -> str:
    return (
        f"Set the tag {INFERENCE_IMAGE_TAG} of the training job {name} to the URI of its inference image, or set "
        "Model.PrimaryContainer.Image in the application's settings."
    )
