"""What the embedded AWS believes: every probe of `make probe`, with the deployed stage of QA."""

from pathlib import Path

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.deployed import instrument, probe
from tests.deployed.account import PREFIX
from tests.support.world import Stage


def test_the_embedded_aws_believes_what_the_project_believes(
    stacks: EmbeddedAws, qa: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(stacks.config_file))

    code = probe.main(["--stage", "qa", "--profile", "qa", "--ledgers", str(tmp_path)])

    output = capsys.readouterr().out
    assert code == 0, output
    assert [each.name for each in instrument.PROBES if f"/{each.name}: " not in output] == []
    assert left(qa) == []


def left(qa: Stage) -> list[str]:
    """Return the names of the temporary resources that still exist in the account."""
    sagemaker = qa.client("sagemaker")
    names = [
        *(each["Name"] for each in qa.client("s3").list_buckets()["Buckets"]),
        *(each["RoleName"] for each in qa.client("iam").list_roles(MaxItems=1000)["Roles"]),
        *qa.client("sqs").list_queues(QueueNamePrefix=PREFIX).get("QueueUrls", []),
        *(each["FunctionName"] for each in qa.client("lambda").list_functions()["Functions"]),
        *(each["name"] for each in qa.client("stepfunctions").list_state_machines()["stateMachines"]),
        *(each["Name"] for each in qa.client("events").list_event_buses()["EventBuses"]),
        *(each["Name"] for each in qa.client("events").list_rules()["Rules"]),
        *(each["Name"] for each in qa.client("ssm").list_documents()["DocumentIdentifiers"]),
        *(each["AlarmName"] for each in qa.client("cloudwatch").describe_alarms()["MetricAlarms"]),
        *qa.client("dynamodb").list_tables()["TableNames"],
        *(each["ModelName"] for each in sagemaker.list_models(NameContains=PREFIX)["Models"]),
        *(each["EndpointName"] for each in sagemaker.list_endpoints(NameContains=PREFIX)["Endpoints"]),
        *(
            each["EndpointConfigName"]
            for each in sagemaker.list_endpoint_configs(NameContains=PREFIX)["EndpointConfigs"]
        ),
        *(each["repositoryName"] for each in qa.client("ecr").describe_repositories()["repositories"]),
    ]
    return [name for name in names if PREFIX in name]
