"""Results and resumption of copies on an S3 without faults, with other clients that change the objects."""

import asyncio
import dataclasses
from collections import Counter

import pytest

from promotion.copying.copier import MULTIPART_THRESHOLD, PART_SIZE
from promotion.copying.manifest import PinnedObject
from promotion.copying.summary import Summary
from promotion.errors import TransientError, UnfinishedError
from tests.support import idle_clock
from tests.support.copies import content, copy, copy_on_loop, original, pinned, planned, refusal
from tests.support.s3_service import GIB, MIB, S3, Stored, Upload


@pytest.fixture
def s3() -> S3:
    return S3()


SMALL, LARGE = 1000, 5 * PART_SIZE + 1
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])


@BOTH
def test_an_object_is_copied_and_verified_by_its_checksum(s3: S3, size: int) -> None:
    summary = copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)
    assert summary == Summary(copied=1, already_present=0, bytes=size, verified_by={"CRC64NVME": 1})
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C"])
def test_a_copy_has_the_checksum_algorithm_of_its_source(s3: S3, size: int, algorithm: str) -> None:
    one = planned(s3, size=size, algorithm=algorithm)

    copy(s3, one)

    made = s3.objects["stage", one.target]
    assert (made.algorithm, made.checksum) == (algorithm, one.checksum)


@BOTH
def test_a_copy_of_a_source_without_a_checksum_is_verified_by_its_size(s3: S3, size: int) -> None:
    summary = copy(s3, planned(s3, size=size, algorithm=None))

    assert content(s3) == original(s3)
    assert summary.verified_by == {"size": 1}
    assert s3.objects["stage", "models/model.tar.gz"].algorithm == "CRC64NVME"


@pytest.mark.parametrize("size", [MULTIPART_THRESHOLD - 1, MULTIPART_THRESHOLD, MULTIPART_THRESHOLD + 1])
def test_an_object_around_the_multipart_threshold_is_copied_completely(s3: S3, size: int) -> None:
    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)


@pytest.mark.parametrize("size", [5 * GIB, 5 * GIB + 1, 6 * GIB])
def test_an_object_above_the_limit_of_a_single_copy_is_copied(s3: S3, size: int) -> None:
    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)


@BOTH
def test_a_copy_keeps_the_attributes_of_its_source(s3: S3, size: int) -> None:
    in_s3 = {
        "cache-control": "no-cache",
        "content-disposition": "attachment",
        "content-encoding": "gzip",
        "content-language": "en",
        "content-type": "application/x-tar",
        "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "x-amz-meta-trained-by": "me",
        "x-amz-meta-words": "two  words, and=more",
    }
    stored = s3.put("upstream", "reviews/model.tar.gz", size, **in_s3)
    of_the_stage = {"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-tagging": "team=reviews&cost%20centre=1"}

    copy(s3, dataclasses.replace(pinned(stored, "model.tar.gz"), attributes=in_s3 | of_the_stage))

    assert s3.objects["stage", "models/model.tar.gz"].attributes == in_s3 | of_the_stage


@BOTH
def test_tags_without_permission_to_write_them_are_omitted_and_counted(s3: S3, size: int) -> None:
    tagged = [dataclasses.replace(planned(s3, name, size), attributes={"x-amz-tagging": "a=b"}) for name in ("a", "b")]
    plain = planned(s3, "c", size)
    s3.fault = lambda request, _: "AccessDenied" if "x-amz-tagging" in request.headers else ""

    summary = copy(s3, *tagged, plain)

    assert all(content(s3, name) == original(s3, name) for name in "abc")
    assert (summary.copied, summary.without_tags) == (3, 2)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "100%", "q?x=1&y", "#hash", "ü/日本", "a//b", "~tilde-_.", "e=mc2,;:@$!*'()<>"]
)
@BOTH
def test_a_key_with_special_characters_is_preserved(s3: S3, name: str, size: int) -> None:
    copy(s3, planned(s3, name, size))

    assert content(s3, name) == original(s3, name)


def test_many_objects_are_copied_and_counted_by_verification(s3: S3) -> None:
    objects = [planned(s3, f"{number}.bin", SMALL, algorithm) for number, algorithm in enumerate(["CRC32", None] * 100)]
    large = planned(s3, "large.bin", LARGE)

    summary = copy(s3, *objects, large)

    assert all(content(s3, one.name) == original(s3, one.name) for one in [*objects, large])
    assert summary == Summary(
        copied=201,
        already_present=0,
        bytes=200 * SMALL + LARGE,
        verified_by={"CRC32": 100, "size": 100, "CRC64NVME": 1},
    )


