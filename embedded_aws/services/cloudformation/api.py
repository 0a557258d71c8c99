"""The operations of CloudFormation that change stacks, and those of change sets.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Operations.html. moto implements the
operations that only read stacks.
"""

from __future__ import annotations

from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import generate_stack_id
from moto.core.responses import ActionResult, EmptyResult

from embedded_aws.kernel.errors import NotModeledError
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudformation import resource_types, stacks, submissions
from embedded_aws.services.cloudformation.change_sets import ChangeSet, ChangeSetNotFoundError
from embedded_aws.services.cloudformation.stacks import Stack

_DIFFERS = "moto's stacks ignore most of a change, and its change sets do not follow AWS's rules."

patches = Patches("5.2.5")


def install(host: Host) -> None:
    """Install CloudFormation."""
    resource_types.base.forget_clients()
    stacks.install(host)
    patches.apply()


@patches.replaces(CloudFormationResponse, "create_stack", _DIFFERS)
def _create_stack(self: CloudFormationResponse) -> ActionResult:
    request = _request(self)
    name = request["StackName"]
    if _find(self, name):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    submission = submissions.read(request, self.current_account, self.region, expands_macros=True)
    stack = _new_stack(self, name)
    wanted = stack.parsed(stack.parse_template(submission.body), submission.parameters)
    _add(self, stack)
    keeps = request.get("OnFailure") == "DO_NOTHING" or bool(request.get("DisableRollback"))
    stack.change("CREATE", wanted, submission, disable_rollback=keeps)
    return ActionResult({"StackId": stack.stack_id})


@patches.replaces(CloudFormationResponse, "update_stack", _DIFFERS)
def _update_stack(self: CloudFormationResponse) -> ActionResult:
    request = _request(self)
    stack = _existing(self, request["StackName"])
    submission = submissions.read(request, self.current_account, self.region, stack, expands_macros=True)
    wanted = stack.parsed(stack.parse_template(submission.body), submission.parameters)
    stack.check_updatable()
    if stack.equals(wanted, submission):
        raise ValidationError(message="No updates are to be performed.")
    stack.change("UPDATE", wanted, submission, disable_rollback=bool(request.get("DisableRollback")))
    return ActionResult({"StackId": stack.stack_id})


@patches.replaces(CloudFormationResponse, "delete_stack", "moto deletes a stack at once, and only if nothing fails.")
def _delete_stack(self: CloudFormationResponse) -> EmptyResult:
    # A stack that does not exist is deleted already.
    if stack := _find(self, self._get_param("StackName")):
        stack.delete()
    return EmptyResult()


@patches.replaces(CloudFormationResponse, "create_change_set", _DIFFERS)
def _create_change_set(self: CloudFormationResponse) -> ActionResult:
    request = _request(self)
    action, name = request.get("ChangeSetType", "UPDATE"), request["ChangeSetName"]
    if action not in ("CREATE", "UPDATE") or request.get("ImportExistingResources"):
        raise NotModeledError("a change set that imports resources")
    stack = _of_change_set(self, request["StackName"], name, action)
    submission = submissions.read(request, self.current_account, self.region, stack)
    change_set = ChangeSet(stack, name, action, submission, request.get("Description"))
    if stack.stack_id not in self.cloudformation_backend.stacks:
        stack.status = "REVIEW_IN_PROGRESS"
        stack._add_stack_event(stack.status, resource_status_reason="User Initiated")
        _add(self, stack)
    stack.change_sets[name] = change_set
    return ActionResult({"Id": change_set.arn, "StackId": stack.stack_id})


@patches.replaces(CloudFormationResponse, "describe_change_set", _DIFFERS)
def _describe_change_set(self: CloudFormationResponse) -> ActionResult:
    return ActionResult(_change_set(self).described())


@patches.replaces(CloudFormationResponse, "execute_change_set", _DIFFERS)
def _execute_change_set(self: CloudFormationResponse) -> EmptyResult:
    _change_set(self).execute(disable_rollback=bool(self._get_bool_param("DisableRollback", False)))
    return EmptyResult()


@patches.replaces(CloudFormationResponse, "delete_change_set", _DIFFERS)
def _delete_change_set(self: CloudFormationResponse) -> EmptyResult:
    change_set = _change_set(self)
    del change_set.stack.change_sets[change_set.name]
    return EmptyResult()


@patches.replaces(CloudFormationResponse, "list_change_sets", _DIFFERS)
def _list_change_sets(self: CloudFormationResponse) -> ActionResult:
    stack = _existing(self, self._get_param("StackName"))
    return ActionResult({"Summaries": [change_set.summary() for change_set in stack.change_sets.values()]})


# The answers above have the members of the API, which need no transformers.
patches.replace(
    CloudFormationResponse,
    "RESPONSE_KEY_PATH_TO_TRANSFORMER",
    {
        path: transformer
        for path, transformer in CloudFormationResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if not path.startswith("DescribeChangeSetOutput.")
    },
    _DIFFERS,
)


def _request(response: CloudFormationResponse) -> dict[str, Any]:
    parameters: Any = response.params
    request: dict[str, Any] = parameters.original_dict() if hasattr(parameters, "original_dict") else parameters
    return request


def _find(response: CloudFormationResponse, name_or_id: str) -> Stack | None:
    backend = cloudformation_backends[response.current_account][response.region]
    return next((stack for stack in list(backend.stacks.values()) if name_or_id in (stack.name, stack.stack_id)), None)


def _existing(response: CloudFormationResponse, name_or_id: str) -> Stack:
    if stack := _find(response, name_or_id):
        return stack
    raise ValidationError(message=f"Stack [{name_or_id}] does not exist")


def _new_stack(response: CloudFormationResponse, name: str) -> Stack:
    account, region = response.current_account, response.region
    stack_id = generate_stack_id(name, region, account)
    return Stack(stack_id=stack_id, name=name, template={}, parameters={}, account_id=account, region_name=region)


def _add(response: CloudFormationResponse, stack: Stack) -> None:
    response.cloudformation_backend.stacks[stack.stack_id] = stack


def _of_change_set(response: CloudFormationResponse, stack_name: str, name: str, action: str) -> Stack:
    """Return the stack of a new change set: a new one if it is to be created."""
    stack = _find(response, stack_name)
    if stack is not None and name in stack.change_sets:
        raise AlreadyExistsException(f"ChangeSet {name} already exists")
    if action == "CREATE" and stack is not None and stack.status != "REVIEW_IN_PROGRESS":
        raise ValidationError(
            message=f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{name}]."
        )
    if action == "UPDATE":
        stack = _existing(response, stack_name)
        stack.check_updatable()
    return stack or _new_stack(response, stack_name)


def _change_set(response: CloudFormationResponse) -> ChangeSet:
    """Return the change set that a request names by its ARN, or by its name and the stack."""
    name = response._get_param("ChangeSetName")
    stack_name = response._get_param("StackName")
    backend = cloudformation_backends[response.current_account][response.region]
    for stack in list(backend.stacks.values()):
        for change_set in stack.change_sets.values():
            if name == change_set.arn or (name == change_set.name and stack_name in (stack.name, stack.stack_id)):
                found: ChangeSet = change_set
                return found
    raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")
