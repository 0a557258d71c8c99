"""Faults of single requests: a copy ends complete and from one version, or it is refused."""

import asyncio
import contextlib
import dataclasses
import gc
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.copying.copier import PART_SIZE
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_client import ATTEMPTS
from promotion.copying.summary import Summary
from promotion.errors import PromotionRefusedError, TransientError, UnfinishedError
from tests.support import idle_clock
from tests.support.copies import Kill, content, copy, copy_on_loop, original, planned, refusal
from tests.support.s3_faults import client_error
from tests.support.s3_service import MIB, OWN, S3, UPSTREAM, Request, Response, Stored

SMALL, LARGE = 1000, 5 * PART_SIZE + 1
THEIR_KEY, OWN_KEY = (f"arn:aws:kms:eu-west-1:{account}:key/1a-2b" for account in (UPSTREAM, OWN))
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
TRANSIENT = [
    "SlowDown",
    "InternalError",
    "TooManyRequests",
    "SlowDown in 200",
    "InternalError in 200",
    "drop before",
    "drop after",
    "no document",
    "hang",
]
WITHOUT_DOCUMENT = [fault for fault in TRANSIENT if fault != "no document" and not fault.endswith("in 200")]


@pytest.fixture
def s3() -> S3:
    return S3()


def first_of(operation: str, fault: str) -> Callable[[Request, int], str]:
    left = [fault]
    return lambda request, _: left.pop() if left and request.operation == operation else ""


def always(operation: str, fault: str) -> Callable[[Request, int], str]:
    return lambda request, _: fault if request.operation == operation else ""


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize(
    "operation",
    [
        "CopyObject",
        "ListObjectsV2",
        "ListMultipartUploads",
        "CreateMultipartUpload",
        "UploadPartCopy",
        "CompleteMultipartUpload",
    ],
)
def test_a_transient_fault_of_any_request_is_retried(s3: S3, operation: str, fault: str) -> None:
    objects = [planned(s3, "large", LARGE), planned(s3, "small", SMALL)]
    s3.fault = first_of(operation, fault)

    summary = copy(s3, *objects, timeout=0.2 if fault == "hang" else 5)

    assert all(content(s3, one.name) == original(s3, one.name) for one in objects)
    assert not s3.uploads
    assert summary == Summary(copied=2, bytes=LARGE + SMALL, verified_by={"CRC64NVME": 2})


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *[("ListParts", fault) for fault in TRANSIENT],
        *[(operation, fault) for operation in ("HeadObject", "AbortMultipartUpload") for fault in WITHOUT_DOCUMENT],
    ],
)
def test_a_transient_fault_during_a_resumed_copy_is_retried(s3: S3, operation: str, fault: str) -> None:
    one, there = planned(s3, size=LARGE), planned(s3, "there", LARGE)
    copy(s3, there)
    for _ in range(2):
        s3.fault = lambda request, _: "hang" if request.query.get("partNumber") == "3" else ""
        with pytest.raises(UnfinishedError):
            copy(s3, one, there, seconds=0.3)
        s3.uploads |= {f"{name} again": upload for name, upload in s3.uploads.items()}
    s3.fault = first_of(operation, fault)

    summary = copy(s3, one, there, timeout=0.2 if fault == "hang" else 5)

    assert content(s3) == original(s3)
    assert not s3.uploads
    assert (summary.copied, summary.already_present) == (1, 1)


@pytest.mark.parametrize("operation", ["CopyObject", "UploadPartCopy", "CompleteMultipartUpload"])
def test_hanging_requests_leave_nothing_open_in_the_process(s3: S3, operation: str) -> None:
    s3.fault = always(operation, "hang")
    objects = [planned(s3, "large", LARGE), planned(s3, "small", SMALL)]
    gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UnfinishedError):
            copy(s3, *objects, seconds=0.3)
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("every", [2, 3, 7])
@pytest.mark.parametrize("fault", [fault for fault in TRANSIENT if fault != "hang"])
def test_many_concurrent_faults_are_retried(s3: S3, fault: str, every: int) -> None:
    objects = [planned(s3, f"{number}", LARGE if number % 5 == 0 else SMALL) for number in range(30)]
    s3.fault = lambda _, number: fault if number % every == 0 else ""

    copy(s3, *objects)

    assert all(content(s3, one.name) == original(s3, one.name) for one in objects)
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "drop before", "no document"])
def test_a_persistent_fault_is_a_transient_error(s3: S3, size: int, fault: str) -> None:
    operation = "CopyObject" if size == SMALL else "UploadPartCopy"
    s3.fault = always(operation, fault)
    one = planned(s3, size=size)

    with pytest.raises(
        TransientError, match=f"{operation} of s3://stage/models/model.tar.gz failed {ATTEMPTS} times: "
    ):
        copy(s3, one)
    s3.fault = lambda *_: ""
    copy(s3, one)

    assert content(s3) == original(s3)
    assert not s3.uploads


