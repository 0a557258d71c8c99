"""Scalable targets of an endpoint for unit tests."""

from typing import Any

from promotion.endpoint.autoscaling import INSTANCES, Target

RESUMED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}

TRACKING = {
    "PolicyName": "invocations",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
}

NIGHT = {"ScheduledActionName": "night", "Schedule": "cron(0 22 * * ? *)", "ScalableTargetAction": {"MaxCapacity": 1}}


def target(variant: str = "AllTraffic", **members: Any) -> Target:
    return {
        "ResourceId": f"endpoint/reviews-qa/variant/{variant}",
        "ScalableDimension": INSTANCES,
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "SuspendedState": RESUMED,
        "ScalingPolicies": [],
        "ScheduledActions": [],
        **members,
    }