def test_an_empty_batch_needs_no_copy(s3: S3) -> None:
    assert copy(s3) == Summary()


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", None])
def test_an_existing_copy_is_not_copied_again(s3: S3, size: int, algorithm: str | None) -> None:
    one = planned(s3, size=size, algorithm=algorithm)
    copy(s3, one)
    made = s3.objects["stage", one.target]

    summary = copy(s3, one)

    assert s3.objects["stage", one.target] is made
    assert (summary.copied, summary.already_present, summary.bytes) == (0, 1, 0)
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("other_size", [0, 1])
def test_a_target_with_other_content_is_never_overwritten(s3: S3, size: int, other_size: int) -> None:
    one = planned(s3, size=size)
    theirs = s3.put("stage", one.target, size + other_size)

    message = refusal(s3, one)

    assert (
        "s3://stage/models/model.tar.gz already exists, and its content differs from s3://upstream/reviews/" in message
    )
    assert "Find out who wrote the object, and delete it" in message
    assert s3.objects["stage", one.target] is theirs


@BOTH
def test_a_source_overwritten_after_planning_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    s3.put("upstream", one.key, size)

    message = refusal(s3, one)

    assert "s3://upstream/reviews/model.tar.gz was overwritten or deleted after the promotion was planned" in message
    assert "Start the promotion again" in message
    assert content(s3) is None


@BOTH
def test_a_source_deleted_after_planning_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    del s3.objects["upstream", one.key]

    assert refusal(s3, one).startswith("s3://upstream/reviews/model.tar.gz does not exist.")
    assert content(s3) is None


@BOTH
def test_the_pinned_version_is_copied_from_a_versioned_bucket(s3: S3, size: int) -> None:
    one = dataclasses.replace(planned(s3, size=size), version_id="version 1")
    before = original(s3)
    s3.put("upstream", one.key, size)

    copy(s3, one)

    assert content(s3) == before


def test_a_source_overwritten_between_its_parts_is_refused_without_leaving_an_upload(s3: S3) -> None:
    one = planned(s3, size=40 * PART_SIZE)

    def overwrite_after(number: int) -> None:
        if number == 10:
            s3.put("upstream", one.key, one.size)

    s3.on_part = overwrite_after

    assert "was overwritten or deleted" in refusal(s3, one)
    assert content(s3) is None


def test_a_first_copy_sends_only_the_required_requests(s3: S3) -> None:
    copy(s3, planned(s3, "large", LARGE), planned(s3, "small", SMALL))

    assert Counter(s3.operations) == {
        "CopyObject": 1,
        "ListObjectsV2": 1,
        "ListMultipartUploads": 1,
        "CreateMultipartUpload": 1,
        "UploadPartCopy": 6,
        "CompleteMultipartUpload": 1,
    }


def test_parts_of_all_objects_are_copied_concurrently_up_to_the_limit(s3: S3) -> None:
    s3.delay = 0.01
    objects = [planned(s3, f"{number}", 20 * MIB) for number in range(10)]

    copy(s3, *objects, planned(s3, "small", 1), threshold=10 * MIB, part_size=5 * MIB, in_flight=16)

    assert s3.most_at_once == 16


def test_a_copy_that_runs_out_of_time_is_resumed(s3: S3) -> None:
    one, small = planned(s3, size=20 * PART_SIZE), planned(s3, "small.bin")
    s3.fault = lambda request, _: "hang" if int(request.query.get("partNumber", 0)) > 5 else ""

    with pytest.raises(UnfinishedError) as error:
        copy(s3, small, one, seconds=0.3)
    interrupted, kept = content(s3), list(s3.uploads)
    s3.fault = lambda *_: ""
    summary = copy(s3, small, one)

    assert "1 of 2 objects are copied. The next invocation copies the rest." in str(error.value)
    assert interrupted is None
    assert len(kept) == 1
    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == list(range(1, 21))
    assert (summary.copied, summary.already_present) == (1, 1)
    assert not s3.uploads


@BOTH
def test_a_call_without_remaining_time_is_unfinished(s3: S3, size: int) -> None:
    with pytest.raises(UnfinishedError, match="0 of 1 objects are copied"):
        copy(s3, planned(s3, size=size), seconds=-1)


def left_open(s3: S3, one: PinnedObject, parts: dict[int, tuple[int, int]]) -> str:
    """Create an unfinished upload, as an earlier attempt leaves it, with parts of these ranges."""
    [(origin, _, _)] = s3.objects["upstream", one.key].content
    upload = Upload("stage", one.target, len(s3.uploads), one.checksum_algorithm or "", {})
    upload.parts = {
        number: Stored(((origin, start, end),), f'"left {number}"', None) for number, (start, end) in parts.items()
    }
    s3.uploads[f"left {len(s3.uploads)}"] = upload
    return f"left {len(s3.uploads) - 1}"


