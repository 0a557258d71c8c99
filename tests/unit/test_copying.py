import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.artifacts import PinnedObject
from promotion.copying import MULTIPART_THRESHOLD, PART_SIZE, Copier, Summary
from promotion.errors import PromotionRefusedError, TryAgainError
from tests.unit.faults import client_error

MIB, GIB = 1024**2, 1024**3
UPSTREAM, OWN = "111111111111", "222222222222"

Content = tuple[tuple[str, int, int], ...]
"""What an object is made of: ranges of bytes of versions that were once put, so that any size costs nothing."""


@dataclasses.dataclass
class Stored:
    content: Content
    etag: str
    algorithm: str | None
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(end - start for _, start, end in self.content)

    @property
    def checksum(self) -> str:
        return f"{self.algorithm} of {self.content}"


@dataclasses.dataclass
class Upload:
    bucket: str
    key: str
    initiated: int
    algorithm: str | None
    attributes: dict[str, Any]
    parts: dict[int, Stored] = dataclasses.field(default_factory=dict)


class S3:
    """S3 as far as copies need it, with its documented conditions and limits."""

    def __init__(self) -> None:
        self.owners = {"upstream": UPSTREAM, "stage": OWN}
        self.objects: dict[tuple[str, str], Stored] = {}
        self.versions: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.parts_copied: list[int] = []
        self.on_part: Callable[[int], object] = lambda copied: None
        self.numbers = itertools.count(1)
        self.lock = threading.RLock()

    def put(self, bucket: str, key: str, size: int, algorithm: str | None = "CRC64NVME") -> Stored:
        number = next(self.numbers)
        stored = Stored(((f"put {number}", 0, size),), f'"etag {number}"', algorithm)
        self.objects[bucket, key] = self.versions[f"version {number}"] = stored
        return stored

    def copy_object(self, **asked: Any) -> dict[str, Any]:
        with self.lock:
            source = self.source("CopyObject", asked)
            if source.size > 5 * GIB:
                raise client_error(
                    "InvalidRequest",
                    "The specified copy source is larger than the maximum allowable size",
                    "CopyObject",
                )
            self.write("CopyObject", asked, dataclasses.replace(source, algorithm=asked["ChecksumAlgorithm"]))
            made = self.objects[asked["Bucket"], asked["Key"]]
            return {"CopyObjectResult": {"ETag": made.etag, f"Checksum{made.algorithm}": made.checksum}}

    def head_object(self, **asked: Any) -> dict[str, Any]:
        with self.lock:
            self.check_owner("HeadObject", asked["Bucket"], asked["ExpectedBucketOwner"])
            found = self.objects.get((asked["Bucket"], asked["Key"]))
            if not found:
                raise client_error("404", "Not Found", "HeadObject")
            checksum = {f"Checksum{found.algorithm}": found.checksum} if asked.get("ChecksumMode") else {}
            return {"ContentLength": found.size, "ETag": found.etag, **checksum}

    def delete_object(self, **asked: Any) -> None:
        with self.lock:
            del self.objects[asked["Bucket"], asked["Key"]]

    def create_multipart_upload(self, **asked: Any) -> dict[str, Any]:
        with self.lock:
            self.check_owner("CreateMultipartUpload", asked["Bucket"], asked["ExpectedBucketOwner"])
            number = next(self.numbers)
            attributes = {name: value for name, value in asked.items() if name in ("ContentType", "Metadata")}
            self.uploads[f"upload {number}"] = Upload(
                asked["Bucket"], asked["Key"], number, asked["ChecksumAlgorithm"], attributes
            )
            return {"UploadId": f"upload {number}"}

    def list_multipart_uploads(self, **asked: Any) -> dict[str, Any]:
        with self.lock:
            found = [
                {"Key": upload.key, "UploadId": identifier, "Initiated": upload.initiated}
                for identifier, upload in self.uploads.items()
                if upload.key.startswith(asked["Prefix"])
            ]
            return {"Uploads": found} if found else {}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_parts"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        upload = self.upload("ListParts", asked)
        found = [
            {"PartNumber": number, "ETag": part.etag, "Size": part.size}
            for number, part in sorted(upload.parts.items())
        ]
        yield from ({"Parts": list(page)} for page in itertools.batched(found, 2, strict=False))
        yield {}

    def upload_part_copy(self, **asked: Any) -> dict[str, Any]:
        with self.lock:
            upload = self.upload("UploadPartCopy", asked)
            source = self.source("UploadPartCopy", asked)
            start, last = (int(number) for number in asked["CopySourceRange"].removeprefix("bytes=").split("-"))
            assert 0 <= start <= last < source.size
            assert 1 <= asked["PartNumber"] <= 10_000
            [(origin, _, _)] = source.content
            part = Stored(((origin, start, last + 1),), f'"part {next(self.numbers)}"', None)
            upload.parts[asked["PartNumber"]] = part
            self.parts_copied.append(asked["PartNumber"])
            copied = len(self.parts_copied)
        self.on_part(copied)
        return {"CopyPartResult": {"ETag": part.etag}}

    def complete_multipart_upload(self, **asked: Any) -> None:
        with self.lock:
            upload = self.upload("CompleteMultipartUpload", asked)
            parts = [upload.parts[part["PartNumber"]] for part in asked["MultipartUpload"]["Parts"]]
            assert [part.etag for part in parts] == [part["ETag"] for part in asked["MultipartUpload"]["Parts"]]
            assert all(5 * MIB <= part.size <= 5 * GIB for part in parts[:-1])
            made = Stored(joined(parts), '"whole"', upload.algorithm, upload.attributes)
            proof = asked.get(f"Checksum{upload.algorithm}", made.checksum)
            if proof != made.checksum or asked["MpuObjectSize"] != made.size:
                raise client_error("BadDigest", "The checksum did not match.", "CompleteMultipartUpload")
            self.write("CompleteMultipartUpload", asked, made)
            del self.uploads[asked["UploadId"]]

    def abort_multipart_upload(self, **asked: Any) -> None:
        with self.lock:
            self.upload("AbortMultipartUpload", asked)
            del self.uploads[asked["UploadId"]]

    def upload(self, operation: str, asked: dict[str, Any]) -> Upload:
        if asked["UploadId"] not in self.uploads:
            raise client_error("NoSuchUpload", "The specified upload does not exist.", operation)
        return self.uploads[asked["UploadId"]]

    def source(self, operation: str, asked: dict[str, Any]) -> Stored:
        place = asked["CopySource"]
        self.check_owner(operation, place["Bucket"], asked["ExpectedSourceBucketOwner"])
        version = place.get("VersionId")
        found = self.versions.get(version) if version else self.objects.get((place["Bucket"], place["Key"]))
        if not found:
            raise client_error("NoSuchKey", "The specified key does not exist.", operation)
        if found.etag != asked["CopySourceIfMatch"]:
            raise client_error("PreconditionFailed", "At least one of the pre-conditions did not hold", operation)
        return found

    def write(self, operation: str, asked: dict[str, Any], made: Stored) -> None:
        self.check_owner(operation, asked["Bucket"], asked["ExpectedBucketOwner"])
        assert asked["IfNoneMatch"] == "*"
        if (asked["Bucket"], asked["Key"]) in self.objects:
            raise client_error("PreconditionFailed", "At least one of the pre-conditions did not hold", operation)
        self.objects[asked["Bucket"], asked["Key"]] = made

    def check_owner(self, operation: str, bucket: str, expected: str) -> None:
        if self.owners[bucket] != expected:
            raise client_error("AccessDenied", "Access Denied", operation)


