"""Archives with added code: every reader reads them, and what cannot be spliced is refused by name."""

import base64
import dataclasses
import gzip
import io
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded_aws.services.s3.content import Content
from promotion.copying import code_tar, splice
from promotion.copying.gzip_member import HEADER, LONGEST_HEADER_BYTES, stored
from promotion.copying.splice import LEAST_PART, START_BYTES, Source
from promotion.errors import PromotionRefusedError
from tests.support.archives import CODE, checksum, content_of, noise, source, spliced, tar, tar_gz, zeros_gz

MIB, GIB = 1024**2, 1024**3
SIZES = [1, 511, 512, 100_000, 5 * MIB, 2 * LEAST_PART, START_BYTES, START_BYTES + 1, 16 * MIB]


def by_tarfile(mode: str) -> Callable[[Path, Path], None]:
    def read(archive: Path, folder: Path) -> None:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode=mode) as found:  # type: ignore[call-overload]
            found.extractall(folder, filter="data")

    return read


def by_command(*command: str) -> Callable[[Path, Path], None]:
    def read(archive: Path, folder: Path) -> None:
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is not installed.")
        whole = [word.format(archive=archive, folder=folder) for word in command]
        subprocess.run(whole, check=True, capture_output=True, timeout=120)  # noqa: S603

    return read


def unpacked(by: Callable[[Path], bytes]) -> Callable[[Path, Path], None]:
    """Return a reader of the tar file that another program has decompressed."""

    def read(archive: Path, folder: Path) -> None:
        with tarfile.open(fileobj=io.BytesIO(by(archive)), mode="r:") as found:
            found.extractall(folder, filter="data")

    return read


def printed(*command: str) -> Callable[[Path], bytes]:
    def run(archive: Path) -> bytes:
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is not installed.")
        whole = [word.format(archive=archive) for word in command]
        return subprocess.run(whole, check=True, capture_output=True, timeout=120).stdout  # noqa: S603

    return run


JAVA = """
import java.io.*; import java.util.zip.*;
class Unzip { public static void main(String[] args) throws IOException {
  try (InputStream in = new GZIPInputStream(new FileInputStream(args[0]))) { in.transferTo(System.out); } } }
"""
GO = """
package main
import ("compress/gzip"; "io"; "os")
func check(err error) { if err != nil { panic(err) } }
func main() {
  file, err := os.Open(os.Args[1]); check(err)
  in, err := gzip.NewReader(file); check(err)
  _, err = io.Copy(os.Stdout, in); check(err)
}
"""
NODE = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(process.argv[1])))"
PERL = "use IO::Uncompress::Gunzip qw(gunzip); gunzip($ARGV[0] => '-', Strict => 1) or die"


def java(archive: Path) -> bytes:
    program = archive.with_name("Unzip.java")
    program.write_text(JAVA)
    return printed("java", "-Xmx256m", str(program), "{archive}")(archive)


def go(archive: Path) -> bytes:
    program = archive.with_name("unzip.go")
    program.write_text(GO)
    return printed("go", "run", str(program), "{archive}")(archive)


READERS = {
    "tarfile r:gz": by_tarfile("r:gz"),
    "tarfile r|gz": by_tarfile("r|gz"),
    "GNU tar": by_command("tar", "-xzf", "{archive}", "-C", "{folder}"),
    "bsdtar": by_command("bsdtar", "-xzf", "{archive}", "-C", "{folder}"),
    "busybox": by_command("busybox", "tar", "-xzf", "{archive}", "-C", "{folder}"),
    "gzip": unpacked(printed("gzip", "-dc", "{archive}")),
    "pigz": unpacked(printed("pigz", "-dc", "{archive}")),
    "7z": unpacked(printed("7z", "x", "-so", "{archive}")),
    "node": unpacked(printed("node", "-e", NODE, "{archive}")),
    "perl": unpacked(printed("perl", "-e", PERL, "{archive}")),
    "java": unpacked(java),
    "go": unpacked(go),
    "gzip of Python": unpacked(lambda archive: gzip.decompress(archive.read_bytes())),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [1, 11 * MIB], ids=["small", "large"])
