"""A fake of S3 for the tests of copying, served over HTTP on the test's event loop, with conditions, limits and faults.

An object's content is a list of byte ranges, not bytes, so objects of any size cost nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import dataclasses
import functools
import itertools
import re
import socket
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

import boto3
from awscrt import checksums
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.support.s3_faults import client_error

MIB, GIB = 1024**2, 1024**3
UPSTREAM, OWN = "111111111111", "222222222222"
KEYS = Credentials("AKIDEXAMPLE", "secret", "token")
STATUSES = {
    "AccessDenied": 403,
    "BadDigest": 400,
    "ConditionalRequestConflict": 409,
    "EntityTooSmall": 400,
    "InternalError": 500,
    "InvalidPart": 400,
    "InvalidRequest": 400,
    "KMS.DisabledException": 400,
    "KMS.KMSInvalidStateException": 400,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "PreconditionFailed": 412,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "SomethingNew": 400,
    "TooManyRequests": 429,
}

Content = tuple[tuple[str, int, int], ...]
Response = tuple[int, dict[str, str], str | bytes]

_CRCS = {"CRC64NVME": (checksums.crc64nvme, 8), "CRC32": (checksums.crc32, 4), "CRC32C": (checksums.crc32c, 4)}


@dataclasses.dataclass
class Stored:
    content: Content
    etag: str
    algorithm: str | None
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(end - start for _, start, end in self.content)

    data: bytes | None = None
    """The bytes, of an object that was put with them."""

    @property
    def checksum(self) -> str:
        if self.data is None:
            return f"{self.algorithm} of {self.content}"
        crc, width = _CRCS[str(self.algorithm)]
        return base64.b64encode(crc(self.data).to_bytes(width, "big")).decode()


@dataclasses.dataclass
class Upload:
    bucket: str
    key: str
    initiated: int
    algorithm: str
    attributes: dict[str, str]
    parts: dict[int, Stored] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Request:
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    data: bytes

    @property
    def operation(self) -> str:
        is_copy, query = "x-amz-copy-source" in self.headers, self.query
        if self.method == "PUT":
            if "uploadId" in query:
                return "UploadPartCopy" if is_copy else "UploadPart"
            return "CopyObject" if is_copy else "PutObject"
        if self.method == "POST":
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        if self.method == "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        if self.method == "GET" and not self.key:
            return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
        if self.method == "GET":
            return "GetObjectTagging" if "tagging" in query else "ListParts" if "uploadId" in query else "GetObject"
        return "HeadObject" if self.key else "HeadBucket"

    @property
    def region(self) -> str:
        """Return the region of the signature."""
        return self.headers["authorization"].split("/")[2]

    @property
    def attributes(self) -> dict[str, str]:
        """Return the headers that become attributes of the object."""
        known = (
            "cache-control|content-(disposition|encoding|language|type)|expires|x-amz-(meta-.*|storage-class|tagging)"
        )
        return {name: value for name, value in self.headers.items() if re.fullmatch(known, name)}


class S3:
    """A fake of S3; `fault` returns the fault of each request by its number, or an empty string."""

    def __init__(self) -> None:
        self.owners = {"upstream": UPSTREAM, "stage": OWN}
        self.regions: dict[str, str] = {}
        self.objects: dict[tuple[str, str], Stored] = {}
        self.versions: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Request] = []
        self.parts_copied: list[int] = []
        self.on_part: Callable[[int], object] = lambda copied: None
        self.fault: Callable[[Request, int], str] = lambda request, number: ""
        self.page = 2
        self.checks_signatures = True
        self.delay = 0.0
        self.most_at_once = self._at_once = 0
        self._numbers = itertools.count(1)

    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self.requests]

    def put(self, bucket: str, key: str, size: int, algorithm: str | None = "CRC64NVME", **attributes: str) -> Stored:
        number = next(self._numbers)
        stored = Stored(((f"put {number}", 0, size),), f'"etag {number}"', algorithm, attributes)
        self.objects[bucket, key] = self.versions[f"version {number}"] = stored
        return stored

    def put_data(self, bucket: str, key: str, data: bytes, algorithm: str | None = "CRC64NVME") -> Stored:
        """Put an object whose bytes can be read."""
        stored = self.put(bucket, key, len(data), algorithm)
        stored.data = data
        return stored

    async def respond(self, request: Request) -> Response | None:
        """Return the response, or None to drop the connection without one."""
        self.requests.append(request)
        fault = self.fault(request, len(self.requests))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.delay)
            if fault == "hang":
                await asyncio.Event().wait()
            if fault == "drop before":
                return None
            if fault == "no document":
                return 200, {}, ""
            error = fault.removesuffix(" in 200")
            if error in STATUSES:
                words = document("Error", {"Code": error, "Message": error}) if request.method != "HEAD" else ""
                return 200 if error != fault else STATUSES[error], {}, words
            response = self.executed(request)
            return None if fault == "drop after" else response
        finally:
            self._at_once -= 1

    def executed(self, request: Request) -> Response:
        try:
            if request.region != (region := self.regions.get(request.bucket, "eu-west-1")):
                words = document("Error", {"Code": "PermanentRedirect"}) if request.method != "HEAD" else ""
                return 301, {"x-amz-bucket-region": region}, words
            owner = self.owners[request.bucket]
            if owner != request.headers.get("x-amz-expected-bucket-owner", owner):
                raise client_error("AccessDenied", "Access Denied")
            return self.handlers[request.operation](self, request)
        except ClientError as error:
            found = error.response["Error"]
            words = document("Error", found) if request.method != "HEAD" else ""
            return STATUSES[found["Code"]], {}, words

    def copy_object(self, request: Request) -> Response:
        source = self.source(request)
        if source.size > 5 * GIB:
            raise client_error("InvalidRequest", "The specified copy source is larger than the maximum allowable size")
        assert request.headers["x-amz-tagging-directive"] == "REPLACE"
        kept = {name: value for name, value in source.attributes.items() if name != "x-amz-storage-class"}
        algorithm = request.headers["x-amz-checksum-algorithm"]
        made = dataclasses.replace(source, algorithm=algorithm, attributes=kept | request.attributes)
        return 200, {}, document("CopyObjectResult", self.written(request, made))

    def head_bucket(self, request: Request) -> Response:
        return 200, {}, ""

    def head_object(self, request: Request) -> Response:
        found = self.objects.get((request.bucket, request.key))
        if not found:
            return 404, {}, ""
        headers = {name: value for name, value in found.attributes.items() if name != "x-amz-tagging"}
        headers |= {"content-length": str(found.size), "etag": found.etag}
        if found.algorithm:
            headers[f"x-amz-checksum-{found.algorithm.lower()}"] = found.checksum
        if tags := urllib.parse.parse_qsl(found.attributes.get("x-amz-tagging", "")):
            headers["x-amz-tagging-count"] = str(len(tags))
        return 200, headers, ""

    def get_object(self, request: Request) -> Response:
        found = self.versions.get(request.query.get("versionId", "")) or self.objects.get((request.bucket, request.key))
        if not found:
            raise client_error("NoSuchKey", "The specified key does not exist.")
        if request.headers.get("if-match", found.etag) != found.etag:
            raise client_error("PreconditionFailed", "At least one of the pre-conditions did not hold")
        data = b"x" if found.data is None else found.data
        if given := request.headers.get("range"):
            first, last = (int(at) for at in given.removeprefix("bytes=").split("-"))
            return 206, {}, data[first : last + 1]
        return 200, {}, data

    def put_object(self, request: Request) -> Response:
        [algorithm] = [name for name in _CRCS if f"x-amz-checksum-{name.lower()}" in request.headers]
        made = self.uploaded(request, algorithm)
        made.attributes |= request.attributes
        self.written(request, made)
        return 200, {"etag": made.etag, f"x-amz-checksum-{algorithm.lower()}": made.checksum}, ""

    def upload_part(self, request: Request) -> Response:
        upload = self.upload(request)
        part = self.uploaded(request, upload.algorithm)
        upload.parts[int(request.query["partNumber"])] = part
        return 200, {"etag": part.etag}, ""

    def uploaded(self, request: Request, algorithm: str) -> Stored:
        name = f"sent {next(self._numbers)}"
        made = Stored(((name, 0, len(request.data)),), f'"{name}"', algorithm, data=request.data)
        if request.headers[f"x-amz-checksum-{algorithm.lower()}"] != made.checksum:
            raise client_error("BadDigest", "The checksum did not match.")
        return made

    def get_object_tagging(self, request: Request) -> Response:
        tags = urllib.parse.parse_qsl(self.objects[request.bucket, request.key].attributes.get("x-amz-tagging", ""))
        tag_set = "".join(f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>" for key, value in tags)
        return 200, {}, document("Tagging", {}).replace("</Tagging>", f"<TagSet>{tag_set}</TagSet></Tagging>")

    def create_multipart_upload(self, request: Request) -> Response:
        assert request.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        number = next(self._numbers)
        self.uploads[f"upload {number}"] = Upload(
            request.bucket, request.key, number, request.headers["x-amz-checksum-algorithm"], request.attributes
        )
        return 200, {}, document("InitiateMultipartUploadResult", {"UploadId": f"upload {number}"})

    def list_objects(self, request: Request) -> Response:
        keys = sorted(key for bucket, key in self.objects if bucket == request.bucket)
        after = request.query.get("continuation-token", "")
        matching = (key for key in keys if key.startswith(request.query["prefix"]) and key > after)
        # One more than a page shows that the list is truncated.
        found = list(itertools.islice(matching, self.page + 1))
        return self.listing(
            "ListBucketResult",
            [("Contents", {"Key": urllib.parse.quote_plus(key, safe="/")}) for key in found],
            {"EncodingType": "url", "NextContinuationToken": (found[: self.page] or [""])[-1]},
        )

    def list_multipart_uploads(self, request: Request) -> Response:
        after = (request.query.get("key-marker", ""), request.query.get("upload-id-marker", ""))
        found = sorted(
            (upload.key, upload_id, upload.initiated)
            for upload_id, upload in self.uploads.items()
            if upload.key.startswith(request.query["prefix"]) and (upload.key, upload_id) > after
        )
        key, upload_id, _ = (found[: self.page] or [("", "", 0)])[-1]
        return self.listing(
            "ListMultipartUploadsResult",
            [
                ("Upload", {"Key": urllib.parse.quote_plus(key, safe="/"), "UploadId": u, "Initiated": f"{n:09}"})
                for key, u, n in found
            ],
            {"EncodingType": "url", "NextKeyMarker": urllib.parse.quote_plus(key), "NextUploadIdMarker": upload_id},
        )

    def list_parts(self, request: Request) -> Response:
        after = int(request.query.get("part-number-marker", 0))
        found = [(n, part) for n, part in sorted(self.upload(request).parts.items()) if n > after]
        return self.listing(
            "ListPartsResult",
            [("Part", {"PartNumber": n, "ETag": part.etag, "Size": part.size}) for n, part in found],
            {"NextPartNumberMarker": ([n for n, _ in found[: self.page]] or [0])[-1]},
        )

    def listing(self, root: str, found: list[tuple[str, dict[str, Any]]], markers: dict[str, Any]) -> Response:
        is_truncated = str(len(found) > self.page).lower()
        return 200, {}, document(root, {**markers, "IsTruncated": is_truncated}, found[: self.page])

    def upload_part_copy(self, request: Request) -> Response:
        upload, source = self.upload(request), self.source(request)
        number = int(request.query["partNumber"])
        start, last = (int(at) for at in request.headers["x-amz-copy-source-range"].removeprefix("bytes=").split("-"))
        assert 0 <= start <= last < source.size
        assert 1 <= number <= 10_000
        [(origin, _, _)] = source.content
        data = source.data[start : last + 1] if source.data is not None else None
        part = Stored(((origin, start, last + 1),), f'"part {next(self._numbers)}"', None, data=data)
        upload.parts[number] = part
        self.parts_copied.append(number)
        self.on_part(len(self.parts_copied))
        return 200, {}, document("CopyPartResult", {"ETag": part.etag})

    def complete_multipart_upload(self, request: Request) -> Response:
        upload = self.upload(request)
        given = re.findall("<Part><ETag>(.*?)</ETag><PartNumber>(.*?)</PartNumber></Part>", request.body)
        parts = [upload.parts.get(int(number)) for _, number in given]
        whole = [part for part in parts if part]
        if [part.etag for part in whole] != [etag for etag, _ in given]:
            raise client_error("InvalidPart", "One or more of the specified parts could not be found.")
        if any(part.size < 5 * MIB for part in whole[:-1]):
            raise client_error("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        data = b"".join(part.data or b"" for part in whole) if all(part.data is not None for part in whole) else None
        made = Stored(joined(whole), '"whole"', upload.algorithm, upload.attributes, data)
        if int(request.headers["x-amz-mp-object-size"]) != made.size:
            raise client_error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match")
        if request.headers.get(f"x-amz-checksum-{upload.algorithm.lower()}", made.checksum) != made.checksum:
            raise client_error("BadDigest", "The checksum did not match.")
        result = self.written(request, made)
        del self.uploads[request.query["uploadId"]]
        return 200, {}, document("CompleteMultipartUploadResult", result)

    def abort_multipart_upload(self, request: Request) -> Response:
        self.upload(request)
        del self.uploads[request.query["uploadId"]]
        return 204, {}, ""

    handlers: dict[str, Callable[[S3, Request], Response]] = {  # noqa: RUF012 - never changed
        "AbortMultipartUpload": lambda s3, request: s3.abort_multipart_upload(request),
        "CompleteMultipartUpload": lambda s3, request: s3.complete_multipart_upload(request),
        "CopyObject": lambda s3, request: s3.copy_object(request),
        "CreateMultipartUpload": lambda s3, request: s3.create_multipart_upload(request),
        "GetObject": lambda s3, request: s3.get_object(request),
        "GetObjectTagging": lambda s3, request: s3.get_object_tagging(request),
        "HeadBucket": lambda s3, request: s3.head_bucket(request),
        "HeadObject": lambda s3, request: s3.head_object(request),
        "ListMultipartUploads": lambda s3, request: s3.list_multipart_uploads(request),
        "ListObjectsV2": lambda s3, request: s3.list_objects(request),
        "ListParts": lambda s3, request: s3.list_parts(request),
        "PutObject": lambda s3, request: s3.put_object(request),
        "UploadPart": lambda s3, request: s3.upload_part(request),
        "UploadPartCopy": lambda s3, request: s3.upload_part_copy(request),
    }

    def upload(self, request: Request) -> Upload:
        found = self.uploads.get(request.query["uploadId"])
        if not found or found.key != request.key:
            raise client_error("NoSuchUpload", "The specified upload does not exist.")
        return found

    def source(self, request: Request) -> Stored:
        path, _, version = request.headers["x-amz-copy-source"].partition("?versionId=")
        bucket, _, key = urllib.parse.unquote(path).partition("/")
        if self.owners[bucket] != request.headers["x-amz-source-expected-bucket-owner"]:
            raise client_error("AccessDenied", "Access Denied")
        found = self.versions.get(urllib.parse.unquote(version)) if version else self.objects.get((bucket, key))
        if not found:
            raise client_error("NoSuchKey", "The specified key does not exist.")
        if found.etag != request.headers["x-amz-copy-source-if-match"]:
            raise client_error("PreconditionFailed", "At least one of the pre-conditions did not hold")
        return found

    def written(self, request: Request, made: Stored) -> dict[str, str]:
        assert request.headers["if-none-match"] == "*"
        if (request.bucket, request.key) in self.objects:
            raise client_error("PreconditionFailed", "At least one of the pre-conditions did not hold")
        self.objects[request.bucket, request.key] = made
        return {"ETag": made.etag, f"Checksum{made.algorithm}": made.checksum}


def joined(parts: Iterable[Stored]) -> Content:
    """Return the content of all parts, with adjacent ranges of the same version merged."""
    whole: list[tuple[str, int, int]] = []
    for origin, start, end in (piece for part in parts for piece in part.content):
        if whole and (origin, start) == (whole[-1][0], whole[-1][2]):
            whole[-1] = (origin, whole[-1][1], end)
        else:
            whole.append((origin, start, end))
    return tuple(whole)


def document(root: str, values: dict[str, Any], lists: Iterable[tuple[str, dict[str, Any]]] = ()) -> str:
    def elements(given: dict[str, Any]) -> str:
        return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in given.items())

    namespace = "" if root == "Error" else ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    inner = elements(values) + "".join(f"<{name}>{elements(given)}</{name}>" for name, given in lists)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{namespace}>{inner}</{root}>'


@functools.cache
def _socket() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    atexit.register(listening.close)
    return listening


@functools.cache
def client() -> Any:
    """Return a boto3 client for the S3 that is being served."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{_socket().getsockname()[1]}",
        region_name="eu-west-1",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        aws_session_token=KEYS.token,
    )


