"""The copier with a faulty registry; tests/integration/test_images.py covers successful copies."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.copying.image_copier import ImageCopier, digest_of
from promotion.errors import PromotionRefusedError, TransientError
from promotion.source.images import Copy, parse
from tests.support.registries import MANIFEST, sha256
from tests.support.s3_faults import client_error

SOURCE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/reviews"
TARGET = "222222222222.dkr.ecr.eu-west-1.amazonaws.com/model-promotion-qa"
LAYER = b"0123456789" * 10


class AlreadyExistsError(Exception):
    pass


class InvalidPartError(ClientError):
    pass


class Registry:
    """A fake of two registries, in which tests inject faults."""

    exceptions = SimpleNamespace(
        InvalidLayerPartException=InvalidPartError,
        LayerAlreadyExistsException=AlreadyExistsError,
        ImageAlreadyExistsException=AlreadyExistsError,
        ImageTagAlreadyExistsException=AlreadyExistsError,
    )

    def __init__(self, directory: Path, media_type: str = MANIFEST, **more: Any) -> None:
        self.directory = directory
        config = {"digest": sha256(b"{}"), "size": 2}
        layer = {"digest": sha256(LAYER), "size": len(LAYER)}
        manifest = {"mediaType": media_type, "config": config, "layers": [layer], **more}
        self.text = json.dumps(manifest)
        self.media_type = media_type
        self.content = {sha256(LAYER): LAYER, sha256(b"{}"): b"{}"}
        self.uploads: dict[str, bytes] = {}
        self.layers: dict[str, bytes] = {}
        self.manifests: dict[str, str] = {}
        self.lock = threading.Lock()

    @property
    def copy(self) -> Copy:
        digest = sha256(self.text.encode())
        return Copy(f"{SOURCE}@{digest}", f"{TARGET}@{digest}", "reviews-1")

    def batch_get_image(self, registryId: str, imageIds: list[dict[str, str]], **_: Any) -> dict[str, Any]:  # noqa: N803
        digest = imageIds[0].get("imageDigest", sha256(self.text.encode()))
        text = self.text if registryId == "111111111111" else self.manifests.get(digest)
        if text is None:
            return {"images": [], "failures": [{"failureCode": "ImageNotFound", "failureReason": "not found"}]}
        image = {"imageManifest": text, "imageId": {"imageDigest": digest}, "imageManifestMediaType": self.media_type}
        return {"images": [image], "failures": []}

    def get_download_url_for_layer(self, layerDigest: str, **_: Any) -> dict[str, str]:  # noqa: N803
        path = self.directory / layerDigest.partition(":")[2]
        path.write_bytes(self.content[layerDigest])
        return {"downloadUrl": path.as_uri()}

    def batch_check_layer_availability(self, layerDigests: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        state = {True: "AVAILABLE", False: "UNAVAILABLE"}
        return {"layers": [{"layerDigest": d, "layerAvailability": state[d in self.layers]} for d in layerDigests]}

    def initiate_layer_upload(self, **_: Any) -> dict[str, Any]:
        with self.lock:
            upload = str(len(self.uploads))
            self.uploads[upload] = b""
        return {"uploadId": upload, "partSize": 30}

    def upload_layer_part(
        self,
        uploadId: str,  # noqa: N803
        partFirstByte: int,  # noqa: N803
        partLastByte: int,  # noqa: N803
        layerPartBlob: bytes,  # noqa: N803
        **_: Any,
    ) -> None:
        assert partFirstByte == len(self.uploads[uploadId])
        assert partLastByte - partFirstByte + 1 == len(layerPartBlob) <= 30
        self.uploads[uploadId] += layerPartBlob

    def complete_layer_upload(self, uploadId: str, layerDigests: list[str], **_: Any) -> None:  # noqa: N803
        if layerDigests[0] in self.layers:
            raise AlreadyExistsError
        self.layers[layerDigests[0]] = self.uploads[uploadId]

    def put_image(self, imageManifest: str, imageDigest: str, **_: Any) -> None:  # noqa: N803
        if imageDigest in self.manifests:
            raise AlreadyExistsError
        self.manifests[imageDigest] = imageManifest


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def copied(registry: Registry) -> Any:
    return ImageCopier(registry).copy(registry.copy, seconds=60)


def test_layers_are_copied_in_parts_without_changes(registry: Registry) -> None:
    summary = copied(registry)

    assert registry.layers == registry.content
    assert list(registry.manifests.values()) == [registry.text]
    assert (summary.layers_copied, summary.bytes_copied) == (2, 102)


def test_a_second_copy_copies_no_layers(registry: Registry) -> None:
    copied(registry)

    assert copied(registry).layers_copied == 0
    assert len(registry.uploads) == 2


def test_a_layer_completed_by_another_promotion_is_accepted(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = registry.upload_layer_part

    def overtaken(uploadId: str, **part: Any) -> None:  # noqa: N803
        upload(uploadId, **part)
        registry.layers = dict(registry.content)

    monkeypatch.setattr(registry, "upload_layer_part", overtaken)

    assert copied(registry).layers_copied == 2
    assert list(registry.manifests.values()) == [registry.text]


@pytest.mark.parametrize("received_before", [0, -1], ids=["its own", "an earlier one"])
def test_a_rejected_part_is_accepted_only_if_ecr_has_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, received_before: int
) -> None:
    upload = registry.upload_layer_part

    def response_lost(uploadId: str, partLastByte: int, **part: Any) -> None:  # noqa: N803
        upload(uploadId, partLastByte=partLastByte, **part)
        has: Any = {"Error": {"Code": "InvalidLayerPartException"}}
        raise InvalidPartError(has | {"lastValidByteReceived": partLastByte + received_before}, "UploadLayerPart")

    monkeypatch.setattr(registry, "upload_layer_part", response_lost)

    if received_before == 0:
        assert copied(registry).bytes_copied == 102
    else:
        with pytest.raises(TransientError, match="was interrupted"):
            copied(registry)


def test_foreign_layers_are_not_copied(tmp_path: Path) -> None:
    foreign = {"digest": "sha256:" + "0" * 64, "size": 5, "urls": ["https://example.com/layer"]}
    registry = Registry(tmp_path, layers=[foreign])

    copied(registry)

    assert registry.layers == {sha256(b"{}"): b"{}"}


def test_an_incomplete_download_is_a_transient_error(registry: Registry) -> None:
    registry.content[sha256(LAYER)] = LAYER[:50]

    with pytest.raises(TransientError, match="had 50 bytes instead of 100"):
        copied(registry)
    assert sha256(LAYER) not in registry.layers


def test_a_failed_download_is_a_transient_error(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "get_download_url_for_layer", lambda **_: {"downloadUrl": "file:///nowhere/at/all"})

    with pytest.raises(TransientError, match="The download of a layer was interrupted"):
        copied(registry)


def test_a_layer_with_another_digest_is_refused(registry: Registry) -> None:
    registry.content[sha256(LAYER)] = LAYER[::-1]

    with pytest.raises(PromotionRefusedError, match="is damaged"):
        copied(registry)
    assert sha256(LAYER) not in registry.layers


def test_a_manifest_with_another_digest_is_refused(registry: Registry) -> None:
    copy = registry.copy
    registry.text += " "

    with pytest.raises(PromotionRefusedError, match="does not match its digest"):
        ImageCopier(registry).copy(copy, seconds=60)
    assert registry.manifests == {}


def test_the_copy_is_verified_at_the_end(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "put_image", lambda **_: None)

    with pytest.raises(PromotionRefusedError, match="does not exist in ECR"):
        copied(registry)


def test_a_manifest_of_an_unsupported_type_is_refused(tmp_path: Path) -> None:
    old = "application/vnd.docker.distribution.manifest.v1+prettyjws"

    with pytest.raises(PromotionRefusedError, match=f"has the unsupported media type {old.replace('+', '.')}"):
        copied(Registry(tmp_path, media_type=old))


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("AccessDeniedException", PromotionRefusedError, '"Action": ["ecr:BatchGetImage"'),
        ("RepositoryNotFoundException", PromotionRefusedError, "does not exist in ECR"),
        ("ThrottlingException", TransientError, "ThrottlingException"),
        ("ServerException", TransientError, "ServerException"),
    ],
)
def test_an_error_of_ecr_is_explained(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, code: str, expected: type[Exception], words: str
) -> None:
    def refuse(**_: Any) -> Any:
        raise client_error(code, "no")

    monkeypatch.setattr(registry, "batch_get_image", refuse)

    with pytest.raises(expected) as raised:
        digest_of(registry, parse(f"{SOURCE}:1"))

    assert words in str(raised.value)
    assert f"{SOURCE}:1" in str(raised.value)


@pytest.mark.parametrize(
    "media_type", ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"]
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_an_oci_manifest_is_refused_with_the_build_flags(tmp_path: Path, media_type: str, by: str) -> None:
    registry = Registry(tmp_path, media_type=media_type)
    image = f"{SOURCE}:1" if by == "tag" else f"{SOURCE}@{sha256(registry.text.encode())}"

    with pytest.raises(PromotionRefusedError) as refused:
        digest_of(registry, parse(image))

    assert f"The image {image} has an OCI manifest ({media_type})" in str(refused.value)
    assert "docker buildx build --provenance=false --output type=docker" in str(refused.value)


def test_a_tag_is_resolved_to_the_digest_of_its_manifest(registry: Registry) -> None:
    assert digest_of(registry, parse(f"{SOURCE}:1")) == sha256(registry.text.encode())
    assert digest_of(registry, parse(SOURCE)) == sha256(registry.text.encode())
