"""The HTTP server: moto's, but with connections that stay open, as those of AWS do.

Of the time that a request takes, a new connection and a new thread for it took a third.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.datastructures import Headers
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.wsgi import LimitedStream

from embedded_aws.kernel import transport

_END_SECONDS = 5.0
_CHUNK_BYTES = 1024 * 1024


class Server(ThreadedWSGIServer):
    """Has a thread for each connection, until the client or `server_close` ends it."""

    def __init__(self, port: int, application: Any) -> None:
        super().__init__("127.0.0.1", port, application, _Handler)
        self._connections: dict[Any, threading.Thread] = {}

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._connections[request]

    def server_close(self) -> None:
        """Close all connections."""
        super().server_close()
        for connection, thread in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(_END_SECONDS)


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go together: small packets of their own wait for the acknowledgment of those before.
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Let the client send its body now."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def run_wsgi(self) -> None:
        """Answer one request, and read what the application has left of it."""
        self.environ = self.make_environ()
        if "wsgi.input_terminated" not in self.environ:
            length = int(self.environ.get("CONTENT_LENGTH") or 0)
            self.environ["wsgi.input"] = LimitedStream(self.rfile, length)
        body = self.environ["wsgi.input"]
        # Whatever goes wrong in the middle of a response, no other may follow it.
        self.close_connection, last = True, self.close_connection
        chunks, status, headers = transport.respond(self.server.app, self.environ)
        complete = self._send(status, headers, chunks)
        while body.read(_CHUNK_BYTES):
            continue
        self.close_connection = last or not complete

    def _send(self, status: str, headers: Headers, chunks: Iterable[bytes]) -> bool:
        """Send a response; return whether the client can tell where it ends."""
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        empty = self.command == "HEAD" or code in ("204", "304")
        ends = empty or "Content-Length" in headers
        if not ends:
            self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"" if empty else chunk)
            if not ends:
                self.wfile.flush()  # the client reads a stream while it is produced
        self.wfile.flush()
        return ends

    def log_request(self, *_: object) -> None:
        """Print nothing: the programs that use the embedded AWS print output of their own."""
