"""The bytes of S3 objects, shared rather than copied, so that a test can have an object of terabytes.

An uploaded object contains its bytes. An object copied as a whole or in parts contains references to ranges of other
contents: ten parts copied from a 5 GiB object make a 50 GiB object of ten references. It is read piece by piece. Its
checksum is computed from those of the pieces (the CRC of joined bytes from their CRCs and lengths), so its time depends
on the number of pieces, not of bytes.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import hashlib
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from awscrt import checksums

_CHUNK_BYTES = 1 << 20
# The ETag of composed content above this size is computed from checksum and size: the MD5 of a large object takes
# minutes, and "the ETag may or may not be an MD5 digest of the object data" (S3 API reference, Object).
_MD5_BYTES = 16 << 20

_CRCS: dict[str, tuple[Callable[[bytes], int], Callable[[int, int, int], int], int]] = {
    "CRC32": (checksums.crc32, checksums.combine_crc32, 4),
    "CRC32C": (checksums.crc32c, checksums.combine_crc32c, 4),
    "CRC64NVME": (checksums.crc64nvme, checksums.combine_crc64nvme, 8),
}


class _Source(Protocol):
    size: int

    def chunks(self, start: int, stop: int) -> Iterator[bytes]: ...

    def crc(self, algorithm: str, start: int, stop: int) -> int: ...


class _Bytes:
    """Bytes that were uploaded."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data
        self._crcs: dict[tuple[str, int, int], int] = {}

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        for position in range(start, stop, _CHUNK_BYTES):
            yield self._data[position : min(position + _CHUNK_BYTES, stop)]

    def crc(self, algorithm: str, start: int, stop: int) -> int:
        key = (algorithm, start, stop)
        if key not in self._crcs:
            self._crcs[key] = _CRCS[algorithm][0](self._data[start:stop])
        return self._crcs[key]


@dataclasses.dataclass(frozen=True)
class _Piece:
    source: _Source
    start: int
    stop: int


class Content:
    """An immutable sequence of bytes. A slice of it is another Content. An iteration yields chunks."""

    def __init__(self, pieces: Iterable[_Piece]) -> None:
        self._pieces = _joined(pieces)
        self._ends = list(itertools.accumulate(piece.stop - piece.start for piece in self._pieces))
        self._crcs: dict[tuple[str, int, int], int] = {}
        # The same range is the same Content, so its ETag is computed only once for all parts copied from it.
        self._slices: weakref.WeakValueDictionary[tuple[int, int], Content] = weakref.WeakValueDictionary()
        self.size = self._ends[-1] if self._ends else 0

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Return content with uploaded bytes."""
        return cls([_Piece(_Bytes(data), 0, len(data))] if data else [])

    @classmethod
    def concatenated(cls, contents: Iterable[Content]) -> Content:
        """Return the concatenation of several contents."""
        return cls(piece for content in contents for piece in content._as_pieces(0, content.size))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, positions: slice) -> Content:
        start, stop, _ = positions.indices(self.size)
        if (start, stop) == (0, self.size):
            return self
        part = self._slices.get((start, stop))
        if part is None:
            part = self._slices[start, stop] = Content(self._as_pieces(start, stop))
        return part

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks(0, self.size)

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of a range in chunks."""
        for piece in self._overlapping(start, stop):
            yield from piece.source.chunks(piece.start, piece.stop)

    def crc(self, algorithm: str, start: int, stop: int) -> int:
        """Return the CRC of a range."""
        key = (algorithm, start, stop)
        if key not in self._crcs:
            _, combine, _ = _CRCS[algorithm]
            total = 0
            for piece in self._overlapping(start, stop):
                crc = piece.source.crc(algorithm, piece.start, piece.stop)
                total = combine(total, crc, piece.stop - piece.start)
            self._crcs[key] = total
        return self._crcs[key]

    def checksum(self, algorithm: str) -> bytes:
        """Return the checksum of the whole content with one of S3's algorithms."""
        if algorithm in _CRCS:
            return self.crc(algorithm, 0, self.size).to_bytes(_CRCS[algorithm][2], "big")
        return self._hash(algorithm.lower())

    @functools.cached_property
    def etag(self) -> str:
        """Return the ETag without quotes: the MD5 of small or uploaded content."""
        uploaded = len(self._pieces) == 1 and isinstance(self._pieces[0].source, _Bytes)
        if self.size <= _MD5_BYTES or (uploaded and self._pieces[0].source.size == self.size):
            return self._hash("md5").hex()
        facts = f"{self.checksum('CRC64NVME').hex()}-{self.size}"
        return hashlib.md5(facts.encode(), usedforsecurity=False).hexdigest()

    def _hash(self, name: str) -> bytes:
        digest = hashlib.new(name, usedforsecurity=False)
        for chunk in self:
            digest.update(chunk)
        return digest.digest()

    def _as_pieces(self, start: int, stop: int) -> Iterator[_Piece]:
        """Yield few references for a range: to the source of its only piece, or otherwise to this content."""
        if len(self._pieces) == 1:
            yield from self._overlapping(start, stop)
        elif start < stop:
            yield _Piece(self, start, stop)

    def _overlapping(self, start: int, stop: int) -> Iterator[_Piece]:
        index = bisect.bisect_right(self._ends, start)
        while start < stop:
            piece, end = self._pieces[index], self._ends[index]
            offset = piece.stop - end
            yield _Piece(piece.source, start + offset, min(stop, end) + offset)
            start = end
            index += 1


def _joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Join adjacent ranges of the same source: a copy in parts becomes one reference."""
    joined: list[_Piece] = []
    for piece in pieces:
        if joined and joined[-1].source is piece.source and joined[-1].stop == piece.start:
            piece = _Piece(piece.source, joined.pop().start, piece.stop)
        joined.append(piece)
    return joined
