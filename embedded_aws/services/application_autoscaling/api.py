"""Application Auto Scaling for SageMaker variants and inference components: targets, policies and scheduled actions.

https://docs.aws.amazon.com/autoscaling/application/APIReference/API_Operations.html. A new capacity range changes the
capacity of a variant or component that is outside it. Alarms do not change capacity. One-time scheduled actions (`at`)
in UTC run at their time if the pace lets schedules run; `run` runs any action.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from moto.applicationautoscaling.models import ApplicationAutoscalingBackend, applicationautoscaling_backends
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import JsonRESTError
from moto.core.utils import camelcase_to_underscores

from embedded_aws.iam import clients
from embedded_aws.kernel import validation
from embedded_aws.kernel.accounts import REGION
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host, Pace
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.application_autoscaling import service_role

_INSTANCES = "sagemaker:variant:DesiredInstanceCount"
_COPIES = "sagemaker:inference-component:DesiredCopyCount"
_RESUMED = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
)
_DEFAULT_PAGE = 50
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_POLL_SECONDS = 0.5

patches = Patches("5.2.5")
_pace = Pace()


@dataclasses.dataclass
class Target:
    """A scalable target with its policies and scheduled actions, by their names."""

    description: dict[str, Any]
    policies: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    actions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Call:
    account: str
    region: str
    request: dict[str, Any]

    @property
    def backend(self) -> ApplicationAutoscalingBackend:
        return applicationautoscaling_backends[self.account][self.region]

    @property
    def targets(self) -> dict[str, Target]:
        """Return the targets of the request's dimension."""
        return targets_of(self.account, self.region, self.request["ScalableDimension"])

    @property
    def identity(self) -> dict[str, Any]:
        return {name: self.request[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}

    def arn(self, rest: str) -> str:
        return f"arn:aws:autoscaling:{self.region}:{self.account}:{rest}"


def targets_of(account: str, region: str, dimension: str) -> dict[str, Target]:
    """Return the targets of a dimension by resource ID, from moto's backend, where SageMaker can read them."""
    targets: dict[str, Target] = applicationautoscaling_backends[account][region].targets.setdefault(dimension, {})
    return targets


def install(host: Host) -> None:
    """Apply the patches, and start the schedules unless the pace turns them off."""
    global _pace
    _pace = host.pace
    if host.pace.schedules:
        background = Background("scheduled actions")
        host.exits.callback(background.end)
        background.run(watch, background)
    patches.apply()


def run(account: str, resource: str, action: str, region: str = REGION) -> None:
    """Run a scheduled action of a variant now."""
    for targets in list(applicationautoscaling_backends[account][region].targets.values()):
        if resource in targets:
            _run(account, region, targets[resource], action)


def watch(background: Background) -> None:
    """Run one-time actions at their time."""
    done: set[str] = set()
    while background.pause(_POLL_SECONDS):
        for account, regions in list(applicationautoscaling_backends.items()):
            for region, backend in list(regions.items()):
                for target in [target for each in list(backend.targets.values()) for target in list(each.values())]:
                    for name, action in list(target.actions.items()):
                        arn, at = action["ScheduledActionARN"], _AT.fullmatch(action["Schedule"])
                        if at and arn not in done and f"{at[1]}+00:00" <= _now():
                            done.add(arn)
                            _run(account, region, target, name)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _run(account: str, region: str, target: Target, name: str) -> None:
    """Set the capacities of the target to those of the action, which can have one of them or both.

    "How scheduled scaling for Application Auto Scaling works" (scheduled-scaling-policy-overview) and
    API_SuspendedState. Assumed: an action after which the minimum would exceed the maximum changes nothing, and a
    one-time action remains in descriptions.
    """
    changed = target.description | target.actions[name]["ScalableTargetAction"]
    if target.description["SuspendedState"]["ScheduledScalingSuspended"]:
        return
    if changed["MinCapacity"] <= changed["MaxCapacity"]:
        target.description |= changed
        _move_into_range(account, region, target.description)


def _method(name: str, operation: Callable[[_Call], dict[str, Any]]) -> Callable[..., str]:
    def answer(response: ApplicationAutoScalingResponse) -> str:
        request = json.loads(response.body or "{}")
        try:
            validation.check("application-autoscaling", name, request)
        except ApiError as error:
            raise JsonRESTError(str(error.code), error.message) from error
        return json.dumps(operation(_Call(response.current_account, response.region, request)))

    return answer


def _register(call: _Call) -> dict[str, Any]:
    limits: dict[str, Any] = {
        name: call.request[name] for name in ("MinCapacity", "MaxCapacity") if name in call.request
    }
    target = call.targets.get(call.request["ResourceId"])
    if target is None:
        if len(limits) < 2:
            raise _invalid("A new scalable target requires MinCapacity and MaxCapacity.")
        arn = f"arn:aws:application-autoscaling:{call.region}:{call.account}:scalable-target/{uuid.uuid4().hex}"
        role = service_role.arn(call.account)
        created = {"CreationTime": time.time(), "ScalableTargetARN": arn, "RoleARN": role, "SuspendedState": _RESUMED}
        service_role.create(call.account)
        if time.time() - service_role.created_at(call.account) < _pace.service_role_lag:
            # IAM is eventually consistent. Terraform retries this error for a minute:
            # internal/service/appautoscaling/target.go in hashicorp/terraform-provider-aws. The end is *assumed*.
            raise _invalid(f"Unable to assume IAM role: {role}")
        target = call.targets[call.request["ResourceId"]] = Target(call.identity | created)
    target.description |= limits
    target.description["SuspendedState"] = target.description["SuspendedState"] | call.request.get("SuspendedState", {})
    if target.description["MinCapacity"] > target.description["MaxCapacity"]:
        raise _invalid("Maximum capacity cannot be less than minimum capacity")
    _move_into_range(call.account, call.region, target.description)
    return {"ScalableTargetARN": target.description["ScalableTargetARN"]}


def _move_into_range(account: str, region: str, target: dict[str, Any]) -> None:
    """Change the capacity of what is InService to one in the range (API_RegisterScalableTarget.html)."""
    move = {_INSTANCES: _move_variant, _COPIES: _move_component}.get(target["ScalableDimension"])
    if move is None:
        return
    try:
        move(clients.client_as_operator("sagemaker", account, region), target)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise


def _move_variant(sagemaker: Any, target: dict[str, Any]) -> None:
    _, endpoint, _, name = target["ResourceId"].split("/")
    description = sagemaker.describe_endpoint(EndpointName=endpoint)
    variants = {v["VariantName"]: v.get("DesiredInstanceCount") for v in description.get("ProductionVariants", [])}
    count = variants.get(name)
    if count is None or description["EndpointStatus"] != "InService":
        return
    new_count = _in_range(count, target)
    if new_count != count:
        desired = {"VariantName": name, "DesiredInstanceCount": new_count}
        sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=[desired])


