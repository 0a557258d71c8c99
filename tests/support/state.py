"""The whole state of the accounts, to compare: everything that somebody could have created, changed or removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.waiting import wait_until
from tests.support.world import Stage

_SAGEMAKER_LISTS = {
    "list_models": "Models",
    "list_endpoint_configs": "EndpointConfigs",
    "list_training_jobs": "TrainingJobSummaries",
    "list_hyper_parameter_tuning_jobs": "HyperParameterTuningJobSummaries",
    "list_model_package_groups": "ModelPackageGroupSummaryList",
}


def quiet(aws: EmbeddedAws, *stages: Stage) -> dict[str, Any]:
    """The state of all accounts once nothing is under way in the stages."""

    def look() -> dict[str, Any] | None:
        for stage in stages:
            running = stage.client("stepfunctions").list_executions(
                stateMachineArn=stage.state_machine, statusFilter="RUNNING"
            )
            if running["executions"]:
                return None
        before = state(aws)
        return before if before == state(aws) else None

    return wait_until(look, "the end of everything that is under way")


def state(aws: EmbeddedAws) -> dict[str, Any]:
    """It by account and service, as JSON; without executions of state machines and logs, which a look leaves, too."""
    parts: dict[str, Callable[[str], Any]] = {
        "s3": lambda account: sorted(_objects(account), key=str),
        "dynamodb": lambda account: sorted(_items(account), key=str),
        "sagemaker": lambda account: list(_sagemaker(account)),
        "ssm": lambda account: list(_ssm(account)),
        "sqs": lambda account: list(_messages(account)),
    }
    found = {
        f"{account} {part}": look(account) for account in accounts.ACCOUNTS.values() for part, look in parts.items()
    }
    found["mail"] = (aws.directory / "notifications.log").read_text()
    compared: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return compared


def _objects(account: str) -> Iterator[Any]:
    s3 = clients.client_as_operator("s3", account)
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for kind in ("Versions", "DeleteMarkers"):
                for found in page.get(kind, []):
                    yield [name, kind, found["Key"], found["VersionId"], found["LastModified"], found.get("ETag")]
        yield [name, s3.list_multipart_uploads(Bucket=name).get("Uploads", [])]


def _items(account: str) -> Iterator[Any]:
    dynamodb = clients.client_as_operator("dynamodb", account)
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                yield [table, item]


def _sagemaker(account: str) -> Iterator[Any]:
    sagemaker = clients.client_as_operator("sagemaker", account)
    for operation, key in _SAGEMAKER_LISTS.items():
        for page in sagemaker.get_paginator(operation).paginate():
            yield [operation, page[key]]
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            description = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
            yield {key: value for key, value in description.items() if key != "ResponseMetadata"}


def _ssm(account: str) -> Iterator[Any]:
    ssm = clients.client_as_operator("ssm", account)
    for page in ssm.get_paginator("describe_automation_executions").paginate():
        yield page["AutomationExecutionMetadataList"]
    for page in ssm.get_paginator("describe_parameters").paginate():
        yield page["Parameters"]


def _messages(account: str) -> Iterator[Any]:
    sqs = clients.client_as_operator("sqs", account)
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        yield [url, attributes["Attributes"]]
