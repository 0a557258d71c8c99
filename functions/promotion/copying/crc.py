"""The CRCs of S3 and gzip: of data, of joined data, and of data that has a chosen CRC.

"CRC-64/NVME", "CRC-32/ISO-HDLC" and "CRC-32/ISCSI" in the RevEng catalog of CRC algorithms. All are
reflected, and begin and end with all bits inverted. So the CRC of two joined parts is a linear function of the CRCs of
the parts: what follows a part multiplies its CRC by a power of x.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import zlib

# The number of bytes from which large numbers are faster than one byte after the other.
_LONGEST = 256


@dataclasses.dataclass(frozen=True)
class Crc:
    """A CRC of `width` bits with a reflected polynomial."""

    width: int
    polynomial: int

    def of(self, data: bytes) -> int:
        """Return the CRC of `data`."""
        if self is CRC32:
            return zlib.crc32(data)
        mask = (1 << self.width) - 1
        crc, rest = (0, self._folded(data)) if len(data) > _LONGEST else (mask, data)
        for byte in rest:
            crc = self._table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ mask

    def _folded(self, data: bytes) -> bytes:
        """Return a few bytes that have the remainder of `data` with its first bits inverted.

        Python takes a microsecond for a byte, but multiplies large numbers fast: the first half times a power of x
        modulo the polynomial has the same remainder as the first half where it is, and can be added to the second.
        """
        value, bits = int.from_bytes(data, "little") ^ ((1 << self.width) - 1), 8 * len(data)
        while bits > 8 * _LONGEST:
            first = (bits - self.width) // 16 * 8
            second = bits - first
            power, half = self._power_of_x(second), value & ((1 << first) - 1)
            value >>= first
            for bit in range(self.width):
                if power >> bit & 1:
                    value ^= half << (bit + second - first - self.width + 1)
            bits = second
        return value.to_bytes(bits // 8, "little")

    def shifted(self, crc: int, length: int) -> int:
        """Return the contribution of a part with the CRC `crc` if `length` bytes follow it."""
        return self._product(crc, self._power_of_x(8 * length))

    def joined(self, first: int, second: int, length: int) -> int:
        """Return the CRC of two parts from their CRCs; the second part has `length` bytes."""
        return self.shifted(first, length) ^ second

    def decoded(self, checksum: str) -> int:
        """Return the CRC from S3's form: big-endian bytes in base64."""
        return int.from_bytes(base64.b64decode(checksum), "big")

    def encoded(self, crc: int) -> str:
        """Return the CRC in S3's form."""
        return base64.b64encode(crc.to_bytes(self.width // 8, "big")).decode()

    @functools.cached_property
    def _table(self) -> list[int]:
        table = []
        for crc in range(256):
            for _ in range(8):
                crc = (crc >> 1) ^ (self.polynomial if crc & 1 else 0)
            table.append(crc)
        return table

    def _product(self, one: int, other: int) -> int:
        """Return the product of two reflected polynomials modulo this one; the highest bit is the coefficient of 1."""
        product, bit = 0, 1 << (self.width - 1)
        while one:
            if one & bit:
                product ^= other
                one ^= bit
            bit >>= 1
            other = (other >> 1) ^ (self.polynomial if other & 1 else 0)
        return product

    def _power_of_x(self, exponent: int) -> int:
        power, square = 1 << (self.width - 1), 1 << (self.width - 2)
        while exponent:
            if exponent & 1:
                power = self._product(power, square)
            square = self._product(square, square)
            exponent >>= 1
        return power


CRC32 = Crc(32, 0xEDB88320)

CRCS = {"CRC64NVME": Crc(64, 0x9A6C9329AC4BC9B5), "CRC32": CRC32, "CRC32C": Crc(32, 0x82F63B78)}
"""The CRCs by S3's names."""


def bits_with_sum(vectors: list[int], target: int) -> list[int]:
    """Return the indexes of some of the `vectors` whose exclusive or is `target`: Gaussian elimination over two values.

    Raise ValueError if there are none.
    """
    # Each row is a combination of vectors, by its highest bit, with the vectors that it was made of.
    rows: dict[int, tuple[int, int]] = {}
    for index, vector in enumerate(vectors):
        value, used = _reduced(rows, vector, 1 << index)
        if value:
            rows[value.bit_length()] = value, used
    value, used = _reduced(rows, target, 0)
    if value:
        raise ValueError("The vectors do not span the target.")
    return [index for index in range(len(vectors)) if used >> index & 1]


def _reduced(rows: dict[int, tuple[int, int]], value: int, used: int) -> tuple[int, int]:
    while value and (row := rows.get(value.bit_length())):
        value, used = value ^ row[0], used ^ row[1]
    return value, used
