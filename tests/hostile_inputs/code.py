"""Hostile archives of models and of their code."""

from __future__ import annotations

import functools
import gzip
import io
import tarfile
from collections.abc import Iterator

from promotion.copying import code_tar
from promotion.errors import PromotionRefusedError
from tests.hostile_inputs.trial import Hostile
from tests.support.archives import CODE, spliced, tar_gz

URI = "s3://artifacts/reviews-1/source/sourcedir.tar.gz"
_CONTENT = b"print()"


def _archive(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = len(_CONTENT)) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size if kind == tarfile.REGTYPE else 0
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(member, io.BytesIO(_CONTENT.ljust(size)))
    return packed.getvalue()


def _loop() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, link in (("a", "b"), ("b", "a")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member)
    return packed.getvalue()


def code() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "archive with code", refusal=PromotionRefusedError, where=URI)
    outside, link = "not a path inside the archive", "a link to a file outside of it"
    for what, archive, says in (
        ("that is empty", b"", "is not a tar.gz archive"),
        ("that is a script", _CONTENT, "is not a tar.gz archive"),
        ("that ends early", _archive("a.py")[:40], "is not a tar.gz archive"),
        ("with a file for another directory", _archive("../../etc/cron.d/job"), outside),
        ("with an absolute path", _archive("/opt/ml/model/label.txt"), outside),
        ("with a file whose name has a line break", _archive("a\n.py"), outside),
        ("with a link to a file of the container", _archive("a.py", tarfile.SYMTYPE, "/etc/passwd"), link),
        ("with a link to itself", _archive("a.py", tarfile.SYMTYPE, "a.py"), link),
        ("with links to each other", _loop(), link),
        ("with a device", _archive("a.py", tarfile.CHRTYPE), "neither a file nor a directory"),
        ("that decompresses to gigabytes", gzip.compress(bytes(256 * 1024**2), 1), "134,217,728 bytes"),
    ):
        yield hostile(what, functools.partial(code_tar.files_in, archive, URI), says)


def models() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "archive of a model", refusal=PromotionRefusedError)
    whole = tar_gz({"label.txt": b"1"})
    for what, archive, says in (
        ("that is empty", b"", "is not a gzip file"),
        ("that is a zip file", b"PK\x03\x04" + bytes(60), "is not a gzip file"),
        ("of several members", whole + whole, "consists of several gzip members"),
        ("that ends early", whole[:-12], "is an incomplete gzip file"),
        ("without a tar file", gzip.compress(b"x" * 5000), "is not a tar file"),
        ("whose name never ends", whole[:3] + b"\x08" + whole[4:10] + b"x" * 40_000, "incomplete gzip header"),
    ):
        yield hostile(what, functools.partial(spliced, archive, CODE), says)


def every() -> Iterator[Hostile]:
    yield from code()
    yield from models()
