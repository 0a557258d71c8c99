import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.endpoint import answer

CHUNKS = b"""\
: a comment
event: message
data: {"choices": [{"delta": {"role": "assistant"}}]}

data: {"choices": [{"delta": {"content": "Par"}}]}

data:{"choices": [{"delta": {"content": "is"}}]}

data: [DONE]

"""
TOKENS = b"""\
data:{"token": {"id": 1, "text": "Par", "special": false}}

data:{"token": {"id": 2, "text": "is", "special": false}}

data:{"token": {"id": 0, "text": "</s>", "special": true}, "generated_text": "Paris"}
"""


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "application/vnd.example+json", {"a": 1}),
        (b'{"a": 1}', "", {"a": 1}),
        (b'{"a": 1}', "text/plain", {"a": 1}),
        (b"oops", "application/json", "oops"),
        (b"0.98,0.01", "text/csv", [[0.98, 0.01]]),
        (b'0.98,0.01\r\n0.5,"a, b"\r\n\r\n', "Text/CSV; charset=utf-8", [[0.98, 0.01], [0.5, "a, b"]]),
        (b"1, -2,+3,1e3,.5,0x1,nan,1_0,", "text/csv", [[1, -2, 3, 1000.0, 0.5, "0x1", "nan", "1_0", ""]]),
        (b"9" * 401, "text/csv", [["9" * 401]]),
        (b"1e999", "text/csv", [["1e999"]]),
        (b"0.98", "text/csv", [[0.98]]),
        (b"", "text/csv", []),
        (b'{"a": 1}\n{"a": 2}\n', "application/jsonlines", [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}\n\n{"a": 2}', "application/x-ndjson", [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}\nno', "application/jsonlines", '{"a": 1}\nno'),
        (b"", "application/jsonlines", []),
        (b"data: one\ndata: two\n\n", "text/event-stream", {"text": "one\ntwo", "events": ["one\ntwo"]}),
        (b"", "text/event-stream", {"text": "", "events": []}),
    ],
)
def test_a_response_is_parsed_by_its_content_type(body: bytes, content_type: str, value: Any) -> None:
    assert answer.parsed(body, content_type) == value


def test_an_integer_of_a_csv_response_stays_one() -> None:
    assert isinstance(answer.parsed(b"1", "text/csv")[0][0], int)


@pytest.mark.parametrize(
    "body",
    [
        CHUNKS,
        TOKENS,
        CHUNKS.replace(b"\n", b"\r\n"),
        b'data: {"choices": [{"text": "Par"}]}\n\ndata: {"choices": [{"text": "is"}]}',
    ],
)
def test_the_text_of_server_sent_events_is_joined(body: bytes) -> None:
    assert answer.parsed(body, "text/event-stream")["text"] == "Paris"


def test_the_events_can_be_compared_one_by_one() -> None:
    events = answer.parsed(TOKENS, "text/event-stream")["events"]

    assert events[-1]["generated_text"] == "Paris"
    assert len(events) == 3


@given(st.binary(max_size=200), st.sampled_from([*answer._FORMATS, "", "x/y", "\x00;"]))
def test_every_response_has_a_value_that_is_json(body: bytes, content_type: str) -> None:
    json.dumps(answer.parsed(body, content_type))
    assert answer.unusual(body, content_type, "application/json").isprintable()


@given(st.lists(st.lists(st.floats() | st.integers(), min_size=1), min_size=1))
def test_numbers_of_a_csv_response_are_read_as_they_were_written(rows: list[list[float]]) -> None:
    body = "\n".join(",".join(map(str, row)) for row in rows).encode()

    read = answer.parsed(body, "text/csv")

    flat = [
        (one, other) for row, parsed in zip(rows, read, strict=True) for one, other in zip(row, parsed, strict=True)
    ]
    assert all(one == other or not math.isfinite(one) for one, other in flat)


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "says"),
    [
        (b"", "application/json", "application/json", "The response is empty."),
        (b" \r\n", "", "application/json", "The response is empty."),
        (b"\n<!DOCTYPE html><h1>502", "text/html", "application/json", "is an HTML page"),
        (b"<html>", "application/json", "application/json", "is an HTML page"),
        (b"1,2", "text/csv", "application/json", "type of the response is that of CSV; accept is that of JSON."),
        (b"1,2", "text/csv", "text/csv", "A CSV response is a list of rows: [[0.98, 0.01]]."),
        (b"{}", "application/jsonlines", "application/jsonlines", "A response of JSON Lines is a list."),
        (b"no", "application/json", "application/json", "is that of JSON, but the response is not."),
        (b"data: 1", "text/event-stream", "text/event-stream", 'is {"text", "events"}.'),
        (b'{"code": 507, "type": "X", "message": "m"}', "", "", "the form of an error of TorchServe"),
        (b'{"object": "error", "message": "m", "type": "t"}', "", "", "the form of an error of vLLM."),
        (b'{"error": "m", "error_type": "t"}', "", "", "the form of an error of Text Generation Inference."),
        (b'{"error": "m", "code": 424}', "", "", "the form of an error of LMI"),
        (b'{"detail": "m"}', "", "", "the form of an error of FastAPI."),
        (b'{"error": "m"}', "", "", "the form of an error of a model server."),
        (b'data: {"error": "m"}', "text/event-stream", "", "the form of an error of a model server."),
    ],
)
def test_an_unusual_response_is_explained(body: bytes, content_type: str, accept: str, says: str) -> None:
    assert says in answer.unusual(body, content_type, accept)


@pytest.mark.parametrize("body", [b'{"label": "negative"}', b"[1]", b"oops"])
def test_nothing_is_said_about_a_usual_response(body: bytes) -> None:
    assert answer.unusual(body, "", "application/json") == ""
