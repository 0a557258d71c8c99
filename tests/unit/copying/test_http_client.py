import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from promotion.copying.http_client import BrokenResponseError, Connections, Response, parsed
from tests.support import idle_clock

KEPT = "keep-alive"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503\r\nContent-Length: 2\r\n\r\nno", 503, b"no"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n", 200, b""),
        # A chunk whose content looks like the end of the body.
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            200,
            b"\r\n0\r\n\r\n",
        ),
    ],
)
def test_a_response_is_returned_only_when_it_is_complete(data: bytes, status: int, body: bytes) -> None:
    response = parsed(data + b"more", has_body=True, is_closed=False)

    assert response
    assert (response.status, response.body, response.length) == (status, body, len(data))
    for length in range(len(data)):
        assert parsed(data[:length], has_body=True, is_closed=False) is None


def test_a_response_to_a_head_has_no_body() -> None:
    data = b'HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\nETag: "e"\r\n\r\n'

    response = parsed(data, has_body=False, is_closed=False)

    assert response == Response(
        200, {"connection": KEPT, "content-length": "5000000000", "etag": '"e"'}, b"", len(data)
    )


def test_a_response_without_a_length_ends_with_its_connection() -> None:
    data = b"HTTP/1.0 200 OK\r\n\r\nall of it"

    assert parsed(data, has_body=True, is_closed=False) is None
    response = parsed(data, has_body=True, is_closed=True)
    assert response
    assert (response.body, response.headers["connection"]) == (b"all of it", "close")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_invalid_http_is_a_broken_response(data: bytes) -> None:
    with pytest.raises(BrokenResponseError):
        parsed(data, has_body=True, is_closed=True)


Serve = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def connections(serve: Serve) -> AsyncIterator[tuple[Connections, list[int]]]:
    """Yield connections to a server that handles requests with `serve`, and the numbers of the accepted ones."""
    opened: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(opened)
        opened.append(number)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                await serve(number, reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    to = Connections("127.0.0.1", server.sockets[0].getsockname()[1], None)
    try:
        yield to, opened
    finally:
        to.close()
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def respond(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def test_a_connection_is_reused_for_the_next_request() -> None:
    async def scenario() -> int:
        async with connections(respond) as (to, opened):
            for _ in range(5):
                assert (await to.exchange(REQUEST, 5)).body == b"ok"
            return len(opened)

    assert idle_clock.run(scenario()) == 1


def test_concurrent_requests_use_separate_connections() -> None:
    async def slowly(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async def scenario() -> int:
        async with connections(slowly) as (to, opened):
            for _ in range(3):
                await asyncio.gather(*[to.exchange(REQUEST, 5) for _ in range(10)])
            return len(opened)

    assert idle_clock.run(scenario()) == 10


@pytest.mark.parametrize("response", [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK + b"surplus"])
def test_a_connection_with_close_or_surplus_data_is_not_reused(response: bytes) -> None:
    async def last(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response)

    async def scenario() -> int:
        async with connections(last) as (to, opened):
            for _ in range(3):
                assert (await to.exchange(REQUEST, 5)).body == b"ok"
            return len(opened)

    assert idle_clock.run(scenario()) == 3


def test_a_connection_closed_by_the_server_is_replaced() -> None:
    async def once(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async def scenario() -> int:
        async with connections(once) as (to, opened):
            for _ in range(3):
                await to.exchange(REQUEST, 5)
                await asyncio.sleep(0.05)
            return len(opened)

    assert idle_clock.run(scenario()) == 3


@pytest.mark.parametrize("response", [b"", OK[:-1], OK[:20], b"nonsense\r\n\r\n"])
def test_a_truncated_response_is_an_error_and_closes_the_connection(response: bytes) -> None:
    async def cut(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if number else response)
        if not number:
            writer.close()

    async def scenario() -> bytes:
        async with connections(cut) as (to, _):
            with pytest.raises(BrokenResponseError):
                await to.exchange(REQUEST, 5)
            return (await to.exchange(REQUEST, 5)).body

    assert idle_clock.run(scenario()) == b"ok"


def test_a_silent_request_times_out_but_a_slow_one_does_not() -> None:
    async def dripping(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in OK[: len(OK) if number == 0 else 10]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        if number:
            await asyncio.Event().wait()

    async def scenario() -> None:
        async with connections(dripping) as (to, _):
            first = asyncio.create_task(to.exchange(REQUEST, 0.2))
            await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError, match="no response"):
                await to.exchange(REQUEST, 0.2)
            assert (await first).body == b"ok"

    idle_clock.run(scenario())


def test_an_unreachable_host_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]

    with pytest.raises(ConnectionRefusedError):
        idle_clock.run(Connections("127.0.0.1", port, None).exchange(REQUEST, 5))


def test_another_address_is_used_if_one_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> bytes:
        async with connections(respond) as (to, _):

            async def addresses(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
                return [("", "", 0, "", (address, port)) for address in ("::1", "127.0.0.1")]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
            monkeypatch.setattr("random.choice", lambda found: found[0])
            with contextlib.suppress(OSError):
                await to.exchange(REQUEST, 5)
            return (await to.exchange(REQUEST, 5)).body

    assert idle_clock.run(scenario()) == b"ok"
