"""Container images as SageMaker takes and resolves them.

An image is named by registry, repository and tag or digest, has to lie in ECR in the model's region, and is pulled by
digest at a deployment (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ContainerDefinition.html).
"""

from __future__ import annotations

import hashlib
import re

from botocore.exceptions import ClientError

from local import execution_roles, identity
from local.validation import ApiError

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class ImageError(Exception):
    """The image does not exist, or the role may not pull it."""


def check(image: str, vpc_access: bool = False) -> None:
    """Refuse what CreateModel refuses: another registry without access through the VPC, and another region."""
    match = _ECR.fullmatch(image)
    if match is None:
        if vpc_access:
            return
        raise ApiError(
            "ValidationException", f'Using non-ECR image "{image}" without Vpc repository access mode is not supported.'
        )
    if match["region"] != identity.REGION:
        raise ApiError(
            "ValidationException",
            f'The image "{image}" is in region {match["region"]}. It must be in that of the model, {identity.REGION}.',
        )


def resolve(image: str, role_arn: str) -> str:
    """The image by digest.

    The embedded ECR is asked as the execution role asks it. Of a repository that it does not know, such as those of
    AWS's own images, any tag exists: its digest is made from the name.
    """
    match = _ECR.fullmatch(image)
    name = image.partition("@")[0]
    repository = name[: name.rfind(":")] if match and match["tag"] else name
    made_up = f"{repository}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    if match is None:
        return made_up
    wanted = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}
    request = {"repositoryName": match["repository"], "imageIds": [wanted]}
    try:
        execution_roles.client("ecr", role_arn).batch_get_image(**request)
    except execution_roles.RoleError as error:
        raise ImageError(str(error)) from error
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise ImageError(f"{image}: {error}") from error
    digest = match["digest"]
    if match["registry"] in identity.ACCOUNTS.values():
        try:
            found = identity.client_as_operator("ecr", match["registry"]).batch_get_image(**request)["images"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "RepositoryNotFoundException":
                raise
        else:
            if not found:
                raise ImageError(f"Requested image {image} not found.")
            digest = found[0]["imageId"]["imageDigest"]
    return f"{repository}@{digest}" if digest else made_up
