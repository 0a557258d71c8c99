"""Resolve image tags in ECR, and copy images between registries by digest, layer by layer.

The API is that of ECR's own proxy for Docker (ECR API reference, InitiateLayerUpload and related actions). The target
is the only state of a copy: layers and manifests that exist there are not copied again, so an interrupted copy resumes
with the next layer.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import denials
from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TransientError, UnfinishedError
from promotion.source.images import Copy, Image, missing_grant, parse

_OCI = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json")
_MEDIA_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    *_OCI,
)
# botocore's ecr model: BatchedOperationLayerDigestList; UploadLayerPart, "The maximum size of each image layer part".
_MAXIMUM_LAYERS_PER_REQUEST = 100
_MAXIMUM_PART_BYTES = 20971520
_LAYERS_IN_FLIGHT = 6
_READ_SECONDS = 55


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest with its exact text in ECR: the digest is the SHA-256 of `text`."""

    digest: str
    media_type: str
    text: str

    @property
    def children(self) -> list[str]:
        """Return the digests of the manifests in a manifest list."""
        return [child["digest"] for child in json.loads(self.text).get("manifests", [])]

    @property
    def layers(self) -> dict[str, int]:
        """Return the sizes of the layers and the config by digest, without foreign layers."""
        document = json.loads(self.text)
        parts = [*([document["config"]] if "config" in document else []), *document.get("layers", [])]
        return {part["digest"]: part["size"] for part in parts if not part.get("urls")}


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of a copy; sizes are in bytes."""

    manifests: int
    layers_copied: int
    layers_already_present: int
    bytes_copied: int


def digest_of(ecr: Any, image: Image) -> str:
    """Return the digest of an image, or the current digest of its tag.

    Raise PromotionRefusedError if the image does not exist, cannot be read, or has a manifest that CreateModel rejects.
    """
    image_id = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag or "latest"}
    manifest = _manifest(ecr, image, image_id)
    if manifest.media_type in _OCI:
        raise PromotionRefusedError(
            f"The image {image.uri} has an OCI manifest ({manifest.media_type}), which SageMaker does not support. "
            "Build the image with a Docker manifest, and push it again: docker buildx build --provenance=false "
            "--output type=docker ..."
        )
    return manifest.digest


class ImageCopier:
    """A copier of images between registries in one region, with the permissions of the client `ecr`."""

    def __init__(self, ecr: Any, in_flight: int = _LAYERS_IN_FLIGHT) -> None:
        self._ecr = ecr
        # botocore creates the exception classes at their first use, and concurrent threads would each create their own.
        self._exceptions = ecr.exceptions
        self._in_flight = in_flight
        self._stopped = threading.Event()
        self._ends = 0.0

    def copy(self, copy: Copy, seconds: float) -> Summary:
        """Copy an image with all manifests of its list, unless it already exists.

        Raise UnfinishedError after `seconds`; another call resumes the copy. Raise PromotionRefusedError if the source
        does not exist, is damaged, or cannot be read.
        """
        self._ends = time.monotonic() + seconds
        self._stopped.clear()
        source, target = parse(copy.source), parse(copy.target)
        try:
            return self._copied(source, target, copy.tag)
        except ClientError as error:
            if meaning(error) is not Meaning.DENIED:
                raise
            advice = denials.advice(error, "this stage's account", "Deploy the stack of this stage again.")
            raise PromotionRefusedError(
                f"This stage has no permission to copy the image {copy.source} to its repository {target.resource}: "
                f"{message(error)}. {advice or 'Check the policy of that repository and the registry policy.'}"
            ) from error

    def _copied(self, source: Image, target: Image, tag: str) -> Summary:
        manifests = list(self._manifests(source, source.digest or ""))
        layers = {digest: size for manifest in manifests for digest, size in manifest.layers.items()}
        missing = self._missing(target, layers)
        self._copy_layers(source, target, missing)
        for manifest in manifests:
            self._put(target, manifest, tag if manifest.digest == source.digest else None)
        for manifest in manifests:
            _manifest(self._ecr, target, {"imageDigest": manifest.digest})
        if left := self._missing(target, layers):
            raise TransientError(f"{len(left)} layers of {source.uri} are not yet visible in {target.resource}.")
        return Summary(len(manifests), len(missing), len(layers) - len(missing), sum(missing.values()))

    def _manifests(self, image: Image, digest: str) -> Iterator[Manifest]:
        """Yield the manifest of a digest after the manifests it lists, which ECR requires to exist first."""
        manifest = _manifest(self._ecr, image, {"imageDigest": digest})
        for child in manifest.children:
            yield from self._manifests(image, child)
        yield manifest

    def _missing(self, target: Image, layers: dict[str, int]) -> dict[str, int]:
        digests, available = list(layers), set()
        for start in range(0, len(digests), _MAXIMUM_LAYERS_PER_REQUEST):
            batch = digests[start : start + _MAXIMUM_LAYERS_PER_REQUEST]
            found = self._ecr.batch_check_layer_availability(**_repository(target), layerDigests=batch)["layers"]
            available |= {layer["layerDigest"] for layer in found if layer["layerAvailability"] == "AVAILABLE"}
        return {digest: size for digest, size in layers.items() if digest not in available}

    def _copy_layers(self, source: Image, target: Image, layers: dict[str, int]) -> None:
        """Copy all layers, the largest first; after a failure the others stop at their next part."""
        with concurrent.futures.ThreadPoolExecutor(self._in_flight) as pool:
            largest_first = sorted(layers.items(), key=lambda layer: -layer[1])
            copies = [pool.submit(self._copy_layer, source, target, *layer) for layer in largest_first]
            try:
                for done in concurrent.futures.as_completed(copies):
                    done.result()
            except BaseException:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _copy_layer(self, source: Image, target: Image, digest: str, size: int) -> None:
        try:
            url = self._ecr.get_download_url_for_layer(**_repository(source), layerDigest=digest)["downloadUrl"]
        except ClientError as error:
            raise _explained(error, source) from error
        upload = self._ecr.initiate_layer_upload(**_repository(target))
        place = _repository(target) | {"uploadId": upload["uploadId"]}
        part_bytes = min(upload["partSize"], _MAXIMUM_PART_BYTES)
        content, first = hashlib.sha256(), 0
        for part in _parts(url, part_bytes):
            if self._stopped.is_set() or time.monotonic() > self._ends:
                raise UnfinishedError(f"The copy of {source.uri} is incomplete. The next invocation copies the rest.")
            content.update(part)
            self._upload_part(place, first, part)
            first += len(part)
        if first != size:
            raise TransientError(f"The download of layer {digest} of {source.uri} had {first} bytes instead of {size}.")
        if f"sha256:{content.hexdigest()}" != digest:
            raise PromotionRefusedError(
                f"The layer {digest} of {source.uri} is damaged: its SHA-256 in ECR is {content.hexdigest()}. "
                "Push the image again."
            )
        # Another promotion of the same image may have been faster.
        with contextlib.suppress(self._exceptions.LayerAlreadyExistsException):
            self._ecr.complete_layer_upload(**place, layerDigests=[digest])

    def _upload_part(self, place: dict[str, str], first: int, part: bytes) -> None:
        last = first + len(part) - 1
        try:
            self._ecr.upload_layer_part(**place, partFirstByte=first, partLastByte=last, layerPartBlob=part)
        except self._exceptions.InvalidLayerPartException as error:
            # ECR accepts each part once, and the client may have retried a request whose response was lost.
            if error.response.get("lastValidByteReceived") != last:
                raise TransientError(f"The upload {place['uploadId']} was interrupted: {message(error)}") from error

    def _put(self, target: Image, manifest: Manifest, tag: str | None) -> None:
        request = _repository(target) | {
            "imageManifest": manifest.text,
            "imageManifestMediaType": manifest.media_type,
            "imageDigest": manifest.digest,
        }
        known = self._ecr.exceptions
        # The caller reads all manifests afterwards, so an existing image with other content is detected.
        with contextlib.suppress(known.ImageAlreadyExistsException, known.ImageTagAlreadyExistsException):
            self._ecr.put_image(**request, **({"imageTag": tag} if tag else {}))


def _parts(url: str, part_bytes: int) -> Iterator[bytes]:
    """Yield the parts of a layer's download, with only one of them in memory."""
    try:
        # ECR created this presigned S3 URL a moment ago.
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as download:  # noqa: S310
            while part := download.read(part_bytes):
                yield part
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"The download of a layer was interrupted: {error}") from error


