"""The requests of this process's clients: the application answers them without a connection and without a signature.

A connection to the server of the same process would take two thirds of the CPU of a request: both ends encode and parse
HTTP, sign, and wait for each other's thread. All other processes use the server.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

import botocore
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.datastructures import Headers
from werkzeug.exceptions import InternalServerError
from werkzeug.serving import BaseWSGIServer
from werkzeug.test import run_wsgi_app

from embedded_aws.kernel.accounts import endpoint_url

_server: BaseWSGIServer | None = None


def use(server: BaseWSGIServer | None) -> None:
    """Let the application of a server answer all requests from now on; without one, they fail."""
    global _server
    _server = server


def respond(application: Any, environ: dict[str, Any]) -> tuple[Iterable[bytes], str, Headers]:
    """Return the body, the status and the headers of a response; raise ConnectionError if there is none."""
    try:
        return run_wsgi_app(application, environ)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - a bug is a response, too
        traceback.print_exc()
        return run_wsgi_app(InternalServerError(), environ)


def connect(client: Any) -> None:
    """Connect a boto3 client to the application."""
    # Nothing checks a signature: the access key in it is the caller.
    client.meta.events.register_first("choose-signer", lambda **_: botocore.UNSIGNED)
    client.meta.events.register_last("before-sign", _name_caller)
    client.meta.events.register_first("before-send", _send)


def _name_caller(request: AWSRequest, request_signer: Any, signing_name: str, region_name: str, **_: object) -> None:
    credentials = request_signer._credentials
    scope = f"{credentials.access_key}/20000101/{region_name}/{signing_name}/aws4_request"
    request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    if credentials.token:
        request.headers["X-Amz-Security-Token"] = credentials.token


def _send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
    """Return the response of the application. Raise the exceptions of botocore's HTTP client."""
    if _server is None:
        raise EndpointConnectionError(endpoint_url=request.url)
    try:
        chunks, status, headers = respond(_server.app, _Request(_server, request).make_environ())
    except ConnectionError as error:
        raise ConnectionClosedError(endpoint_url=request.url, request=request) from error
    return AWSResponse(request.url, int(status.split()[0]), headers, _Body(_Chunks(chunks)))


class _Request(MotoRequestHandler):
    """A request as the server's handler has it when it has read the headers."""

    connection = None
    client_address = ("127.0.0.1", 0)
    request_version = "HTTP/1.1"

    def __init__(self, server: BaseWSGIServer, request: AWSPreparedRequest) -> None:
        self.server = server
        self.command = request.method
        self.path = request.url.removeprefix(endpoint_url())
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        data = body.encode() if isinstance(body, str) else bytes(body)
        self.rfile = io.BytesIO(data)
        texts = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
        host = endpoint_url().removeprefix("http://")
        self.headers = {"Host": host, **texts, "Content-Length": str(len(data))}
        self.headers.pop("Transfer-Encoding", None)


class _Chunks(io.RawIOBase):
    """The body of a response, which is produced while it is read: an object can have terabytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the start of the buffer, and return its length: 0 at the end."""
        while not self._rest and (chunk := next(self._chunks, None)) is not None:
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def readall(self) -> bytes:
        """Return all that is left."""
        return b"".join([self._rest, *self._chunks])


class _Body(io.BufferedReader):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Yield the chunks of the body, as urllib3 does."""
        while chunk := self.read1():
            yield chunk
