"""The autoscaling of an endpoint: a policy, a scheduled action, and a manual change by an operator."""

from tests.support.world import Stage

POLICY = {
    "PolicyName": "invocations",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    },
}

NIGHT = {
    "ScheduledActionName": "night",
    "Schedule": "cron(0 22 * * ? *)",
    "ScalableTargetAction": {"MinCapacity": 2, "MaxCapacity": 2},
}


def scale_manually(stage: Stage, application: str) -> None:
    name = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{application}-{stage.name}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    client, suspended = stage.client("application-autoscaling"), {"ScheduledScalingSuspended": True}
    client.register_scalable_target(**name, MinCapacity=1, MaxCapacity=3, SuspendedState=suspended)
    client.put_scaling_policy(**name, **POLICY)
    client.put_scheduled_action(**name, **NIGHT)
