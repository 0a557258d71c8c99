"""The responses to operations that the embedded AWS does not implement."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts

QA = accounts.ACCOUNTS["qa"]
QUEUE = f"arn:aws:sqs:{accounts.REGION}:{QA}:queue"


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code", "named"),
    [
        ("sagemaker", "create_hub", {"HubName": "h", "HubDescription": "d"}, "Unknown", "sagemaker:CreateHub"),
        ("ssm", "list_nodes", {}, "UnknownOperationException", "ssm:ListNodes"),
        ("sqs", "list_message_move_tasks", {"SourceArn": QUEUE}, "UnknownOperation", "sqs:ListMessageMoveTasks"),
        ("cloudformation", "list_types", {}, "InvalidAction", "cloudformation:ListTypes"),
        ("sts", "get_web_identity_token", {"Audience": ["a"], "SigningAlgorithm": "RS256"}, "InvalidAction", "sts:"),
        # moto has no path for these two.
        ("account", "get_region_opt_status", {"RegionName": "eu-west-1"}, "Unknown", "account:GetRegionOptStatus"),
        ("lambda", "list_provisioned_concurrency_configs", {"FunctionName": "f"}, "Unknown", "lambda:ListProvisioned"),
        (
            "cloudformation",
            "create_change_set",
            {"StackName": "s", "ChangeSetName": "c", "ChangeSetType": "IMPORT", "TemplateBody": "{}"},
            "InvalidAction",
            "cloudformation:CreateChangeSet: a change set that imports resources",
        ),
    ],
)
def test_an_operation_that_is_not_implemented_is_named_and_not_retried(
    aws: EmbeddedAws, service: str, operation: str, request_: dict[str, Any], code: str, named: str
) -> None:
    with pytest.raises(ClientError) as error:
        getattr(clients.client_as_operator(service, QA), operation)(**request_)

    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    assert response["Error"]["Code"].startswith(code)
    assert f"The embedded AWS does not implement {named}" in response["Error"]["Message"]


def test_a_request_with_a_malformed_name_is_answered_by_the_service(aws: EmbeddedAws) -> None:
    request = {"ServiceNamespace": "ecs", "ResourceId": "no-slash", "ScalableDimension": "ecs:service:DesiredCount"}

    with pytest.raises(ClientError) as error:
        clients.client_as_operator("application-autoscaling", QA).deregister_scalable_target(**request)

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
