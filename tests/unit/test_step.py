import contextlib
import traceback
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from promotion.errors import PromotionRefusedError, ThrottledError, TransientError
from promotion.step import logger, step
from tests.linter import Project
from tests.support import log_lines
from tests.support.lambda_context import CONTEXT
from tests.support.s3_faults import client_error


def run(failure: Exception | None = None) -> dict[str, Any]:
    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if failure:
            raise failure
        return {"seen": event}

    return step(handle)({"a": 1}, CONTEXT)


def test_a_step_returns_what_its_handler_returns() -> None:
    assert run() == {"seen": {"a": 1}}


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (client_error("ThrottlingException", "Rate exceeded", "DescribeEndpoint"), "DescribeEndpoint: Throttling"),
        (client_error("SlowDown", "Reduce", "PutObject"), "PutObject: SlowDown: Reduce"),
        (client_error("InternalServerError", "", "GetItem"), "GetItem: InternalServerError"),
        (EndpointConnectionError(endpoint_url="https://sagemaker"), "Could not connect to the endpoint URL"),
        (ReadTimeoutError(endpoint_url="https://sagemaker"), "Read timeout on endpoint URL"),
    ],
)
def test_a_transient_aws_error_becomes_a_transient_error(failure: Exception, words: str) -> None:
    with pytest.raises(TransientError, match=words):
        run(failure)


@pytest.mark.parametrize(
    "failure",
    [
        client_error("AccessDeniedException", "not authorized"),
        client_error("ValidationException", 'Could not find endpoint "e".'),
        PromotionRefusedError("no"),
        KeyError("a bug"),
    ],
)
def test_any_other_error_is_raised_under_its_own_name(failure: Exception) -> None:
    with pytest.raises(type(failure)) as error:
        run(failure)

    assert error.value is failure


def test_only_a_throttled_call_is_retried_for_long() -> None:
    with pytest.raises(ThrottledError):
        run(client_error("ThrottlingException", "Rate exceeded", "DescribeEndpoint"))
    with pytest.raises(TransientError) as error:
        run(client_error("InternalFailure", "", "DescribeEndpoint"))
    assert type(error.value) is TransientError


EXECUTION = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:reviews-1"


def lines(event: dict[str, Any], failure: Exception | None = None) -> list[dict[str, Any]]:
    """Return the lines of a handler that logs one line, and then raises `failure`, if any."""

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.info("Worked")
        if failure:
            raise failure
        return {}

    with log_lines.captured() as written, contextlib.suppress(KeyError, PromotionRefusedError):
        step(handle)(event, CONTEXT)
    return log_lines.parsed(written)


@pytest.mark.parametrize(
    ("event", "execution", "application"),
    [
        ({"execution": EXECUTION, "application": "reviews"}, "reviews-1", "reviews"),
        ({"execution": EXECUTION, "promotion": {"application": "reviews", "execution": "a:b"}}, "reviews-1", "reviews"),
        ({"execution": EXECUTION, "candidate": {"application": "reviews"}, "promotion": None}, "reviews-1", "reviews"),
        ({"detail": {"execution": EXECUTION, "application": "reviews"}}, "reviews-1", "reviews"),
        ({"detail": {"executionArn": EXECUTION}}, "reviews-1", None),
        ({"execution": EXECUTION, "input": {}}, "reviews-1", None),
        ({"stage": "qa"}, None, None),
    ],
)
def test_each_line_names_its_execution_and_application(
    event: dict[str, Any], execution: str | None, application: str | None
) -> None:
    found = lines(event, KeyError("a bug"))

    assert [line["message"] for line in found] == ["Worked", "Failed"]
    assert {(line.get("correlation_id"), line.get("application")) for line in found} == {(execution, application)}


def test_no_key_of_an_invocation_is_left_for_the_next_one() -> None:
    lines({"execution": EXECUTION, "application": "reviews"})
    logger.append_keys(outcome="promote")

    (line,) = lines({"stage": "qa"})

    assert {"correlation_id", "application", "outcome"}.isdisjoint(line)
    assert line["function_request_id"] == "request"


def test_an_expected_refusal_is_information_without_a_traceback() -> None:
    refusal = PromotionRefusedError("The endpoint reviews-qa belongs to another application.")

    _, line = lines({"execution": EXECUTION}, refusal)

    assert (line["level"], line["error"], line["reason"]) == ("INFO", "PromotionRefusedError", str(refusal))
    assert "exception" not in line
    # What Lambda's runtime logs of it has only the frame of the decorator, beside those of this test.
    names = [frame.name for frame in traceback.extract_tb(refusal.__traceback__)]
    assert names[-1] == "handler"
    assert "handle" not in names


def test_an_unexpected_error_has_its_traceback() -> None:
    _, line = lines({"execution": EXECUTION}, KeyError("a bug"))

    assert (line["level"], line["exception_name"]) == ("ERROR", "KeyError")
    assert "in handle" in line["exception"]


def test_the_saved_queries_read_keys_of_the_lines() -> None:
    event = {"execution": EXECUTION, "application": "reviews"}
    found = [*lines(event, KeyError("a bug")), *lines(event, PromotionRefusedError("no"))]
    queries = [query["QueryString"] for _, query, _ in Project.read().resources("AWS::Logs::QueryDefinition")]
    commands = [command.split(maxsplit=1) for query in queries for command in query.split(" | ")]
    lists = [rest.rpartition(" by ")[2] for command, rest in commands if command in ("fields", "stats")]
    read = {name.strip() for names in lists for name in names.split(",")}
    read |= {rest.split(" = ")[0] for command, rest in commands if command == "filter"}

    assert len(queries) == 4
    assert read - {"@timestamp"} <= {key for line in found for key in line}
