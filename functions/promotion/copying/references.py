"""The artifacts of a model: the S3 URIs in its containers, their objects, and the targets of the copies."""

from __future__ import annotations

import copy
import dataclasses
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any

from promotion.aws.s3_uri import bucket_and_key, has_dot_segments
from promotion.copying.manifest import PinnedObject
from promotion.errors import PromotionRefusedError

Path = tuple[str | int, ...]

# The SageMaker Python SDK has the names of JumpStart's buckets: jumpstart-private-cache-prod-<region> for gated models.
_GATED_MODELS = "jumpstart-private-cache-"


@dataclasses.dataclass(frozen=True)
class Reference:
    """An S3 URI in a model: its path in the containers, and whether it is a prefix of several objects.

    The value of an environment variable or the URI of code that does not end in "/" can be either, depending on the
    objects in S3.
    """

    path: Path
    uri: str
    is_prefix: bool

    @property
    def location(self) -> tuple[str, str]:
        """Return bucket and key."""
        return bucket_and_key(self.uri)

    @property
    def may_be_prefix(self) -> bool:
        """Return whether the URI can be an object or a prefix."""
        return not self.is_prefix and ("Environment" in self.path or "InferenceCode" in self.path)

    @property
    def slot(self) -> str:
        """Return the folder of the copies under the digest's prefix, which is the same for the same model."""
        return "/".join(str(part) for part in self.path)

    @property
    def place(self) -> str:
        """Return the path for messages: Containers[0].Environment.TOKENS."""
        return "Containers" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


def check_listed(keys: list[str], uri: str) -> None:
    """Raise PromotionRefusedError for keys under `uri` that a client could resolve or normalize to another key."""
    seen: dict[str, str] = {}
    for key in keys:
        if not key.isprintable():
            raise PromotionRefusedError(
                f"The key {key!a:.200} under {uri} contains unprintable characters. Rename the object."
            )
        if has_dot_segments(key):
            raise PromotionRefusedError(
                f"The key {key!a:.200} under {uri} has '.' or '..' as a segment, which clients resolve to another key. "
                "Rename the object."
            )
        twin = seen.setdefault(unicodedata.normalize("NFC", key), key)
        if twin != key:
            raise PromotionRefusedError(
                f"The keys {twin!a:.200} and {key!a:.200} under {uri} differ only in their Unicode normalization. "
                "Rename one of the objects."
            )


def assert_apart(references: list[Reference], bucket: str, prefix: str) -> None:
    """Raise PromotionRefusedError if a reference contains the target `prefix` in `bucket`."""
    for reference in references:
        found, key = reference.location
        if found == bucket and f"{prefix}/".startswith(key.rstrip("/") + "/"):
            raise PromotionRefusedError(
                f"{reference.place} is {reference.uri}, which contains the copies of this stage. Each promotion would "
                "copy all earlier ones. Specify the original location of the artifacts."
            )


def references(containers: list[dict[str, Any]], excluded: Collection[str] = ()) -> list[Reference]:
    """Return all artifact URIs in `containers`, in a fixed order; raise PromotionRefusedError for an invalid one.

    The values of the `excluded` environment variables are not artifacts.
    """
    found = [
        reference
        for index, container in enumerate(containers)
        for reference in _in_container(index, container)
        if not ("Environment" in reference.path and reference.path[-1] in excluded)
    ]
    for reference in found:
        bucket, _ = bucket_and_key(reference.uri, reference.place)
        if bucket.startswith(_GATED_MODELS):
            raise PromotionRefusedError(
                f"{reference.place} is {reference.uri}, in the bucket of the gated models of JumpStart. Only SageMaker "
                "can read it, so a promotion cannot copy the model. Promote a model whose artifacts are in a bucket of "
                "your own, such as the output of fine-tuning."
            )
    return found


def _in_container(index: int, container: dict[str, Any]) -> Iterator[Reference]:
    if url := container.get("ModelDataUrl"):
        yield Reference((index, "ModelDataUrl"), url, is_prefix=container.get("Mode") == "MultiModel")
    if source := container.get("ModelDataSource", {}).get("S3DataSource"):
        yield _data_source((index, "ModelDataSource", "S3DataSource", "S3Uri"), source)
    for number, additional in enumerate(container.get("AdditionalModelDataSources", [])):
        path = (index, "AdditionalModelDataSources", number, "S3DataSource", "S3Uri")
        yield _data_source(path, additional["S3DataSource"])
    for name, value in sorted(container.get("Environment", {}).items()):
        if is_s3_uri(value):
            yield Reference((index, "Environment", name), value, is_prefix=value.endswith("/"))


def is_s3_uri(value: str) -> bool:
    """Return whether the value of an environment variable is the URI of an artifact."""
    return value.lower().startswith("s3://")


def _data_source(path: Path, source: dict[str, Any]) -> Reference:
    return Reference(path, source["S3Uri"], is_prefix=source["S3DataType"] == "S3Prefix")


def targets(reference: Reference, objects: list[PinnedObject], prefix: str) -> tuple[str, list[PinnedObject]]:
    """Return the key or prefix of `reference` after the copy, under `prefix`, and its objects with their targets."""
    folder = f"{prefix}/{reference.slot}/"
    is_one_object = not reference.is_prefix and objects[0].key == reference.location[1]
    placed = [dataclasses.replace(pinned, target=folder + pinned.name) for pinned in objects]
    for pinned in placed:
        if len(pinned.target.encode()) > 1024:
            raise PromotionRefusedError(
                f"The copy of the object {pinned.key!a:.200} would have a key of {len(pinned.target.encode())} bytes; "
                "S3 allows 1,024. Shorten the object's key."
            )
    if is_one_object:
        return placed[0].target, placed
    return (folder if reference.is_prefix else folder.rstrip("/")), placed


def with_values(containers: list[dict[str, Any]], values: dict[Path, str]) -> list[dict[str, Any]]:
    """Return a copy of `containers` with the value at each path replaced."""
    changed = copy.deepcopy(containers)
    for path, value in values.items():
        place: Any = changed
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
    return changed
