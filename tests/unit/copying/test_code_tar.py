"""The beginning of a tar file with code: readable, always the same, and with the CRC-32 zero."""

import hashlib
import io
import tarfile
import zlib

import pytest

from promotion.copying import code_tar
from promotion.errors import PromotionRefusedError

URI = "s3://upstream/job/source/sourcedir.tar.gz"


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), to
    return info, content


FILES = [
    {},
    {"inference.py": b""},
    {"inference.py": b"import json\n"},
    {"inference.py": b"x" * 512, "lib/a.py": b"y" * 513, "lib/deep/ü.txt": "日本".encode()},
    {f"{'long/' * 60}{number}.py": bytes([number]) * 70_000 for number in range(3)},
]


@pytest.mark.parametrize("files", FILES, ids=len)
def test_the_files_are_under_code_and_the_crc_is_zero(files: dict[str, bytes]) -> None:
    start = code_tar.tar_of(files)

    assert zlib.crc32(start) == 0
    assert len(start) % tarfile.BLOCKSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(start + bytes(1024))) as tar:
        names = tar.getnames()
        found = {name: tar.extractfile(name) for name in names[1:]}
        assert names == ["code", *(f"code/{name}" for name in sorted(files))]
        assert {name.removeprefix("code/"): file.read() for name, file in found.items() if file} == files
        assert tar.getmember("code").isdir()


def test_the_order_of_the_files_does_not_matter() -> None:
    files = {"b.py": b"b", "a.py": b"a"}

    assert code_tar.tar_of(files) == code_tar.tar_of(dict(reversed(files.items())))


def test_a_script_with_an_interpreter_can_be_executed() -> None:
    start = code_tar.tar_of({"run.sh": b"#!/bin/sh\n", "data.txt": b"1"})

    with tarfile.open(fileobj=io.BytesIO(start + bytes(1024))) as tar:
        assert tar.getmember("code/run.sh").mode == 0o755
        assert tar.getmember("code/data.txt").mode == 0o644


def test_links_inside_the_archive_are_copies_of_their_files() -> None:
    archive = packed(
        member("./", kind=tarfile.DIRTYPE),
        member("./a.py", b"a"),
        member("./b.py", kind=tarfile.SYMTYPE, to="a.py"),
        member("c/d.py", kind=tarfile.LNKTYPE, to="./a.py"),
    )

    assert code_tar.files_in(archive, URI) == {"a.py": b"a", "b.py": b"a", "c/d.py": b"a"}


REFUSED = {
    "no archive": ([], "is not a tar.gz archive with the code"),
    "absolute": ([member("/etc/passwd")], "not a path inside"),
    "outside": ([member("a/../../b")], "not a path inside"),
    "unprintable": ([member("a\x1b[0m")], "not a path inside"),
    "device": ([member("pipe", kind=tarfile.FIFOTYPE)], "neither a file nor a directory"),
    "link": ([member("a", kind=tarfile.SYMTYPE, to="/etc/passwd")], "link to a file outside"),
    "files": ([member(str(number)) for number in range(4)], "more than 3 files"),
    "bytes": ([member(str(number), bytes(600)) for number in range(2)], "1,000 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_archive_that_is_not_code_is_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_tar, "MAXIMUM_FILES", 3)
    monkeypatch.setattr(code_tar, "MAXIMUM_BYTES", 1000)
    members, why = REFUSED[case]

    with pytest.raises(PromotionRefusedError, match=why) as refusal:
        code_tar.files_in(packed(*members) if members else b"no archive", URI)

    assert URI in str(refusal.value)


def test_a_truncated_archive_with_code_is_refused() -> None:
    archive = packed(member("a.py", hashlib.shake_128(b"code").digest(5000)))

    with pytest.raises(PromotionRefusedError, match=r"is not a tar\.gz archive with the code"):
        code_tar.files_in(archive[:2000], URI)
