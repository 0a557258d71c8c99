"""The log of the functions: each line of a promotion names its execution and its application."""

import json
from typing import Any

import pytest

from tests.support.world import Execution, Lab, Stage


def lines(stage: Stage) -> list[dict[str, Any]]:
    """Return the lines of the functions' log that are JSON objects, oldest first."""
    pages = stage.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=f"/model-promotion/{stage.name}/functions")
    messages = [event["message"] for page in found for event in page["events"]]
    return [json.loads(message) for message in messages if message.startswith("{")]


def lines_of(execution: Execution) -> list[dict[str, Any]]:
    """Return the lines of an execution that the functions wrote; Lambda's runtime adds its own for an exception."""
    return [line for line in lines(execution.stage) if line.get("correlation_id") == execution.arn.rpartition(":")[2]]


@pytest.fixture
def execution(lab: Lab, qa: Stage, application: str) -> Execution:
    return qa.execution_of(lab.train(application, "good"))


def test_each_function_of_a_promotion_writes_a_line_that_names_it(execution: Execution, application: str) -> None:
    own = lines_of(execution)
    handlers = {line["function_name"] for line in own}
    tasks = execution.stage.client("stepfunctions").get_execution_history(executionArn=execution.arn, maxResults=1000)
    parameters = [
        json.loads(e["taskScheduledEventDetails"]["parameters"])
        for e in tasks["events"]
        if "taskScheduledEventDetails" in e
    ]
    invoked = {arguments["FunctionName"].rpartition(":")[2] for arguments in parameters if "FunctionName" in arguments}

    assert len(invoked) > 10
    assert invoked <= handlers
    assert {line.get("application") for line in own} == {application}
    assert {line["level"] for line in own} == {"INFO"}


def test_no_line_about_an_application_lacks_its_execution(execution: Execution, application: str) -> None:
    about = [line for line in lines(execution.stage) if application in json.dumps(line) and "level" in line]

    assert len(about) > 10
    # The background monitor checks all endpoints, in no execution.
    without = {line["message"] for line in about if "correlation_id" not in line or "application" not in line}
    assert without <= {"Promotions checked"}


def test_a_refusal_is_no_error_in_the_log(qa: Stage, application: str) -> None:
    execution = qa.promote({"training_job": "no-such-job", "application": application})

    (line,) = [line for line in lines_of(execution) if line["message"] == "Not completed"]

    assert (execution.status, line["level"]) == ("FAILED", "INFO")
    assert (line["error"], line["reason"]) == (execution.error, execution.cause)
    # The runtime logs each exception, with the traceback that the function gave it.
    (runtime,) = [
        found for found in lines(qa) if found.get("requestId") == line["function_request_id"] and "log_level" in found
    ]
    assert [frame.splitlines()[0].split(", ")[-1] for frame in runtime["stackTrace"]] == ["in decorate", "in handler"]