def test_an_unfinished_upload_is_completed_with_its_missing_parts(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    left_open(s3, one, {1: (0, PART_SIZE), 4: (3 * PART_SIZE, 4 * PART_SIZE), 6: (LARGE - 1, LARGE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [2, 3, 5]
    assert not s3.uploads


def test_an_unfinished_upload_with_all_parts_is_completed(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    left_open(s3, one, {n: ((n - 1) * PART_SIZE, min(n * PART_SIZE, LARGE)) for n in range(1, 7)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert s3.parts_copied == []


def test_a_part_of_the_wrong_length_is_copied_again(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    left_open(s3, one, {1: (0, PART_SIZE // 2), 2: (PART_SIZE, 2 * PART_SIZE), 9: (0, PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [1, 3, 4, 5, 6]


def test_the_first_of_several_uploads_is_completed_and_the_others_are_aborted(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    left_open(s3, one, {1: (0, PART_SIZE)})
    left_open(s3, one, {2: (PART_SIZE, 2 * PART_SIZE)})
    left_open(s3, one, {})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [2, 3, 4, 5, 6]
    assert not s3.uploads


def test_the_upload_of_an_object_with_a_longer_name_is_not_changed(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    other = left_open(s3, dataclasses.replace(one, target=one.target + ".index"), {1: (0, PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert list(s3.uploads) == [other]


def test_an_upload_to_a_completed_target_is_aborted(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    s3.objects["stage", one.target] = s3.objects["upstream", one.key]
    left_open(s3, one, {1: (0, PART_SIZE)})

    summary = copy(s3, one)

    assert (summary.copied, summary.already_present) == (0, 1)
    assert not s3.uploads


def test_a_target_with_the_same_content_from_another_client_is_accepted(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    s3.on_part = lambda _: s3.objects.setdefault(("stage", one.target), s3.objects["upstream", one.key])

    summary = copy(s3, one)

    assert (summary.copied, summary.already_present) == (0, 1)
    assert not s3.uploads


def test_a_target_with_other_content_from_another_client_is_refused(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    theirs = s3.put("elsewhere", "x", LARGE)
    s3.on_part = lambda _: s3.objects.setdefault(("stage", one.target), theirs)

    assert "already exists, and its content differs" in refusal(s3, one)
    assert s3.objects["stage", one.target] is theirs


@pytest.mark.parametrize("after", [1, 3, 6])
def test_an_upload_aborted_by_another_promotion_is_restarted(s3: S3, after: int) -> None:
    one = planned(s3, size=LARGE)
    s3.on_part = lambda number: s3.uploads.clear() if number == after else None

    summary = copy(s3, one)

    assert content(s3) == original(s3)
    assert summary.copied == 1
    assert not s3.uploads


def test_an_upload_that_is_aborted_repeatedly_is_a_transient_error(s3: S3) -> None:
    s3.on_part = lambda _: s3.uploads.clear()

    with pytest.raises(
        TransientError, match=r"The upload of s3://stage/models/model.tar.gz was aborted by another client"
    ):
        copy(s3, planned(s3, size=LARGE))


def test_an_upload_aborted_while_its_parts_are_listed_is_restarted(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    left_open(s3, one, {1: (0, PART_SIZE)})
    s3.fault = lambda request, _: "NoSuchUpload" if request.operation == "ListParts" else ""

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [1, 2, 3, 4, 5, 6]


def test_two_concurrent_promotions_of_the_same_objects_succeed(s3: S3) -> None:
    objects = [planned(s3, "large", LARGE), planned(s3, "small", SMALL)]

    async def both() -> list[Summary]:
        return list(await asyncio.gather(copy_on_loop(s3, *objects), copy_on_loop(s3, *objects)))

    summaries = idle_clock.run(both())

    assert [summary.copied + summary.already_present for summary in summaries] == [2, 2]
    assert all(content(s3, one.name) == original(s3, one.name) for one in objects)


def test_a_refused_object_does_not_undo_the_others(s3: S3) -> None:
    good = [planned(s3, f"{number}.bin") for number in range(20)]
    bad = planned(s3, "bad.bin")
    s3.put("upstream", bad.key, SMALL)

    assert "bad.bin" in refusal(s3, *good, bad)
    s3.objects["upstream", bad.key] = s3.versions["version 21"]
    summary = copy(s3, *good, bad)

    assert all(content(s3, one.name) == original(s3, one.name) for one in [*good, bad])
    assert summary.copied + summary.already_present == 21


def test_a_refusal_aborts_the_uploads_of_the_other_objects(s3: S3) -> None:
    others = [planned(s3, f"{number}", LARGE) for number in range(5)]
    bad = planned(s3, "bad", LARGE)
    s3.put("upstream", bad.key, LARGE)
    left_open(s3, others[0], {1: (0, PART_SIZE)})

    assert "s3://upstream/reviews/bad was overwritten or deleted" in refusal(s3, *others, bad)
