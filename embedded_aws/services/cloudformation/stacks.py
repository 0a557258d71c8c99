"""CloudFormation stacks, whose resources are created, updated and deleted one after the other.

After a failure, the resources that were changed are rolled back, or remain if the caller disables the rollback
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html). A retained resource also
remains when its creation is rolled back, unless its policy is RetainExceptOnCreate
(https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html). moto stores
the stacks and describes them.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Mapping
from typing import Any, cast, override

from botocore.exceptions import ClientError
from moto.cloudformation import models
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudformation.resource_types import TYPES, Resource
from embedded_aws.services.cloudformation.resource_types.base import AttributeMissingError
from embedded_aws.services.cloudformation.resource_types.messaging import TargetError
from embedded_aws.services.cloudformation.submissions import Submission
from embedded_aws.services.cloudformation.templates import Template, TemplateError, load
from embedded_aws.services.cloudformation.transform import transform

_NO_ECHO = "****"
_EMPTY: dict[str, Any] = {"Resources": {}}
# The states from which CloudFormation updates a stack.
_UPDATABLE = {
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE",
}

patches = Patches("5.2.5")
_describe_in_moto = models.CloudFormationBackend.describe_stacks
_background = Background("cloudformation")


def install(host: Host) -> None:
    """Replace moto's stacks and start the thread that applies changes."""
    global _background
    _background = Background("cloudformation")
    host.exits.callback(_background.end)
    patches.apply()


@patches.replaces(
    models.CloudFormationBackend, "describe_stacks", "moto reads the stacks while another thread adds or removes one."
)
def _describe_stacks(self: models.CloudFormationBackend, name_or_stack_id: str) -> list[Stack]:
    now = copy.copy(self)
    now.stacks, now.deleted_stacks = self.stacks.copy(), self.deleted_stacks.copy()
    return cast("list[Stack]", _describe_in_moto(now, name_or_stack_id))


@dataclasses.dataclass(frozen=True)
class _Before:
    """A stack before a change, and the properties of its resources then."""

    template: str
    resource_map: Template
    parameters: dict[str, str]
    resources: dict[str, Resource]
    properties: dict[str, dict[str, Any]]


