"""The required permissions of Step Functions's operations."""

from __future__ import annotations

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions


def _required(call: Call) -> Needs:
    request = call.parameters
    match call.operation:
        case "StartExecution" | "StartSyncExecution" | "ListExecutions" | "DescribeStateMachine":
            yield Need(
                f"states:{call.operation}", (request["stateMachineArn"],), {"states:statemachinequalifier": None}
            )
        case "DescribeExecution" | "StopExecution" | "GetExecutionHistory" | "RedriveExecution":
            yield Need(f"states:{call.operation}", (request["executionArn"],))
        case "SendTaskSuccess" | "SendTaskFailure" | "SendTaskHeartbeat" | "ListStateMachines":
            yield Need(f"states:{call.operation}", ("*",))


PERMISSIONS = {"states": Permissions(_required)}