def _move_component(sagemaker: Any, target: dict[str, Any]) -> None:
    name = target["ResourceId"].partition("/")[2]
    description = sagemaker.describe_inference_component(InferenceComponentName=name)
    count = description["RuntimeConfig"]["DesiredCopyCount"]
    if description["InferenceComponentStatus"] == "InService" and (new := _in_range(count, target)) != count:
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": new}
        )


def _in_range(count: int, target: dict[str, Any]) -> int:
    return int(min(max(count, target["MinCapacity"]), target["MaxCapacity"]))


def _deregister(call: _Call) -> dict[str, Any]:
    _find(call)
    call.targets.pop(call.request["ResourceId"], None)
    return {}


def _put_policy(call: _Call) -> dict[str, Any]:
    target, name = _find(call), call.request["PolicyName"]
    known = target.policies.get(name, {})
    kind = call.request.get("PolicyType") or known.get("PolicyType") or "StepScaling"
    if known and kind != known["PolicyType"]:
        raise _invalid("You can't change the policy type of a scaling policy.")
    identifier = uuid.uuid4()
    arn = call.arn(f"scalingPolicy:{identifier}:resource/sagemaker/{call.request['ResourceId']}:policyName/{name}")
    configuration = f"{kind}PolicyConfiguration"
    if configuration not in call.request:
        raise _invalid(f"A scaling policy of type {kind} requires {configuration}.")
    target.policies[name] = {
        **call.identity,
        "PolicyARN": known.get("PolicyARN", arn),
        "PolicyName": name,
        "PolicyType": kind,
        "CreationTime": known.get("CreationTime", time.time()),
        "Alarms": [],
        configuration: call.request[configuration],
    }
    return {"PolicyARN": target.policies[name]["PolicyARN"], "Alarms": []}


