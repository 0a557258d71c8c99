"""HTTP/1.1 on asyncio for many small requests at once, over kept connections: no more of HTTP than S3 speaks."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import socket
import ssl
from typing import cast

CONNECT_SECONDS = 5.0

# A handshake is mostly computation: a few at once are as fast as all, and each of them stays within its time.
_OPENED_AT_ONCE = 32
# S3 answers each look-up of its name with some of its many addresses.
_ADDRESSES_LAST_SECONDS = 10.0
_LARGEST_HEAD_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    length: int
    """How many bytes it was, head and all."""


class BrokenAnswerError(ConnectionError):
    """There was no whole answer, so that nobody knows whether the request has been carried out."""


def parsed(data: bytes | bytearray, *, has_body: bool, is_closed: bool) -> Answer | None:
    """The answer that `data` begins with, or None while it is not whole. Raises BrokenAnswerError when it is none."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _LARGEST_HEAD_BYTES:
            raise BrokenAnswerError("The head of the answer has no end.")
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
        return None if body is None else Answer(int(status[:3]), headers, body, stop)
    except ValueError as error:
        raise BrokenAnswerError(f"The answer begins with {bytes(data[:80])!r}, which is no HTTP.") from error


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
    """Sends one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._has_body = True
        self._heard = self._patience = 0.0
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def exchange(self, request: bytes, patience: float, *, has_body: bool) -> Answer:
        self._answer, self._has_body = self._loop.create_future(), has_body
        self._heard, self._patience = self._loop.time(), patience
        self._timer = self._loop.call_later(patience, self._check_silence)
        self._transport.write(request)
        try:
            answer = await self._answer
        finally:
            self._timer.cancel()
            self._answer = None
        if answer.headers["connection"].lower() == "close" or self._received:
            self.abort()
        return answer

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._heard = self._loop.time()
        self._read(is_closed=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._read(is_closed=True)
        self._fail(BrokenAnswerError(f"The connection was lost: {exc or 'closed by the other side'}."))

    def _read(self, *, is_closed: bool) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            answer = parsed(self._received, has_body=self._has_body, is_closed=is_closed)
        except BrokenAnswerError as error:
            self._fail(error)
            return
        if answer:
            del self._received[: answer.length]
            self._answer.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)

    def _check_silence(self) -> None:
        due = self._heard + self._patience
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._check_silence)
        else:
            self._fail(TimeoutError(f"There was no answer for {self._patience:.0f} seconds."))


class Connections:
    """Kept connections to one host; as many as there are requests at once."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._opening = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._looking_up = asyncio.Lock()
        self._addresses: list[str] = []
        self._addresses_end = 0.0

    async def exchange(self, request: bytes, patience: float, *, has_body: bool = True) -> Answer:
        """Send `request` and return the whole answer.

        Raises OSError when there is none: TimeoutError after `patience` seconds without a single byte, and
        BrokenAnswerError when the connection is lost.
        """
        connection = self._kept() or await self._opened()
        try:
            answer = await connection.exchange(request, patience, has_body=has_body)
        except BaseException:
            connection.abort()
            raise
        if self._is_closed:
            connection.abort()
        elif connection.is_open:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """End the connections: the idle ones now, the others after the request that each is busy with."""
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
        async with self._looking_up:
            if not self._addresses or loop.time() >= self._addresses_end:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses = [str(address[0]) for *_, address in found]
                self._addresses_end = loop.time() + _ADDRESSES_LAST_SECONDS
        return random.choice(self._addresses)  # noqa: S311 - spreads load, hides nothing
