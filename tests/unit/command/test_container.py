"""The check of a smoke test on a local container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import __main__ as command
from tests.support import model_server

SUITE = {"cases": [{"name": "positive", "body": {"text": "good"}, "expect": "label == 'positive'"}], "repeat": 3}


@pytest.fixture
def container() -> Iterator[str]:
    with model_server.container() as address:
        yield address


def check(path: Path, *options: str) -> int:
    return command.main(["check", str(path), *options])


def suite(directory: Path, text: str = "good", **more: object) -> Path:
    path = directory / "smoke-test.json"
    case = SUITE["cases"][0] | {"body": {"text": text}} | more  # type: ignore[index]
    path.write_text(json.dumps(SUITE | {"cases": [case]}))
    return path


def test_a_valid_file_needs_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(suite(tmp_path)) == 0
    assert capsys.readouterr().out == f"{tmp_path}/smoke-test.json is valid: 1 case, 3 invocations.\n"


def test_a_model_that_passes(tmp_path: Path, container: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(suite(tmp_path), "--container", container, "--json") == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"].pop("p95_latency_ms") >= 0
    assert printed["verdict"] == {"passed": True, "reason": None, "response": None, "invocations": 3, "errors": 0}


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("good", {"expect": "label == 'negative'"}, 'returned false for the response \'{"label": "positive"}\''),
        ("fail", {}, "the container returned 500: it failed"),
        ("good", {"target_model": "a.tar.gz"}, "a case with TargetModel requires --endpoint"),
        ("good", {"target_variant": "Gpu", "expect": "`false`"}, "returned false"),
    ],
)
def test_a_model_that_fails(
    tmp_path: Path, container: str, capsys: pytest.CaptureFixture[str], text: str, more: dict[str, str], message: str
) -> None:
    assert check(suite(tmp_path, text, **more), "--container", container) == 1
    assert message in capsys.readouterr().out


def test_a_case_speaks_to_a_container_like_a_client(tmp_path: Path, container: str) -> None:
    members: Any = {
        "accept": "text/event-stream",
        "stream": True,
        "custom_attributes": "tenant=one",
        "expect": "text == 'positive' && events[1].attributes == 'tenant=one'",
    }

    assert check(suite(tmp_path, **members), "--container", container) == 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:1", "does not respond"),
        ("localhost:8080", "is not the address of a container"),
        ("https://localhost:8080", "is not the address of a container"),
    ],
)
def test_a_container_that_cannot_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, message: str
) -> None:
    assert check(suite(tmp_path), "--container", address) == 2
    assert message in capsys.readouterr().err


def test_a_misspelled_key_of_the_file_is_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(suite(tmp_path, expct="label")) == 2
    assert "cases[0] has the unknown key 'expct' (did you mean \"expect\"?)" in capsys.readouterr().err