def test_a_completion_whose_response_was_lost_is_recognized(s3: S3) -> None:
    s3.fault = always("CompleteMultipartUpload", "drop after")

    summary = copy(s3, planned(s3, size=LARGE))

    assert content(s3) == original(s3)
    assert summary.copied + summary.already_present == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_copy_killed_at_any_request_is_resumed_and_completed(after: bool) -> None:
    def start() -> tuple[S3, list[PinnedObject]]:
        s3 = S3()
        return s3, [planned(s3, "large", 16 * MIB), planned(s3, "small", SMALL), planned(s3, "old", 2, None)]

    options: dict[str, Any] = {"threshold": 10 * MIB, "part_size": 5 * MIB}
    s3, objects = start()
    copy(s3, *objects, **options)
    requests = len(s3.requests)

    async def killed(s3: S3, objects: list[PinnedObject], kill: Kill) -> None:
        s3.fault = kill
        kill.copying = asyncio.create_task(copy_on_loop(s3, *objects, **options))
        with contextlib.suppress(asyncio.CancelledError):
            await kill.copying

    for at in range(1, requests + 1):
        s3, objects = start()
        kill = Kill(at, after)
        idle_clock.run(killed(s3, objects, kill))
        assert kill.copying
        assert kill.copying.cancelled()
        s3.fault = lambda *_: ""

        summary = copy(s3, *objects, **options)

        assert all(content(s3, one.name) == original(s3, one.name) for one in objects), f"killed at {at}"
        assert not s3.uploads, f"killed at {at}"
        assert summary.copied + summary.already_present == 3
    # Two listings; creation, four parts and completion of an upload; two small copies; and a HEAD for the size of one.
    assert requests == 2 + 6 + 2 + 1


class Truncating(S3):
    """An S3 that drops one byte of the first copies, either of whole objects or of one part."""

    def __init__(self, times: int = 1, part: int = 0) -> None:
        super().__init__()
        self.times, self.part = times, part

    def written(self, request: Request, made: Stored) -> dict[str, str]:
        if not self.part and self.times:
            self.times -= 1
            [(origin, start, end)] = made.content
            made = dataclasses.replace(made, content=((origin, start, end - 1),))
        return super().written(request, made)

    def upload_part_copy(self, request: Request) -> Response:
        response = super().upload_part_copy(request)
        if self.times and int(request.query["partNumber"]) == self.part:
            self.times -= 1
            part = self.upload(request).parts[self.part]
            [(origin, start, end)] = part.content
            part.content = ((origin, start, end - 1),)
        return response


# S3 itself compares the size of an upload before it completes it.
@pytest.mark.parametrize(("size", "algorithm"), [(SMALL, "CRC64NVME"), (SMALL, None), (LARGE, "CRC64NVME")])
def test_a_damaged_copy_is_refused(size: int, algorithm: str | None) -> None:
    s3 = Truncating()
    pinned = planned(s3, size=size, algorithm=algorithm)

    with pytest.raises(PromotionRefusedError) as error:
        copy(s3, pinned)
    assert "s3://stage/models/model.tar.gz is a damaged copy of s3://upstream/reviews/model.tar.gz" in str(error.value)

    # The next promotion of the same content does not use it.
    with pytest.raises(PromotionRefusedError, match="its content differs"):
        copy(s3, pinned)


@pytest.mark.parametrize("algorithm", ["CRC64NVME", None])
@pytest.mark.parametrize("part", [1, 3, 6])
def test_only_a_damaged_part_is_copied_again(algorithm: str | None, part: int) -> None:
    s3 = Truncating(part=part)

    copy(s3, planned(s3, size=LARGE - 1 + MIB, algorithm=algorithm))

    assert content(s3) == original(s3)
    assert sorted(s3.parts_copied) == sorted([1, 2, 3, 4, 5, 6, part])


def test_an_upload_that_is_damaged_every_time_is_never_completed() -> None:
    s3 = Truncating(times=100, part=1)

    with pytest.raises(TransientError, match=r"to s3://stage/models/model\.tar\.gz is damaged"):
        copy(s3, planned(s3, size=LARGE, algorithm="CRC64NVME"))

    assert content(s3) is None


def test_an_upload_with_a_part_of_other_content_is_restarted(s3: S3) -> None:
    def damage(number: int) -> None:
        if number == 3:
            upload = next(iter(s3.uploads.values()))
            first = min(upload.parts)
            upload.parts[first] = dataclasses.replace(upload.parts[first], content=(("garbage", 0, PART_SIZE),))

    s3.on_part = damage

    copy(s3, planned(s3, size=LARGE))

    assert content(s3) == original(s3)
    assert not s3.uploads


