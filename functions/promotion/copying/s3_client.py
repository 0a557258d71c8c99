"""Requests to one bucket of S3 by the hundred: what boto3 does for them, at a tenth of its time.

Where the bucket is, how it is addressed and who asks is botocore's to say; so is what an error looks like.
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
from promotion.copying.http_client import Answer, BrokenAnswerError, Connections
from promotion.copying.sigv4 import TIME_FORMAT, encoded, query_string, signed_headers
from promotion.errors import TransientError

TRIES = 8
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# What S3 answers, whatever the code in the body, when another try may do.
_PASSING_STATUSES = {429, 500, 502, 503, 504}

# How long to wait for the next byte of an answer; a copy is given more time by its size.
PATIENCE_SECONDS = 20.0


class Reply:
    """What S3 answered, after how many retries: its headers (names in lower case), and its document, if it has one."""

    def __init__(self, headers: dict[str, str], root: ElementTree.Element, retries: int) -> None:
        self.headers, self.root, self.retries = headers, root, retries
        self._texts = {_name(child): child.text or "" for child in root}

    def text(self, name: str) -> str | None:
        """What stands in an element of its document, or None if there is none."""
        return self._texts.get(name)

    def decoded(self, key: str) -> str:
        """A key in it. S3 encodes keys on request, since XML has no way to write some characters."""
        return urllib.parse.unquote_plus(key) if self.text("EncodingType") == "url" else key


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a bucket is: `path` is "" or, where the name of the bucket is no part of the host's, that name."""

    scheme: str
    host: str
    port: int | None
    path: str
    region: str
    signer: Any

    @property
    def host_header(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


class S3Requests:
    """Signed requests to `bucket`, with the endpoint, the addressing and the credentials of the boto3 client `s3`."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket
        self._go_to(_resolved(s3, bucket))

    def _go_to(self, place: _Place) -> None:
        self._place = place
        is_tls = place.scheme == "https"
        self._connections = Connections(place.host, place.port or (443 if is_tls else 80), _tls() if is_tls else None)

    def close(self) -> None:
        self._connections.close()

    async def ask(
        self,
        operation: str,
        method: str,
        key: str = "",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        wanted: str | None = None,
        more_patience: float = 0.0,
    ) -> Reply:
        """Send a request until it is answered for good: with an element `wanted`, if the answer has to have one.

        Raises ClientError (of the operation, as boto3 has it) for an error that stays, and TransientError when all
        tries came to nothing.
        """
        last: Exception | None = None
        for attempt in range(TRIES):
            if attempt:
                # "Full jitter": what failed together is not tried again together.
                longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311
            place = self._place
            try:
                answer = await self._sent(method, key, query or {}, headers or {}, body, more_patience)
                reply = _read(answer, operation, attempt)
                if wanted is None or reply.text(wanted) is not None:
                    return reply
                last = BrokenAnswerError(f"The answer has no {wanted}.")
            except ssl.SSLCertVerificationError:
                raise
            except ClientError as error:
                if region := _other_region(error, place):
                    self._follow(place, region)
                elif not _is_passing(error):
                    raise
                last = error
            except OSError as error:
                last = error
        words = message(last) if isinstance(last, ClientError) else str(last) or type(last).__name__
        raise TransientError(f"{operation} of s3://{self._bucket}/{key} failed {TRIES} times: {words}") from last

    async def pages(
        self, operation: str, key: str, query: dict[str, str], headers: dict[str, str], markers: dict[str, str]
    ) -> AsyncIterator[Reply]:
        """Every page of a listing; `markers` are the arguments of the next page, by the elements that have them."""
        more = True
        while more:
            page = await self.ask(operation, "GET", key, query, headers, wanted="IsTruncated")
            yield page
            more = page.text("IsTruncated") == "true"
            following = {argument: page.text(name) or "" for name, argument in markers.items()}
            # Of the markers only this one is a key, and therefore encoded.
            if "key-marker" in following:
                following["key-marker"] = page.decoded(following["key-marker"])
            query = query | following

    def _follow(self, place: _Place, region: str) -> None:
        """Ask in `region` from now on, unless another request that was sent to `place` has found that out before."""
        if self._place is place:
            self._connections.close()
            self._go_to(_resolved(self._s3, self._bucket, region))

    async def _sent(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes, more_patience: float
    ) -> Answer:
        place, arguments = self._place, query_string(query)
        path = f"{place.path}/{encoded(key, safe='/')}"
        # Asked for each time, since it makes new credentials of those that are about to expire.
        credentials = place.signer.get_auth_instance("s3", place.region).credentials
        signed = signed_headers(
            method,
            path,
            arguments,
            {"host": place.host_header} | headers,
            body,
            region=place.region,
            credentials=credentials,
            time=time.strftime(TIME_FORMAT, time.gmtime()),
        )
        lines = [f"{method} {path}{'?' if arguments else ''}{arguments} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in signed.items()]
        lines += [f"content-length: {len(body)}", "", ""]
        request = "\r\n".join(lines).encode() + body
        patience = PATIENCE_SECONDS + more_patience
        return await self._connections.exchange(request, patience, has_body=method != "HEAD")


def _resolved(s3: Any, bucket: str, region: str | None = None) -> _Place:
    """Where `s3` would send a request for `bucket`, in its own or another Region.

    Taken from a request that is kept from being sent.
    """
    found: list[_Place] = []

    def move(builtins: dict[str, Any], **_: object) -> None:
        if region:
            builtins["AWS::Region"] = region

    def keep(params: dict[str, Any], request_signer: Any, **_: object) -> tuple[Any, dict[str, Any]]:
        url = urllib.parse.urlsplit(params["url"])
        region = params["context"]["signing"]["region"]
        default = {"https": 443, "http": 80}[url.scheme]
        port = url.port if url.port != default else None
        found.append(_Place(url.scheme, url.hostname or "", port, url.path.rstrip("/"), region, request_signer))
        # botocore takes what such a handler returns for the answer.
        return types.SimpleNamespace(status_code=200), {}

    s3.meta.events.register_first("before-call.s3.HeadBucket", keep)
    s3.meta.events.register_last("before-endpoint-resolution.s3", move)
    try:
        s3.head_bucket(Bucket=bucket)
    finally:
        s3.meta.events.unregister("before-call.s3.HeadBucket", keep)
        s3.meta.events.unregister("before-endpoint-resolution.s3", move)
    return found[0]


@functools.cache
def _tls() -> ssl.SSLContext:
    """With the certificates that botocore trusts: AWS_CA_BUNDLE where it is set."""
    bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    return ssl.create_default_context(cafile=get_cert_path(bundle or True))


_NO_DOCUMENT = ElementTree.Element("None")


def _read(answer: Answer, operation: str, retries: int) -> Reply:
    """The reply in `answer`; raises ClientError for an error, whatever its status: S3 sends some with a 200."""
    root = _NO_DOCUMENT
    # S3 sends white space while it is at work.
    if document := answer.body.lstrip():
        try:
            root = ElementTree.fromstring(document)  # noqa: S314 - from S3, and expat bounds its entities
        except ElementTree.ParseError:
            if answer.status < 300:
                raise BrokenAnswerError(f"The answer {document[:80]!r} is no whole document.") from None
    if answer.status < 300 and _name(root) != "Error":
        return Reply(answer.headers, root, retries)
    # The answer to a HEAD has no body, so that its code is the status, as with botocore.
    words = http.client.responses.get(answer.status, "")
    error = {"Code": str(answer.status), "Message": words} | {_name(child): child.text or "" for child in root}
    metadata = {"HTTPStatusCode": answer.status, "RetryAttempts": retries, "HTTPHeaders": answer.headers}
    raise ClientError({"Error": error, "ResponseMetadata": metadata}, operation)


def _name(element: ElementTree.Element) -> str:
    """Its name without its namespace."""
    return element.tag.rpartition("}")[2]


def _is_passing(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in _PASSING_STATUSES or meaning(error) is Meaning.TRANSIENT


def _other_region(error: ClientError, place: _Place) -> str | None:
    """Where the bucket is, if S3 says that it was not asked for at `place`: by botocore's S3RegionRedirectorv2."""
    found, metadata = error.response["Error"], error.response["ResponseMetadata"]
    is_elsewhere = metadata["HTTPStatusCode"] in (301, 307) or found["Code"] in ("400", "AuthorizationHeaderMalformed")
    region = metadata["HTTPHeaders"].get("x-amz-bucket-region") or found.get("Region")
    return str(region) if is_elsewhere and region and region != place.region else None