def _delete_policy(call: _Call) -> dict[str, Any]:
    if _find(call).policies.pop(call.request["PolicyName"], None) is None:
        raise _not_found("scaling policy", call)
    return {}


def _put_action(call: _Call) -> dict[str, Any]:
    target, name = _find(call), call.request["ScheduledActionName"]
    known = target.actions.get(name, {})
    if not known and not {"Schedule", "ScalableTargetAction"} <= call.request.keys():
        raise _invalid("A new scheduled action requires Schedule and ScalableTargetAction.")
    arn = call.arn(f"scheduledAction:{uuid.uuid4()}:resource/sagemaker/{call.request['ResourceId']}:{name}")
    created = {"CreationTime": time.time(), "ScheduledActionARN": arn}
    # "If you don't specify start and end times, the old values are deleted."
    kept = {key: value for key, value in known.items() if key not in ("StartTime", "EndTime")}
    target.actions[name] = created | kept | call.request
    return {}


def _delete_action(call: _Call) -> dict[str, Any]:
    if _find(call).actions.pop(call.request["ScheduledActionName"], None) is None:
        raise _not_found("scheduled action", call)
    return {}


def _describe_targets(call: _Call) -> dict[str, Any]:
    resources = call.request.get("ResourceIds")
    if call.request.get("ScalableDimension") and not resources:
        raise _invalid("ScalableDimension requires ResourceIds.")
    targets = [t.description for t in _all_targets(call) if not resources or t.description["ResourceId"] in resources]
    return _page(call, "ScalableTargets", targets)


def _describe_policies(call: _Call) -> dict[str, Any]:
    return _page(call, "ScalingPolicies", [policy for t in _requested_targets(call) for policy in t.policies.values()])


def _describe_actions(call: _Call) -> dict[str, Any]:
    return _page(call, "ScheduledActions", [action for t in _requested_targets(call) for action in t.actions.values()])


def _all_targets(call: _Call) -> list[Target]:
    """Return the account's targets in the request's namespace and, if it has one, dimension."""
    dimension = call.request.get("ScalableDimension")
    return [
        target
        for targets in list(call.backend.targets.values())
        for target in list(targets.values())
        if target.description["ServiceNamespace"] == call.request["ServiceNamespace"]
        and dimension in (None, target.description["ScalableDimension"])
    ]


def _requested_targets(call: _Call) -> list[Target]:
    resource = call.request.get("ResourceId")
    return [target for target in _all_targets(call) if resource in (None, target.description["ResourceId"])]


def _page(call: _Call, member: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    start, size = int(call.request.get("NextToken", 0)), call.request.get("MaxResults", _DEFAULT_PAGE)
    page: dict[str, Any] = {member: items[start : start + size]}
    return page | ({"NextToken": str(start + size)} if start + size < len(items) else {})


def _find(call: _Call) -> Target:
    target = call.targets.get(call.request["ResourceId"])
    if target is None:
        raise _not_found("scalable target", call)
    return target


def _not_found(what: str, call: _Call) -> JsonRESTError:
    return JsonRESTError(
        "ObjectNotFoundException",
        f"No {what} found for service namespace: {call.request['ServiceNamespace']}, resource ID: "
        f"{call.request['ResourceId']}, scalable dimension: {call.request['ScalableDimension']}",
    )


def _invalid(message: str) -> JsonRESTError:
    return JsonRESTError("ValidationException", message)


for _name, _operation in {
    "RegisterScalableTarget": _register,
    "DeregisterScalableTarget": _deregister,
    "DescribeScalableTargets": _describe_targets,
    "PutScalingPolicy": _put_policy,
    "DeleteScalingPolicy": _delete_policy,
    "DescribeScalingPolicies": _describe_policies,
    "PutScheduledAction": _put_action,
    "DeleteScheduledAction": _delete_action,
    "DescribeScheduledActions": _describe_actions,
}.items():
    patches.replace(
        ApplicationAutoScalingResponse,
        camelcase_to_underscores(_name),
        _method(_name, _operation),
        "moto does not relate policies and actions to their target, has one dimension, and never changes capacity.",
    )
