"""The artifacts of a model: every `s3://` address in its containers, what lies there, and where it goes."""

from __future__ import annotations

import copy
import dataclasses
import unicodedata
from collections.abc import Iterator
from typing import Any

from promotion.aws.s3_uri import bucket_and_key, has_dot_segments
from promotion.copying.manifest import PinnedObject
from promotion.errors import PromotionRefusedError

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Reference:
    """An `s3://` address in a model: where it stands in the containers, and whether it is a prefix of many objects.

    A value of the environment that does not end in "/" may be either; what lies there decides.
    """

    path: Path
    uri: str
    is_prefix: bool

    @property
    def location(self) -> tuple[str, str]:
        return bucket_and_key(self.uri)

    @property
    def may_be_prefix(self) -> bool:
        return not self.is_prefix and "Environment" in self.path

    @property
    def slot(self) -> str:
        """Where its objects go below the digest's prefix: one folder for each address, the same for the same model."""
        return "/".join(str(part) for part in self.path)

    @property
    def place(self) -> str:
        """Where it stands, for people: Containers[0].Environment.TOKENS."""
        return "Containers" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


def check_listed(keys: list[str], uri: str) -> None:
    """Raises PromotionRefusedError for keys found below `uri` that could become something else on their way."""
    seen: dict[str, str] = {}
    for key in keys:
        if not key.isprintable():
            raise PromotionRefusedError(
                f"Below {uri} there is {key!a:.200}, which has characters that cannot be shown. Rename it."
            )
        if has_dot_segments(key):
            raise PromotionRefusedError(
                f"Below {uri} there is {key!a:.200}, which has '.' or '..' as a part, which clients resolve away. "
                "Rename it."
            )
        twin = seen.setdefault(unicodedata.normalize("NFC", key), key)
        if twin != key:
            raise PromotionRefusedError(
                f"Below {uri} there are {twin!a:.200} and {key!a:.200}, which are one name, written in two ways (the "
                "normal forms of Unicode). Rename one."
            )


def assert_apart(references: list[Reference], bucket: str, prefix: str) -> None:
    """Raises PromotionRefusedError where what is copied to `prefix` in `bucket` would lie within what is copied."""
    for reference in references:
        found, key = reference.location
        if found == bucket and f"{prefix}/".startswith(key.rstrip("/") + "/"):
            raise PromotionRefusedError(
                f"{reference.place} is {reference.uri}, within which this stage puts its own copies, so that each "
                "promotion would copy all those before it. Name the artifacts where they were made."
            )


def references(containers: list[dict[str, Any]]) -> list[Reference]:
    """Every address of an artifact in `containers`, in a fixed order. Raises PromotionRefusedError for a bad one."""
    found = [reference for index, container in enumerate(containers) for reference in _in_container(index, container)]
    for reference in found:
        bucket_and_key(reference.uri, reference.place)
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
        if value.lower().startswith("s3://"):
            yield Reference((index, "Environment", name), value, is_prefix=value.endswith("/"))


def _data_source(path: Path, source: dict[str, Any]) -> Reference:
    return Reference(path, source["S3Uri"], is_prefix=source["S3DataType"] == "S3Prefix")


def targets(reference: Reference, objects: list[PinnedObject], prefix: str) -> tuple[str, list[PinnedObject]]:
    """Where `reference` points after the copy (a key or prefix below `prefix`), and its objects with their targets."""
    folder = f"{prefix}/{reference.slot}/"
    is_one_object = not reference.is_prefix and objects[0].key == reference.location[1]
    placed = [dataclasses.replace(pinned, target=folder + pinned.name) for pinned in objects]
    for pinned in placed:
        if len(pinned.target.encode()) > 1024:
            raise PromotionRefusedError(
                f"The object {pinned.key!a:.200} would be copied to a key of {len(pinned.target.encode())} bytes; S3 "
                "allows 1,024. Shorten its key."
            )
    if is_one_object:
        return placed[0].target, placed
    return (folder if reference.is_prefix else folder.rstrip("/")), placed


def with_values(containers: list[dict[str, Any]], values: dict[Path, str]) -> list[dict[str, Any]]:
    """`containers` with the value at each path replaced; the given ones are left as they are."""
    changed = copy.deepcopy(containers)
    for path, value in values.items():
        place: Any = changed
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
    return changed
