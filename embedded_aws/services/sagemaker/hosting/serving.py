"""The process of a container: serve one model as SageMaker's framework containers do.

The functions of a script and their defaults: https://sagemaker.readthedocs.io/en/stable/frameworks/pytorch/using_pytorch.html
("Serve a PyTorch model"). The HTTP requests: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html.
"""

import csv
import importlib.util
import inspect
import io
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, cast

JSON, CSV, TEXT = "application/json", "text/csv", "text/plain"


class UnsupportedFormatError(Exception):
    """A content type that the default functions do not support."""


class Context:
    """The context of a request, for functions with one more parameter than usual.

    Its methods are those of TorchServe's Context, for one request (https://pytorch.org/serve/custom_service.html); the
    toolkits pass it on (`_run_handle_function` in
    https://github.com/aws/sagemaker-inference-toolkit/blob/master/src/sagemaker_inference/transformer.py).
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.response_headers: dict[str, str] = {}

    def get_request_header(self, idx: int, key: str) -> str | None:
        """Return a header of the request."""
        return next((value for name, value in self._headers.items() if name.lower() == key.lower()), None)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set a header of the response."""
        self.response_headers[key] = value


class Model:
    """The script's functions, and the defaults for those that it does not define."""

    def __init__(self, script: ModuleType, model_dir: str) -> None:
        self._script = script
        # On AWS, each worker is a process that serves one request at a time, so scripts need not be thread-safe.
        self._request_lock = threading.Lock()
        if not hasattr(script, "model_fn"):
            raise AttributeError(f"{script.__file__} does not define model_fn.")
        self._loaded = script.model_fn(model_dir)

    def respond(
        self, body: bytes, content_type: str, accept: str, context: Context
    ) -> tuple[bytes | Iterator[Any], str]:
        """Return the body and the content type of the response to a request.

        The body is an iterator if the script returns one: images that stream, such as those of LMI and TGI, send parts
        as the model generates them.
        """
        base_type = content_type.partition(";")[0].strip().lower()
        data = body.decode() if base_type in (JSON, CSV, TEXT) else body
        with self._request_lock:
            if hasattr(self._script, "transform_fn"):
                result = _call(context, self._script.transform_fn, self._loaded, data, content_type, accept)
            else:
                decoded = _call(context, self._function("input_fn", decode), data, content_type)
                prediction = _call(context, self._function("predict_fn", predict), decoded, self._loaded)
                result = _call(context, self._function("output_fn", encode), prediction, accept)
        response, response_type = result if isinstance(result, tuple) else (result, accept)
        return (response if isinstance(response, Iterator) else _bytes(response)), response_type

    def _function(self, name: str, default: Any) -> Any:
        return getattr(self._script, name, default)


def _call(context: Context, function: Any, *arguments: Any) -> Any:
    wants_context = len(inspect.signature(function).parameters) == len(arguments) + 1
    return function(*arguments, context) if wants_context else function(*arguments)


def _bytes(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else bytes(part)


def decode(data: Any, content_type: str) -> Any:
    """Decode a request: the default input_fn."""
    match content_type.partition(";")[0].strip().lower():
        case "application/json":
            return json.loads(data)
        case "text/csv":
            return list(csv.reader(io.StringIO(data)))
        case "text/plain":
            return data
    raise UnsupportedFormatError(f"The default input_fn does not support the content type {content_type}.")


def predict(data: Any, model: Any) -> Any:
    """Call the model: the default predict_fn."""
    return model.predict(data) if hasattr(model, "predict") else model(data)


def encode(prediction: Any, accept: str) -> tuple[str, str]:
    """Encode a prediction: the default output_fn."""
    match accept.partition(";")[0].strip().lower():
        case "application/json" | "*/*" | "":
            return json.dumps(prediction), JSON
        case "text/csv":
            text = io.StringIO()
            rows = prediction if isinstance(prediction, list) else [prediction]
            csv.writer(text).writerows(row if isinstance(row, list | tuple) else [row] for row in rows)
            return text.getvalue(), CSV
        case "text/plain":
            return str(prediction), TEXT
    raise UnsupportedFormatError(f"The default output_fn does not support the accept type {accept}.")


class Server(ThreadingHTTPServer):
    """A server on a socket that already listens, so that clients can connect while the model loads."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, model: Model) -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.model = model


class Handler(BaseHTTPRequestHandler):
    """The handler of health checks and invocations."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Respond to a health check."""
        self._respond(200 if self.path == "/ping" else 404, b"", TEXT)

    def do_POST(self) -> None:
        """Respond to an invocation."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        accept = self.headers.get("Accept", "*/*")
        if accept == "*/*":
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        context = Context(dict(self.headers.items()))
        try:
            model = cast(Server, self.server).model
            response, response_type = model.respond(body, self.headers.get("Content-Type", JSON), accept, context)
        except UnsupportedFormatError as error:
            self._respond(415, str(error).encode(), TEXT)
        except Exception as error:  # noqa: BLE001 - any error of the script is the model's response
            traceback.print_exc()
            self._respond(500, f"{error}\n{traceback.format_exc()}".encode(), TEXT)
        else:
            if isinstance(response, bytes):
                self._respond(200, response, response_type, context.response_headers)
            else:
                self._stream(response, response_type, context.response_headers)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log all requests but health checks."""
        if self.path != "/ping":
            print(f"{self.address_string()} - {format % arguments}")

    def _respond(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._begin(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _stream(self, parts: Iterator[Any], content_type: str, headers: Mapping[str, str]) -> None:
        """Send the parts in chunks. If the script fails, the connection ends without the last chunk."""
        self._begin(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked", **headers})
        try:
            for part in map(_bytes, parts):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if part else b"")
        except Exception:  # noqa: BLE001 - the status has been sent
            traceback.print_exc()
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def load(path: Path) -> ModuleType:
    """Import the script, with its directory on the path."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"The inference script {path} does not exist.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def end_with_parent() -> None:
    """Exit when standard input ends: the parent holds its other end."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os._exit(0)


def main() -> None:
    """Load the model and serve it until the process is killed."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=end_with_parent, daemon=True).start()
    model = Model(load(Path(sys.argv[2])), sys.argv[3])
    Server(listener, model).serve_forever()


if __name__ == "__main__":
    main()
