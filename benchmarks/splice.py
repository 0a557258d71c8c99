"""Compare adding code to a model archive inside S3 with downloading, unpacking, packing and uploading it, on any S3.

    python benchmarks/splice.py --source s3://bucket/benchmark/ --target s3://other-bucket/benchmark/
    python benchmarks/splice.py --endpoint http://127.0.0.1:9000 ...     (an S3-compatible server)

The second way is that of SageMaker's Python SDK (sagemaker.utils.repack_model). The benchmark makes an archive of
random data, and deletes everything that it has made.
"""
# ruff: noqa: E402 - the first statements set the import path

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Replaces this file's folder, where `import copy` would find another file of it.
sys.path[:1] = [ROOT, os.path.join(ROOT, "functions")]

import argparse
import dataclasses
import io
import secrets
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import pin
from promotion.copying.references import Reference
from promotion.copying.splicer import Splicer, add_code

MB = 10**6
SPLICE, REPACK = "added inside S3", "downloaded, unpacked, packed and uploaded"


@dataclasses.dataclass(frozen=True)
class Place:
    """A bucket, and a prefix in it."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, uri: str) -> Place:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return cls(bucket, prefix)

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{name}"


def main() -> None:
    options = _options()
    s3 = boto3.client("s3", endpoint_url=options.endpoint)
    account = options.account or boto3.client("sts").get_caller_identity()["Account"]
    source, target = Place.of(options.source), Place.of(options.target)
    print("| | megabytes | seconds | files in the result |\n|---|--:|--:|---|")
    for megabytes in [int(size) for size in options.megabytes.split(",")]:
        _put(s3, source, megabytes)
        for name, way in ((SPLICE, _splice), (REPACK, _repack)):
            start = time.monotonic()
            way(s3, source, target, account)
            seconds = time.monotonic() - start
            found = _files(s3, target)
            print(f"| {name} | {megabytes} | {seconds:.2f} | {', '.join(sorted(found))} |", flush=True)
            s3.delete_object(Bucket=target.bucket, Key=f"{target.prefix}model.tar.gz")
        for key in ("model.tar.gz", "sourcedir.tar.gz"):
            s3.delete_object(Bucket=source.bucket, Key=source.prefix + key)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", required=True, help="s3://bucket/prefix/ for the archive")
    parser.add_argument("--target", required=True, help="s3://bucket/prefix/ for the result")
    parser.add_argument("--endpoint", help="endpoint URL of another S3 than AWS's")
    parser.add_argument("--account", help="owner of both buckets; default: account of the credentials")
    parser.add_argument("--megabytes", default="100,1000", help="sizes of the archive; default: %(default)s")
    return parser.parse_args()


def _put(s3: Any, source: Place, megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, archive = Path(folder, "model.bin"), Path(folder, "model.tar.gz")
        with model.open("wb") as file:
            for _ in range(megabytes):
                file.write(secrets.token_bytes(MB))
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(model, arcname="model.bin")
        s3.upload_file(str(archive), source.bucket, f"{source.prefix}model.tar.gz")
    code = io.BytesIO()
    with tarfile.open(fileobj=code, mode="w:gz") as tar:
        script = tarfile.TarInfo("inference.py")
        script.size = 100
        tar.addfile(script, io.BytesIO(b"#" * 100))
    s3.put_object(Bucket=source.bucket, Key=f"{source.prefix}sourcedir.tar.gz", Body=code.getvalue())


def _splice(s3: Any, source: Place, target: Place, account: str) -> None:
    def pinned(name: str) -> list[PinnedObject]:
        return pin(s3, Reference((0, "ModelDataUrl"), source.uri(name), is_prefix=False), account)

    [planned], _ = add_code(s3, pinned("model.tar.gz"), pinned("sourcedir.tar.gz"), is_archive=True)
    placed = dataclasses.replace(planned, target=f"{target.prefix}model.tar.gz")
    Splicer(s3, target.bucket, account).copy([placed], 900)


def _repack(s3: Any, source: Place, target: Place, account: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archives, model = Path(folder), Path(folder, "model")
        for name, directory in (("model.tar.gz", model), ("sourcedir.tar.gz", model / "code")):
            s3.download_file(source.bucket, source.prefix + name, str(archives / name))
            with tarfile.open(archives / name, "r:gz") as tar:
                tar.extractall(directory, filter="data")
        with tarfile.open(archives / "new.tar.gz", "w:gz") as tar:
            tar.add(model, arcname="/")
        s3.upload_file(str(archives / "new.tar.gz"), target.bucket, f"{target.prefix}model.tar.gz")


def _files(s3: Any, target: Place) -> list[str]:
    body: Callable[..., bytes] = s3.get_object(Bucket=target.bucket, Key=f"{target.prefix}model.tar.gz")["Body"]
    with tarfile.open(fileobj=body, mode="r|gz") as tar:  # type: ignore[call-overload]
        return [member.name.lstrip("/") for member in tar if member.isfile()]


if __name__ == "__main__":
    main()