@contextlib.asynccontextmanager
async def served(s3: S3) -> AsyncIterator[None]:
    wrong: list[AssertionError] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while response := await s3.respond(await _request(reader, s3.checks_signatures)):
                writer.write(_encoded(*response))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except AssertionError as error:
            wrong.append(error)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, sock=_socket().dup())
    try:
        yield
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()
        if wrong:
            raise wrong[0]


async def _request(reader: asyncio.StreamReader, checks_signature: bool) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    if checks_signature:
        _check_signature(method, target, headers, body)
    path, _, query = target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    arguments = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    text = body.decode() if method == "POST" else ""
    return Request(method, bucket, urllib.parse.unquote(key), arguments, headers, text, body)


def _check_signature(method: str, target: str, headers: dict[str, str], body: bytes) -> None:
    """Check the signature with botocore's own signer."""
    found = re.fullmatch(r".* SignedHeaders=(.*), Signature=(.*)", headers["authorization"])
    assert found
    signed = {name: headers[name] for name in found[1].split(";")}
    assert {name for name in headers if name.startswith("x-amz-")} <= signed.keys()
    request = AWSRequest(method, f"http://{headers['host']}{target}", headers=signed, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(KEYS, "s3", headers["authorization"].split("/")[2])
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert auth.signature(text, request) == found[2]


def _encoded(status: int, headers: dict[str, str], body: str | bytes) -> bytes:
    """Encode a response, chunked with leading white space, as S3 does for long operations, or with its length."""
    content = body.encode() if isinstance(body, str) else body
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if status == 200 and content and isinstance(body, str):
        chunks = [b"\n", content[:60], content[60:]]
        encoded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
        return f"HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n".encode() + encoded
    length = "" if status == 204 or "content-length" in headers else f"Content-Length: {len(content)}\r\n"
    return f"HTTP/1.1 {status} Status\r\n{length}{lines}\r\n".encode() + content
