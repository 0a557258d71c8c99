"""The quotas of an account, in an embedded AWS of their own: it is one per process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import dataclasses, json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel.accounts import ACCOUNTS, REGION
from embedded_aws.kernel.quotas import NEW_ACCOUNT
from tests.embedded_aws.support.lambda_functions import create_role, zipped

QA = ACCOUNTS["qa"]
quotas = dataclasses.replace(NEW_ACCOUNT, functions=2, automations=1, queued=1)


def client(service):
    credentials = clients.operator_credentials(QA)
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        service, REGION, endpoint_url=aws.endpoint_url, config=config, **credentials
    )


def outcome(call, **request):
    try:
        return call(**request)
    except Exception as error:
        return error.response["Error"]["Code"]


def until(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


with EmbeddedAws(Path(sys.argv[1]), quotas=quotas) as aws:
    cloudwatch, ssm, functions = client("cloudwatch"), client("ssm"), client("lambda")
    alarm = {
        "AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
    }
    alarms = [outcome(cloudwatch.put_metric_alarm, **alarm) for _ in range(8)]

    role = create_role("slow", QA)
    code = {"ZipFile": zipped({"app.py": "import time\\ndef handler(event, context):\\n    time.sleep(3)\\n"})}
    functions.create_function(
        FunctionName="slow", Role=role, Code=code, Handler="app.handler", Runtime="python3.13", Timeout=30
    )
    with ThreadPoolExecutor(3) as pool:
        invoked = list(pool.map(lambda _: outcome(functions.invoke, FunctionName="slow", Payload=b"{}"), range(3)))

    step = {"name": "Approve", "action": "aws:approve", "inputs": {"Approvers": ["operator"]}}
    content = json.dumps({"schemaVersion": "0.3", "mainSteps": [step]})
    ssm.create_document(Name="approval", DocumentType="Automation", Content=content)
    started = [outcome(ssm.start_automation_execution, DocumentName="approval") for _ in range(3)]
    first, second = (each["AutomationExecutionId"] for each in started[:2])

    def status(identifier):
        found = ssm.get_automation_execution(AutomationExecutionId=identifier)
        return found["AutomationExecution"]["AutomationExecutionStatus"]

    until(lambda: status(first) == "Waiting")
    before = status(first), status(second)
    ssm.send_automation_signal(AutomationExecutionId=first, SignalType="Approve")
    time.sleep(1)
    takes_its_turn = until(lambda: status(second) == "Waiting")
    print(json.dumps({
        "alarms": [each if isinstance(each, str) else "done" for each in alarms],
        "invoked": sorted(each if isinstance(each, str) else "done" for each in invoked),
        "third": started[2],
        "before": before,
        "takes_its_turn": takes_its_turn,
    }))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    directory = tmp_path_factory.mktemp("quotas")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "PYTEST_"))
    } | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(directory)]
    ended = subprocess.run(  # noqa: S603
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def test_calls_beyond_the_rate_of_their_api_are_throttled(found: dict[str, object]) -> None:
    alarms = list(found["alarms"])  # type: ignore[call-overload]

    assert alarms[:3] == ["done"] * 3
    assert "Throttling" in alarms
    assert set(alarms) == {"done", "Throttling"}


def test_the_functions_of_an_account_share_its_concurrency(found: dict[str, object]) -> None:
    assert found["invoked"] == ["TooManyRequestsException", "done", "done"]


def test_an_automation_waits_for_its_turn_and_is_refused_if_the_queue_is_full(found: dict[str, object]) -> None:
    assert found["before"] == ["Waiting", "Pending"]
    assert found["third"] == "AutomationExecutionLimitExceededException"
    assert found["takes_its_turn"]
