"""The pending approvals of a stage, and the operators' decisions on them."""

from typing import Any

from tests.support.waiting import wait_until
from tests.support.world import Stage


def waiting_approval(production: Stage, application: str) -> dict[str, Any]:
    """Wait for a pending approval of the application, and return its Automation execution."""
    ssm = production.client("ssm")

    def find_waiting() -> dict[str, Any] | None:
        for item in production.items("approval"):
            if item["key"].startswith(f"{application}-production#") and item["automation"]:
                execution = ssm.get_automation_execution(AutomationExecutionId=item["automation"])[
                    "AutomationExecution"
                ]
                if execution["AutomationExecutionStatus"] == "Waiting":
                    return dict(execution)
        return None

    return wait_until(find_waiting, f"a pending approval of {application}")


def signal(production: Stage, automation: str, kind: str, comment: str) -> None:
    """Decide on an approval; `kind` is Approve or Reject."""
    production.client("ssm").send_automation_signal(
        AutomationExecutionId=automation, SignalType=kind, Payload={"Comment": [comment]}
    )


def automation_ended(production: Stage, automation: str) -> str:
    """Wait until the Automation execution has ended, and return its status."""
    ssm = production.client("ssm")

    def final_status() -> str | None:
        execution = ssm.get_automation_execution(AutomationExecutionId=automation)["AutomationExecution"]
        status = str(execution["AutomationExecutionStatus"])
        return status if status not in ("Waiting", "InProgress", "Pending") else None

    return wait_until(final_status, f"the end of the approval {automation}")
