"""The CRCs equal those of AWS's own library, joined and of any length."""

import functools
import hashlib
import operator
import struct

import pytest
from awscrt import checksums

from promotion.copying.crc import CRCS, bits_with_sum

ORACLES = {"CRC64NVME": checksums.crc64nvme, "CRC32": checksums.crc32, "CRC32C": checksums.crc32c}


@pytest.mark.parametrize("size", [0, 1, 7, 8, 255, 256, 257, 258, 511, 512, 1000, 65_537, 1_000_003])
@pytest.mark.parametrize("name", ORACLES)
def test_a_crc_is_that_of_the_library(name: str, size: int) -> None:
    data = hashlib.shake_128(b"data").digest(size)

    assert CRCS[name].of(data) == ORACLES[name](data)


@pytest.mark.parametrize("length", [1, 1000, 5 * 1024**4])
@pytest.mark.parametrize("name", ORACLES)
def test_the_crc_of_joined_data_follows_from_the_parts(name: str, length: int) -> None:
    one, other = ORACLES[name](b"one"), ORACLES[name](b"other")
    joining = {"CRC64NVME": checksums.combine_crc64nvme, "CRC32": checksums.combine_crc32}
    combine = joining.get(name, checksums.combine_crc32c)

    assert CRCS[name].joined(one, other, length) == combine(one, other, length)


@pytest.mark.parametrize("name", ORACLES)
def test_a_checksum_has_the_form_of_s3(name: str) -> None:
    crc = CRCS[name]

    assert crc.decoded(crc.encoded(crc.of(b"data"))) == crc.of(b"data")


def test_vectors_with_a_sum_are_found() -> None:
    target, *vectors = struct.unpack("<49I", hashlib.shake_128(b"vectors").digest(4 * 49))

    chosen = bits_with_sum(vectors, target)

    assert functools.reduce(operator.xor, [vectors[index] for index in chosen]) == target


def test_vectors_without_a_sum_are_an_error() -> None:
    with pytest.raises(ValueError, match="do not span"):
        bits_with_sum([0b01, 0b10, 0b11], 0b100)
