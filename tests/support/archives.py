"""Model archives of the tests of splices, and the planning of splices without S3."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import struct
import tarfile
import zlib

from awscrt import checksums

from promotion.copying import code_tar, splice
from promotion.copying.manifest import PinnedObject
from promotion.copying.splice import START_BYTES, Parts, Source
from tests.support.s3_service import UPSTREAM

CODE = {"inference.py": b"def model_fn(model_dir): ...\n", "lib/words.txt": "größer\n".encode()}


def noise(size: int, seed: str = "") -> bytes:
    """Return bytes that no compression makes smaller, always the same."""
    return hashlib.shake_128(f"{size} {seed}".encode()).digest(size)


def tar(files: dict[str, bytes]) -> bytes:
    """Return a complete tar file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def tar_gz(files: dict[str, bytes]) -> bytes:
    """Return a model archive as Python's gzip writes it."""
    return gzip.compress(tar(files), 1, mtime=0)


def zeros_gz(name: str, gigabytes: int, first: bytes = b"") -> bytes:
    """Return the archive of a file of zeros after `first`, which is small, without compressing all of them.

    The length of `first` must be a multiple of 512.
    """
    member = tarfile.TarInfo(name)
    zeros = gigabytes * 1024**3
    member.size = len(first) + zeros
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = member.tobuf() + first
    data = compressor.compress(start) + compressor.flush(zlib.Z_FULL_FLUSH)
    crc, piece = zlib.crc32(start), bytes(64 * 1024**2)
    # After a full flush, the same bytes result in the same blocks.
    block = compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH)
    of_piece = zlib.crc32(piece)
    for _ in range(zeros // len(piece)):
        data += block
        crc = checksums.combine_crc32(crc, of_piece, len(piece))
    end = bytes(10240)
    data += compressor.compress(end) + compressor.flush()
    trailer = struct.pack("<II", zlib.crc32(end, crc), (len(start) + zeros + len(end)) % 2**32)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data + trailer


def checksum(data: bytes) -> str:
    """Return the CRC64NVME of S3."""
    return base64.b64encode(checksums.crc64nvme(data).to_bytes(8, "big")).decode()


def source(archive: bytes) -> Source:
    """Return the source that the requests to S3 would find."""
    pinned = PinnedObject(
        bucket="upstream",
        key="job/output/model.tar.gz",
        name="model.tar.gz",
        size=len(archive),
        etag='"etag"',
        version_id=None,
        checksum_algorithm="CRC64NVME",
        checksum=checksum(archive),
        owner=UPSTREAM,
    )
    return Source(pinned, archive[:START_BYTES], archive[-8:])


def spliced(archive: bytes, files: dict[str, bytes]) -> tuple[PinnedObject, bytes]:
    """Return the planned target and its bytes."""
    found, start = source(archive), code_tar.tar_of(files)
    planned = splice.planned(found, len(archive), start, [])
    parts = splice.parts(found, len(archive), start, splice.LEAST_PART)
    return planned, content_of(parts, archive)


def content_of(parts: Parts, archive: bytes) -> bytes:
    """Return the bytes of all parts."""
    return b"".join(part if isinstance(part, bytes) else archive[slice(*part)] for part in parts.parts)
