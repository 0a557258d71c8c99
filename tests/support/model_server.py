"""A local container that serves a model as SageMaker's contract for containers requires."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator


class Model(http.server.BaseHTTPRequestHandler):
    """A model that answers {"label": "positive"}, also as server-sent events, and fails for {"text": "fail"}."""

    def do_GET(self) -> None:
        self._respond(200 if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if given.get("text") == "fail":
            self._respond(500, b"it failed")
        elif self.headers["Accept"] == "text/event-stream":
            attributes = {"attributes": self.headers["X-Amzn-SageMaker-Custom-Attributes"]}
            events = [{"token": {"text": "positive"}}, attributes]
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            self._respond(200, body.encode(), "text/event-stream")
        else:
            self._respond(200, json.dumps({"label": "positive"}).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _respond(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def container() -> Iterator[str]:
    """Serve the model for a while, and yield the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
