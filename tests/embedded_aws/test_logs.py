"""CloudWatch Logs: saved queries, keys of log groups, and metrics in log events."""

import datetime
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel.accounts import ACCOUNTS
from embedded_aws.services.logs import FormatError, embedded_metrics
from tests.embedded_aws.support.resource_stacks import Deploy

QA = ACCOUNTS["qa"]


@pytest.fixture
def logs(aws: EmbeddedAws) -> Any:
    return clients.client_as_operator("logs", QA)


def test_a_stack_saves_a_query_and_changes_it(logs: Any, deploy: Deploy, name: str) -> None:
    query = {"Name": f"{name}/Errors", "QueryString": "fields @message", "LogGroupNames": ["/a"]}

    def saved() -> list[tuple[str, str, list[str]]]:
        found = logs.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
        return [(each["queryDefinitionId"], each["name"], each.get("logGroupNames")) for each in found]

    first = deploy({"Q": {"Type": "AWS::Logs::QueryDefinition", "Properties": query}}, {"Q": {"Ref": "Q"}})
    assert saved() == [(first["Q"], f"{name}/Errors", ["/a"])]

    del query["LogGroupNames"]
    properties = query | {"Name": f"{name}/All"}
    second = deploy({"Q": {"Type": "AWS::Logs::QueryDefinition", "Properties": properties}}, {"Q": {"Ref": "Q"}})
    assert saved() == [(first["Q"], f"{name}/All", [])]
    assert second == first

    logs.delete_query_definition(queryDefinitionId=first["Q"])
    assert saved() == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.delete_query_definition(queryDefinitionId=first["Q"])


def test_the_key_of_a_log_group_must_exist_and_can_be_removed(logs: Any, deploy: Deploy, name: str) -> None:
    key = clients.client_as_operator("kms", QA).create_key()["KeyMetadata"]["Arn"]
    group = {"LogGroupName": f"/{name}"}

    def encrypted_with(**properties: str) -> str | None:
        deploy({"G": {"Type": "AWS::Logs::LogGroup", "Properties": group | properties}}, {"G": {"Ref": "G"}})
        found: str | None = logs.describe_log_groups(logGroupNamePrefix=f"/{name}")["logGroups"][0].get("kmsKeyId")
        return found

    assert encrypted_with() is None
    assert encrypted_with(KmsKeyId=key) == key
    assert encrypted_with() is None
    with pytest.raises(ClientError, match="KMS key does not exist"):
        logs.associate_kms_key(logGroupName=f"/{name}", kmsKeyId=f"{key[:-1]}x")


def event(metadata: Any, **members: Any) -> dict[str, Any]:
    return {"timestamp": int(time.time() * 1000), "message": json.dumps({"_aws": metadata} | members)}


def test_a_log_event_in_the_embedded_metric_format_is_a_metric(logs: Any, name: str) -> None:
    logs.create_log_group(logGroupName=f"/{name}")
    logs.create_log_stream(logGroupName=f"/{name}", logStreamName="s")
    now = datetime.datetime.now(datetime.UTC)
    directive = {
        "Namespace": name,
        "Dimensions": [["Stage"], ["Stage", "Application"]],
        "Metrics": [{"Name": "Held", "Unit": "Seconds"}, {"Name": "Latency"}],
    }
    metadata = {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    members = {"Stage": "qa", "Application": "reviews", "Held": 7, "Latency": [1, 5]}
    others = [event("no metadata"), event({"other": 1}), {"timestamp": int(time.time() * 1000), "message": '"_aws"'}]
    logs.put_log_events(logGroupName=f"/{name}", logStreamName="s", logEvents=[*others, event(metadata, **members)])

    cloudwatch = clients.client_as_operator("cloudwatch", QA)
    metrics = cloudwatch.list_metrics(Namespace=name)["Metrics"]
    statistics = cloudwatch.get_metric_statistics(
        Namespace=name,
        MetricName="Latency",
        Dimensions=[{"Name": "Stage", "Value": "qa"}, {"Name": "Application", "Value": "reviews"}],
        StartTime=now - datetime.timedelta(minutes=5),
        EndTime=now + datetime.timedelta(minutes=5),
        Period=600,
        Statistics=["Maximum", "SampleCount"],
    )["Datapoints"]

    dimensions = {tuple(sorted(each["Name"] for each in metric["Dimensions"])) for metric in metrics}
    assert {metric["MetricName"] for metric in metrics} == {"Held", "Latency"}
    assert dimensions == {("Stage",), ("Application", "Stage")}
    assert [(point["Maximum"], point["SampleCount"]) for point in statistics] == [(5, 2)]


@pytest.mark.parametrize(
    ("directive", "members"),
    [
        ({"Dimensions": [["Stage"]], "Metrics": [{"Name": "Held"}]}, {"Stage": 7, "Held": 1}),
        ({"Dimensions": [["Stage"]], "Metrics": [{"Name": "Held"}] * 101}, {"Stage": "qa", "Held": 1}),
        ({"Dimensions": [["Stage"] * 31], "Metrics": [{"Name": "Held"}]}, {"Stage": "qa", "Held": 1}),
        ({"Dimensions": [["Stage"]], "Metrics": [{"Name": "Held"}]}, {"Stage": "qa", "Held": [1] * 101}),
    ],
)
def test_what_cloudwatch_would_not_extract_is_an_error(directive: dict[str, Any], members: dict[str, Any]) -> None:
    metadata = {"Timestamp": 0, "CloudWatchMetrics": [{"Namespace": "n"} | directive]}

    with pytest.raises(FormatError):
        list(embedded_metrics(event(metadata, **members)["message"]))
