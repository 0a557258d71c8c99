"""Images as a client pushes them to ECR, with layers that really are there."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_PART_BYTES = 10 * 1024 * 1024


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def ensure_repository(ecr: Any, name: str) -> None:
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=name)


def push_layer(ecr: Any, repository: str, content: bytes) -> dict[str, Any]:
    """Upload a layer, or a config; how a manifest refers to it."""
    upload = {
        "repositoryName": repository,
        "uploadId": ecr.initiate_layer_upload(repositoryName=repository)["uploadId"],
    }
    for first in range(0, len(content), _PART_BYTES):
        part = content[first : first + _PART_BYTES]
        ecr.upload_layer_part(**upload, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part)
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(**upload, layerDigests=[sha256(content)])
    return {"digest": sha256(content), "size": len(content), "mediaType": "application/octet-stream"}


def push_image(
    ecr: Any,
    repository: str,
    layers: list[bytes],
    tag: str | None = None,
    architecture: str = "arm64",
    media_type: str = MANIFEST,
) -> str:
    """Push an image of one architecture; its digest."""
    content = {"architecture": architecture, "os": "linux", "rootfs": {"diff_ids": [sha256(each) for each in layers]}}
    config = json.dumps(content).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": push_layer(ecr, repository, config),
        "layers": [push_layer(ecr, repository, layer) for layer in layers],
    }
    return _put(ecr, repository, manifest, tag)


def push_list(ecr: Any, repository: str, images: dict[str, list[bytes]], tag: str) -> str:
    """Push an image of several architectures, each with its layers; the digest of the list."""
    children = [
        {
            "mediaType": MANIFEST,
            "digest": push_image(ecr, repository, layers, architecture=architecture),
            "size": 0,
            "platform": {"architecture": architecture, "os": "linux"},
        }
        for architecture, layers in images.items()
    ]
    return _put(ecr, repository, {"schemaVersion": 2, "mediaType": LIST, "manifests": children}, tag)


def manifests(ecr: Any, repository: str, digest: str) -> dict[str, str]:
    """The manifest of a digest and those it lists, to the byte, as ECR gives them to a client."""
    found = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    assert found, f"{digest} is not in {repository}"
    text = found[0]["imageManifest"]
    whole = {digest: text}
    for child in json.loads(text).get("manifests", []):
        whole |= manifests(ecr, repository, child["digest"])
    return whole


def _put(ecr: Any, repository: str, manifest: dict[str, Any], tag: str | None) -> str:
    # Spaces and line ends are part of what a digest is of.
    text = json.dumps(manifest, indent=3)
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(repositoryName=repository, imageManifest=text, **({"imageTag": tag} if tag else {}))
    return sha256(text.encode())
