"""The images of a model: whose they are, in which region, and which digest they mean.

An image of ECR is named by registry, repository and tag or digest. A tag can be moved, so that only the digest tells
what an image is; it is the only part of its name that says anything about the model's behaviour.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from promotion.errors import PromotionRefusedError
from promotion.source.aws_image_accounts import ACCOUNTS

# ECR user guide, "Amazon ECR private registry"; botocore's ecr model: RepositoryName. A tag as Docker has it.
_URI = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)/"
    r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAXIMUM_TAG = 128


@dataclasses.dataclass(frozen=True)
class Image:
    """An image of a private registry of ECR. `tag` or `digest` may be missing; without both it is the tag latest."""

    uri: str
    account: str
    region: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Its URI without tag and digest."""
        return self.uri[: self.uri.index("/") + 1] + self.repository

    @property
    def is_aws_own(self) -> bool:
        return self.account in ACCOUNTS

    @property
    def resource(self) -> str:
        """The ARN of its repository, as far as it is known here."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.repository}"


@dataclasses.dataclass(frozen=True)
class Copy:
    """What has to be copied: the image `source` to `target`, both by the same digest; `tag` is for people to read."""

    source: str
    target: str
    tag: str


def parse(uri: str) -> Image:
    """The image of a URI; raises PromotionRefusedError for one that SageMaker cannot host."""
    match = _URI.fullmatch(uri)
    if not match:
        raise PromotionRefusedError(
            f"The image {uri!a:.300} is not in a private registry of ECR "
            "(<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>), and SageMaker serves no other one. Push it "
            "there."
        )
    return Image(uri, match["account"], match["region"], match["repository"], match["tag"], match["digest"])


def in_region(uri: str, region: str) -> Image:
    """The image of a URI; raises PromotionRefusedError with the reason when it is of another region."""
    image = parse(uri)
    if image.region == region:
        return image
    reason = f"The image {uri} is in {image.region}, and SageMaker serves in {region} only images of {region}. "
    if image.is_aws_own:
        raise PromotionRefusedError(
            f"{reason}It is AWS's own, which AWS keeps in each region under another account number and in versions of "
            f"that region, so that it is not replaced by a guess. Name AWS's image of {region} where this one is named."
        )
    raise PromotionRefusedError(f"{reason}Push it to a registry there, or have ECR replicate it.")


def pinned(containers: list[dict[str, Any]], region: str, digest_of: Callable[[Image], str]) -> list[dict[str, Any]]:
    """`containers` with their images by digest; AWS's own are left as they are.

    `digest_of` looks a tag up. Raises PromotionRefusedError for an image that this region cannot serve.
    """
    return [
        container | {"Image": _pinned(in_region(container["Image"], region), digest_of)} for container in containers
    ]


def _pinned(image: Image, digest_of: Callable[[Image], str]) -> str:
    if image.is_aws_own:
        return image.uri
    return f"{image.name}@{image.digest or digest_of(image)}"


def recorded(container: dict[str, Any], digest: str | None) -> dict[str, Any]:
    """A container of a model that was promoted before, by the `digest` that its endpoint ran, as a tag records it."""
    if digest is None or "@" in container.get("Image", ""):
        return container
    if not _DIGEST.fullmatch(digest):
        raise PromotionRefusedError(
            f"The model's tag for the image {container['Image']} says {digest!a:.100}, which is not a digest. Put it "
            "right or take it off."
        )
    return container | {"Image": f"{parse(container['Image']).name}@{digest}"}


def resolved(containers: list[dict[str, Any]], endpoint: dict[str, Any], variant: str) -> list[str]:
    """What `variant` of an endpoint really runs of `containers`, each image by digest as far as SageMaker tells.

    `endpoint` is DescribeEndpoint's answer (ProductionVariants, DeployedImages).
    """
    deployed = {
        image["SpecifiedImage"]: image["ResolvedImage"]
        for each in endpoint.get("ProductionVariants", [])
        if each["VariantName"] == variant
        for image in each.get("DeployedImages", [])
        if "SpecifiedImage" in image and "ResolvedImage" in image
    }
    return [deployed.get(container["Image"], container["Image"]) for container in containers]


def identity(uri: str) -> str:
    """What of a URI tells an image from another one, wherever it lies: its digest, if it has one."""
    _, _, digest = uri.partition("@")
    return digest or uri


def redirected(
    containers: list[dict[str, Any]], account: str, repository: str
) -> tuple[list[dict[str, Any]], list[Copy]]:
    """`containers` with their images in `repository` of this `account`, and what has to be copied there for that.

    Images that are in this account already, and AWS's own, stay where they are. All have to be pinned.
    """
    moved: list[dict[str, Any]] = []
    copies: dict[str, Copy] = {}
    for container in containers:
        image = parse(container["Image"])
        if image.is_aws_own or image.account == account:
            moved.append(container)
            continue
        registry = image.uri.partition("/")[0].replace(image.account, account, 1)
        copy = Copy(image.uri, f"{registry}/{repository}@{image.digest}", _tag(image))
        moved.append(container | {"Image": copy.target})
        copies[copy.target] = copy
    return moved, list(copies.values())


def assert_serverless(containers: list[dict[str, Any]], account: str) -> None:
    """Refuse what a serverless endpoint cannot pull: an image of another account that is not AWS's own."""
    for image in (parse(container["Image"]) for container in containers):
        if not image.is_aws_own and image.account != account:
            raise PromotionRefusedError(
                f"The image {image.uri} is in account {image.account}, and a serverless endpoint takes only images of "
                "its own. Deploy the stage with ImageCopy=true, or give the application an instance in its settings."
            )


def _tag(image: Image) -> str:
    """What the copy is called beside its digest, so that people see what it is a copy of."""
    digest = (image.digest or "").removeprefix("sha256:")[:16]
    name = re.sub(r"[^\w.-]+", ".", image.repository)
    return f"{name[: _MAXIMUM_TAG - len(digest) - 1]}-{digest}"


def missing_grant(image: Image) -> str:
    """The statement that lets this stage pull the image."""
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    return json.dumps({"Effect": "Allow", "Action": actions, "Resource": image.resource})
