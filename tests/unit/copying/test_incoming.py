"""Copies through incoming/ on a fake of S3: what is copied again, what is resumed, and what is not trusted."""

import asyncio
import contextlib
import dataclasses
from unittest.mock import patch

import pytest

from promotion.copying import incoming
from promotion.copying.copier import MULTIPART_THRESHOLD, PART_SIZE
from promotion.copying.incoming import IncomingCopier, Reader
from promotion.copying.manifest import PinnedObject, Splice
from promotion.copying.summary import Summary
from promotion.errors import PromotionRefusedError, TransientError, UnfinishedError
from tests.support import idle_clock
from tests.support.copies import content, original, pinned, planned
from tests.support.s3_service import OWN, S3, Request, client, served

SMALL, LARGE = 1000, MULTIPART_THRESHOLD + 5 * PART_SIZE
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture
def s3() -> S3:
    return S3()


def through(s3: S3, size: int = SMALL, algorithm: str | None = "CRC64NVME", name: str = "model.tar.gz") -> PinnedObject:
    return dataclasses.replace(planned(s3, name, size, algorithm), incoming=f"incoming/one/{name}")


def copy(s3: S3, *objects: PinnedObject, seconds: float = 60) -> Summary:
    async def scenario() -> Summary:
        with contextlib.ExitStack() as changes:
            changes.enter_context(patch("promotion.copying.copier._LONGEST_PAUSE_SECONDS", 0))
            changes.enter_context(patch("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0))
            changes.enter_context(patch("promotion.copying.s3_copy_api._SLOWEST_BYTES_PER_SECOND", float("inf")))
            async with served(s3):
                return await IncomingCopier(client(), client, "stage", OWN).copy_on_loop(objects, seconds)

    return idle_clock.run(scenario())


def arrived(s3: S3) -> list[str]:
    return [key for bucket, key in s3.objects if bucket == "stage" and key.startswith("incoming/")]


def count(s3: S3, operation: str, key: str = "") -> int:
    return sum(request.operation == operation and request.key.startswith(key) for request in s3.requests)


def after_three_parts(request: Request, number: int) -> str:
    return "hang" if int(request.query.get("partNumber", 0)) > 3 else ""


def lose_first(s3: S3, operation: str) -> list[str]:
    """Lose the response to the first request of `operation` under incoming/, and return the keys of such requests."""
    lost: list[str] = []

    def fault(request: Request, number: int) -> str:
        if lost or request.operation != operation or not request.key.startswith("incoming/"):
            return ""
        lost.append(request.key)
        return "drop after"

    s3.fault = fault
    return lost


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", None])
def test_an_object_is_copied_twice_and_verified(s3: S3, size: int, algorithm: str | None) -> None:
    summary = copy(s3, through(s3, size, algorithm))

    assert content(s3) == original(s3)
    assert len(arrived(s3)) == 1
    assert summary == Summary(copied=1, bytes=size, verified_by={algorithm or "size": 1})
    assert not s3.uploads


def test_objects_are_copied_directly_or_through_incoming_and_counted_together(s3: S3) -> None:
    one, other = through(s3), planned(s3, "vocabulary.txt", 7)

    summary = copy(s3, one, other)

    assert (content(s3), content(s3, "vocabulary.txt")) == (original(s3), original(s3, "vocabulary.txt"))
    assert len(arrived(s3)) == 1
    assert summary == Summary(copied=2, bytes=1007, verified_by={"CRC64NVME": 2})


@BOTH
def test_an_object_that_is_already_present_is_not_copied_again(s3: S3, size: int) -> None:
    one = through(s3, size)
    copy(s3, one)
    before = len(s3.requests)

    summary = copy(s3, one)

    assert summary == Summary(already_present=1, verified_by={"CRC64NVME": 1})
    assert [request.operation for request in s3.requests[before:]] == ["ListObjectsV2", "HeadObject"]


def test_a_target_with_other_content_is_refused_before_anything_is_copied(s3: S3) -> None:
    one = through(s3)
    s3.put("stage", one.target, SMALL)

    with pytest.raises(PromotionRefusedError, match="already exists, and its content differs"):
        copy(s3, one)

    assert not arrived(s3)


def test_only_the_second_copy_has_the_attributes_of_the_plan(s3: S3) -> None:
    one = dataclasses.replace(through(s3), attributes={"x-amz-tagging": "team=blue"})

    copy(s3, one)

    (key,) = arrived(s3)
    assert s3.objects["stage", key].attributes == {}
    assert s3.objects["stage", one.target].attributes == {"x-amz-tagging": "team=blue"}


def test_an_interrupted_copy_of_a_large_object_is_resumed(s3: S3) -> None:
    one = through(s3, LARGE)

    s3.fault = after_three_parts
    with pytest.raises(UnfinishedError):
        copy(s3, one, seconds=5)
    s3.fault = lambda request, number: ""
    already = len(s3.parts_copied)
    copy(s3, one)

    assert content(s3) == original(s3)
    assert len(s3.parts_copied) == 2 * (LARGE // PART_SIZE)
    assert already == 3
    assert arrived(s3) == [one.incoming]


def test_a_large_object_that_has_arrived_is_only_copied_on(s3: S3) -> None:
    one = through(s3, LARGE)
    s3.fault = lambda request, number: "hang" if request.key.startswith("models/") and request.method == "POST" else ""
    with pytest.raises(UnfinishedError):
        copy(s3, one, seconds=5)
    s3.fault = lambda request, number: ""
    copied = len(s3.parts_copied)

    copy(s3, one)

    assert content(s3) == original(s3)
    assert len(s3.parts_copied) == copied + LARGE // PART_SIZE
    assert arrived(s3) == [one.incoming]


def test_without_a_checksum_nothing_of_an_earlier_call_is_used(s3: S3) -> None:
    one = through(s3, LARGE, None)

    s3.fault = after_three_parts
    with pytest.raises(UnfinishedError):
        copy(s3, one, seconds=5)
    s3.fault = lambda request, number: ""
    (abandoned,) = s3.uploads
    s3.parts_copied.clear()

    copy(s3, one)

    assert content(s3) == original(s3)
    assert len(s3.parts_copied) == 2 * (LARGE // PART_SIZE)
    # Its lifecycle rule aborts it.
    assert list(s3.uploads) == [abandoned]


def test_without_a_checksum_a_part_of_someone_else_is_copied_again(s3: S3) -> None:
    one = through(s3, LARGE, None)
    s3.put("stage", "forged", LARGE)
    forged = s3.objects["stage", "forged"].content

    def fault(request: Request, number: int) -> str:
        # Someone else replaces a part, and S3 then reports that it is not the confirmed one.
        if request.operation == "CompleteMultipartUpload" and request.key.startswith("incoming/"):
            (upload,) = [each for each in s3.uploads.values() if each.key == request.key]
            if upload.parts[1].etag != '"forged"' and not done:
                done.append(request.key)
                [(origin, _, _)] = forged
                upload.parts[1] = dataclasses.replace(
                    upload.parts[1], content=((origin, 0, PART_SIZE),), etag='"forged"'
                )
        return ""

    done: list[str] = []
    s3.fault = fault

    copy(s3, one)

    assert done
    assert content(s3) == original(s3)


def test_without_a_checksum_an_object_that_s3_did_not_confirm_is_copied_again(s3: S3) -> None:
    one = through(s3, SMALL, None)

    lost = lose_first(s3, "CopyObject")

    with pytest.raises(TransientError, match="S3 did not confirm the copy"):
        copy(s3, one)
    assert lost
    assert content(s3) is None
    copy(s3, one)

    assert content(s3) == original(s3)
    assert len(arrived(s3)) == 2


@BOTH
def test_with_a_checksum_a_lost_response_is_no_obstacle(s3: S3, size: int) -> None:
    lost = lose_first(s3, "CopyObject" if size == SMALL else "CompleteMultipartUpload")

    copy(s3, through(s3, size))

    assert lost
    assert content(s3) == original(s3)


@BOTH
def test_a_denied_copy_names_the_role_and_the_parameter(s3: S3, size: int) -> None:
    operations = ("CopyObject", "CreateMultipartUpload")
    s3.fault = lambda request, number: "AccessDenied" if request.operation in operations else ""

    with pytest.raises(PromotionRefusedError) as error:
        copy(s3, through(s3, size))

    assert "The reader role of the upstream account cannot copy an object to s3://stage/incoming/one/" in str(
        error.value
    )
    assert "CopiedBuckets" in str(error.value)


def test_a_denied_second_copy_is_a_missing_permission_of_the_stage(s3: S3) -> None:
    s3.fault = lambda request, number: "AccessDenied" if request.key.startswith("models/") else ""

    with pytest.raises(PromotionRefusedError, match="This stage has no permission to write s3://stage/models/"):
        copy(s3, through(s3))


def test_an_unexpected_error_is_raised_as_it_is(s3: S3) -> None:
    s3.fault = lambda request, number: "SomethingNew" if request.method != "GET" else ""

    with pytest.raises(Exception, match="SomethingNew"):
        copy(s3, through(s3))


def test_each_object_gets_a_key_that_nobody_can_guess() -> None:
    reader = Reader(lambda: None, "execution")

    keys = {reader.new_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(key.startswith("incoming/execution/") and len(key.rpartition("/")[2]) == 32 for key in keys)


def test_the_reader_role_is_assumed_once() -> None:
    sessions = iter("a session")
    reader = Reader(lambda: next(sessions), "execution")

    assert reader.s3 == reader.s3 == "a"


def test_1000_objects_through_incoming_cost_a_few_requests_each(s3: S3) -> None:
    s3.page, s3.checks_signatures = 1000, False
    objects = [through(s3, name=f"{number:04}.bin") for number in range(1000)]

    async def scenario() -> Summary:
        async with served(s3):
            return await IncomingCopier(client(), client, "stage", OWN).copy_on_loop(objects, 120)

    summary = asyncio.run(scenario())

    assert summary.copied == 1000
    assert count(s3, "CopyObject", "incoming/") == count(s3, "CopyObject", "models/") == 1000
    assert len(s3.requests) <= 2 * 1000 + 10


@BOTH
def test_an_object_that_disappears_after_its_arrival_is_refused(s3: S3, size: int) -> None:
    reads_incoming = ("CopyObject", "UploadPartCopy")
    s3.fault = lambda request, number: (
        "NoSuchKey" if request.operation in reads_incoming and request.key.startswith("models/") else ""
    )

    with pytest.raises(PromotionRefusedError, match="was overwritten or deleted after the promotion was planned"):
        copy(s3, through(s3, size))

    assert content(s3) is None


def test_objects_of_several_owners_are_each_read_from_their_owner(s3: S3) -> None:
    s3.owners |= {"shared": "333333333333"}
    direct = [planned(s3, "model.tar.gz"), _of_third(s3, "base.bin")]
    incoming_too = [
        through(s3, name="code.tar.gz"),
        dataclasses.replace(_of_third(s3, "vocabulary.txt"), incoming="incoming/one/v"),
    ]

    summary = copy(s3, *direct, *incoming_too)

    assert summary.copied == 4
    assert {key for bucket, key in s3.objects if bucket == "stage" and key.startswith("models/")} == {
        f"models/{name}" for name in ("model.tar.gz", "base.bin", "code.tar.gz", "vocabulary.txt")
    }


def _of_third(s3: S3, name: str) -> PinnedObject:
    stored = pinned(s3.put("shared", f"reviews/{name}", SMALL, "CRC64NVME"), name)
    return dataclasses.replace(stored, bucket="shared", owner="333333333333")


def test_objects_with_the_same_code_are_read_from_one_copy_of_it() -> None:
    code = PinnedObject("up", "code.tgz", "code.tgz", 9, '"c"', None, "CRC64NVME", "c", incoming="incoming/e/code")
    archive = dataclasses.replace(code, key="model.tgz", incoming="incoming/e/model", splice=Splice(5, "sha", [code]))
    file = dataclasses.replace(code, incoming="", splice=Splice(0, "sha", [code], file="a.py"))

    sources = {source.incoming: source for each in (archive, file) for source in incoming._sources(each)}
    places = {
        key: {"bucket": "stage", "owner": OWN, "key": key, "etag": '"new"', "version_id": "1", "incoming": ""}
        for key in sources
    }
    one, other = (incoming._placed(each, places) for each in (archive, file))

    # The checksum of a splice is that of the copy, and says nothing of what is copied to incoming/.
    assert {key: (source.size, source.checksum) for key, source in sources.items()} == {
        "incoming/e/model": (5, None),
        "incoming/e/code": (9, "c"),
    }
    assert (one.key, other.key) == ("incoming/e/model", "incoming/e/code")
    assert [each.splice.objects[0].key for each in (one, other) if each.splice] == ["incoming/e/code"] * 2
    assert not incoming._keys(one) + incoming._keys(other)
