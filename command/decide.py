"""The decision on a pending approval: Systems Manager records who decided, and why."""

from __future__ import annotations

from botocore.exceptions import ClientError

from command.errors import CommandError
from command.overview import Pending, pending
from command.stage import Stage


def find(stage: Stage, application: str, identifier: str | None) -> Pending:
    """Return the approval of an application that waits for a decision, or the one with an ID; raise CommandError."""
    found = [each for each in pending(stage, application) if identifier in (None, each.automation)]
    if not found:
        which = (
            f"The approval {identifier} of {application} is not" if identifier else f"No approval of {application} is"
        )
        raise CommandError(
            f"{which} pending in the stage {stage.name}. `model-promotion status` lists the pending approvals."
        )
    if len(found) > 1:
        listed = ", ".join(each.automation for each in found)
        raise CommandError(f"Several approvals of {application} are pending: {listed}. Choose one with --id.")
    return found[0]


def describe(asked: Pending) -> list[tuple[str, str]]:
    """Return what an approver decides on, as labels and values."""
    record, given = asked.record, asked.parameters
    metrics = ", ".join(f"{name} {value:.6g}" for name, value in record.get("metrics", {}).items())
    return [
        ("Application", record["application"]),
        ("Source", f"{record['source_kind']} {record['source_name']}"),
        ("Metrics", metrics or "none"),
        ("Digest of the model", given.get("Digest", "")),
        ("Digest of the deployment", given.get("DeploymentDigest", "")),
        ("Smoke test", given.get("SmokeTest", "")),
        ("Not pinned by the digest", given.get("NotPinned", "")),
        ("Approval", asked.automation),
    ]


def decide(stage: Stage, asked: Pending, *, approve: bool, comment: str) -> None:
    """Approve or reject; raise CommandError if Systems Manager does not accept the decision of this person."""
    try:
        stage.client("ssm").send_automation_signal(
            AutomationExecutionId=asked.automation,
            SignalType="Approve" if approve else "Reject",
            Payload={"Comment": [comment]} if comment else {},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidAutomationSignalException":
            raise
        raise CommandError(
            f"Systems Manager did not accept the decision on the approval {asked.automation}: "
            f"{error.response['Error']['Message']} Only the stage's Approvers can decide, and only once."
        ) from error
