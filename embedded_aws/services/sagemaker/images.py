"""The checks and the resolution of container images.

An image URI has a registry, a repository and a tag or digest. The image must be in ECR in the model's region. A
deployment pulls it by digest (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ContainerDefinition.html).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from botocore.exceptions import ClientError
from moto.ecr.models import ecr_backends

from embedded_aws.kernel import accounts
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import execution_roles

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# AWS's Deep Learning Containers are for one job type, and the name of their repositories ends with it
# (https://github.com/aws/deep-learning-containers/blob/master/available_images.md, "Job Type").
_TRAINING = re.compile(r".+-training(-neuronx?)?")

_DOCKER_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class ImageError(Exception):
    """The image does not exist, or the role lacks the permission to pull it."""


def check(image: str, vpc_access: bool = False) -> None:
    """Raise ValidationException for another registry without access through the VPC, or another region."""
    match = _ECR.fullmatch(image)
    if match is None:
        if vpc_access:
            return
        raise ApiError(
            "ValidationException", f'Using non-ECR image "{image}" without Vpc repository access mode is not supported.'
        )
    if match["region"] != accounts.REGION:
        raise ApiError(
            "ValidationException",
            f'The image "{image}" is in region {match["region"]}. The model is in {accounts.REGION}.',
        )


def check_manifest(image: str) -> None:
    """Raise ValidationException if the manifest of an image in the embedded ECR is not Docker's.

    AWS documents neither the check nor its error. This is what users report of CreateModel:
    https://github.com/aws/amazon-sagemaker-feedback/issues/180. An image that does not exist is assumed to be accepted
    until an endpoint deploys it.
    """
    match = _ECR.fullmatch(image)
    if match is None or match["registry"] not in accounts.ACCOUNTS.values():
        return
    repository = ecr_backends[match["registry"]][accounts.REGION].repositories.get(match["repository"])
    for found in repository.images if repository else []:
        is_meant = (
            found.get_image_digest() == match["digest"]
            if match["digest"]
            else (match["tag"] or "latest") in found.image_tags
        )
        if is_meant and found.image_manifest_media_type not in _DOCKER_MANIFESTS:
            raise ApiError(
                "ValidationException",
                f"Unsupported manifest media type {found.image_manifest_media_type} for image {image}. Ensure that "
                "valid manifest media type is used for specified image.",
            )


def has_server(image: str) -> bool:
    """Return whether an image has the program `serve`, which SageMaker runs to start a container.

    Every image is assumed to have it, except the training images of other accounts, which are AWS's own.
    """
    match = _ECR.fullmatch(image)
    is_of_aws = match is not None and match["registry"] not in accounts.ACCOUNTS.values()
    return not (match and is_of_aws and _TRAINING.fullmatch(match["repository"]))


def resolve(image: str, role_arn: str) -> str:
    """Return the image URI with a digest. Raise ImageError if the role cannot pull it.

    The digest of an image outside of the embedded ECR is derived from its URI.
    """
    match = _ECR.fullmatch(image)
    name = image.partition("@")[0]
    repository = name[: name.rfind(":")] if match and match["tag"] else name
    digest = _pull(match, role_arn) if match else None
    return f"{repository}@{digest or f'sha256:{hashlib.sha256(image.encode()).hexdigest()}'}"


def _pull(image: re.Match[str], role_arn: str) -> str | None:
    """Return the digest of an image, or None if its repository is not in the embedded AWS and the URI has none."""
    owner, name = image["registry"], image["repository"]
    is_known = owner in accounts.ACCOUNTS.values() and name in ecr_backends[owner][accounts.REGION].repositories
    image_id = {"imageDigest": image["digest"]} if image["digest"] else {"imageTag": image["tag"] or "latest"}
    repository = {"repositoryName": name} | ({"registryId": owner} if is_known else {})
    try:
        client = execution_roles.client("ecr", role_arn)
        client.get_authorization_token()
        # For an unknown repository, the call only checks the role's permissions.
        found = _get_images(client, repository | {"imageIds": [image_id]})
        if is_known and found:
            _get_layers(client, repository, found[0])
    except (execution_roles.RoleError, ClientError) as error:
        raise ImageError(f"{image[0]}: {error}") from error
    if not is_known or found is None:
        return image["digest"]
    if not found:
        raise ImageError(f"Requested image {image[0]} not found.")
    return str(found[0]["imageId"]["imageDigest"])


def _get_layers(client: Any, repository: dict[str, Any], image: dict[str, Any]) -> None:
    """Make the calls of "Amazon SageMaker roles", CreateModel. Use the first of several architectures."""
    manifest = json.loads(image["imageManifest"])
    if "manifests" in manifest:
        first = [{"imageDigest": manifest["manifests"][0]["digest"]}]
        manifest = json.loads(client.batch_get_image(**repository, imageIds=first)["images"][0]["imageManifest"])
    digests = [layer["digest"] for layer in manifest["layers"]]
    client.batch_check_layer_availability(**repository, layerDigests=digests)
    for digest in digests:
        client.get_download_url_for_layer(**repository, layerDigest=digest)


def _get_images(client: Any, request: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the images of a request, or None if the repository does not exist."""
    try:
        images: list[dict[str, Any]] = client.batch_get_image(**request)["images"]
    except client.exceptions.RepositoryNotFoundException:
        return None
    return images
