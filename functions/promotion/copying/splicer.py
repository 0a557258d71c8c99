"""The copier of archives to which code is added: resumable and verified like every copy, and in the same way."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying import code_tar, splice
from promotion.copying.copier import Copier
from promotion.copying.crc import CRCS
from promotion.copying.gzip_member import TRAILER_BYTES
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_client import Reply, S3Requests
from promotion.copying.s3_copy_api import CopyRequests, Found, Upload
from promotion.copying.s3_errors import explained
from promotion.copying.splice import START_BYTES, Parts, Source
from promotion.errors import PromotionRefusedError, TransientError

_SLOWEST_BYTES_PER_SECOND = 1024**2


def add_code(
    s3: Any, model: list[PinnedObject], code: list[PinnedObject], *, is_archive: bool
) -> tuple[list[PinnedObject], set[str]]:
    """Return the objects of a model with the code in the objects `code`, and the names of the files of the code.

    `s3` is a boto3 client. Code is added to an archive, or becomes objects under
    `code/`. Raise PromotionRefusedError if it cannot be added.
    """
    return asyncio.run(add_code_on_loop(s3, model, code, is_archive=is_archive))


async def add_code_on_loop(
    s3: Any, model: list[PinnedObject], code: list[PinnedObject], *, is_archive: bool
) -> tuple[list[PinnedObject], set[str]]:
    """Return the same as `add_code`, on the running event loop."""
    files = await files_of(s3, code, of_version=False)
    if is_archive:
        [archive] = model
        source = await _source(s3, archive, archive.size, of_version=False)
        return [splice.planned(source, archive.size, code_tar.tar_of(files), code)], set(files)
    if is_packed(code):
        added = [splice.planned_file(name, content, code) for name, content in files.items()]
    else:
        added = [dataclasses.replace(each, name=f"{code_tar.FOLDER}/{each.name}") for each in code]
    existing = {pinned.name for pinned in model}
    return [*model, *(each for each in added if each.name not in existing)], set(files)


def is_packed(code: list[PinnedObject]) -> bool:
    """Return whether the code is in an archive."""
    return len(code) == 1 and code[0].name.endswith((".tar.gz", ".tgz"))


async def files_of(s3: Any, code: list[PinnedObject], *, of_version: bool) -> dict[str, bytes]:
    """Return the files in an archive with code, or the pinned objects themselves, by their names under `code/`."""
    code_tar.assert_small({pinned.name: pinned.size for pinned in code}, f"s3://{code[0].bucket}/{code[0].key}")
    contents = [await _read(s3, pinned, of_version=of_version) for pinned in code]
    if is_packed(code):
        return code_tar.files_in(contents[0], f"s3://{code[0].bucket}/{code[0].key}")
    return {pinned.name: content for pinned, content in zip(code, contents, strict=True)}


async def _source(s3: Any, pinned: PinnedObject, size: int, *, of_version: bool) -> Source:
    last = min(START_BYTES, size) - 1
    start = await _read(s3, pinned, of_version=of_version, first=0, last=last)
    if len(start) == size:
        return Source(pinned, start, start[-TRAILER_BYTES:])
    trailer = await _read(s3, pinned, of_version=of_version, first=size - TRAILER_BYTES, last=size - 1)
    return Source(pinned, start, trailer)


async def _read(s3: Any, pinned: PinnedObject, *, of_version: bool, first: int = 0, last: int | None = None) -> bytes:
    """Return the pinned bytes from `first` to `last`. The permission to read a version is not needed without it."""
    uri, requests = f"s3://{pinned.bucket}/{pinned.key}", S3Requests(s3, pinned.bucket)
    headers = {"x-amz-expected-bucket-owner": pinned.owner, "if-match": pinned.etag}
    if last is not None:
        headers["range"] = f"bytes={first}-{last}"
    query = {"versionId": pinned.version_id} if of_version and pinned.version_id else {}
    try:
        reply = await requests.send("GetObject", "GET", pinned.key, query, headers, has_document=False)
    except ClientError as error:
        if meaning(error) is Meaning.CHANGED or (query and meaning(error) is Meaning.NOT_FOUND):
            raise changed(uri) from error
        raise explained(
            error, "s3:GetObject", f"arn:aws:s3:::{pinned.bucket}/{pinned.key}", uri, pinned.owner
        ) from error
    finally:
        requests.close()
    return reply.body


def changed(uri: str) -> PromotionRefusedError:
    """Return the exception for an object that is not the pinned one."""
    return PromotionRefusedError(
        f"{uri} was overwritten or deleted after the promotion was planned. Start the promotion again to promote the "
        "current object."
    )


class Splicer(Copier):
    """A copier of archives with a splice, which adds their code."""

    def __init__(self, s3: Any, bucket: str, owner: str, **options: Any) -> None:
        super().__init__(s3, bucket, owner, **options | {"threshold": START_BYTES})

    async def _requests(self, objects: Sequence[PinnedObject]) -> CopyRequests:
        requests = _SpliceRequests(S3Requests(self._s3, self._bucket), self._owner, self._part_size)
        read: dict[tuple[str, ...], dict[str, bytes]] = {}
        for pinned, planned in [(each, each.splice) for each in objects if each.splice]:
            code, size = planned.objects, planned.source_size
            identity = tuple(f"{each.bucket}/{each.key} {each.etag}" for each in code)
            files = read.get(identity) or await files_of(self._s3, code, of_version=True)
            read[identity] = files
            added = files[planned.file] if planned.file else code_tar.tar_of(files)
            if hashlib.sha256(added).hexdigest() != planned.sha256:
                raise changed(f"s3://{code[0].bucket}/{code[0].key}")
            if planned.file:
                requests.layouts[pinned.target] = Parts([added])
                continue
            source = await _source(self._s3, pinned, size, of_version=True)
            part_size = requests.upload(pinned, "").part_size
            requests.layouts[pinned.target] = splice.parts(source, size, added, part_size)
        return requests


@dataclasses.dataclass
class _SplicedUpload(Upload):
    """An upload whose first and last parts are bytes."""

    layout: Parts = dataclasses.field(default_factory=lambda: Parts([]))

    @property
    def count(self) -> int:
        return len(self.layout.parts)

    def range_of(self, number: int) -> tuple[int, int]:
        part = self.layout.parts[number - 1]
        return (0, len(part)) if isinstance(part, bytes) else part


class _SpliceRequests(CopyRequests):
    """The requests of copies that upload some of their bytes; `layouts` are the parts by the target's key."""

    def __init__(self, requests: S3Requests, owner: str, part_size: int) -> None:
        super().__init__(requests, owner, part_size)
        self.layouts: dict[str, Parts] = {}

    def upload(self, pinned: PinnedObject, upload_id: str) -> Upload:
        layout = self.layouts.get(pinned.target, Parts([]))
        return _SplicedUpload(pinned, upload_id, super().upload(pinned, upload_id).part_size, layout=layout)

    async def copy_object(self, pinned: PinnedObject) -> Found:
        body = b"".join(part for part in self.layouts[pinned.target].parts if isinstance(part, bytes))
        checksum = _checksum(pinned, body)

        async def send(attributes: dict[str, str]) -> Reply:
            headers = attributes | self._owned | checksum | {"if-none-match": "*"}
            return await self._s3.send(
                "PutObject", "PUT", pinned.target, headers=headers, body=body, extra_seconds=_seconds(body)
            )

        reply = await self._with_tags_if_possible(pinned, send)
        return Found(None, reply.headers.get(f"x-amz-checksum-{(pinned.checksum_algorithm or '').lower()}"))

    async def copy_part(self, upload: Upload, number: int) -> str:
        body = self.layouts[upload.pinned.target].parts[number - 1]
        if not isinstance(body, bytes):
            return await super().copy_part(upload, number)
        query = {"partNumber": str(number), "uploadId": upload.upload_id}
        headers = self._owned | _checksum(upload.pinned, body)
        reply = await self._s3.send(
            "UploadPart", "PUT", upload.pinned.target, query, headers, body, extra_seconds=_seconds(body)
        )
        if "etag" not in reply.headers:
            raise TransientError(f"The response to UploadPart of {upload.pinned.target} has no ETag.")
        return reply.headers["etag"]


def _checksum(pinned: PinnedObject, body: bytes) -> dict[str, str]:
    algorithm = pinned.checksum_algorithm or "CRC64NVME"
    crc = CRCS[algorithm]
    return {f"x-amz-checksum-{algorithm.lower()}": crc.encoded(crc.of(body))}


def _seconds(body: bytes) -> float:
    return len(body) / _SLOWEST_BYTES_PER_SECOND
