"""The digest of a candidate: everything that defines a model's behavior, and the differences between two."""

from __future__ import annotations

from typing import Any

from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Path, with_values
from promotion.naming import sha256_of
from promotion.source import images


def digest_of(identity: dict[str, Any]) -> str:
    """Return the SHA-256 of an identity, from the digest without images and the images."""
    return with_images(
        digest_without_images(identity), [container.get("Image") for container in identity["Containers"]]
    )


def digest_without_images(identity: dict[str, Any]) -> str:
    """Return the SHA-256 of an identity without its images, which a stage may learn only from its endpoint."""
    containers = [
        {field: value for field, value in container.items() if field != "Image"} for container in identity["Containers"]
    ]
    return sha256_of(identity | {"Containers": containers})


def with_images(without_images: str, images: list[str | None]) -> str:
    """Return a model's digest from `digest_without_images` and the identity of each container's image."""
    return sha256_of({"WithoutImages": without_images, "Images": images})


def identity(
    containers: list[dict[str, Any]],
    inference_execution_config: dict[str, Any] | None,
    enable_network_isolation: bool,
    content: dict[Path, list[PinnedObject]],
) -> dict[str, Any]:
    """Return everything that defines the model's behavior: the content of artifacts and images, not their location."""
    identities = {
        path: sha256_of(sorted((pinned.content for pinned in objects), key=str)) for path, objects in content.items()
    }
    values = {path: f"sha256:{value}" for path, value in identities.items()}
    values |= {(index, "Image"): images.identity(each["Image"]) for index, each in enumerate(containers)}
    return {
        "Containers": with_values(containers, values),
        "InferenceExecutionConfig": inference_execution_config,
        "EnableNetworkIsolation": enable_network_isolation,
    }


def changed(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths where two identities differ, such as "Containers[0].Environment.THREADS".

    The path of an artifact denotes its content. The path of an image is followed by both values.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        members = sorted(before.keys() | after.keys())
        found = [changed(before.get(key), after.get(key), f"{path}.{key}".lstrip(".")) for key in members]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        found = [changed(one, other, f"{path}[{index}]") for index, (one, other) in pairs]
    else:
        how = f" (approved: {before}, current: {after})" if path.endswith(".Image") else ""
        found = [[] if before == after else [path + how]]
    return [difference for differences in found for difference in differences]
