"""S3 URIs, keys and listings, and objects that cannot be copied."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

from promotion.copying import manifest, pinning
from promotion.copying import references as artifacts
from promotion.copying.incoming import IncomingCopier
from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Reference
from promotion.copying.summary import Summary
from promotion.endpoint import model
from promotion.errors import PromotionRefusedError, TransientError
from tests.hostile_inputs.sources import IMAGE
from tests.hostile_inputs.trial import STRANGER, UPSTREAM, Hostile
from tests.support.s3_service import OWN, S3, Request, Response, client, served

BUCKET, STAGE_BUCKET = "artifacts", "model-promotion-qa"
FOREIGN_KEY = f"arn:aws:kms:eu-west-1:{UPSTREAM}:key/00000000-0000-0000-0000-000000000001"
ADDRESS = "is not the URI of an S3 object"
UNPRINTABLE = "contains unprintable characters"
RESOLVED = "which clients resolve to another key"
NO_BUCKET = "is not in a general purpose S3 bucket"

ADDRESSES = {
    "without a key": ("s3://bucket", ADDRESS),
    "with an empty key": ("s3://bucket/", ADDRESS),
    "without a bucket": ("s3:///key", ADDRESS),
    "whose key begins with /": ("s3://bucket//key", ADDRESS),
    "of https": ("https://bucket.s3.amazonaws.com/key", ADDRESS),
    "of a file": ("file:///etc/passwd", ADDRESS),
    "of s3a": ("s3a://bucket/key", ADDRESS),
    "of S3": ("S3://bucket/key", ADDRESS),
    "of the instance's credentials": ("http://169.254.169.254/latest/meta-data/", ADDRESS),
    "with a space before it": (" s3://bucket/key", ADDRESS),
    "with a port": ("s3://bucket:443/key", ADDRESS),
    "with a user": ("s3://user@bucket/key", ADDRESS),
    "of a bucket in upper case": ("s3://Bucket/key", ADDRESS),
    "of a bucket with an underscore": ("s3://my_bucket/key", ADDRESS),
    "of a bucket of 2 characters": ("s3://ab/key", ADDRESS),
    "of a bucket of 64 characters": (f"s3://{'b' * 64}/key", ADDRESS),
    "of a bucket in other letters": ("s3://bück\u0435t/key", ADDRESS),
    "of a bucket like a number of the internet": ("s3://192.168.5.4/key", NO_BUCKET),
    "of a bucket with two dots": ("s3://my..bucket/key", NO_BUCKET),
    "of a bucket xn--": ("s3://xn--bucket/key", NO_BUCKET),
    "of an access point": ("s3://point-abcdefg-s3alias/key", NO_BUCKET),
    "of an Object Lambda": ("s3://point-abcdefg--ol-s3/key", NO_BUCKET),
    "of a directory bucket": ("s3://bucket--euw1-az1--x-s3/key", NO_BUCKET),
    "with ..": ("s3://bucket/a/../../key", RESOLVED),
    "with ./": ("s3://bucket/./key", RESOLVED),
    "with .. at its end": ("s3://bucket/a/..", RESOLVED),
    "with %2e%2e": ("s3://bucket/a/%2e%2e/key", RESOLVED),
    "with %252e%252e": ("s3://bucket/a/%252E%252e/key", RESOLVED),
    "with ..%2f": ("s3://bucket/a/..%2fkey", RESOLVED),
    "with ..\\": ("s3://bucket/a\\..\\key", RESOLVED),
    "with a null": ("s3://bucket/a\x00b", UNPRINTABLE),
    "with a line break": ("s3://bucket/a\r\nb", UNPRINTABLE),
    "with a DEL": ("s3://bucket/a\x7fb", UNPRINTABLE),
    "with U+202E, which turns what follows around": ("s3://bucket/a\u202egz.rat", UNPRINTABLE),
    "with half of a surrogate pair": ("s3://bucket/a\ud800", UNPRINTABLE),
    "with a line separator": ("s3://bucket/a\u2028b", UNPRINTABLE),
    "of 1,025 bytes": (f"s3://bucket/{'k' * 1025}", ADDRESS),
    "of 600 characters that are 1,200 bytes": (f"s3://bucket/{'ü' * 600}", ADDRESS),
    "of 256 KiB": (f"s3://bucket/{'k' * 256 * 1024}", ADDRESS),
}


def references(uri: str) -> list[Reference]:
    return artifacts.references([{"Image": IMAGE, "ModelDataUrl": uri}])


def addresses() -> Iterator[Hostile]:
    for what, (uri, says) in ADDRESSES.items():
        place = "Containers[0].ModelDataUrl"
        where = f"{place} is {ascii(uri)[:40]}"
        yield Hostile(
            "address", f"one {what}", functools.partial(references, uri), says, PromotionRefusedError, where=where
        )
    for what in ("of S3", "with ..", "with a null"):
        environment = {"TOKENS": ADDRESSES[what][0]}
        act = functools.partial(artifacts.references, [{"Image": IMAGE, "Environment": environment}])
        says = "Containers[0].Environment.TOKENS is"
        yield Hostile("address", f"one {what} in an environment", act, says, PromotionRefusedError)


class Upstream(S3):
    """The S3 of the upstream account, which rejects all changes."""

    def __init__(self, *keys: str, owner: str = UPSTREAM, size: int = 1000, head: dict[str, str] | None = None) -> None:
        super().__init__()
        self.owners[BUCKET] = owner
        self.page = 1_000
        self.head = head or {}
        for key in keys:
            self.put(BUCKET, key, size)

    def head_object(self, request: Request) -> Response:
        status, headers, body = super().head_object(request)
        return status, headers | self.head, body

    async def respond(self, request: Request) -> Response | None:
        reads = {"HeadBucket", "HeadObject", "GetObject", "ListObjectsV2", "GetObjectTagging"}
        assert request.operation in reads, request.operation
        return await super().respond(request)


def pinned(s3: Upstream, key: str, is_prefix: bool = False) -> list[PinnedObject]:
    reference = Reference((0, "ModelDataUrl"), f"s3://{BUCKET}/{key}", is_prefix=is_prefix)

    async def scenario() -> list[PinnedObject]:
        async with served(s3):
            return await pinning.pin_on_loop(client(), reference, UPSTREAM)

    return asyncio.run(scenario())


def failing(code: str) -> Upstream:
    s3 = Upstream("model.tar.gz")
    s3.fault = lambda request, _: code if request.operation in {"HeadObject", "GetObject"} else ""
    return s3


def foreign_key() -> Upstream:
    """Return the S3 of an account with an object whose KMS key works in that account only."""
    s3 = Upstream("model.tar.gz", head={"x-amz-server-side-encryption-aws-kms-key-id": FOREIGN_KEY})
    s3.fault = lambda request, _: (
        "AccessDenied" if request.operation == "GetObject" or "x-amz-checksum-mode" in request.headers else ""
    )
    return s3


INCOMING = PinnedObject(
    bucket=BUCKET,
    key="model.tar.gz",
    name="model.tar.gz",
    size=1000,
    etag='"etag 1"',
    version_id=None,
    checksum_algorithm="CRC64NVME",
    checksum="of the plan",
    target="models/model.tar.gz",
    incoming="incoming/execution/0a",
    owner=UPSTREAM,
)


def incoming(planted: str) -> Summary:
    """Copy an object through incoming/, after the upstream account has put another one at the key `planted`."""
    s3 = S3()
    s3.owners = {BUCKET: UPSTREAM, STAGE_BUCKET: OWN}
    s3.put(BUCKET, "model.tar.gz", 1000)
    s3.put(STAGE_BUCKET, planted, 1000)

    async def scenario() -> Summary:
        async with served(s3):
            copier = IncomingCopier(client(), client, STAGE_BUCKET, OWN, threshold=1)
            return await copier.copy_on_loop([INCOMING], 60)

    try:
        return asyncio.run(scenario())
    finally:
        assert (STAGE_BUCKET, INCOMING.target) not in s3.objects


def objects() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "object", refusal=PromotionRefusedError)
    name = "model.tar.gz"
    for what, s3, says in (
        (
            "in a bucket of another account",
            lambda: Upstream(name, owner=STRANGER),
            "does not belong to account",
        ),
        ("that cannot be read", lambda: failing("AccessDenied"), '"Action": "s3:GetObject"'),
        ("that does not exist", lambda: Upstream(), "does not exist"),
        ("whose latest version is a delete marker", lambda: failing("NoSuchKey"), "does not exist"),
        (
            "encrypted with a key of its own account only (aws/s3)",
            foreign_key,
            "Deploy this stage with IncomingCopies=true",
        ),
        ("encrypted with a key that comes along (SSE-C)", lambda: failing("InvalidRequest"), "(SSE-C)"),
        (
            "archived in Glacier",
            lambda: Upstream(name, head={"x-amz-storage-class": "GLACIER"}),
            "is archived in GLACIER. Restore the object",
        ),
        (
            "that is being restored from an archive",
            lambda: Upstream(
                name, head={"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="true"'}
            ),
            "is archived in DEEP_ARCHIVE. Restore the object",
        ),
        ("that is an empty archive", lambda: Upstream(name, size=0), "is empty"),
    ):
        yield hostile(what, lambda s3=s3: pinned(s3(), name), says)  # type: ignore[misc]
    yield hostile(
        "that someone else put into incoming/",
        lambda: incoming(INCOMING.incoming),
        f"{INCOMING.incoming} already exists, and its content differs",
    )
    yield hostile(
        "with another checksum when it arrives in incoming/",
        lambda: incoming("incoming/execution/0b"),
        "is damaged",
        refusal=TransientError,
    )
    for what, keys, says in (
        ("with nothing in it", [], "is s3://artifacts/w/, which contains no objects"),
        ("with folders alone", ["w/", "w/deep/"], "is s3://artifacts/w/, which contains no objects"),
        (
            "with a key with ..",
            ["w/a", "w/../../etc/passwd"],
            "'w/../../etc/passwd' under s3://artifacts/w/ has '.' or '..'",
        ),
        ("with a key with ./", ["w/./a"], "'w/./a' under s3://artifacts/w/ has '.' or '..'"),
        ("with a key with %2e%2e", ["w/%2e%2e/a"], "'w/%2e%2e/a' under s3://artifacts/w/ has '.' or '..'"),
        ("with a key with a line break", ["w/a\nb"], r"'w/a\nb' under s3://artifacts/w/ contains unprintable"),
        ("with a key with U+202E", ["w/a\u202eb"], r"'w/a\u202eb' under s3://artifacts/w/ contains unprintable"),
        ("with a key with a DEL", ["w/a\x7fb"], r"'w/a\x7fb' under s3://artifacts/w/ contains unprintable"),
        ("with two keys that are one name", ["w/gro\u0308ße", "w/größe"], "differ only in their Unicode normalization"),
    ):
        act = functools.partial(_listed, keys)
        yield Hostile("prefix", what, act, says, PromotionRefusedError)
    yield Hostile("prefix", "of more than 100,000 objects", _too_many, "100,001 objects", PromotionRefusedError)
    yield Hostile("prefix", "of 1 PB in all", _too_large, "1,125,899,906,842,624 bytes", PromotionRefusedError)


def _listed(keys: list[str]) -> list[PinnedObject]:
    return pinned(Upstream(*keys), "w/", is_prefix=True)


def _too_many() -> None:
    pinning.assert_within_limits([_object("a")] * 100_001, pinning.MAXIMUM_BYTES)


def _too_large() -> None:
    pinning.assert_within_limits([_object("a", size=1024**4)] * 1024, pinning.MAXIMUM_BYTES)


def _object(name: str, size: int = 1) -> PinnedObject:
    return PinnedObject(BUCKET, f"w/{name}", name, size, '"e"', None, None, None)


# Unusual but valid keys.
ODD = [
    "a b",
    "a+b",
    "a&b=c",
    "100%",
    "100%25",
    "q?x#y",
    "größe",
    "日本/模型",
    "a\\b",
    "'\"<>",
    "{{resolve:x}}",
    "*",
    "~",
]


def odd_keys() -> Iterator[Hostile]:
    def found() -> list[str]:
        return [one.key for one in _listed([f"w/{name}" for name in ODD])]

    expected = sorted(f"w/{name}" for name in ODD)
    how = "requested and listed without changes"
    yield Hostile("prefix", f"of the keys {' , '.join(ODD)}", found, how, None, lambda keys: keys == expected)

    def parsed() -> list[str]:
        text, _ = manifest.manifest([_object(name) for name in ODD])
        assert text.isascii()
        return [PinnedObject.from_line(line).key for line in text.splitlines()]

    how = "unchanged in the manifest of the copy"
    in_order = [f"w/{name}" for name in ODD]
    yield Hostile("manifest", "the same keys", parsed, how, None, lambda keys: keys == in_order)


def places() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "place of a copy", refusal=PromotionRefusedError)
    prefix = f"models/reviews/{'d' * 64}"
    for what, key in (("its own copies", "models/"), ("those of its application", "models/reviews/")):
        reference = Reference((0, "ModelDataUrl"), f"s3://{STAGE_BUCKET}/{key}", is_prefix=True)
        act = functools.partial(artifacts.assert_apart, [reference], STAGE_BUCKET, prefix)
        yield hostile(f"a source in the stage's bucket that holds {what}", act, "Containers[0].ModelDataUrl is")

    def long_key() -> Any:
        reference = Reference((0, "ModelDataUrl"), f"s3://{BUCKET}/w/", is_prefix=True)
        return artifacts.targets(reference, [_object("n" * 1000)], prefix)

    yield hostile("a key that grows over 1,024 bytes", long_key, "S3 allows 1,024. Shorten the object's key")

    def long_address() -> None:
        model.assert_accepted([{"Image": IMAGE, "ModelDataUrl": f"s3://{'b' * 63}/{'k' * 1000}"}], "reviews-1")

    says = "Containers[0].ModelDataUrl has 1069 characters, above the maximum of 1024"
    yield hostile("an address that grows over 1,024 characters", long_address, says)

    def targets() -> list[str]:
        found = artifacts.references(
            [
                {"Image": IMAGE, "ModelDataUrl": "s3://one/x/model.tar.gz"},
                {
                    "Image": IMAGE,
                    "ModelDataUrl": "s3://two/x/model.tar.gz",
                    "Environment": {"A": "s3://one/model.tar.gz"},
                },
            ]
        )
        return [artifacts.targets(one, [_object("model.tar.gz")], prefix)[1][0].target for one in found]

    how = "each has its own target"
    yield Hostile("place of a copy", "three files of one name", targets, how, None, lambda found: len(set(found)) == 3)


def every() -> Iterator[Hostile]:
    yield from addresses()
    yield from objects()
    yield from odd_keys()
    yield from places()
