"""The copy of archives with added code: complete after any fault, resumed after any request, and verified."""

import asyncio
import contextlib
import dataclasses
from typing import Any
from unittest.mock import patch

import pytest

from promotion.copying import code_tar, splicer
from promotion.copying.manifest import PinnedObject, manifest
from promotion.copying.splicer import Splicer
from promotion.copying.summary import Summary
from promotion.errors import PromotionRefusedError, TransientError
from tests.support import idle_clock
from tests.support.archives import CODE, noise, spliced, tar_gz
from tests.support.copies import Kill, copying, pinned
from tests.support.copies import copy as copy_plain
from tests.support.s3_service import MIB, OWN, S3, Stored, client, served

SMALL, LARGE = tar_gz({"model.bin": noise(1000)}), tar_gz({"model.bin": noise(16 * MIB)})
BOTH = pytest.mark.parametrize("archive", [SMALL, LARGE], ids=["small", "large"])
PARTS = {"part_size": 5 * MIB}


@pytest.fixture
def s3() -> S3:
    return S3()


def planned(
    s3: S3, archive: bytes, algorithm: str | None = "CRC64NVME", files: dict[str, bytes] = CODE
) -> PinnedObject:
    """Pin an archive and the code, and plan their splice."""

    async def plan() -> PinnedObject:
        async with served(s3):
            added = splicer.add_code_on_loop(client(), [pinned(model, "model.tar.gz")], [code], is_archive=True)
            return (await added)[0][0]

    model = s3.put_data("upstream", "reviews/model.tar.gz", archive, algorithm)
    code = code_of(s3, files)
    result = idle_clock.run(plan())
    s3.requests.clear()
    return result


def code_of(s3: S3, files: dict[str, bytes]) -> PinnedObject:
    return pinned(s3.put_data("upstream", "reviews/sourcedir.tar.gz", tar_gz(files)), "sourcedir.tar.gz")


async def copy_on_loop(s3: S3, *objects: PinnedObject) -> Summary:
    with copying():
        async with served(s3):
            return await Splicer(client(), "stage", OWN, **PARTS).copy_on_loop(objects, 60)


def copy(s3: S3, *objects: PinnedObject) -> Summary:
    return idle_clock.run(copy_on_loop(s3, *objects))


def target(s3: S3) -> Stored:
    return s3.objects["stage", "models/model.tar.gz"]


@BOTH
@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", None])
def test_code_is_added_and_the_copy_is_verified(s3: S3, archive: bytes, algorithm: str | None) -> None:
    one = planned(s3, archive, algorithm)

    summary = copy(s3, one)

    assert target(s3).data == spliced(archive, CODE)[1]
    assert target(s3).algorithm == (algorithm or "CRC64NVME")
    assert (target(s3).size, one.checksum) == (one.size, target(s3).checksum if algorithm else None)
    assert summary == Summary(copied=1, bytes=one.size, verified_by={algorithm or "size": 1})
    assert not s3.uploads


def test_a_large_archive_is_copied_by_s3_except_for_its_ends(s3: S3) -> None:
    one = planned(s3, LARGE)

    copy(s3, one)

    assert s3.operations.count("UploadPartCopy") == 2
    sent = [len(request.data) for request in s3.requests if request.operation == "UploadPart"]
    assert sorted(sent) == [8, 5 * MIB]


@BOTH
def test_a_second_copy_changes_nothing(s3: S3, archive: bytes) -> None:
    one = planned(s3, archive)
    copy(s3, one)
    first = target(s3)

    summary = copy(s3, one)

    assert target(s3) is first
    assert (summary.copied, summary.already_present) == (0, 1)
    assert not s3.uploads


@BOTH
def test_a_copy_keeps_the_attributes_and_tags_of_the_archive(s3: S3, archive: bytes) -> None:
    attributes = {"content-type": "application/x-tar", "x-amz-meta-by": "me", "x-amz-tagging": "a=b"}

    copy(s3, dataclasses.replace(planned(s3, archive), attributes=attributes))

    assert target(s3).attributes == attributes


