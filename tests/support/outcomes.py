"""The outcomes of both stages, reported to the training account for a while, and what they leave behind there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation
from sandbox import stacks
from tests.support.waiting import wait_until
from tests.support.world import DEV, PRODUCTION, QA, TRYING, Lab, Stage

STACK = "model-promotion-upstream-of-qa"
BUS = f"arn:aws:events:{accounts.REGION}:{DEV}:event-bus/{STACK}"
TOPIC = f"arn:aws:sns:{accounts.REGION}:{DEV}:{STACK}"


@contextlib.contextmanager
def reported(*stages: Stage) -> Iterator[None]:
    """Let both stages report to the training account, in the order of docs/deploying.md.

    Afterwards only the rules are switched off. The roles stay, so that the report of permissions counts their grants.
    """
    receiving = {"ReportingStages": f"{QA}=qa,{PRODUCTION}=production"}
    _deploy("upstream.yaml", STACK, DEV, receiving)
    for stage in stages:
        _deploy("template.yaml", stage.stack, stage.account, {"OutcomesBusArn": BUS})
        stage.client("events").enable_rule(**_rule(stage))
    try:
        yield
    finally:
        for stage in stages:
            stage.client("events").disable_rule(**_rule(stage))


def _deploy(template: str, stack: str, account: str, parameters: dict[str, str]) -> None:
    cloudformation.deploy(template=stacks.ROOT / template, stack_name=stack, account=account, parameters=parameters)


def _rule(stage: Stage) -> dict[str, str]:
    bus = f"model-promotion-{stage.name}"
    return {"EventBusName": bus, "Name": f"{bus}-outcomes"}


def reporting_role(stage: Stage) -> Any:
    """Return a client of EventBridge with the role of a stage that reports outcomes, as its administrators have it."""
    bus = f"model-promotion-{stage.name}"
    rule = f"arn:aws:events:{accounts.REGION}:{stage.account}:rule/{bus}/{bus}-outcomes"
    by = clients.ServiceCall("events.amazonaws.com", rule)
    return clients.client_as_role("events", stage.role("ReportingRole"), TRYING, by)


def put(events: Any, detail: dict[str, Any], detail_type: str = "Model Promotion Succeeded", **entry: str) -> Any:
    """Put an event on the bus of the training account."""
    event = {"Source": "model-promotion", "DetailType": detail_type, "Detail": json.dumps(detail), **entry}
    return events.put_events(Entries=[event | {"EventBusName": BUS}])


def marks(lab: Lab, arn: str) -> dict[str, str]:
    """Return the outcomes that a source is marked with, by stage."""
    sagemaker, key = lab.client("sagemaker"), "model-promotion:outcome-in-"
    if ":model-package/" in arn and arn.count("/") == 2:
        found = sagemaker.describe_model_package(ModelPackageName=arn).get("CustomerMetadataProperties", {})
    else:
        found = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    return {name.removeprefix(key): value for name, value in found.items() if name.startswith(key)}


def marked(lab: Lab, arn: str, stage: str, outcome: str) -> str:
    """Wait until a source is marked with an outcome, and return the whole mark."""

    def look() -> str | None:
        mark = marks(lab, arn).get(stage, "")
        return mark if mark.startswith(outcome) else None

    return wait_until(look, f"{outcome} in {stage} on {arn}")


class Subscriber:
    """A queue of the training account that is subscribed to the outcomes of one application in some stages."""

    def __init__(self, lab: Lab, name: str, application: str, *stages: str) -> None:
        self._sqs = lab.client("sqs")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{accounts.REGION}:{DEV}:{name}"
        allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        only = {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed | only]})
        self._sqs.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": policy})
        policy = json.dumps({"application": [application], "stage": stages})
        attributes = {"FilterPolicy": policy, "RawMessageDelivery": "true"}
        lab.client("sns").subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn, Attributes=attributes)
        self._received: list[dict[str, Any]] = []

    def received(self, count: int) -> list[dict[str, Any]]:
        """Wait for at least so many notifications, and return all of them in the order of their arrival."""

        def look() -> list[dict[str, Any]] | None:
            found = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
            self._received += [json.loads(each["Body"]) for each in found]
            return self._received if len(self._received) >= count else None

        return wait_until(look, f"{count} notifications")
