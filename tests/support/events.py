"""The events that reach a stage, or do not."""

import contextlib
from collections.abc import Iterator
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.world import DEV, TRYING, Stage, role_of


def event(
    detail_type: str, detail: dict[str, Any], source: str = "aws.sagemaker", account: str = DEV
) -> dict[str, Any]:
    kind = {"source": source, "detail-type": detail_type}
    return {"version": "0", **kind, "account": account, "region": accounts.REGION, "detail": detail}


def forwarding(account: str, stage: str) -> Any:
    """Return a client with the role that forwards the events of an account to a stage."""
    rule = f"arn:aws:events:{accounts.REGION}:{account}:rule/model-promotion-upstream-of-{stage}-training"
    role = role_of(account, f"model-promotion-upstream-of-{stage}", "ForwardingRole")
    return clients.client_as_role("events", role, TRYING, clients.ServiceCall("events.amazonaws.com", rule))


@contextlib.contextmanager
def lost_events_of_executions(qa: Stage) -> Iterator[None]:
    """Nobody hears that executions end."""
    events = qa.client("events")
    names = [rule["Name"] for rule in events.list_rules()["Rules"] if "aws.states" in rule.get("EventPattern", "")]
    for name in names:
        events.disable_rule(Name=name)
    try:
        yield
    finally:
        for name in names:
            events.enable_rule(Name=name)
