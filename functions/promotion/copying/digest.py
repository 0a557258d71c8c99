"""The digest of a candidate: everything that defines a model's behavior, and the differences between two documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Path, with_values
from promotion.naming import sha256_of
from promotion.source import images

_SHOWN_CHARACTERS = 120
_MOST_SHOWN = 20


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


def changed(before: Any, after: Any, shows: Callable[[str], bool] | None) -> str:
    """Return the paths where two documents differ, such as "Metrics.f1 (approved: 0.9, current: 0.8)".

    `shows` decides by the path whether the values are shown; None shows none. Values and the number of differences are
    limited, since the text becomes part of a message.
    """
    found = list(_differences(before, after, ""))
    shown = [
        f"{path} (approved: {_shown(one)}, current: {_shown(other)})" if shows and shows(path) else path
        for path, one, other in found[:_MOST_SHOWN]
    ]
    rest = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
    return ", ".join(shown + rest)


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
