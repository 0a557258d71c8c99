"""The artifacts of a model: every `s3://` address in its containers, what lies there, and where it goes."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import Any

from promotion.errors import PromotionRefusedError
from promotion.naming import sha256_of
from promotion.source import images

Path = tuple[str | int, ...]

# S3 user guide, "General purpose bucket naming rules": what the names of buckets look like, and what may not be one.
# What the last ones stand for (access points, directory buckets, tables) has other versions and checksums.
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.*)")
_NO_BUCKET = re.compile(
    r"[0-9]+(\.[0-9]+){3}|.*\.\..*|(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)"
)


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


@dataclasses.dataclass(frozen=True)
class PinnedObject:
    """One object as it was when it was planned; a copy is made of exactly this one or not at all.

    `checksum` is a full-object checksum in base64 of the kind `checksum_algorithm` (CRC64NVME, CRC32, CRC32C), or None
    where the source has none. `name` is its key relative to the reference; `attributes` are the headers that a copy by
    parts has to be given anew, such as content-type, x-amz-meta-… and x-amz-tagging.
    """

    bucket: str
    key: str
    name: str
    size: int
    etag: str
    version_id: str | None
    checksum_algorithm: str | None
    checksum: str | None
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    target: str = ""

    @property
    def content(self) -> list[Any]:
        """What tells its content from another's, wherever it lies."""
        if self.checksum is None:
            return [self.name, self.size, "ETag", self.etag]
        return [self.name, self.size, self.checksum_algorithm, self.checksum]

    def to_line(self) -> str:
        """Its line in the manifest of a copy."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> PinnedObject:
        return cls(**json.loads(line))


def bucket_and_key(uri: str, where: str = "") -> tuple[str, str]:
    """Split `s3://bucket/key`; raises PromotionRefusedError, saying `where` it stands, for what is no such address."""
    shown = f"{where} is {uri!a:.200}, which" if where else f"{uri!a:.200}"
    if not uri.isprintable():
        raise PromotionRefusedError(f"{shown} has characters that cannot be shown.")
    match = _URI.fullmatch(uri)
    if not match or not match["key"] or match["key"].startswith("/") or len(match["key"].encode()) > 1024:
        raise PromotionRefusedError(f"{shown} is not the address of an object in S3: s3://<bucket>/<key>.")
    if _NO_BUCKET.fullmatch(match["bucket"]):
        raise PromotionRefusedError(
            f"{shown} is in no general purpose bucket of S3, but in what may not be called one."
        )
    if is_resolved_away(match["key"]):
        raise PromotionRefusedError(f"{shown} has '.' or '..' as a part of its key, which clients resolve away.")
    return match["bucket"], match["key"]


def is_resolved_away(key: str) -> bool:
    """Whether some client would take a part of the key for a folder above, be it written %2e%2e or after a "\\"."""
    before = ""
    while before != key:
        before, key = key, urllib.parse.unquote(key)
    return any(part in (".", "..") for part in re.split(r"[/\\]", key))


def check_listed(keys: list[str], uri: str) -> None:
    """Raises PromotionRefusedError for keys found below `uri` that could become something else on their way."""
    seen: dict[str, str] = {}
    for key in keys:
        if not key.isprintable():
            raise PromotionRefusedError(
                f"Below {uri} there is {key!a:.200}, which has characters that cannot be shown. Rename it."
            )
        if is_resolved_away(key):
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


def digest(
    containers: list[dict[str, Any]],
    inference_execution_config: dict[str, Any] | None,
    enable_network_isolation: bool,
    content: dict[Path, list[PinnedObject]],
) -> str:
    """The digest of the identity."""
    return digest_of(identity(containers, inference_execution_config, enable_network_isolation, content))


def digest_of(identity: dict[str, Any]) -> str:
    """The SHA-256 of an identity: of what it says of everything but the images, and of the images."""
    return with_images(
        digest_without_images(identity), [container.get("Image") for container in identity["Containers"]]
    )


def digest_without_images(identity: dict[str, Any]) -> str:
    """What stays as it is when a stage learns only of its endpoint which image a tag means."""
    containers = [
        {field: value for field, value in container.items() if field != "Image"} for container in identity["Containers"]
    ]
    return sha256_of(identity | {"Containers": containers})


def with_images(without_images: str, images: list[str | None]) -> str:
    """The digest of a model, by what `digest_without_images` gave and what of its images counts, one a container."""
    return sha256_of({"WithoutImages": without_images, "Images": images})


def identity(
    containers: list[dict[str, Any]],
    inference_execution_config: dict[str, Any] | None,
    enable_network_isolation: bool,
    content: dict[Path, list[PinnedObject]],
) -> dict[str, Any]:
    """What decides the model's behaviour: not where its artifacts and images lie, but what they are."""
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
    """Where two identities differ, as "Containers[0].Environment.THREADS", and of images how.

    A path to an artifact means its content.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        members = sorted(before.keys() | after.keys())
        found = [changed(before.get(key), after.get(key), f"{path}.{key}".lstrip(".")) for key in members]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        found = [changed(one, other, f"{path}[{index}]") for index, (one, other) in pairs]
    else:
        how = f" (approved was {before}, now it is {after})" if path.endswith(".Image") else ""
        found = [[] if before == after else [path + how]]
    return [difference for differences in found for difference in differences]


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
