"""Asking ECR what a tag means, and copying an image from one registry to another: by its digest, layer by layer.

The API is that of ECR's own proxy for Docker (ECR API reference, InitiateLayerUpload and its siblings). Nothing is kept
of a copy but what is in the target already: a layer or manifest that is there is not copied again, so that a copy that
was stopped goes on with the next layer.
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

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TransientError, UnfinishedError
from promotion.source.images import Copy, Image, missing_grant, parse

_LISTS = ("application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json")
_MANIFESTS = ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json")
# botocore's ecr model: BatchedOperationLayerDigestList; UploadLayerPart, "The maximum size of each image layer part".
_MOST_LAYERS_ASKED = 100
_LARGEST_PART_BYTES = 20971520
_LAYERS_IN_FLIGHT = 6
_READ_SECONDS = 55


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest as ECR has it, to the byte: its digest is the SHA-256 of `text`."""

    digest: str
    media_type: str
    text: str

    @property
    def children(self) -> list[str]:
        """The digests of the manifests in a list of them."""
        return [child["digest"] for child in json.loads(self.text).get("manifests", [])]

    @property
    def layers(self) -> dict[str, int]:
        """The sizes of its layers and its config by digest, without those that are no registry's to hand on."""
        document = json.loads(self.text)
        parts = [*([document["config"]] if "config" in document else []), *document.get("layers", [])]
        return {part["digest"]: part["size"] for part in parts if not part.get("urls")}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What became of a copy. Sizes are bytes."""

    manifests: int
    layers_copied: int
    layers_already_there: int
    bytes_copied: int


def digest_of(ecr: Any, image: Image) -> str:
    """The digest of the image that its tag means now."""
    return _manifest(ecr, image, {"imageTag": image.tag or "latest"}).digest


class ImageCopier:
    """Copies images of one region between registries that the client `ecr` may read and write."""

    def __init__(self, ecr: Any, in_flight: int = _LAYERS_IN_FLIGHT) -> None:
        self._ecr = ecr
        # botocore makes a client's exception classes at their first use, and each of two threads its own.
        self._exceptions = ecr.exceptions
        self._in_flight = in_flight
        self._stopped = threading.Event()
        self._ends = 0.0

    def copy(self, copy: Copy, seconds: float) -> Summary:
        """Copy an image with all manifests of its list, unless it is there.

        Raises UnfinishedError when `seconds` are over: the next try goes on with what is left. Raises
        PromotionRefusedError when the source is gone, damaged or denied.
        """
        self._ends = time.monotonic() + seconds
        self._stopped.clear()
        source, target = parse(copy.source), parse(copy.target)
        manifests = list(self._manifests(source, source.digest or ""))
        layers = {digest: size for manifest in manifests for digest, size in manifest.layers.items()}
        missing = self._missing(target, layers)
        self._copy_layers(source, target, missing)
        for manifest in manifests:
            self._put(target, manifest, copy.tag if manifest.digest == source.digest else None)
        for manifest in manifests:
            _manifest(self._ecr, target, {"imageDigest": manifest.digest})
        if left := self._missing(target, layers):
            raise TransientError(f"{len(left)} layers of {copy.source} are not in {target.resource} yet.")
        return Summary(len(manifests), len(missing), len(layers) - len(missing), sum(missing.values()))

    def _manifests(self, image: Image, digest: str) -> Iterator[Manifest]:
        """The manifest of a digest after all that it lists, since ECR takes a list only when they are there."""
        manifest = _manifest(self._ecr, image, {"imageDigest": digest})
        for child in manifest.children:
            yield from self._manifests(image, child)
        yield manifest

    def _missing(self, target: Image, layers: dict[str, int]) -> dict[str, int]:
        digests, available = list(layers), set()
        for start in range(0, len(digests), _MOST_LAYERS_ASKED):
            asked = digests[start : start + _MOST_LAYERS_ASKED]
            found = self._ecr.batch_check_layer_availability(**_repository(target), layerDigests=asked)["layers"]
            available |= {layer["layerDigest"] for layer in found if layer["layerAvailability"] == "AVAILABLE"}
        return {digest: size for digest, size in layers.items() if digest not in available}

    def _copy_layers(self, source: Image, target: Image, layers: dict[str, int]) -> None:
        """Copy all layers, the largest first; the first failure stops the others at their next part."""
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
        part_bytes = min(upload["partSize"], _LARGEST_PART_BYTES)
        content, first = hashlib.sha256(), 0
        for part in _parts(url, part_bytes):
            if self._stopped.is_set() or time.monotonic() > self._ends:
                raise UnfinishedError(f"{source.uri} is not copied whole yet. The next try goes on with what is left.")
            content.update(part)
            self._upload_part(place, first, part)
            first += len(part)
        if first != size:
            raise TransientError(f"The layer {digest} of {source.uri} came with {first} bytes instead of {size}.")
        if f"sha256:{content.hexdigest()}" != digest:
            raise PromotionRefusedError(
                f"The layer {digest} of {source.uri} is damaged: the SHA-256 of what ECR has is {content.hexdigest()}. "
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
            # ECR takes each part once: the client may have sent it again for want of an answer.
            if error.response.get("lastValidByteReceived") != last:
                raise TransientError(f"The upload {place['uploadId']} broke off: {message(error)}") from error

    def _put(self, target: Image, manifest: Manifest, tag: str | None) -> None:
        request = _repository(target) | {
            "imageManifest": manifest.text,
            "imageManifestMediaType": manifest.media_type,
            "imageDigest": manifest.digest,
        }
        known = self._ecr.exceptions
        # Whether what is there already is the same is seen when all of them are there.
        with contextlib.suppress(known.ImageAlreadyExistsException, known.ImageTagAlreadyExistsException):
            self._ecr.put_image(**request, **({"imageTag": tag} if tag else {}))


def _parts(url: str, part_bytes: int) -> Iterator[bytes]:
    """What a layer's download has, never more than a part of it at once."""
    try:
        # The address is one of S3 that ECR made a moment ago.
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as download:  # noqa: S310
            while part := download.read(part_bytes):
                yield part
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"The download of a layer broke off: {error}") from error


