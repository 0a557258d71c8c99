"""Add inference code to a model archive of any size inside S3, without moving the archive.

    target = gzip header + code/… as a tar in uncompressed blocks     made here
           + the compressed data of the source                        copied by S3, except for a few megabytes
           + the trailer of gzip                                      made here

It is one gzip member and one tar file. If the archive contains a file of the same name, that file comes later and wins.
The size and the checksum of the target follow from those of the source, so that they are known before the copy.
"""

from __future__ import annotations

import dataclasses
import hashlib

from promotion.copying import code_tar, gzip_member
from promotion.copying.crc import CRCS
from promotion.copying.gzip_member import TRAILER_BYTES
from promotion.copying.manifest import PinnedObject, Splice

LEAST_PART = 5 * 1024**2
"""The least size of every part but the last (S3 user guide, "Amazon S3 multipart upload limits")."""

START_BYTES = 2 * LEAST_PART + 2 * gzip_member.LONGEST_HEADER_BYTES
"""How much of a source is read: what precedes the parts that S3 copies, or all of a source without such parts."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The known bytes of a source: its `start` (START_BYTES or all of it) and its trailer."""

    pinned: PinnedObject
    start: bytes
    trailer: bytes

    @property
    def uri(self) -> str:
        """Return the URI of the source."""
        return f"s3://{self.pinned.bucket}/{self.pinned.key}"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a target: bytes, or a range of the source as its first byte and the byte after its last one."""

    parts: list[bytes | tuple[int, int]]


def planned(source: Source, size: int, tar: bytes, code: list[PinnedObject]) -> PinnedObject:
    """Return the object that adds `tar`, made of the objects `code` by code_tar.tar_of, to an archive of `size` bytes.

    Its size and its checksum are those of the target. It has a checksum if the source has one. Raise
    PromotionRefusedError if the archive is not a tar file in a single gzip member.
    """
    header = gzip_member.header_length(source.start, source.uri)
    gzip_member.check_content(source.start, header, size, source.uri)
    front = gzip_member.HEADER + gzip_member.stored(tar)
    trailer = gzip_member.trailer_with_more(source.trailer, len(tar))
    checksum = None
    if source.pinned.checksum and source.pinned.checksum_algorithm:
        crc = CRCS[source.pinned.checksum_algorithm]
        # A CRC is linear: remove the header and the trailer of the source from its CRC, and add the new ones.
        rest = size - header
        value = crc.decoded(source.pinned.checksum) ^ crc.shifted(crc.of(source.start[:header]), rest)
        value ^= crc.of(source.trailer) ^ crc.of(trailer) ^ crc.shifted(crc.of(front), rest)
        checksum = crc.encoded(value)
    return dataclasses.replace(
        source.pinned,
        size=len(front) + size - header,
        checksum=checksum,
        splice=Splice(size, hashlib.sha256(tar).hexdigest(), code),
    )


def planned_file(name: str, content: bytes, code: list[PinnedObject]) -> PinnedObject:
    """Return the object that is one file of the code in the objects `code`."""
    algorithm = "CRC64NVME"
    return PinnedObject(
        bucket=code[0].bucket,
        key=code[0].key,
        name=f"{code_tar.FOLDER}/{name}",
        size=len(content),
        etag=code[0].etag,
        version_id=code[0].version_id,
        checksum_algorithm=algorithm,
        checksum=CRCS[algorithm].encoded(CRCS[algorithm].of(content)),
        splice=Splice(0, hashlib.sha256(content).hexdigest(), code, file=name),
        owner=code[0].owner,
    )


def parts(source: Source, size: int, tar: bytes, part_size: int) -> Parts:
    """Return the parts of a planned target; those that are copied have at least `part_size` bytes.

    The same source and the same code result in the same parts.
    """
    header = gzip_member.header_length(source.start, source.uri)
    front = gzip_member.HEADER + gzip_member.stored(tar)
    trailer = gzip_member.trailer_with_more(source.trailer, len(tar))
    end = size - TRAILER_BYTES
    first = min(header + max(0, LEAST_PART - len(front)), end)
    if end - first < LEAST_PART:
        return Parts([front + source.start[header:end] + trailer])
    count = max(1, (end - first) // part_size)
    starts = [first + number * part_size for number in range(count)]
    return Parts([front + source.start[header:first], *zip(starts, [*starts[1:], end], strict=True), trailer])
