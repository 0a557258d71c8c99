"""The required permissions of CloudWatch's operations."""

from __future__ import annotations

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions


def _required(call: Call) -> Needs:
    match call.operation:
        case "PutMetricData":
            yield Need("cloudwatch:PutMetricData", ("*",), {"cloudwatch:namespace": call.parameters.get("Namespace")})
        case "PutMetricAlarm" | "SetAlarmState":
            yield Need(
                f"cloudwatch:{call.operation}", (call.arn("cloudwatch", f"alarm:{call.parameters['AlarmName']}"),)
            )
        case "PutDashboard" | "GetDashboard":
            name = call.parameters["DashboardName"]
            yield Need(f"cloudwatch:{call.operation}", (f"arn:aws:cloudwatch::{call.account}:dashboard/{name}",))
        case "DeleteAlarms":
            for name in call.parameters["AlarmNames"]:
                yield Need("cloudwatch:DeleteAlarms", (call.arn("cloudwatch", f"alarm:{name}"),))
        case "DescribeAlarms":
            names = call.parameters.get("AlarmNames") or []
            for name in names:
                yield Need("cloudwatch:DescribeAlarms", (call.arn("cloudwatch", f"alarm:{name}"),))
            if not names:
                yield Need("cloudwatch:DescribeAlarms", ("*",))


PERMISSIONS = {"monitoring": Permissions(_required)}