def test_every_reader_finds_the_code_and_the_model(reader: str, size: int, tmp_path: Path) -> None:
    model = {"model.bin": noise(size), "config/config.json": b"{}"}
    _, content = spliced(tar_gz(model), CODE)
    archive, folder = tmp_path / "model.tar.gz", tmp_path / "model"
    archive.write_bytes(content)
    folder.mkdir()

    READERS[reader](archive, folder)

    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == model | {f"code/{name}": content for name, content in CODE.items()}


@pytest.mark.parametrize("size", SIZES)
def test_content_of_any_size_is_planned_exactly(size: int) -> None:
    archive = tar_gz({"model.bin": noise(size)})

    planned, content = spliced(archive, CODE)

    assert gzip.decompress(content) == code_tar.tar_of(CODE) + gzip.decompress(archive)
    assert planned.size == len(content)
    assert planned.checksum == checksum(content)
    assert planned.content == ["model.tar.gz", len(content), "CRC64NVME", checksum(content)]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 6 * MIB])
def test_code_of_any_size_is_added(size: int) -> None:
    archive = tar_gz({"model.bin": noise(20 * MIB)})

    planned, content = spliced(archive, {"weights.bin": noise(size, "code")})

    with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as found:
        assert [(member.name, member.size) for member in found] == [
            ("code", 0),
            ("code/weights.bin", size),
            ("model.bin", 20 * MIB),
        ]
    assert (planned.size, planned.checksum) == (len(content), checksum(content))


def test_content_whose_size_exceeds_32_bits_is_read_to_its_end() -> None:
    # The zeros, which take seconds to decompress, begin after the start that the plan reads.
    archive = zeros_gz("model.bin", 4, first=noise(11 * MIB))
    planned, content = spliced(archive, CODE)

    with gzip.open(io.BytesIO(content)) as file, tarfile.open(fileobj=file, mode="r:") as found:
        members = [(member.name, member.size) for member in found]
        # At its end, Python's reader compares the CRC-32 and the length of all that it has read with the trailer.
        assert not file.read().strip(b"\0")

    assert members == [
        ("code", 0),
        ("code/inference.py", len(CODE["inference.py"])),
        ("code/lib/words.txt", len(CODE["lib/words.txt"])),
        ("model.bin", 4 * GIB + 11 * MIB),
    ]
    assert planned.checksum == checksum(content)


