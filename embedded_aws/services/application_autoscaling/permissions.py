"""The required permissions of Application Auto Scaling's operations."""

from __future__ import annotations

import uuid
from typing import Any

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions
from embedded_aws.services.application_autoscaling import api, service_role


def _required(call: Call) -> Needs:
    """Yield the permission for the operation, and those for the variant, which the service checks as its caller.

    https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html, with the
    actions in "Auto scaling prerequisites" in the SageMaker developer guide.
    """
    request, operation = call.parameters, call.operation
    if operation.startswith("Describe"):
        yield Need(f"application-autoscaling:{operation}", ("*",))
        return
    known = {
        "application-autoscaling:service-namespace": request["ServiceNamespace"],
        "application-autoscaling:scalable-dimension": request["ScalableDimension"],
    }
    yield Need(
        f"application-autoscaling:{operation}", (call.arn("application-autoscaling", "scalable-target/*"),), known
    )
    if operation == "RegisterScalableTarget":
        if not service_role.exists(call.account):
            role, service = service_role.arn(call.account), service_role.SERVICE
            yield Need("iam:CreateServiceLinkedRole", (role,), {"iam:awsservicename": service})
        yield from _capacity(call, request)
    if operation in ("DeleteScalingPolicy", "DeregisterScalableTarget"):
        # *Assumed*: the service deletes the alarms of a policy with the permission of its caller, as it creates them.
        targets = api.targets_of(call.account, call.region, request["ScalableDimension"])
        target = targets.get(request["ResourceId"])
        for name in target.policies if target else ():
            if operation == "DeregisterScalableTarget" or name == request["PolicyName"]:
                alarm = call.arn("cloudwatch", f"alarm:TargetTracking-{request['ResourceId']}-AlarmHigh")
                yield Need("cloudwatch:DeleteAlarms", (alarm,))
    if operation == "PutScalingPolicy":
        alarm = call.arn("cloudwatch", f"alarm:TargetTracking-{request['ResourceId']}-AlarmHigh")
        for action in ("PutMetricAlarm", "DeleteAlarms", "DescribeAlarms"):
            yield Need(f"cloudwatch:{action}", (alarm,))


def _capacity(call: Call, request: dict[str, Any]) -> Needs:
    """Yield the permissions to read and change the capacity of the target's resource."""
    kind, name = request["ResourceId"].lower().split("/")[:2]
    resource = call.arn("sagemaker", f"{kind}/{name}")
    if kind == "inference-component":
        # The page about variants names their actions. These are assumed to be those of a component.
        yield Need("sagemaker:DescribeInferenceComponent", (resource,))
        yield Need("sagemaker:UpdateInferenceComponentRuntimeConfig", (resource,))
        return
    yield Need("sagemaker:DescribeEndpoint", (resource,))
    yield Need("sagemaker:UpdateEndpointWeightsAndCapacities", (resource,))
    yield Need("sagemaker:DescribeEndpointConfig", (call.arn("sagemaker", f"endpoint-config/{uuid.uuid4()}"),))


PERMISSIONS = {"application-autoscaling": Permissions(_required)}