def _manifest(ecr: Any, image: Image, wanted: dict[str, str]) -> Manifest:
    """One manifest of the image's repository, whose digest is right."""
    try:
        answer = ecr.batch_get_image(**_repository(image), imageIds=[wanted], acceptedMediaTypes=[*_MANIFESTS, *_LISTS])
    except ClientError as error:
        raise _explained(error, image) from error
    name = f"{image.name}{'@' if 'imageDigest' in wanted else ':'}{next(iter(wanted.values()))}"
    if not answer["images"]:
        reason = "; ".join(f"{one.get('failureCode')}: {one.get('failureReason')}" for one in answer["failures"])
        raise PromotionRefusedError(f"The image {name} is not there (any more): {reason}. Push it again.")
    found = answer["images"][0]
    text, digest = found["imageManifest"], found["imageId"]["imageDigest"]
    media_type = found.get("imageManifestMediaType") or json.loads(text).get("mediaType", "")
    if media_type not in (*_MANIFESTS, *_LISTS):
        raise PromotionRefusedError(f"The manifest of {name} is of the kind {media_type}. Push it with a newer client.")
    if f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != digest or wanted.get("imageDigest", digest) != digest:
        raise PromotionRefusedError(f"The manifest of {name} is not what its digest says. Push the image again.")
    return Manifest(digest, media_type, text)


def _repository(image: Image) -> dict[str, str]:
    return {"registryId": image.account, "repositoryName": image.repository}


def _explained(error: ClientError, image: Image) -> Exception:
    """`error` as the exception it calls for: with the statement that is missing when AWS denies us the image."""
    match meaning(error):
        case Meaning.DENIED:
            return PromotionRefusedError(
                f"The image {image.uri} may not be read: {message(error)}. Its repository does not let this stage "
                "(the roles below /model-promotion/) pull it. Deploy upstream.yaml in account "
                f"{image.account} with {image.resource} among its RepositoryArns, or add this statement to the policy "
                f"of its registry: {missing_grant(image)}"
            )
        case Meaning.NOT_FOUND:
            return PromotionRefusedError(
                f"The image {image.uri} is not there (any more): {message(error)} Push it again."
            )
        case Meaning.TRANSIENT:
            return TransientError(f"{image.uri}: {message(error)}")
    unknown: Exception = error
    return unknown
