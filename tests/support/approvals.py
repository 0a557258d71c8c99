"""The approvals that a stage waits for, and the operators' decisions on them."""

from typing import Any

from tests.support.waiting import wait_until
from tests.support.world import Stage


def waiting_approval(production: Stage, application: str) -> dict[str, Any]:
    """The approval that waits for the application."""
    ssm = production.client("ssm")

    def look() -> dict[str, Any] | None:
        for item in production.items("approval"):
            if item["key"].startswith(f"{application}-production#") and item["automation"]:
                found = ssm.get_automation_execution(AutomationExecutionId=item["automation"])["AutomationExecution"]
                if found["AutomationExecutionStatus"] == "Waiting":
                    return dict(found)
        return None

    return wait_until(look, f"an approval of {application} that waits")


def signal(production: Stage, automation: str, kind: str, comment: str) -> None:
    production.client("ssm").send_automation_signal(
        AutomationExecutionId=automation, SignalType=kind, Payload={"Comment": [comment]}
    )


def automation_ended(production: Stage, automation: str) -> str:
    ssm = production.client("ssm")

    def look() -> str | None:
        found = ssm.get_automation_execution(AutomationExecutionId=automation)["AutomationExecution"]
        status = str(found["AutomationExecutionStatus"])
        return status if status not in ("Waiting", "InProgress", "Pending") else None

    return wait_until(look, f"the end of the approval {automation}")