def joined(parts: list[Stored]) -> Content:
    """The content of all parts, as that of the one version that it may be."""
    ranges = [piece for part in parts for piece in part.content]
    whole = [ranges[0]]
    for origin, start, end in ranges[1:]:
        last_origin, last_start, last_end = whole[-1]
        if (origin, start) == (last_origin, last_end):
            whole[-1] = (origin, last_start, end)
        else:
            whole.append((origin, start, end))
    return tuple(whole)


@pytest.fixture
def s3() -> S3:
    return S3()


def planned(s3: S3, name: str = "model.tar.gz", size: int = 1000, algorithm: str | None = "CRC64NVME") -> PinnedObject:
    """A new object upstream, pinned as it is."""
    return pinned(s3.put("upstream", f"reviews/{name}", size, algorithm), name)


def pinned(stored: Stored, name: str) -> PinnedObject:
    return PinnedObject(
        bucket="upstream",
        key=f"reviews/{name}",
        name=name,
        size=stored.size,
        etag=stored.etag,
        version_id=None,
        checksum_algorithm=stored.algorithm,
        checksum=stored.checksum if stored.algorithm else None,
        target=f"models/{name}",
    )


def copy(s3: S3, *objects: PinnedObject, seconds: float = 60) -> Summary:
    return Copier(s3, "stage", OWN, UPSTREAM).copy(objects, seconds)


