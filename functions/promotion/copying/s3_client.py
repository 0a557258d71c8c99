"""Hundreds of concurrent requests to one S3 bucket, at a tenth of boto3's time.

botocore determines the bucket's endpoint, addressing style and credentials. Errors have the form of botocore's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import http.client
import random
import ssl
import time
import types
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import botocore.session
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.http_client import BrokenResponseError, Connections, Response
from promotion.copying.sigv4 import TIME_FORMAT, encoded, query_string, signed_headers
from promotion.errors import TransientError

ATTEMPTS = 8
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# The statuses of transient errors, independent of the code in the body.
_TRANSIENT_STATUSES = {429, 500, 502, 503, 504}

# How long to wait for the next byte of a response; a copy gets additional time for its size.
TIMEOUT_SECONDS = 20.0


class Reply:
    """A response of S3: its headers (in lowercase), its XML document, if any, and the number of retries before it.

    `body` is the content of an object, if that was requested.
    """

    def __init__(self, headers: dict[str, str], root: ElementTree.Element, retries: int, body: bytes = b"") -> None:
        self.headers, self.root, self.retries, self.body = headers, root, retries, body
        self._texts = {_name(child): child.text or "" for child in root}

    def text(self, name: str) -> str | None:
        """Return the text of an element of the document, or None if there is no such element."""
        return self._texts.get(name)

    def decoded(self, key: str) -> str:
        """Return a key in the document decoded; S3 encodes keys on request, since XML excludes some characters."""
        return urllib.parse.unquote_plus(key) if self.text("EncodingType") == "url" else key


@dataclasses.dataclass(frozen=True)
class _Endpoint:
    """The endpoint of a bucket; `path` is empty, or the bucket's name in path-style addressing."""

    scheme: str
    host: str
    port: int | None
    path: str
    region: str
    signer: Any

    @property
    def host_header(self) -> str:
        """Return the value of the Host header."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


class S3Requests:
    """Signed requests to `bucket`, with the endpoint, the addressing and the credentials of the boto3 client `s3`."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket
        self._connect_to(_resolved(s3, bucket))

    def _connect_to(self, endpoint: _Endpoint) -> None:
        self._endpoint = endpoint
        is_tls = endpoint.scheme == "https"
        self._connections = Connections(
            endpoint.host, endpoint.port or (443 if is_tls else 80), _tls() if is_tls else None
        )

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    async def send(
        self,
        operation: str,
        method: str,
        key: str = "",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        required: str | None = None,
        extra_seconds: float = 0.0,
        has_document: bool = True,
    ) -> Reply:
        """Send a request with retries, and return the response, which must have the element `required`, if any.

        Without a document, its body is the content of an object.

        Raise ClientError, as boto3 does, for a permanent error, and TransientError if all attempts failed.
        """
        last: Exception | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                # "Full jitter": requests that failed together are not retried together.
                longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311
            endpoint = self._endpoint
            try:
                response = await self._sent(method, key, query or {}, headers or {}, body, extra_seconds)
                if not has_document and response.status < 300:
                    return Reply(response.headers, _NO_DOCUMENT, attempt, response.body)
                reply = _read(response, operation, attempt)
                if required is None or reply.text(required) is not None:
                    return reply
                last = BrokenResponseError(f"The response has no {required}.")
            except ssl.SSLCertVerificationError:
                raise
            except ClientError as error:
                if region := _other_region(error, endpoint):
                    self._follow(endpoint, region)
                elif not _is_transient(error):
                    raise
                last = error
            except OSError as error:
                last = error
        text = message(last) if isinstance(last, ClientError) else str(last) or type(last).__name__
        raise TransientError(f"{operation} of s3://{self._bucket}/{key} failed {ATTEMPTS} times: {text}") from last

    async def is_denied_by(self, headers: dict[str, str]) -> bool:
        """Return whether S3 denies a request for the bucket with `headers`, and only with them."""
        denied = []
        for each in ({}, headers):
            try:
                await self.send("HeadBucket", "HEAD", headers=each)
                denied.append(False)
            except ClientError as error:
                denied.append(meaning(error) is Meaning.DENIED)
            except TransientError:
                return False
        return denied == [False, True]

    async def pages(
        self, operation: str, key: str, query: dict[str, str], headers: dict[str, str], markers: dict[str, str]
    ) -> AsyncIterator[Reply]:
        """Yield the pages of a listing; `markers` are the query arguments of the next page, by element name."""
        more = True
        while more:
            page = await self.send(operation, "GET", key, query, headers, required="IsTruncated")
            yield page
            more = page.text("IsTruncated") == "true"
            following = {argument: page.text(name) or "" for name, argument in markers.items()}
            # Only this marker is a key, and therefore encoded.
            if "key-marker" in following:
                following["key-marker"] = page.decoded(following["key-marker"])
            query = query | following

    def _follow(self, endpoint: _Endpoint, region: str) -> None:
        """Switch to `region`, unless another request to `endpoint` has already done so."""
        if self._endpoint is endpoint:
            self._connections.close()
            self._connect_to(_resolved(self._s3, self._bucket, region))

    async def _sent(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes, extra_seconds: float
    ) -> Response:
        endpoint, arguments = self._endpoint, query_string(query)
        path = f"{endpoint.path}/{encoded(key, safe='/')}"
        # Called for each request, because it refreshes credentials that are about to expire.
        credentials = endpoint.signer.get_auth_instance("s3", endpoint.region).credentials
        signed = signed_headers(
            method,
            path,
            arguments,
            {"host": endpoint.host_header} | headers,
            body,
            region=endpoint.region,
            credentials=credentials,
            time=time.strftime(TIME_FORMAT, time.gmtime()),
        )
        lines = [f"{method} {path}{'?' if arguments else ''}{arguments} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in signed.items()]
        lines += [f"content-length: {len(body)}", "", ""]
        request = "\r\n".join(lines).encode() + body
        timeout = TIMEOUT_SECONDS + extra_seconds
        return await self._connections.exchange(request, timeout, has_body=method != "HEAD")


def _resolved(s3: Any, bucket: str, region: str | None = None) -> _Endpoint:
    """Return the endpoint that `s3` uses for `bucket`, in its own region or another one.

    It is read from a request that is intercepted before it is sent.
    """
    found: list[_Endpoint] = []

    def set_region(builtins: dict[str, Any], **_: object) -> None:
        if region:
            builtins["AWS::Region"] = region

    def intercept(params: dict[str, Any], request_signer: Any, **_: object) -> tuple[Any, dict[str, Any]]:
        url = urllib.parse.urlsplit(params["url"])
        region = params["context"]["signing"]["region"]
        default = {"https": 443, "http": 80}[url.scheme]
        port = url.port if url.port != default else None
        found.append(_Endpoint(url.scheme, url.hostname or "", port, url.path.rstrip("/"), region, request_signer))
        # botocore uses the handler's return value as the response.
        return types.SimpleNamespace(status_code=200), {}

    s3.meta.events.register_first("before-call.s3.HeadBucket", intercept)
    s3.meta.events.register_last("before-endpoint-resolution.s3", set_region)
    try:
        s3.head_bucket(Bucket=bucket)
    finally:
        s3.meta.events.unregister("before-call.s3.HeadBucket", intercept)
        s3.meta.events.unregister("before-endpoint-resolution.s3", set_region)
    return found[0]


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return a context with the certificates that botocore trusts, including AWS_CA_BUNDLE."""
    bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    return ssl.create_default_context(cafile=get_cert_path(bundle or True))


_NO_DOCUMENT = ElementTree.Element("None")


def _read(response: Response, operation: str, retries: int) -> Reply:
    """Return the reply in `response`; raise ClientError for an error, which S3 can also send with status 200."""
    root = _NO_DOCUMENT
    # S3 sends white space while it processes a request.
    if document := response.body.lstrip():
        try:
            root = ElementTree.fromstring(document)  # noqa: S314 - from S3, and expat bounds its entities
        except ElementTree.ParseError:
            if response.status < 300:
                raise BrokenResponseError(f"The response {document[:80]!r} is not a complete XML document.") from None
    if response.status < 300 and _name(root) != "Error":
        return Reply(response.headers, root, retries)
    # The response to a HEAD has no body, so its code is the status, as in botocore.
    reason = http.client.responses.get(response.status, "")
    error = {"Code": str(response.status), "Message": reason} | {_name(child): child.text or "" for child in root}
    metadata = {"HTTPStatusCode": response.status, "RetryAttempts": retries, "HTTPHeaders": response.headers}
    raise ClientError({"Error": error, "ResponseMetadata": metadata}, operation)


def _name(element: ElementTree.Element) -> str:
    """Return the element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _is_transient(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in _TRANSIENT_STATUSES or meaning(error) is Meaning.TRANSIENT


def _other_region(error: ClientError, endpoint: _Endpoint) -> str | None:
    """Return the bucket's region if S3 reports another than `endpoint`'s; see botocore's S3RegionRedirectorv2."""
    found, metadata = error.response["Error"], error.response["ResponseMetadata"]
    is_elsewhere = metadata["HTTPStatusCode"] in (301, 307) or found["Code"] in ("400", "AuthorizationHeaderMalformed")
    region = metadata["HTTPHeaders"].get("x-amz-bucket-region") or found.get("Region")
    return str(region) if is_elsewhere and region and region != endpoint.region else None
