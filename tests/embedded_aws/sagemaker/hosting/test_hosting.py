"""The life cycle of an endpoint in SageMaker's API."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.sagemaker.hosting import api as hosting
from tests.embedded_aws.support.sagemaker_account import (
    IMAGE,
    PING_FAILED,
    VARIANT,
    Account,
    archive,
    arn,
    greeter,
    refused,
)
from tests.support.waiting import wait_for


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def test_a_new_endpoint_serves_its_model(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)
    creating = qa.describe()
    assert creating["EndpointStatus"] == "Creating"
    assert creating["PendingDeploymentSummary"]["EndpointConfigName"] == config
    assert "ProductionVariants" not in creating

    seen, endpoint = qa.statuses()

    assert seen == ["Creating", "InService"]
    assert endpoint["EndpointConfigName"] == config
    assert "PendingDeploymentSummary" not in endpoint
    assert "FailureReason" not in endpoint
    (variant,) = endpoint["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (VARIANT, 1, 1.0)
    (image,) = variant["DeployedImages"]
    assert image["SpecifiedImage"] == IMAGE
    assert re.fullmatch(re.escape(IMAGE.partition(":")[0]) + r"@sha256:[0-9a-f]{64}", image["ResolvedImage"])
    assert qa.greet() == "Hello Ada"


def test_an_endpoint_cannot_be_invoked_before_it_is_in_service(qa: Account) -> None:
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=qa.greeter_config("a", "Hello"))

    assert refused(qa.greet) == ("ValidationError", f"Endpoint {qa.name} of account {qa.id} not found.")
    qa.settled()


def test_the_old_config_is_described_until_the_new_one_serves(qa: Account) -> None:
    old, new = qa.greeter_config("a", "Hello"), qa.greeter_config("b", "Goodbye")
    qa.endpoint(old)

    qa.update(new)

    updating = qa.describe()
    assert updating["EndpointStatus"] == "Updating"
    assert updating["EndpointConfigName"] == old
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == new
    assert qa.greet() == "Hello Ada"
    seen, updated = qa.statuses()
    assert seen == ["Updating", "InService"]
    assert updated["EndpointConfigName"] == new
    assert qa.greet() == "Goodbye Ada"


def test_an_update_does_not_interrupt_an_endpoint(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))

    qa.update(qa.greeter_config("b", "Goodbye"))

    greetings = [qa.greet()]
    while qa.describe()["EndpointStatus"] == "Updating":
        greetings.append(qa.greet())
    greetings.append(qa.greet())
    assert set(greetings) == {"Hello Ada", "Goodbye Ada"}


def test_a_failed_endpoint_can_only_be_deleted(qa: Account) -> None:
    good, bad = qa.greeter_config("a", "Hello"), qa.config(qa.model("b", archive({"empty": ""})))
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=bad)
    assert qa.settled()["EndpointStatus"] == "Failed"

    code, message = refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=good)
    assert code == "ValidationException"
    assert "DeleteEndpoint is the only operation" in message

    qa.sagemaker.delete_endpoint(EndpointName=qa.name)
    assert qa.describe()["EndpointStatus"] == "Deleting"
    wait_for(lambda: qa.name not in names(qa))
    assert refused(qa.sagemaker.describe_endpoint, EndpointName=qa.name) == (
        "ValidationException",
        f'Could not find endpoint "{arn(qa, "endpoint", qa.name)}".',
    )


def test_a_training_image_of_aws_does_not_start(qa: Account) -> None:
    image = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
    config = qa.config(qa.model("a", greeter("Hello"), Image=image))
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)

    failed = qa.settled()

    assert failed["EndpointStatus"] == "Failed"
    assert failed["FailureReason"].startswith("CannotStartContainerError.")
    assert f"'docker run {image} serve'" in failed["FailureReason"]


def names(account: Account) -> list[str]:
    endpoints = account.sagemaker.list_endpoints(NameContains=account.name)["Endpoints"]
    return [endpoint["EndpointName"] for endpoint in endpoints]


def test_an_update_that_cannot_be_loaded_is_rolled_back(qa: Account) -> None:
    good, bad = qa.greeter_config("a", "Hello"), qa.config(qa.model("b", archive({"empty": ""})))
    qa.endpoint(good)

    qa.update(bad)

    seen, endpoint = qa.statuses()
    assert seen == ["Updating", "RollingBack", "InService"]
    assert endpoint["EndpointConfigName"] == good
    assert endpoint["FailureReason"] == PING_FAILED
    assert "PendingDeploymentSummary" not in endpoint
    assert qa.greet() == "Hello Ada"
    qa.update(qa.greeter_config("c", "Goodbye"))
    assert "FailureReason" not in qa.settled()


def test_an_endpoint_in_a_change_can_be_neither_updated_nor_deleted(qa: Account) -> None:
    one, other = qa.greeter_config("a", "Hello"), qa.greeter_config("b", "Goodbye")
    busy = ("ValidationException", f'Cannot update in-progress endpoint "{arn(qa, "endpoint", qa.name)}".')
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=one)
    assert refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=other) == busy
    assert refused(qa.sagemaker.delete_endpoint, EndpointName=qa.name) == busy
    qa.settled()

    qa.update(other)

    assert refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=one) == busy
    assert refused(qa.sagemaker.delete_endpoint, EndpointName=qa.name) == busy
    qa.settled()


def test_an_endpoint_serves_after_its_config_is_deleted(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)

    qa.sagemaker.delete_endpoint_config(EndpointConfigName=config)

    assert qa.greet() == "Hello Ada"
    code, message = refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=config)
    assert (code, message[:37]) == ("ValidationException", "Could not find endpoint configuration")


def test_every_change_of_status_emits_an_event(qa: Account) -> None:
    queue = qa.client("sqs").create_queue(QueueName=qa.name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:eu-west-1:{qa.id}:{qa.name}"
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": queue_arn}]}
    qa.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Endpoint State Change"],
        "detail": {"EndpointName": [qa.name]},
    }
    qa.client("events").put_rule(Name=qa.name, EventPattern=json.dumps(pattern))
    qa.client("events").put_targets(Rule=qa.name, Targets=[{"Id": "queue", "Arn": queue_arn}])
    received: list[dict[str, Any]] = []

    def receive() -> bool:
        response = qa.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        received.extend(json.loads(message["Body"]) for message in response.get("Messages", []))
        return len(received) == 5

    qa.endpoint(qa.greeter_config("a", "Hello"), Tags=[{"Key": "team", "Value": "reviews"}])
    qa.update(qa.config(qa.model("b", archive({"empty": ""}))))
    qa.settled()
    wait_for(receive)

    received.sort(key=lambda event: event["detail"]["LastModifiedTime"])
    statuses = [event["detail"]["EndpointStatus"] for event in received]
    assert statuses == ["CREATING", "IN_SERVICE", "UPDATING", "ROLLING_BACK", "IN_SERVICE"]
    last = received[-1]
    assert last["resources"] == [arn(qa, "endpoint", qa.name)]
    assert last["detail"]["Tags"] == {"team": "reviews"}
    assert last["detail"]["FailureReason"] == PING_FAILED
    assert isinstance(last["detail"]["CreationTime"], float)


def test_an_endpoint_in_maintenance_serves_and_cannot_be_changed(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)

    hosting.maintain(qa.id, qa.name, seconds=5.0)

    assert qa.describe()["EndpointStatus"] == "SystemUpdating"
    assert refused(qa.sagemaker.delete_endpoint, EndpointName=qa.name)[1].startswith(
        "Cannot update in-progress endpoint"
    )
    assert qa.greet() == "Hello Ada"
    assert qa.settled()["EndpointConfigName"] == config


def test_an_update_above_the_instance_quota_is_rejected(qa: Account) -> None:
    variant = {"VariantName": VARIANT, "InstanceType": "ml.p3.2xlarge", "InitialInstanceCount": 1}
    for suffix in "ab":
        variant["ModelName"] = qa.model(suffix, greeter("Hello"))
        qa.config(f"{qa.name}-{suffix}", ProductionVariants=[variant])
    hosting.limit_instances(qa.id, "ml.p3.2xlarge", 1)
    qa.endpoint(f"{qa.name}-a")

    code, message = refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=f"{qa.name}-b")

    assert code == "ResourceLimitExceeded"
    assert "'ml.p3.2xlarge for endpoint usage' is 1 Instances, with current utilization of 1 Instances" in message
    assert qa.describe()["EndpointStatus"] == "InService"
    qa.sagemaker.delete_endpoint(EndpointName=qa.name)


def test_weights_and_counts_can_be_changed_without_a_new_config(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)

    desired = {"VariantName": VARIANT, "DesiredWeight": 0.5, "DesiredInstanceCount": 3}
    qa.sagemaker.update_endpoint_weights_and_capacities(EndpointName=qa.name, DesiredWeightsAndCapacities=[desired])

    (changing,) = qa.describe()["ProductionVariants"]
    assert (changing["CurrentInstanceCount"], changing["DesiredInstanceCount"]) == (1, 3)
    seen, endpoint = qa.statuses()
    assert seen == ["Updating", "InService"]
    (variant,) = endpoint["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (3, 0.5)


@pytest.mark.parametrize(
    ("request_members", "count", "weight"),
    [
        ({}, 1, 1.0),
        ({"RetainAllVariantProperties": True}, 3, 0.5),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
            },
            3,
            1.0,
        ),
    ],
)
def test_an_update_resets_scaled_variants_unless_they_are_retained(
    qa: Account, request_members: dict[str, Any], count: int, weight: float
) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))
    desired = {"VariantName": VARIANT, "DesiredWeight": 0.5, "DesiredInstanceCount": 3}
    qa.sagemaker.update_endpoint_weights_and_capacities(EndpointName=qa.name, DesiredWeightsAndCapacities=[desired])
    qa.settled()

    qa.update(qa.greeter_config("b", "Goodbye"), **request_members)

    (variant,) = qa.settled()["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (count, weight)


def test_an_autoscaled_variant_keeps_its_instance_type(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)
    qa.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{qa.name}/variant/{VARIANT}",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    variant = {"VariantName": VARIANT, "ModelName": config, "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    other_type = qa.config(f"{qa.name}-other", ProductionVariants=[variant])

    code, message = refused(qa.sagemaker.update_endpoint, EndpointName=qa.name, EndpointConfigName=other_type)

    assert code == "ValidationException"
    assert "must be deregistered as a scalable target" in message
    qa.update(qa.greeter_config("b", "Goodbye"))
    assert qa.settled()["EndpointStatus"] == "InService"


def test_the_status_can_change_with_a_delay(qa: Account, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = qa.greeter_config("a", "Hello"), qa.greeter_config("b", "Goodbye")
    qa.endpoint(old)
    monkeypatch.setattr(aws.pace, "endpoint_status_lag", 0.5)

    qa.update(new)

    first = qa.describe()
    assert (first["EndpointStatus"], first["EndpointConfigName"]) == ("InService", old)
    assert refused(qa.sagemaker.delete_endpoint, EndpointName=qa.name)[1].startswith(
        "Cannot update in-progress endpoint"
    )
    wait_for(lambda: qa.describe()["EndpointStatus"] == "Updating")
    assert qa.settled()["EndpointConfigName"] == new