def refusal(s3: S3, *objects: PinnedObject) -> str:
    with pytest.raises(PromotionRefusedError) as error:
        copy(s3, *objects)
    return str(error.value)


def content(s3: S3, name: str = "model.tar.gz") -> Content | None:
    """What lies in this stage's bucket under `name`."""
    found = s3.objects.get(("stage", f"models/{name}"))
    return found.content if found else None


def original(s3: S3, name: str = "model.tar.gz") -> Content:
    return s3.objects["upstream", f"reviews/{name}"].content


SMALL, LARGE = 1000, 5 * PART_SIZE + 1
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])


@BOTH
def test_an_object_is_copied_and_its_checksum_proves_it(s3: S3, size: int) -> None:
    summary = copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)
    assert summary == Summary(copied=1, already_there=0, bytes=size, verified_by={"CRC64NVME": 1})
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C"])
def test_a_copy_has_the_kind_of_checksum_of_its_source(s3: S3, size: int, algorithm: str) -> None:
    one = planned(s3, size=size, algorithm=algorithm)

    copy(s3, one)

    made = s3.objects["stage", one.target]
    assert (made.algorithm, made.checksum) == (algorithm, one.checksum)


@BOTH
def test_of_a_source_without_a_checksum_the_size_proves_the_copy(s3: S3, size: int) -> None:
    summary = copy(s3, planned(s3, size=size, algorithm=None))

    assert content(s3) == original(s3)
    assert summary.verified_by == {"size": 1}
    assert s3.objects["stage", "models/model.tar.gz"].algorithm == "CRC64NVME"


@pytest.mark.parametrize("size", [MULTIPART_THRESHOLD - 1, MULTIPART_THRESHOLD, MULTIPART_THRESHOLD + 1])
def test_an_object_of_the_size_where_parts_begin_is_copied_whole(s3: S3, size: int) -> None:
    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)


@pytest.mark.parametrize("size", [5 * GIB, 5 * GIB + 1, 6 * GIB])
def test_an_object_above_what_a_single_copy_takes_is_copied(s3: S3, size: int) -> None:
    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)


def test_an_object_of_more_parts_than_s3_allows_is_copied_in_larger_ones(s3: S3) -> None:
    size = 10_000 * PART_SIZE + 1

    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)
    assert max(s3.parts_copied) <= 10_000


def test_an_object_that_is_copied_in_parts_keeps_its_attributes(s3: S3) -> None:
    attributes = {"ContentType": "application/x-tar", "Metadata": {"trained-by": "me"}}

    copy(s3, dataclasses.replace(planned(s3, size=LARGE), attributes=attributes))

    assert s3.objects["stage", "models/model.tar.gz"].attributes == attributes


def test_many_objects_are_copied_and_counted_by_what_proves_them(s3: S3) -> None:
    objects = [planned(s3, f"{number}.bin", SMALL, algorithm) for number, algorithm in enumerate(["CRC32", None] * 100)]
    large = planned(s3, "large.bin", LARGE)

    summary = copy(s3, *objects, large)

    assert all(content(s3, one.name) == original(s3, one.name) for one in [*objects, large])
    assert summary == Summary(
        copied=201,
        already_there=0,
        bytes=200 * SMALL + LARGE,
        verified_by={"CRC32": 100, "size": 100, "CRC64NVME": 1},
    )