@BOTH
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_splice_killed_at_any_request_is_resumed_and_completed(archive: bytes, after: bool) -> None:
    def start() -> tuple[S3, PinnedObject]:
        s3 = S3()
        return s3, planned(s3, archive)

    async def killed(s3: S3, one: PinnedObject, kill: Kill) -> None:
        s3.fault = kill
        kill.copying = asyncio.create_task(copy_on_loop(s3, one))
        with contextlib.suppress(asyncio.CancelledError):
            await kill.copying

    s3, one = start()
    copy(s3, one)
    expected = target(s3).data
    for at in range(1, len(s3.requests) + 1):
        s3, one = start()
        kill = Kill(at, after)
        idle_clock.run(killed(s3, one, kill))
        assert kill.copying
        assert kill.copying.cancelled()
        s3.fault = lambda *_: ""
        existing = {number for upload in s3.uploads.values() for number in upload.parts}
        copied = len(s3.parts_copied)

        copy(s3, one)

        assert target(s3).data == expected, f"killed at {at}"
        assert not s3.uploads, f"killed at {at}"
        assert existing.isdisjoint(s3.parts_copied[copied:]), f"killed at {at}"


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "drop before", "drop after"])
@pytest.mark.parametrize(
    ("archive", "operation"),
    [(SMALL, "PutObject"), (SMALL, "GetObject")]
    + [(LARGE, kind) for kind in ("GetObject", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload")],
    ids=lambda value: value if isinstance(value, str) else len(value),
)
def test_a_transient_fault_is_retried(s3: S3, archive: bytes, operation: str, fault: str) -> None:
    one, left = planned(s3, archive), [fault]
    s3.fault = lambda request, _: left.pop() if left and request.operation == operation else ""

    summary = copy(s3, one)

    assert target(s3).data == spliced(archive, CODE)[1]
    assert summary.copied + summary.already_present == 1
    assert not left


@BOTH
@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tar.gz"])
def test_an_object_that_was_overwritten_after_the_plan_is_refused(s3: S3, archive: bytes, name: str) -> None:
    one = planned(s3, archive)
    s3.put_data("upstream", f"reviews/{name}", tar_gz({"other": b"1"}))

    with pytest.raises(PromotionRefusedError, match=f"{name} was overwritten or deleted after the promotion"):
        copy(s3, one)

    assert ("stage", "models/model.tar.gz") not in s3.objects


@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tar.gz"])
def test_a_pinned_version_is_spliced_after_it_was_overwritten(s3: S3, name: str) -> None:
    one = planned(s3, LARGE)
    versions = {stored.etag: version for version, stored in s3.versions.items()}
    assert one.splice
    code = [dataclasses.replace(each, version_id=versions[each.etag]) for each in one.splice.objects]
    one = dataclasses.replace(one, version_id=versions[one.etag], splice=dataclasses.replace(one.splice, objects=code))
    s3.put_data("upstream", f"reviews/{name}", tar_gz({"other": b"1"}))

    copy(s3, one)

    assert target(s3).data == spliced(LARGE, CODE)[1]


def test_a_part_that_is_damaged_in_s3_fails_the_copy(s3: S3) -> None:
    one = planned(s3, LARGE)
    upload_part_copy = s3.handlers["UploadPartCopy"]

    def damage(s3: S3, request: Any) -> Any:
        response = upload_part_copy(s3, request)
        part = s3.upload(request).parts[int(request.query["partNumber"])]
        part.data = bytes([part.data[0] ^ 1]) + part.data[1:] if part.data else None
        return response

    with patch.dict(S3.handlers, {"UploadPartCopy": damage}), pytest.raises(TransientError, match="is damaged"):
        copy(s3, one)

    assert ("stage", "models/model.tar.gz") not in s3.objects


@pytest.mark.parametrize("algorithm", ["CRC64NVME", None])
@BOTH
def test_another_object_at_the_target_is_refused(s3: S3, archive: bytes, algorithm: str | None) -> None:
    one = planned(s3, archive, algorithm)
    s3.put_data("stage", one.target, b"other")

    with pytest.raises(PromotionRefusedError, match="already exists, and its content differs"):
        copy(s3, one)

    assert s3.objects["stage", one.target].data == b"other"


@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tar.gz"])
def test_a_missing_permission_is_named(s3: S3, name: str) -> None:
    one = planned(s3, SMALL)
    s3.fault = lambda request, _: "AccessDenied" if request.key.endswith(name) else ""

    statement = f'"Action": "s3:GetObject", "Resource": "arn:aws:s3:::upstream/reviews/{name}"'
    with pytest.raises(PromotionRefusedError, match=statement):
        copy(s3, one)


@pytest.mark.parametrize("is_packed", [True, False])
def test_each_file_of_the_code_is_an_object_of_an_uncompressed_model(s3: S3, is_packed: bool) -> None:
    files = CODE | {"large.bin": noise(12 * MIB), "own.py": b"of the code"}
    model = [pinned(s3.put_data("upstream", f"reviews/{name}", b"1"), name) for name in ("model.bin", "code/own.py")]
    if is_packed:
        code = [code_of(s3, files)]
    else:
        code = [pinned(s3.put_data("upstream", f"reviews/{name}", content), name) for name, content in files.items()]

    async def plan() -> tuple[list[PinnedObject], set[str]]:
        async with served(s3):
            return await splicer.add_code_on_loop(client(), model, code, is_archive=False)

    planned, names = idle_clock.run(plan())
    s3.requests.clear()
    objects = [dataclasses.replace(one, target=f"models/{one.name}") for one in planned]
    copy(s3, *[one for one in objects if one.splice])
    copy_plain(s3, *[one for one in objects if not one.splice])

    found = {key: stored.data for (bucket, key), stored in s3.objects.items() if bucket == "stage"}
    expected = {f"code/{name}": content for name, content in files.items()} | {"code/own.py": b"1", "model.bin": b"1"}
    assert found == {f"models/{name}": content for name, content in expected.items()}
    assert names == set(files)
    assert s3.operations.count("GetObject") == is_packed


def test_code_that_is_not_packed_is_added_too(s3: S3) -> None:
    model = s3.put_data("upstream", "reviews/model.tar.gz", SMALL)
    code = [pinned(s3.put_data("upstream", f"reviews/{name}", content), name) for name, content in CODE.items()]

    async def plan() -> PinnedObject:
        async with served(s3):
            added = splicer.add_code_on_loop(client(), [pinned(model, "model.tar.gz")], code, is_archive=True)
            return (await added)[0][0]

    copy(s3, idle_clock.run(plan()))

    assert target(s3).data == spliced(SMALL, CODE)[1]


def test_code_that_is_too_large_is_refused_before_it_is_read(s3: S3) -> None:
    one = planned(s3, SMALL)
    assert one.splice
    [code] = one.splice.objects
    large = dataclasses.replace(code, size=code_tar.MAXIMUM_BYTES + 1)

    with pytest.raises(PromotionRefusedError, match="has more than 10,000 files or 134,217,728 bytes"):
        copy(s3, dataclasses.replace(one, splice=dataclasses.replace(one.splice, objects=[large])))

    assert s3.operations == []


def test_a_planned_splice_survives_the_manifest(s3: S3) -> None:
    one = planned(s3, SMALL)

    text, _ = manifest([one])

    assert PinnedObject.from_line(text) == one