# moto builds the responses from attributes of the class, and their names from the name of the class.
@patches.replaces(models, "Stack", "moto ignores unknown resource types and most of an update.")
class Stack(models.Stack):
    """A stack of moto whose changes are applied in a background thread."""

    template: str
    parameters: dict[str, str]
    resource_map: Template
    tags: dict[str, str]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._resources: dict[str, Resource] = {}
        self._changing = threading.Lock()
        # The change sets by their names; `change_sets` adds and executes them.
        self.change_sets: dict[str, Any] = {}
        self.capabilities: list[str] = []
        super().__init__(*arguments, **options)

    @override
    @staticmethod
    def parse_template(template: str) -> dict[str, Any]:
        try:
            return load(template)
        except TemplateError as error:
            raise ValidationError(message=str(error)) from error

    def _create_resource_map(self) -> Template:
        # The stack of a change set has no template before the change set is executed.
        template = self.parsed(self.template_dict or _EMPTY, self.parameters)
        self.parameters = _all_values(template, self.parameters)
        return template

    def _create_output_map(self) -> dict[str, Any]:
        return {}

    def parsed(self, document: Mapping[str, Any], parameters: dict[str, str]) -> Template:
        """Return a template for this stack, transformed by its macro; raise ValidationError if it is invalid."""
        pseudo = {
            "AWS::AccountId": self.account_id,
            "AWS::NotificationARNs": [],
            "AWS::Region": self.region_name,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
        }
        try:
            template = Template(transform(dict(document), parameters, self.region_name), parameters, pseudo)
        except TemplateError as error:
            raise ValidationError(message=str(error)) from error
        unknown = [
            f"{logical_id} ({definition['Type']})"
            for logical_id, definition in template.resources.items()
            if definition["Type"] not in TYPES
        ]
        if unknown:
            raise ValidationError(message=f"Template format error: Unrecognized resource types: {', '.join(unknown)}")
        return template

    # Members that moto's responses contain.

    @override
    @property
    def parameter_list(self) -> list[dict[str, Any]]:
        declared = self.resource_map.document.get("Parameters") or {}
        return [
            {"ParameterKey": name, "ParameterValue": _NO_ECHO if declared[name].get("NoEcho") else value}
            for name, value in self.parameters.items()
        ]

    @override
    @property
    def stack_parameters(self) -> dict[str, Any]:
        return self.parameters

    @override
    @property
    def stack_resources(self) -> list[Resource]:
        return list(self._resources.values())

    @override
    @property
    def exports(self) -> list[Any]:
        return []

    @override
    @property
    def outputs(self) -> list[dict[str, Any]]:
        return [
            {"OutputKey": name, "OutputValue": str(output["Value"]), "Description": output.get("Description")}
            for name, output in self.output_map.items()
        ]

    # Methods that Template calls.

    def reference(self, logical_id: str) -> str:
        """Return the value of `Ref`."""
        return self._resources[logical_id].physical_resource_id

    def attribute(self, logical_id: str, name: str) -> Any:
        """Return the value of `Fn::GetAtt`."""
        return self._resources[logical_id].attribute(name)

    # Changes.

    def equals(self, wanted: Template, submission: Submission) -> bool:
        """Return whether the stack has this template, with these values and tags, after a successful change."""
        return (
            not self.status.endswith("_FAILED")
            and wanted.document == self.resource_map.document
            and wanted.parameters == self.resource_map.parameters
            and submission.tags in ({}, self.tags)
        )

    def check_updatable(self) -> None:
        """Raise ValidationError if the stack cannot be updated in its state."""
        if self.status not in _UPDATABLE:
            raise ValidationError(message=f"Stack:{self.stack_id} is in {self.status} state and can not be updated.")

    def change(self, action: str, wanted: Template, submission: Submission, *, disable_rollback: bool = False) -> None:
        """Begin to create or update the resources of the stack; `action` is CREATE or UPDATE."""
        with self._changing:
            if action == "UPDATE":
                self.check_updatable()
            self.status = f"{action}_IN_PROGRESS"
        resources = dict(self._resources)
        properties = {logical_id: resource.properties for logical_id, resource in resources.items()}
        before = _Before(self.template, self.resource_map, self.parameters, resources, properties)
        self.template, self.template_dict = submission.body, wanted.document
        self.description = wanted.document.get("Description")
        self.parameters = _all_values(wanted, submission.parameters)
        self.resource_map = wanted
        self.capabilities = submission.capabilities
        self.role_arn = submission.role_arn
        self.tags = submission.tags or self.tags
        self.disable_rollback = disable_rollback
        self.change_sets.clear()
        self._add_stack_event(f"{action}_IN_PROGRESS", resource_status_reason="User Initiated")
        _background.run(self._apply, wanted, action, None if disable_rollback else before)

    @override
    def delete(self) -> None:
        """Begin to delete the resources of the stack. After a failure, the rest remains, and can be deleted again."""
        with self._changing:
            if self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS":
                raise ValidationError(message=f"Stack [{self.name}] is in {self.status} state and cannot be deleted")
            self.status = "DELETE_IN_PROGRESS"
        self._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")
        _background.run(self._delete)

    def _delete(self) -> None:
        for resource in reversed(self.stack_resources):
            try:
                self._remove(resource)
            except Exception as error:  # noqa: BLE001  every error of a resource is the stack's failure
                self._fail("DELETE", resource, error)
                return
        backend = models.cloudformation_backends[self.account_id][self.region_name]
        backend.deleted_stacks[self.stack_id] = self
        backend.stacks.pop(self.stack_id, None)
        self._end("DELETE_COMPLETE")

    def _apply(self, wanted: Template, action: str, before: _Before | None) -> None:
        """Create, update and delete resources until they match the template; stop at the first failure."""
        retired: list[Resource] = []
        for logical_id in wanted.order:
            try:
                self._apply_resource(logical_id, wanted, retired)
            except Exception as error:  # noqa: BLE001  every error of a resource is the stack's failure
                self._fail(action, (logical_id, wanted.resources[logical_id]["Type"]), error, before)
                return
        try:
            self.output_map = wanted.outputs(self)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(action, (self.name, self.cloudformation_type()), error, before)
            return
        removed = [resource for logical_id, resource in self._resources.items() if logical_id not in wanted.resources]
        for resource in [*retired, *reversed(removed)]:
            self._clean_up(resource)
        self._end(f"{action}_COMPLETE")

    def _apply_resource(self, logical_id: str, wanted: Template, retired: list[Resource]) -> None:
        definition = wanted.resources[logical_id]
        kind = TYPES[definition["Type"]]
        properties = wanted.properties(logical_id, self)
        existing = self._resources.get(logical_id)
        policy = definition.get("DeletionPolicy", "Delete")
        if existing is None or not existing.exists:
            self._create(kind(self.name, self.account_id, self.region_name, logical_id, properties), policy)
        elif not existing.is_configured:
            self._update(existing, properties, {})
        elif properties != existing.properties:
            if existing.needs_replacement(properties) or type(existing) is not kind:
                successor = kind(self.name, self.account_id, self.region_name, logical_id, properties)
                self._replace(existing, successor, policy)
                existing.deletion_policy = definition.get("UpdateReplacePolicy", "Delete")
                retired.append(existing)
            else:
                self._update(existing, properties, existing.properties)
        self._resources[logical_id].deletion_policy = policy

    def _update(self, existing: Resource, properties: dict[str, Any], old: dict[str, Any]) -> None:
        before, existing.properties = existing.properties, properties
        try:
            existing.update(old)
        except Exception:
            # The next update must try again.
            existing.properties = before
            raise
        existing.is_configured = True
        self._add_resource_event(existing, "UPDATE_COMPLETE")

    def _replace(self, existing: Resource, successor: Resource, policy: str) -> None:
        if successor.name == existing.name and type(successor) is type(existing):
            raise TemplateError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {existing.name} and update the stack again."
            )
        self._create(successor, policy)

    def _create(self, resource: Resource, policy: str) -> None:
        # A resource that was created but not completely configured belongs to the stack, too.
        self._resources[resource.logical_resource_id] = resource
        resource.deletion_policy = policy
        resource.create()
        resource.is_configured = True
        self._add_resource_event(resource, "CREATE_COMPLETE")

    def _remove(self, resource: Resource, retaining: tuple[str, ...] = ("Retain", "RetainExceptOnCreate")) -> None:
        skipped = resource.deletion_policy in retaining
        if resource.exists and not skipped:
            resource.delete()
        if self._resources.get(resource.logical_resource_id) is resource:
            del self._resources[resource.logical_resource_id]
        self._add_resource_event(resource, "DELETE_SKIPPED" if skipped else "DELETE_COMPLETE")

    def _clean_up(self, resource: Resource) -> None:
        """Remove a resource after an update, which succeeds even if the removal fails; the resource then remains."""
        try:
            self._remove(resource)
        except Exception as error:  # noqa: BLE001  as above
            self._resources = {key: kept for key, kept in self._resources.items() if kept is not resource}
            self._add_event(resource, "DELETE_FAILED", _reason(error))

    def _roll_back(self, action: str, before: _Before, reason: str) -> None:
        prefix = "ROLLBACK" if action == "CREATE" else "UPDATE_ROLLBACK"
        self.status = f"{prefix}_IN_PROGRESS"
        self._add_stack_event(self.status, reason)
        created = [resource for key, resource in self._resources.items() if before.resources.get(key) is not resource]
        try:
            self._resources = dict(before.resources)
            for logical_id, resource in before.resources.items():
                earlier = before.properties[logical_id]
                if resource.properties != earlier or not resource.is_configured:
                    self._update(resource, earlier, resource.properties)
            for resource in reversed(created):
                self._remove(resource, ("Retain",))
        except Exception as error:  # noqa: BLE001  as above
            self._resources |= {resource.logical_resource_id: resource for resource in created if resource.exists}
            self.status = f"{prefix}_FAILED"
            self._add_stack_event(self.status, _reason(error))
            return
        if action == "UPDATE":
            self.template, self.resource_map, self.parameters = before.template, before.resource_map, before.parameters
        self._end(f"{prefix}_COMPLETE")

    def _fail(
        self, action: str, resource: Resource | tuple[str, str], error: Exception, before: _Before | None = None
    ) -> None:
        self._add_event(resource, f"{action}_FAILED", _reason(error))
        logical_id = resource.logical_resource_id if isinstance(resource, Resource) else resource[0]
        reason = f"The following resource(s) failed to {action.lower()}: [{logical_id}]."
        if before is not None:
            self._roll_back(action, before, reason)
            return
        self._add_stack_event(f"{action}_FAILED", reason)
        self.status = f"{action}_FAILED"

    def _end(self, status: str) -> None:
        self._add_stack_event(status)
        self.status = status

    def _add_resource_event(self, resource: Resource, status: str) -> None:
        self._add_event(resource, status, None)

    def _add_event(self, resource: Resource | tuple[str, str], status: str, reason: str | None) -> None:
        logical_id, kind = (
            (resource.logical_resource_id, resource.cf_resource_type) if isinstance(resource, Resource) else resource
        )
        self.events.append(
            Event(
                stack_id=self.stack_id,
                stack_name=self.name,
                logical_resource_id=logical_id,
                physical_resource_id=resource.physical_resource_id if isinstance(resource, Resource) else "",
                resource_type=kind,
                resource_status=status,
                resource_status_reason=reason,
                resource_properties=None,
            )
        )


def _reason(error: Exception) -> str:
    expected = isinstance(error, ClientError | TemplateError | AttributeMissingError | TargetError)
    return str(error) if expected else f"{type(error).__name__}: {error}"


def _all_values(template: Template, parameters: dict[str, str]) -> dict[str, str]:
    declared = template.document.get("Parameters") or {}
    return {name: str(parameter.get("Default")) for name, parameter in declared.items()} | parameters