def test_an_empty_batch_is_copied_at_once(s3: S3) -> None:
    assert copy(s3) == Summary()


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", None])
def test_what_is_there_already_is_not_copied_again(s3: S3, size: int, algorithm: str | None) -> None:
    one = planned(s3, size=size, algorithm=algorithm)
    copy(s3, one)
    made = s3.objects["stage", one.target]

    summary = copy(s3, one)

    assert s3.objects["stage", one.target] is made
    assert (summary.copied, summary.already_there, summary.bytes) == (0, 1, 0)
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("other_size", [0, 1])
def test_a_target_that_holds_something_else_is_never_overwritten(s3: S3, size: int, other_size: int) -> None:
    one = planned(s3, size=size)
    theirs = s3.put("stage", one.target, size + other_size)

    message = refusal(s3, one)

    assert "s3://stage/models/model.tar.gz is there already with other content than s3://upstream/reviews/" in message
    assert "find out who wrote it, and delete it" in message
    assert s3.objects["stage", one.target] is theirs


@BOTH
def test_a_source_that_was_overwritten_since_the_plan_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    s3.put("upstream", one.key, size)

    message = refusal(s3, one)

    assert (
        "s3://upstream/reviews/model.tar.gz has been overwritten or deleted since the promotion was planned" in message
    )
    assert "Promote again to take what is there now" in message
    assert content(s3) is None
    assert not s3.uploads


@BOTH
def test_a_source_that_was_deleted_since_the_plan_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    del s3.objects["upstream", one.key]

    assert refusal(s3, one) == "s3://upstream/reviews/model.tar.gz does not exist (any more)."
    assert content(s3) is None
    assert not s3.uploads


@BOTH
def test_of_a_bucket_with_versions_the_pinned_one_is_copied(s3: S3, size: int) -> None:
    one = dataclasses.replace(planned(s3, size=size), version_id="version 1")
    before = original(s3)
    s3.put("upstream", one.key, size)

    copy(s3, one)

    assert content(s3) == before


def test_a_source_that_is_overwritten_between_its_parts_is_refused_and_leaves_nothing_behind(s3: S3) -> None:
    one = planned(s3, size=40 * PART_SIZE)

    def overwrite_after(number: int) -> None:
        if number == 10:
            s3.put("upstream", one.key, one.size)

    s3.on_part = overwrite_after

    assert "has been overwritten or deleted" in refusal(s3, one)
    assert content(s3) is None
    assert not s3.uploads


def test_when_time_runs_out_the_next_try_takes_up_where_this_one_stopped(s3: S3) -> None:
    one, small = planned(s3, size=20 * PART_SIZE), planned(s3, "small.bin")
    released = threading.Event()

    def hang(number: int) -> None:
        if number >= 5:
            released.wait(5)

    s3.on_part = hang
    threading.Timer(0.3, released.set).start()
    with pytest.raises(TryAgainError) as error:
        copy(s3, small, dataclasses.replace(one), seconds=0.1)
    interrupted = content(s3)
    summary = copy(s3, small, one)

    assert "1 of 2 objects are copied; the next try takes up where this one stopped" in str(error.value)
    assert interrupted is None
    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == list(range(1, 21))
    assert (summary.copied, summary.already_there) == (1, 1)


class Slow(S3):
    def copy_object(self, **asked: Any) -> dict[str, Any]:
        time.sleep(0.05)
        return super().copy_object(**asked)


def test_a_call_without_any_time_left_is_tried_again() -> None:
    s3 = Slow()

    with pytest.raises(TryAgainError, match="0 of 1 objects are copied"):
        copy(s3, planned(s3), seconds=-1)


def open_upload(s3: S3, one: PinnedObject, parts: dict[int, tuple[int, int]]) -> str:
    """What an earlier try has left: an upload, with parts of these ranges."""
    place = {"Bucket": "stage", "Key": one.target}
    owned = {**place, "ExpectedBucketOwner": OWN}
    upload = s3.create_multipart_upload(**owned, ChecksumAlgorithm=one.checksum_algorithm)["UploadId"]
    for number, (start, end) in parts.items():
        s3.upload_part_copy(
            **owned,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": one.bucket, "Key": one.key},
            CopySourceIfMatch=one.etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
            ExpectedSourceBucketOwner=UPSTREAM,
        )
    s3.parts_copied.clear()
    return str(upload)


