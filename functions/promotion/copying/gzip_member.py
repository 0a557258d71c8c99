"""The frame of a gzip file (RFC 1952): its header, its compressed data and its trailer.

Compressed data (RFC 1951) is a sequence of blocks. Blocks that are not marked as the last one can precede it.
"""

from __future__ import annotations

import struct
import zlib

from promotion.errors import PromotionRefusedError

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""A header without a name or a time, of an unknown operating system."""

TRAILER_BYTES = 8

LONGEST_HEADER_BYTES = 32 * 1024

_FIXED_BYTES = 10
_HEADER_CHECKSUM, _EXTRA, _NAME, _COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_BLOCK_BYTES = 65_535
_TAR_HEADER_BYTES = 512

_ALTERNATIVES = (
    "The inference code cannot be added to it. Pack the code into the model's archive under code/ during the training, "
    "train with OutputDataConfig.CompressionType NONE, or pack the archive again with tar -czf"
)


def header_length(start: bytes, uri: str) -> int:
    """Return the length of the header at the `start` of the gzip file `uri`.

    Raise PromotionRefusedError if it is not a gzip file, or has several members.
    """
    if len(start) < _FIXED_BYTES + TRAILER_BYTES or start[:3] != HEADER[:3] or start[3] & _RESERVED:
        raise PromotionRefusedError(f"{uri} is not a gzip file. {_ALTERNATIVES}.")
    flags, end = start[3], _FIXED_BYTES
    if flags & _EXTRA:
        raise PromotionRefusedError(
            f"{uri} has extra fields in its gzip header, as written by tools that compress in several members (bgzip, "
            f"mgzip). {_ALTERNATIVES}."
        )
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            end = start.find(b"\0", end, LONGEST_HEADER_BYTES) + 1
            if not end:
                raise PromotionRefusedError(f"{uri} has an incomplete gzip header. {_ALTERNATIVES}.")
    return end + (2 if flags & _HEADER_CHECKSUM else 0)


def check_content(start: bytes, header: int, size: int, uri: str) -> None:
    """Raise PromotionRefusedError unless the gzip file `uri` contains a tar file, and is one member as far as known.

    `start` are its first bytes, and `size` is its size. A member that ends within `start` must be the only one.
    """
    decompressor, found = zlib.decompressobj(-zlib.MAX_WBITS), b""
    try:
        found = decompressor.decompress(start[header:], _TAR_HEADER_BYTES)
        # The content is not of interest, only where it ends.
        rest = decompressor.unconsumed_tail
        while rest and not decompressor.eof:
            decompressor.decompress(rest, 1024**2)
            rest = decompressor.unconsumed_tail
    except zlib.error as error:
        raise PromotionRefusedError(f"{uri} is a damaged gzip file: {error}. Upload the archive again.") from error
    is_whole = len(start) == size
    if decompressor.eof and (not is_whole or len(decompressor.unused_data) != TRAILER_BYTES):
        raise PromotionRefusedError(
            f"{uri} consists of several gzip members, or has data after its end. {_ALTERNATIVES}."
        )
    if is_whole and not decompressor.eof:
        raise PromotionRefusedError(f"{uri} is an incomplete gzip file. Upload the archive again.")
    if not _is_tar(found):
        raise PromotionRefusedError(f"{uri} is not a tar file that is compressed with gzip. {_ALTERNATIVES}.")


def _is_tar(start: bytes) -> bool:
    """Return whether `start` is a tar header with a correct checksum, or the end of an empty archive."""
    if len(start) < _TAR_HEADER_BYTES:
        return False
    checksum = start[148:156].strip(b" \0")
    total = sum(start) - sum(start[148:156]) + 8 * ord(" ")
    is_header = checksum.isdigit() and checksum.translate(None, b"01234567") == b"" and int(checksum, 8) == total
    return is_header or not any(start)


def stored(data: bytes) -> bytes:
    """Return blocks with uncompressed `data`, none of which is the last one of its member.

    They end at a byte, and are the same for every version of every library.
    """
    chunks = [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)]
    return b"".join(struct.pack("<BHH", 0, len(chunk), len(chunk) ^ 0xFFFF) + chunk for chunk in chunks)


def trailer_with_more(trailer: bytes, more: int) -> bytes:
    """Return the trailer for content to which `more` bytes with the CRC-32 zero were added at the beginning."""
    crc, length = struct.unpack("<II", trailer)
    return struct.pack("<II", crc, (length + more) % 2**32)
