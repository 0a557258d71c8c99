"""The file serving.properties of DJL Serving in a model, which can name other weights.

Only the root of the model counts: https://docs.djl.ai/master/docs/serving/serving/docs/configurations.html. An archive
is read up to its first MiB, since it can have any size.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying import splicer
from promotion.copying.incoming import Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_errors import explained
from promotion.plan.content import Content
from promotion.source import images
from promotion.stage import Stage

NAME = "serving.properties"
READ_BYTES = 1024**2
_MOST_UNPACKED_BYTES = 16 * 1024**2


def read(s3: Any, content: Content, stage: Stage, reader: Reader | None) -> dict[int, dict[str, str]]:
    """Return the properties in the model of each container by its index, for those that have the file.

    `reader` is the role of the upstream account for objects whose KMS key this `stage` cannot use. Raise
    PromotionRefusedError if an object cannot be read or has changed since it was pinned.
    """
    found = {}
    for reference in content.references:
        index, field, *_ = reference.path
        container = content.candidate.containers[int(index)]
        if not str(field).startswith("ModelData") or not _may_serve_with_it(container["Image"]):
            continue
        read_from = _in_prefix if reference.is_prefix else _in_archive
        if text := read_from(s3, content.objects[reference.path], stage, reader):
            found[int(index)] = parsed(text)
    return found


def parsed(text: bytes) -> dict[str, str]:
    """Return the keys and values of a properties file."""
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    pairs = [line.replace(":", "=", 1).partition("=") if "=" not in line else line.partition("=") for line in lines]
    return {key.strip(): value.strip() for key, sign, value in pairs if sign and not key.startswith(("#", "!"))}


def in_archive(start: bytes) -> bytes | None:
    """Return the file in the archive that begins with `start`, or None if it is not there or not gzip."""
    unpacked = b""
    try:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, _MOST_UNPACKED_BYTES)
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r|") as tar:
            for member in tar:
                if member.name.removeprefix("./") == NAME and member.isfile() and member.size <= READ_BYTES:
                    file = tar.extractfile(member)
                    return file.read() if file else None
    except (zlib.error, tarfile.TarError, EOFError, OSError):
        return None
    return None


def _may_serve_with_it(image: str) -> bool:
    """Return whether a container of the image may run DJL Serving: AWS's for large models, and every other image."""
    parsed_image = images.parse(image)
    return not parsed_image.is_aws_own or parsed_image.repository == "djl-inference"


def _in_prefix(s3: Any, objects: list[PinnedObject], stage: Stage, reader: Reader | None) -> bytes | None:
    files = [pinned for pinned in objects if pinned.name == NAME and pinned.size <= READ_BYTES]
    return _start(s3, files[0], stage, reader) if files else None


def _in_archive(s3: Any, objects: list[PinnedObject], stage: Stage, reader: Reader | None) -> bytes | None:
    return in_archive(_start(s3, objects[0], stage, reader)) if objects[0].size else None


def _start(s3: Any, pinned: PinnedObject, stage: Stage, reader: Reader | None) -> bytes:
    """Return the first bytes of a pinned object."""
    client = reader.s3 if reader and pinned.incoming else s3
    uri, owner = f"s3://{pinned.bucket}/{pinned.key}", stage.owner_of(pinned.bucket)
    try:
        response = client.get_object(
            Bucket=pinned.bucket,
            Key=pinned.key,
            Range=f"bytes=0-{READ_BYTES - 1}",
            IfMatch=pinned.etag,
            ExpectedBucketOwner=owner,
        )
    except ClientError as error:
        if meaning(error) is Meaning.CHANGED:
            raise splicer.changed(uri) from error
        raise explained(error, "s3:GetObject", f"arn:aws:s3:::{pinned.bucket}/{pinned.key}", uri, owner) from error
    body: bytes = response["Body"].read()
    return body