def test_an_upload_that_was_left_open_is_completed_with_the_parts_it_lacks(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    open_upload(s3, one, {1: (0, PART_SIZE), 4: (3 * PART_SIZE, 4 * PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [2, 3, 5, 6]
    assert not s3.uploads


def test_an_upload_that_was_left_open_with_all_its_parts_is_completed(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    open_upload(s3, one, {n: ((n - 1) * PART_SIZE, min(n * PART_SIZE, LARGE)) for n in range(1, 7)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert s3.parts_copied == []


def test_a_part_of_another_length_is_copied_again(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    open_upload(s3, one, {1: (0, PART_SIZE // 2), 2: (PART_SIZE, 2 * PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [1, 3, 4, 5, 6]


def test_of_several_uploads_the_first_is_completed_and_the_others_are_ended(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    open_upload(s3, one, {1: (0, PART_SIZE)})
    open_upload(s3, one, {2: (PART_SIZE, 2 * PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == [2, 3, 4, 5, 6]
    assert not s3.uploads


def test_the_upload_of_another_object_with_a_longer_name_is_left_alone(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    other = open_upload(s3, dataclasses.replace(one, target=one.target + ".index"), {1: (0, PART_SIZE)})

    copy(s3, one)

    assert content(s3) == original(s3)
    assert list(s3.uploads) == [other]


class LosesAnswers(S3):
    def complete_multipart_upload(self, **asked: Any) -> None:
        super().complete_multipart_upload(**asked)
        # boto3 repeats what it has no answer to.
        super().complete_multipart_upload(**asked)


def test_a_completion_whose_answer_was_lost_is_known_as_our_own() -> None:
    s3 = LosesAnswers()

    summary = copy(s3, planned(s3, size=LARGE))

    assert content(s3) == original(s3)
    assert summary.copied == 1


def test_a_target_that_someone_else_completes_first_is_as_good_if_it_is_the_same(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    s3.on_part = lambda _: s3.objects.setdefault(("stage", one.target), s3.objects["upstream", one.key])

    summary = copy(s3, one)

    assert (summary.copied, summary.already_there) == (0, 1)
    assert not s3.uploads


def test_a_target_that_someone_else_completes_first_with_something_else_is_refused(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    theirs = s3.put("elsewhere", "x", LARGE)
    s3.on_part = lambda _: s3.objects.setdefault(("stage", one.target), theirs)

    assert "is there already with other content" in refusal(s3, one)
    assert s3.objects["stage", one.target] is theirs
    assert not s3.uploads


@pytest.mark.parametrize("after", [1, 3, 6])
def test_an_upload_that_another_promotion_ended_is_begun_again(s3: S3, after: int) -> None:
    one = planned(s3, size=LARGE)

    def end_uploads(number: int) -> None:
        if number == after:
            s3.uploads.clear()

    s3.on_part = end_uploads

    with pytest.raises(TryAgainError, match=r"The upload of s3://stage/models/model.tar.gz was ended by someone else"):
        copy(s3, one)
    copy(s3, one)

    assert content(s3) == original(s3)


class EndsWhatItLists(S3):
    def list_multipart_uploads(self, **asked: Any) -> dict[str, Any]:
        found = super().list_multipart_uploads(**asked)
        self.uploads.clear()
        return found


def test_an_upload_that_is_ended_while_its_parts_are_listed_is_begun_again() -> None:
    s3 = EndsWhatItLists()
    one = planned(s3, size=LARGE)
    open_upload(s3, one, {})

    with pytest.raises(TryAgainError, match="was ended by someone else"):
        copy(s3, one)
    copy(s3, one)

    assert content(s3) == original(s3)


class TruncatesOnce(S3):
    def __init__(self) -> None:
        super().__init__()
        self.truncated = 0

    def write(self, operation: str, asked: dict[str, Any], made: Stored) -> None:
        [(origin, start, end)] = made.content
        if not self.truncated:
            made = dataclasses.replace(made, content=((origin, start, end - 1),))
        self.truncated += 1
        super().write(operation, asked, made)


@pytest.mark.parametrize("algorithm", ["CRC64NVME", None])
def test_a_small_copy_that_is_damaged_is_taken_away_and_tried_again(algorithm: str | None) -> None:
    s3 = TruncatesOnce()
    one = planned(s3, algorithm=algorithm)

    with pytest.raises(TryAgainError) as error:
        copy(s3, one)
    damaged = content(s3)
    copy(s3, one)

    assert "The copy of s3://upstream/reviews/model.tar.gz to s3://stage/models/model.tar.gz" in str(error.value)
    assert damaged is None
    assert content(s3) == original(s3)


def test_a_large_copy_that_is_damaged_is_never_completed_and_begun_again(s3: S3) -> None:
    one = planned(s3, size=LARGE)

    def damage(number: int) -> None:
        if number == 3:
            upload = next(iter(s3.uploads.values()))
            first = min(upload.parts)
            upload.parts[first] = dataclasses.replace(upload.parts[first], content=(("garbage", 0, PART_SIZE),))

    s3.on_part = damage
    with pytest.raises(TryAgainError, match="has not the source's checksum"):
        copy(s3, one)
    damaged, left = content(s3), dict(s3.uploads)
    copy(s3, one)

    assert damaged is None
    assert not left
    assert content(s3) == original(s3)


@BOTH
def test_a_source_bucket_of_another_account_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    s3.owners["upstream"] = "999999999999"

    message = refusal(s3, one)

    assert "s3://upstream/reviews/model.tar.gz may not be read: AccessDenied" in message
    assert '"Action": "s3:GetObject", "Resource": "arn:aws:s3:::upstream/reviews/model.tar.gz"' in message
    assert content(s3) is None
    assert not s3.uploads


def test_a_target_that_may_not_be_written_is_not_blamed_on_the_source(s3: S3) -> None:
    one = planned(s3, size=LARGE)
    s3.owners["stage"] = "999999999999"

    message = refusal(s3, one)

    assert "s3://stage/models/model.tar.gz may not be written: AccessDenied" in message
    assert "This is of this stage's own account" in message
    assert "upstream" not in message


@BOTH
@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (
            client_error("AccessDenied", "not authorized to perform: kms:GenerateDataKey on key/1", "CopyObject"),
            PromotionRefusedError,
            "may not be written: AccessDenied: not authorized to perform: kms:GenerateDataKey",
        ),
        (
            client_error("AccessDenied", "not authorized to perform: kms:Decrypt on key/1", "CopyObject"),
            PromotionRefusedError,
            '"Action": "kms:Decrypt"',
        ),
        (client_error("SlowDown", "Please reduce your request rate.", "CopyObject"), TryAgainError, "SlowDown"),
        (client_error("InternalError", "We encountered an error.", "CopyObject"), TryAgainError, "InternalError"),
        (client_error("SomethingNew", "?", "CopyObject"), ClientError, "SomethingNew"),
    ],
)
def test_what_s3_answers_to_a_copy_decides_what_comes_of_it(
    size: int, failure: ClientError, raised: type[Exception], words: str
) -> None:
    class Failing(S3):
        def source(self, operation: str, asked: dict[str, Any]) -> Stored:
            raise failure

    s3 = Failing()

    with pytest.raises(raised) as error:
        copy(s3, planned(s3, size=size))

    assert words in str(error.value)
    assert content(s3) is None


class Conflicting(S3):
    def write(self, operation: str, asked: dict[str, Any], made: Stored) -> None:
        raise client_error("ConditionalRequestConflict", "A conflicting operation occurred.", operation)


@BOTH
def test_a_target_that_someone_writes_at_the_same_time_is_tried_again(size: int) -> None:
    s3 = Conflicting()

    with pytest.raises(TryAgainError, match=r"s3://stage/models/model.tar.gz is being written by someone else"):
        copy(s3, planned(s3, size=size))


def test_one_object_that_is_refused_does_not_undo_the_others(s3: S3) -> None:
    good = [planned(s3, f"{number}.bin") for number in range(20)]
    bad = planned(s3, "bad.bin")
    s3.put("upstream", bad.key, SMALL)

    assert "bad.bin" in refusal(s3, *good, bad)
    s3.objects["upstream", bad.key] = s3.versions["version 21"]
    summary = copy(s3, *good, bad)

    assert all(content(s3, one.name) == original(s3, one.name) for one in [*good, bad])
    assert summary.copied + summary.already_there == 21
