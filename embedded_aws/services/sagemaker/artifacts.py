"""Objects and archives: downloads and uploads with a role's credentials, and tar.gz files."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.services.sagemaker import execution_roles


class ArtifactError(Exception):
    """An object could not be read, written or unpacked."""


def location(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an `s3://` URI. Raise ArtifactError if it is not one."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ArtifactError(f"{uri} is not an S3 URI.")
    return bucket, key


class Artifacts:
    """S3 with the permissions of one role. Its methods raise ArtifactError."""

    def __init__(self, role_arn: str) -> None:
        try:
            self._s3: Any = execution_roles.client("s3", role_arn)
        except execution_roles.RoleError as error:
            raise ArtifactError(str(error)) from error

    def assert_object(self, uri: str) -> None:
        """Raise an error if the role cannot read the object.

        One byte is read, because HeadObject would not require the permission to use the KMS key.
        """
        bucket, key = location(uri)
        try:
            self._s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidRange":  # an empty object
                raise ArtifactError(f"{uri}: {error}") from error

    def assert_prefix(self, uri: str) -> None:
        """Raise an error if the role cannot list the prefix or no object exists under it."""
        if next(self._keys(uri), None) is None:
            raise ArtifactError(f"{uri}: no object exists under this prefix.")

    def download(self, uri: str, path: Path) -> Path:
        """Write an object to `path`, and return it."""
        bucket, key = location(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            raise ArtifactError(f"{uri}: {error}") from error
        with path.open("wb") as file:
            shutil.copyfileobj(body, file)
        return path

    def download_prefix(self, uri: str, directory: Path) -> None:
        """Download every object under a prefix to its path relative to the prefix or the prefix's folder."""
        bucket, prefix = location(uri)
        directory.mkdir(parents=True, exist_ok=True)
        empty = True
        for key in self._keys(uri):
            empty = False
            inside = key.startswith(f"{prefix.rstrip('/')}/")
            folder = f"{prefix.rstrip('/')}/" if inside else prefix[: prefix.rfind("/") + 1]
            relative = PurePosixPath(key.removeprefix(folder))
            if relative.is_absolute() or ".." in relative.parts:
                raise ArtifactError(f"s3://{bucket}/{key} would be written outside of its directory.")
            if not key.endswith("/"):
                self.download(f"s3://{bucket}/{key}", directory / relative)
        if empty:
            raise ArtifactError(f"{uri}: no object exists under this prefix.")

    def read(self, uri: str) -> tuple[bytes, str]:
        """Return the content and the content type of an object."""
        bucket, key = location(uri)
        try:
            response = self._s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise ArtifactError(f"{uri}: {error}") from error
        return response["Body"].read(), response["ContentType"]

    def upload(self, uri: str, content: bytes | Path, **request: Any) -> None:
        """Write an object. `request` are further parameters of PutObject."""
        bucket, key = location(uri)
        try:
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as body:
                self._s3.put_object(Bucket=bucket, Key=key, Body=body, **request)
        except ClientError as error:
            raise ArtifactError(f"{uri}: {error}") from error

    def _keys(self, uri: str) -> Iterator[str]:
        bucket, prefix = location(uri)
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", []))
        except ClientError as error:
            raise ArtifactError(f"{uri}: {error}") from error


def unpack(archive: Path, directory: Path) -> None:
    """Extract a tar.gz file. Raise ArtifactError if it is not valid or has a member outside of the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(directory, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArtifactError(f"{archive.name} is not a valid tar.gz archive: {error}") from error


def pack(directory: Path, archive: Path) -> Path:
    """Write the content of a directory to a tar.gz file, and return its path."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=path.name)
    return archive
