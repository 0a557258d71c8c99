"""An HTTP/1.1 client on asyncio for many small concurrent requests over keep-alive connections, limited to S3."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import socket
import ssl
from typing import cast

CONNECT_SECONDS = 5.0

# A handshake is mostly computation: a few at a time are as fast as all at once, and each stays within its time-out.
_CONCURRENT_HANDSHAKES = 32
# DNS returns a different subset of S3's many addresses for each query.
_ADDRESS_LIFETIME_SECONDS = 10.0
_MAXIMUM_HEAD_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Response:
    """A complete HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int
    """The total size in bytes, including the head."""


class BrokenResponseError(ConnectionError):
    """The response is incomplete or invalid, so it is unknown whether the request took effect."""


def parsed(data: bytes | bytearray, *, has_body: bool, is_closed: bool) -> Response | None:
    """Return the response at the start of `data`, or None if incomplete; raise BrokenResponseError if invalid."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _MAXIMUM_HEAD_BYTES:
            raise BrokenResponseError("The head of the response is too long.")
        return None
    status_line, *lines = data[:end].decode("latin-1").split("\r\n")
    version, _, status = status_line.partition(" ")
    headers = {"connection": "close" if version == "HTTP/1.0" else "keep-alive"}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    start = end + 4
    try:
        body, stop = _body(data, start, headers, has_body=has_body and status[:3] != "204", is_closed=is_closed)
        return None if body is None else Response(int(status[:3]), headers, body, stop)
    except ValueError as error:
        raise BrokenResponseError(f"The response begins with {bytes(data[:80])!r}, which is not HTTP.") from error


def _body(
    data: bytes | bytearray, start: int, headers: dict[str, str], *, has_body: bool, is_closed: bool
) -> tuple[bytes | None, int]:
    if not has_body:
        return b"", start
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(data, start)
    if "content-length" in headers:
        stop = start + int(headers["content-length"])
        return (bytes(data[start:stop]) if len(data) >= stop else None), stop
    return (bytes(data[start:]) if is_closed else None), len(data)


def _chunks(data: bytes | bytearray, at: int) -> tuple[bytes | None, int]:
    body = bytearray()
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].partition(b";")[0], 16)
        if size == 0:
            stop = data.find(b"\r\n\r\n", at) + 4
            return (bytes(body) if stop >= 4 else None), stop
        start, at = end + 2, end + 2 + size + 2
        if len(data) < at:
            break
        body += data[start : at - 2]
    return None, at


class _Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._response: asyncio.Future[Response] | None = None
        self._has_body = True
        self._last_received = self._timeout = 0.0
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def exchange(self, request: bytes, timeout: float, *, has_body: bool) -> Response:
        self._response, self._has_body = self._loop.create_future(), has_body
        self._last_received, self._timeout = self._loop.time(), timeout
        self._timer = self._loop.call_later(timeout, self._check_silence)
        self._transport.write(request)
        try:
            response = await self._response
        finally:
            self._timer.cancel()
            self._response = None
        if response.headers["connection"].lower() == "close" or self._received:
            self.abort()
        return response

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._last_received = self._loop.time()
        self._read(is_closed=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._read(is_closed=True)
        self._fail(BrokenResponseError(f"The connection was lost: {exc or 'closed by the server'}."))

    def _read(self, *, is_closed: bool) -> None:
        if self._response is None or self._response.done():
            return
        try:
            response = parsed(self._received, has_body=self._has_body, is_closed=is_closed)
        except BrokenResponseError as error:
            self._fail(error)
            return
        if response:
            del self._received[: response.length]
            self._response.set_result(response)

    def _fail(self, error: Exception) -> None:
        if self._response and not self._response.done():
            self._response.set_exception(error)

    def _check_silence(self) -> None:
        due = self._last_received + self._timeout
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._check_silence)
        else:
            self._fail(TimeoutError(f"There was no response for {self._timeout:.0f} seconds."))


class Connections:
    """Keep-alive connections to one host, one for each concurrent request."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._opening = asyncio.Semaphore(_CONCURRENT_HANDSHAKES)
        self._resolving = asyncio.Lock()
        self._addresses: list[str] = []
        self._addresses_end = 0.0

    async def exchange(self, request: bytes, timeout: float, *, has_body: bool = True) -> Response:
        """Send `request` and return the response.

        Raise OSError if there is none: TimeoutError after `timeout` seconds without a byte, and BrokenResponseError if
        the connection is lost.
        """
        connection = self._kept() or await self._opened()
        try:
            response = await connection.exchange(request, timeout, has_body=has_body)
        except BaseException:
            connection.abort()
            raise
        if self._is_closed:
            connection.abort()
        elif connection.is_open:
            self._idle.append(connection)
        return response

    def close(self) -> None:
        """Close the idle connections now, and the others after their current request."""
        self._is_closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _opened(self) -> _Connection:
        async with self._opening:
            if kept := self._kept():
                return kept
            address = await self._address()
            name = self._host if self._tls else None
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, connection = await asyncio.get_running_loop().create_connection(
                        _Connection, address, self._port, ssl=self._tls, server_hostname=name
                    )
            except OSError:
                self._addresses = [other for other in self._addresses if other != address]
                raise
        return connection

    async def _address(self) -> str:
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if not self._addresses or loop.time() >= self._addresses_end:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses = [str(address[0]) for *_, address in found]
                self._addresses_end = loop.time() + _ADDRESS_LIFETIME_SECONDS
        return random.choice(self._addresses)  # noqa: S311 - for load balancing, not for security
