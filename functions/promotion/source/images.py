"""The images of a model: their accounts, regions and digests.

An ECR image URI consists of registry, repository, and tag or digest. A tag can be moved, so only the digest identifies
the image's content, and with it the model's behavior.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from promotion.errors import PromotionRefusedError
from promotion.source import aws_images

# ECR user guide, "Amazon ECR private registry"; botocore's ecr model: RepositoryName. A tag as Docker has it.
_URI = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)/"
    r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_PUBLIC = "public.ecr.aws/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAXIMUM_TAG = 128


@dataclasses.dataclass(frozen=True)
class Image:
    """An image in a private ECR registry; `tag` and `digest` are optional, and without both the tag is `latest`."""

    uri: str
    account: str
    region: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Return the URI without tag and digest."""
        return self.uri[: self.uri.index("/") + 1] + self.repository

    @property
    def is_aws_own(self) -> bool:
        """Return whether the image is in one of AWS's accounts."""
        return self.account in aws_images.ACCOUNTS

    @property
    def resource(self) -> str:
        """Return the ARN of the repository."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.repository}"


@dataclasses.dataclass(frozen=True)
class Copy:
    """A required copy: the image `source` to `target`, both with the same digest; `tag` is for human readers."""

    source: str
    target: str
    tag: str


def parse(uri: str) -> Image:
    """Parse an image URI; raise PromotionRefusedError for an image that SageMaker cannot host."""
    match = _URI.fullmatch(uri)
    if uri.startswith(_PUBLIC):
        raise PromotionRefusedError(
            f"The image {uri!a:.300} is in the public registry of ECR. SageMaker serves only images in a private "
            "registry. Pull the image, and push it to a private repository: "
            "<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>."
        )
    if not match:
        raise PromotionRefusedError(
            f"The image {uri!a:.300} is not in a private ECR registry. SageMaker serves no other images. Push the "
            "image to ECR: <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>."
        )
    return Image(uri, match["account"], match["region"], match["repository"], match["tag"], match["digest"])


def is_of_aws(uri: str) -> bool:
    """Return whether `uri` is the URI of an image in one of AWS's accounts."""
    match = _URI.fullmatch(uri)
    return match is not None and match["account"] in aws_images.ACCOUNTS


def why_not_serving(uri: str) -> str | None:
    """Return why an image of AWS's own cannot serve a model, with the image that can; None for any other image.

    The reason is a sentence about the image; the sentence that follows it can name the place to set another one.
    """
    if not is_of_aws(uri):
        return None
    image = parse(uri)
    purpose = aws_images.other_purpose(image.repository)
    if purpose is None:
        return None
    registry = uri.partition("/")[0]
    matching = [f"{registry}/{name}" for name in aws_images.inference_images(image.repository, image.tag or "")]
    instead = f" For inference, AWS provides the same version as {' and '.join(matching)}." if matching else ""
    return f"AWS provides the image {uri} for {purpose}, not for inference.{instead}"


def assert_serving(containers: list[dict[str, Any]]) -> None:
    """Raise PromotionRefusedError if a container has an image of AWS's own that cannot serve a model."""
    for container in containers:
        if why := why_not_serving(container["Image"]):
            raise PromotionRefusedError(
                f"{why} Use an inference image in the source or in Model.PrimaryContainer.Image of the application's "
                "settings, whichever names this image."
            )


def in_region(uri: str, region: str) -> Image:
    """Parse an image URI; raise PromotionRefusedError with the reason if the image is in another region."""
    image = parse(uri)
    if image.region == region:
        return image
    reason = f"The image {uri} is in {image.region}. SageMaker in {region} serves only images in {region}. "
    if image.is_aws_own:
        raise PromotionRefusedError(
            f"{reason}AWS provides this image in each region from another account and in other versions, so it is not "
            f"replaced automatically. Use AWS's image for {region} instead."
        )
    raise PromotionRefusedError(f"{reason}Push the image to a registry in {region}, or configure ECR replication.")


def pinned(containers: list[dict[str, Any]], region: str, digest_of: Callable[[Image], str]) -> list[dict[str, Any]]:
    """Return `containers` with their images by digest; AWS's own images are not changed.

    `digest_of` resolves a tag, and checks the image. Raise PromotionRefusedError for an image that cannot be served in
    `region`.
    """
    return [
        container | {"Image": _pinned(in_region(container["Image"], region), digest_of)} for container in containers
    ]


def _pinned(image: Image, digest_of: Callable[[Image], str]) -> str:
    if image.is_aws_own:
        return image.uri
    return f"{image.name}@{digest_of(image)}"


def recorded(container: dict[str, Any], digest: str | None) -> dict[str, Any]:
    """Return a promoted model's container with the image `digest` that its endpoint ran, according to its record."""
    if digest is None or "@" in container.get("Image", ""):
        return container
    return container | {"Image": f"{parse(container['Image']).name}@{digest}"}


def resolved(containers: list[dict[str, Any]], endpoint: dict[str, Any]) -> list[str]:
    """Return the images that an endpoint runs for `containers`, by digest where SageMaker returns it.

    `endpoint` is the response of DescribeEndpoint (ProductionVariants, DeployedImages). Raises PromotionRefusedError if
    its variants run different images, because the tag was moved between their starts.
    """
    deployed: dict[str, dict[str, str]] = {}
    for variant in endpoint.get("ProductionVariants", []):
        for image in variant.get("DeployedImages", []):
            if "SpecifiedImage" in image and "ResolvedImage" in image:
                deployed.setdefault(image["SpecifiedImage"], {})[variant["VariantName"]] = image["ResolvedImage"]
    return [_same(container["Image"], deployed.get(container["Image"], {})) for container in containers]


def _same(uri: str, by_variant: dict[str, str]) -> str:
    """Return the image that all variants run for a URI, or the URI if SageMaker does not say it."""
    if len(set(by_variant.values())) > 1:
        runs = ", ".join(f"{variant} runs {image}" for variant, image in by_variant.items())
        raise PromotionRefusedError(
            f"The variants of the endpoint run different images for {uri}, because its tag was moved while they "
            f"started: {runs}. Start the promotion again, or refer to the image by digest."
        )
    return next(iter(by_variant.values()), uri)


def identity(uri: str) -> str:
    """Return what identifies an image independent of its registry: its digest, or the URI if it has none."""
    _, _, digest = uri.partition("@")
    return digest or uri


def redirected(
    containers: list[dict[str, Any]], account: str, repository: str
) -> tuple[list[dict[str, Any]], list[Copy]]:
    """Return `containers` with their images in `repository` of this `account`, and the copies that this requires.

    Images in this account and AWS's own images are not copied. All images must be pinned.
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
    """Raise PromotionRefusedError if an image is in another account, from which a serverless endpoint cannot pull."""
    for image in (parse(container["Image"]) for container in containers):
        if not image.is_aws_own and image.account != account:
            raise PromotionRefusedError(
                f"The image {image.uri} is in account {image.account}. A serverless endpoint can use only images in "
                "its own account. Deploy the stage with ImageCopy=true, or configure an instance type in the settings."
            )


def _tag(image: Image) -> str:
    """Return the tag of a copy, which shows the source repository to human readers."""
    digest = (image.digest or "").removeprefix("sha256:")[:16]
    name = re.sub(r"[^\w.-]+", ".", image.repository)
    return f"{name[: _MAXIMUM_TAG - len(digest) - 1]}-{digest}"


def missing_grant(image: Image) -> str:
    """Return the policy statement, as JSON, that grants this stage the permission to pull the image."""
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    return json.dumps({"Effect": "Allow", "Action": actions, "Resource": image.resource})