@BOTH
@pytest.mark.parametrize("number", [1, 4])
def test_a_source_overwritten_during_the_copy_is_never_mixed(s3: S3, size: int, number: int) -> None:
    objects = [planned(s3, f"{index}", size) for index in range(4)]

    def overwrite(request: Request, _: int) -> str:
        if request.operation in ("CopyObject", "UploadPartCopy") and next(copies) == number:
            s3.put("upstream", objects[-1].key, size)
        return ""

    copies, before = itertools.count(1), original(s3, objects[-1].name)
    s3.fault = overwrite
    with contextlib.suppress(PromotionRefusedError):
        copy(s3, *objects, in_flight=2)

    assert content(s3, objects[-1].name) in (None, before)
    assert not s3.uploads


@BOTH
def test_a_source_bucket_of_another_account_is_refused(s3: S3, size: int) -> None:
    one = planned(s3, size=size)
    s3.owners["upstream"] = "999999999999"

    message = refusal(s3, one)

    assert "s3://upstream/reviews/model.tar.gz cannot be read: AccessDenied" in message
    assert '"Action": "s3:GetObject", "Resource": "arn:aws:s3:::upstream/reviews/model.tar.gz"' in message
    assert content(s3) is None


@BOTH
def test_a_denied_request_is_not_repeated(s3: S3, size: int) -> None:
    operation = "CopyObject" if size == SMALL else "UploadPartCopy"
    s3.fault = always(operation, "AccessDenied")

    refusal(s3, planned(s3, size=size), planned(s3, "other", size), planned(s3, "third", size))

    assert s3.operations.count(operation) <= (3 if size == SMALL else 18)


def test_a_denied_target_is_not_reported_as_a_denied_source(s3: S3) -> None:
    s3.owners["stage"] = "999999999999"

    message = refusal(s3, planned(s3, size=LARGE))

    assert "has no permission to write s3://stage/models/model.tar.gz: AccessDenied" in message
    assert "in this stage's own account" in message
    assert "upstream" not in message


@BOTH
@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (
            client_error("AccessDenied", "not authorized to perform: kms:GenerateDataKey on key/1"),
            PromotionRefusedError,
            "s3://stage/models/model.tar.gz: AccessDenied: not authorized to perform: kms:GenerateDataKey",
        ),
        (
            client_error("AccessDenied", "not authorized to perform: kms:Decrypt on key/1"),
            PromotionRefusedError,
            '"Action": "kms:Decrypt"',
        ),
        (
            client_error("AccessDenied", f"not authorized to perform: kms:Decrypt on {THEIR_KEY} because"),
            PromotionRefusedError,
            f'"Action": "kms:Decrypt", "Resource": "{THEIR_KEY}"',
        ),
        (
            client_error("AccessDenied", f"not authorized to perform: kms:Decrypt on {OWN_KEY} because"),
            PromotionRefusedError,
            "The permission is missing in this stage's own account",
        ),
        (
            client_error("KMS.DisabledException", f"{THEIR_KEY} is disabled."),
            PromotionRefusedError,
            "cannot be decrypted: KMS.DisabledException",
        ),
        (
            client_error("KMS.KMSInvalidStateException", f"{OWN_KEY} is pending deletion."),
            PromotionRefusedError,
            "s3://stage/models/model.tar.gz: KMS.KMSInvalidStateException",
        ),
        (client_error("NoSuchKey", "The specified key does not exist."), PromotionRefusedError, "does not exist"),
        (client_error("SomethingNew", "?"), ClientError, "SomethingNew"),
    ],
)
def test_an_error_of_s3_is_explained_or_raised(
    size: int, failure: ClientError, raised: type[Exception], words: str
) -> None:
    class Failing(S3):
        def source(self, request: Request) -> Stored:
            raise failure

    s3 = Failing()

    with pytest.raises(raised) as error:
        copy(s3, planned(s3, size=size))

    assert words in str(error.value)
    assert content(s3) is None
    assert not s3.uploads


@BOTH
def test_a_conflict_with_another_client_is_retried(s3: S3, size: int) -> None:
    operation = "CopyObject" if size == SMALL else "CompleteMultipartUpload"
    s3.fault = first_of(operation, "ConditionalRequestConflict")

    copy(s3, planned(s3, size=size))

    assert content(s3) == original(s3)
    assert not s3.uploads


@BOTH
def test_a_persistent_conflict_is_a_transient_error(s3: S3, size: int) -> None:
    operation = "CopyObject" if size == SMALL else "CompleteMultipartUpload"
    s3.fault = always(operation, "ConditionalRequestConflict")

    with pytest.raises(TransientError, match=r"s3://stage/models/model.tar.gz is being written by another client"):
        copy(s3, planned(s3, size=size))


def test_each_copy_request_contains_the_accounts_of_both_buckets(s3: S3) -> None:
    copy(s3, planned(s3, "large", LARGE), planned(s3, "small", SMALL))

    for request in s3.requests:
        assert request.headers["x-amz-expected-bucket-owner"] == OWN
        if "Copy" in request.operation:
            assert request.headers["x-amz-source-expected-bucket-owner"] == UPSTREAM