def _manifest(ecr: Any, image: Image, image_id: dict[str, str]) -> Manifest:
    """Return one manifest of the image's repository after verifying its digest."""
    try:
        response = ecr.batch_get_image(**_repository(image), imageIds=[image_id], acceptedMediaTypes=list(_MEDIA_TYPES))
    except ClientError as error:
        raise _explained(error, image) from error
    name = f"{image.name}{'@' if 'imageDigest' in image_id else ':'}{next(iter(image_id.values()))}"
    if not response["images"]:
        reason = "; ".join(f"{one.get('failureCode')}: {one.get('failureReason')}" for one in response["failures"])
        raise PromotionRefusedError(f"The image {name} does not exist in ECR: {reason}. Push the image again.")
    found = response["images"][0]
    text, digest = found["imageManifest"], found["imageId"]["imageDigest"]
    media_type = found.get("imageManifestMediaType") or json.loads(text).get("mediaType", "")
    if media_type not in _MEDIA_TYPES:
        raise PromotionRefusedError(
            f"The manifest of {name} has the unsupported media type {media_type}. Push the image with a newer client."
        )
    if f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != digest or image_id.get("imageDigest", digest) != digest:
        raise PromotionRefusedError(f"The manifest of {name} does not match its digest. Push the image again.")
    return Manifest(digest, media_type, text)


def _repository(image: Image) -> dict[str, str]:
    return {"registryId": image.account, "repositoryName": image.repository}


def _explained(error: ClientError, image: Image) -> Exception:
    """Return the exception for `error`, with the missing policy statement if AWS denied access to the image."""
    match meaning(error):
        case Meaning.DENIED:
            advice = denials.advice(error, f"account {image.account}", "Deploy the stack of this stage again.") or (
                f"Deploy upstream.yaml in account {image.account} with {image.resource} in RepositoryArns, or add this "
                "statement for the roles under /model-promotion/ to the policy of the registry or of the repository: "
                f"{missing_grant(image)}"
            )
            return PromotionRefusedError(
                f"This stage has no permission to pull the image {image.uri}: {message(error)}. {advice}"
            )
        case Meaning.NOT_FOUND:
            return PromotionRefusedError(
                f"The image {image.uri} does not exist in ECR: {message(error)} Push the image again."
            )
        case Meaning.TRANSIENT:
            return TransientError(f"{image.uri}: {message(error)}")
    unknown: Exception = error
    return unknown
