"""The beginning of a tar file: the inference code of a model under `code/`.

Whatever the code is, the CRC-32 of these bytes is zero. Bytes in front of others then do not change the others' CRC-32,
whose change would otherwise depend on their length. gzip records the CRC-32 of its whole content, but its length only
modulo 4 GiB, so this makes it possible to add code to archives of any size without reading them.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping

from promotion.copying.crc import CRC32, bits_with_sum
from promotion.errors import PromotionRefusedError

FOLDER = "code"

MAXIMUM_BYTES = 128 * 1024**2
MAXIMUM_FILES = 10_000
"""What the functions hold in memory, and how much of it they can compute a checksum of in a minute."""

# Enough for the headers of that many files.
_MAXIMUM_HEADER_BYTES = 32 * 1024**2

# POSIX, "pax Interchange Format": readers ignore the record "comment". Its characters differ only in their last four
# bits, so that the bits of twelve of them can be chosen: more than the 32 that determine a CRC-32.
_FREE_CHARACTERS = 12
_FREE_BITS = 4
_COMMENT = "@" * _FREE_CHARACTERS


def files_in(archive: bytes, uri: str) -> dict[str, bytes]:
    """Return the files of an archive with code, by name. A link is a copy of the file that it refers to.

    Raise PromotionRefusedError if `archive`, the content of `uri`, is not a tar.gz file of files that can be under
    `code/`, or if it contains too much.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(io.BytesIO(archive)) as compressed:
            content = compressed.read(MAXIMUM_BYTES + _MAXIMUM_HEADER_BYTES + 1)
        if len(content) > MAXIMUM_BYTES + _MAXIMUM_HEADER_BYTES:
            raise _too_large(uri)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                name = _checked_name(member.name, uri)
                file = tar.extractfile(member) if member.isreg() or member.issym() or member.islnk() else None
                if file is None:
                    raise PromotionRefusedError(
                        f"The archive {uri} contains {name!a:.200}, which is neither a file nor a directory. Remove it "
                        "from the code, and train the model again."
                    )
                found[name] = file.read(MAXIMUM_BYTES + 1)
                assert_small({name: len(content) for name, content in found.items()}, uri)
    except (KeyError, RecursionError) as error:
        raise PromotionRefusedError(
            f"The archive {uri} contains a link to a file outside of it, or to itself: {error.args[0]!s:.200}. Replace "
            "the link by the file, and train the model again."
        ) from error
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise PromotionRefusedError(
            f"{uri} is not a tar.gz archive with the code of the model: {error}. Upload the code again."
        ) from error
    return found


def _checked_name(name: str, uri: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not name.isprintable() or not parts:
        raise PromotionRefusedError(
            f"The archive {uri} contains the file {name!a:.200}, whose name is not a path inside the archive. Pack the "
            "code again."
        )
    return "/".join(parts)


def assert_small(sizes: Mapping[str, int], uri: str) -> None:
    """Raise PromotionRefusedError if the code at `uri` has too many files or bytes."""
    if len(sizes) > MAXIMUM_FILES or sum(sizes.values()) > MAXIMUM_BYTES:
        raise _too_large(uri)


def _too_large(uri: str) -> PromotionRefusedError:
    return PromotionRefusedError(
        f"The code in {uri} has more than {MAXIMUM_FILES:,} files or {MAXIMUM_BYTES:,} bytes. Remove what is not code, "
        "such as data and models."
    )


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return the beginning of a tar file with `files` under `code/`, without an end. Its CRC-32 is zero.

    The same files result in the same bytes.
    """
    folder = tarfile.TarInfo(FOLDER)
    folder.type, folder.mode, folder.pax_headers = tarfile.DIRTYPE, 0o755, {"comment": _COMMENT}
    start = bytearray(folder.tobuf(tarfile.PAX_FORMAT))
    rest = bytearray()
    for name, content in sorted(files.items()):
        file = tarfile.TarInfo(f"{FOLDER}/{name}")
        file.size, file.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
        rest += file.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
    at = start.index(_COMMENT.encode())
    before = zlib.crc32(start)
    effects = []
    for bit in range(_FREE_BITS * _FREE_CHARACTERS):
        start[at + bit // _FREE_BITS] ^= 1 << bit % _FREE_BITS
        effects.append(zlib.crc32(start) ^ before)
        start[at + bit // _FREE_BITS] ^= 1 << bit % _FREE_BITS
    # What follows multiplies all effects by the same power, so it is enough to find the CRC of `start` that the rest
    # turns into zero.
    for bit in bits_with_sum([CRC32.shifted(effect, len(rest)) for effect in effects], zlib.crc32(start + rest)):
        start[at + bit // _FREE_BITS] ^= 1 << bit % _FREE_BITS
    return bytes(start + rest)