@pytest.mark.parametrize("size", [100 * 10**9, 5 * 1024**4])
def test_an_archive_of_any_size_is_planned_without_reading_it(size: int) -> None:
    """Plan for content that consists of references: its bytes repeat, and their checksum is computed from the parts."""
    block = Content.of(noise(8 * MIB))
    middle = block
    while middle.size < size:
        middle = Content.concatenated([middle, middle])
    start, trailer = tar_gz({"model.bin": noise(START_BYTES)})[:START_BYTES], noise(8)
    archive = Content.concatenated([Content.of(start), middle[:size], Content.of(trailer)])
    encoded = base64.b64encode(archive.checksum("CRC64NVME")).decode()
    pinned = source(b"").pinned
    found = Source(dataclasses.replace(pinned, size=archive.size, checksum=encoded), start, trailer)
    tar_of_code = code_tar.tar_of(CODE)

    planned = splice.planned(found, archive.size, tar_of_code, [])
    part_size = max(32 * MIB, -(-planned.size // 10_000 // MIB) * MIB)
    parts = splice.parts(found, archive.size, tar_of_code, part_size).parts

    sizes = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts]
    assert len(parts) <= 10_000
    assert min(sizes[:-1]) >= LEAST_PART
    assert max(sizes) <= 5 * GIB
    assert sum(len(part) for part in parts if isinstance(part, bytes)) < 6 * MIB
    target = Content.concatenated(
        Content.of(part) if isinstance(part, bytes) else archive[slice(*part)] for part in parts
    )
    assert planned.size == target.size
    assert planned.checksum == base64.b64encode(target.checksum("CRC64NVME")).decode()


@pytest.mark.parametrize("name", ["model.tar", "ü" * 20])
def test_a_header_with_a_name_a_comment_and_a_checksum_is_replaced(name: str) -> None:
    plain = tar_gz({"model.bin": noise(1000)})
    header = plain[:3] + b"\x1a" + plain[4:10] + name.encode() + b"\0comment\0" + b"\x12\x34"

    _, content = spliced(header + plain[10:], CODE)

    assert gzip.decompress(content) == code_tar.tar_of(CODE) + gzip.decompress(plain)


def test_an_empty_archive_gets_the_code() -> None:
    _, content = spliced(tar_gz({}), CODE)

    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        assert found.getnames() == ["code", *(f"code/{name}" for name in CODE)]


def test_a_file_of_the_archive_wins_over_the_code(tmp_path: Path) -> None:
    _, content = spliced(tar_gz({"code/inference.py": b"own"}), CODE)

    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        found.extractall(tmp_path, filter="data")

    assert (tmp_path / "code/inference.py").read_bytes() == b"own"
    assert (tmp_path / "code/lib/words.txt").read_bytes() == CODE["lib/words.txt"]


def test_a_source_without_a_checksum_is_identified_by_its_etag_and_the_code() -> None:
    archive, codes = tar_gz({"model.bin": b"1"}), [CODE, CODE | {"more.py": b""}]
    found = source(archive)
    unknown = Source(dataclasses.replace(found.pinned, checksum_algorithm=None, checksum=None), archive, b"12345678")

    contents = [splice.planned(unknown, len(archive), code_tar.tar_of(code), []).content for code in codes]

    assert all(content[2:4] == ["ETag", '"etag"'] for content in contents)
    assert contents[0] != contents[1]


PLAIN = tar_gz({"model.bin": noise(3000)})
LARGE = tar_gz({"model.bin": noise(START_BYTES)})
EXTRA = PLAIN[:3] + b"\x04" + PLAIN[4:10] + struct.pack("<H", 6) + b"BC\x02\x00\x01\x00" + PLAIN[10:]
REFUSED = {
    "empty": (b"", "is not a gzip file"),
    "text": (b"model" * 10, "is not a gzip file"),
    "zip": (b"PK\x03\x04" + bytes(60), "is not a gzip file"),
    "plain tar": (tar({"model.bin": b"1"}), "is not a gzip file"),
    "reserved flags": (PLAIN[:3] + b"\x20" + PLAIN[4:], "is not a gzip file"),
    "several members": (PLAIN + PLAIN, "consists of several gzip members"),
    "several large members": (PLAIN + LARGE, "consists of several gzip members"),
    "padded": (PLAIN + bytes(10), "has data after its end"),
    "bgzip": (EXTRA, "has extra fields in its gzip header"),
    "endless name": (PLAIN[:3] + b"\x08" + PLAIN[4:10] + b"x" * LONGEST_HEADER_BYTES, "incomplete gzip header"),
    "truncated": (PLAIN[:-20], "is an incomplete gzip file"),
    "damaged": (PLAIN[:10] + b"\xff" * 100 + PLAIN[110:], "is a damaged gzip file"),
    "no tar": (gzip.compress(noise(3000)), "is not a tar file"),
    "short": (gzip.compress(b"1"), "is not a tar file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_one_gzip_member_with_a_tar_file_is_refused_by_name(case: str) -> None:
    archive, why = REFUSED[case]

    with pytest.raises(PromotionRefusedError, match=why) as refusal:
        spliced(archive, CODE)

    assert "s3://upstream/job/output/model.tar.gz" in str(refusal.value)


def test_uncompressed_blocks_are_the_same_for_every_version_of_zlib() -> None:
    data = noise(65_535 + 1)

    blocks = stored(data)

    assert blocks == b"\0\xff\xff\0\0" + data[:65_535] + b"\0\x01\0\xfe\xff" + data[65_535:]
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(blocks) == data
    assert gzip.compress(b"", mtime=0)[:8] + b"\0\xff" == HEADER


def test_the_same_archive_and_code_result_in_the_same_parts() -> None:
    archive = tar_gz({"model.bin": noise(16 * MIB)})

    first, second = (spliced(archive, CODE)[1] for _ in range(2))

    assert first == second
    assert content_of(splice.parts(source(archive), len(archive), code_tar.tar_of(CODE), 5 * MIB), archive) == first
