"""The answer of a model: its value by its content type, and what is unusual about an unexpected one.

Everything here is untrusted: a body that is not what its content type says is a string.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from promotion.aws.strict_json import is_number

JSON, CSV, LINES, EVENTS = "JSON", "CSV", "JSON Lines", "server-sent events"

# The content types with their formats: "Common data formats for inference" (SageMaker developer guide), the media types
# of JSON Lines (https://jsonlines.org), NDJSON and server-sent events (HTML standard).
_FORMATS = {
    "application/json": JSON,
    "text/csv": CSV,
    "application/csv": CSV,
    "application/jsonlines": LINES,
    "application/x-jsonlines": LINES,
    "application/jsonl": LINES,
    "application/x-ndjson": LINES,
    "text/event-stream": EVENTS,
}
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_MAXIMUM_DIGITS = 400

# The keys of the error documents of servers that SageMaker's images contain. Some are sent with the status 200.
_ERROR_DOCUMENTS = (
    ({"object", "message", "type"}, "vLLM"),  # ErrorResponse of its OpenAI-compatible server
    ({"code", "type", "message"}, "TorchServe or Multi Model Server"),  # ErrorResponse of their Inference API
    ({"error", "error_type"}, "Text Generation Inference"),  # ErrorResponse of its router
    ({"error", "code"}, "LMI (DJL Serving)"),  # LMI documentation, "Error responses"
    ({"detail"}, "FastAPI"),  # its documentation, "Handling errors"
    ({"error"}, "a model server"),  # TensorFlow Serving and Triton, among others
)


def format_of(content_type: str) -> str | None:
    """Return the format of a content type, or None if it is unknown; its parameters do not count."""
    base = content_type.partition(";")[0].strip().lower()
    return JSON if base.endswith("+json") else _FORMATS.get(base)


def parsed(body: bytes, content_type: str) -> Any:
    """Return the value of an answer by its content type.

    CSV is a list of rows, whose cells are numbers if possible. JSON Lines are a list. Server-sent events are
    {"text", "events"}: the text that the events generate, and their data. Of any other type, an answer is its value if
    it is JSON, otherwise a string.
    """
    text = body.decode(errors="replace")
    match format_of(content_type):
        case "CSV":
            return _rows(text)
        case "JSON Lines":
            return _lines(text)
        case "server-sent events":
            events = _events(text)
            return {"text": "".join(map(_generated, events)), "events": events}
    return _json_or(text)


def _json_or(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _rows(text: str) -> Any:
    try:
        return [[_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error:
        return text


def _cell(cell: str) -> str | float:
    stripped = cell.strip()
    if len(stripped) > _MAXIMUM_DIGITS or not _NUMBER.fullmatch(stripped):
        return cell
    number = float(stripped)
    if not is_number(number):
        return cell
    return int(stripped) if stripped.lstrip("+-").isdigit() else number


def _lines(text: str) -> Any:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return text


def _events(text: str) -> list[Any]:
    """Return the data of server-sent events: HTML standard, "Interpreting an event stream"."""
    found = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", text):
        lines = [line[5:].removeprefix(" ") for line in block.splitlines() if line.startswith("data:")]
        data = "\n".join(lines)
        # "[DONE]" ends the stream of an API that is compatible with that of OpenAI.
        if lines and data != "[DONE]":
            found.append(_json_or(data))
    return found


def _generated(event: Any) -> str:
    """Return the text that an event adds to the answer.

    The events are those of vLLM, LMI and TGI: chunks of chat completions and of completions (OpenAI API reference), and
    tokens (Text Generation Inference, "Consuming TGI").
    """
    if isinstance(event, str):
        return event
    for text in (
        _at(event, "choices", 0, "delta", "content"),
        _at(event, "choices", 0, "text"),
        None if _at(event, "token", "special") else _at(event, "token", "text"),
    ):
        if isinstance(text, str):
            return text
    return ""


def _at(value: Any, *path: str | int) -> Any:
    for key in path:
        if isinstance(key, int) and isinstance(value, list) and len(value) > key:
            value = value[key]
        elif isinstance(key, str) and isinstance(value, dict):
            value = value.get(key)
        else:
            return None
    return value


def unusual(body: bytes, content_type: str, accept: str) -> str:
    """Return what is unusual about an unexpected answer, as sentences with no text of it, or ""."""
    if not body.strip():
        return "The response is empty."
    if _HTML.match(body):
        return "The response is an HTML page, such as the error page of a web server in the container."
    found, value = [], parsed(body, content_type)
    if server := _server_of_error(value):
        found.append(f"The response has the form of an error of {server}.")
    sent, wanted = format_of(content_type), format_of(accept)
    if sent and wanted and sent != wanted:
        found.append(f"The content type of the response is that of {sent}; accept is that of {wanted}.")
    elif sent and isinstance(value, str):
        found.append(f"The content type of the response is that of {sent}, but the response is not.")
    if sent == CSV:
        found.append("A CSV response is a list of rows: [[0.98, 0.01]].")
    elif sent == LINES:
        found.append("A response of JSON Lines is a list.")
    elif sent == EVENTS:
        found.append('A response of server-sent events is {"text", "events"}.')
    return " ".join(found)


def _server_of_error(value: Any) -> str | None:
    if isinstance(value, dict) and set(value) == {"text", "events"} and isinstance(value["events"], list):
        value = value["events"][-1] if value["events"] else None
    if not isinstance(value, dict):
        return None
    return next((server for keys, server in _ERROR_DOCUMENTS if keys <= value.keys()), None)
