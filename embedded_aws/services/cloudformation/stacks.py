"""CloudFormation stacks, whose resources are created, updated and deleted one after the other.

After a failure, the resources that were already created remain and the next update continues from there, as with the
option "preserve successfully provisioned resources"
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html). moto stores the stacks and
implements the API.
"""

from __future__ import annotations

import copy
import threading
from typing import Any, cast, override

from botocore.exceptions import ClientError
from moto.cloudformation import models
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event
from moto.cloudformation.responses import CloudFormationResponse

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.cloudformation.resource_types import TYPES, Resource
from embedded_aws.services.cloudformation.resource_types.base import AttributeMissingError
from embedded_aws.services.cloudformation.resource_types.messaging import TargetError
from embedded_aws.services.cloudformation.templates import Template, TemplateError, load

_NO_ECHO = "****"

patches = Patches("5.2.5")
_validate_in_moto = CloudFormationResponse._validate_different_update
_describe_in_moto = models.CloudFormationBackend.describe_stacks
_background = Background("cloudformation")


def install(host: Host) -> None:
    """Replace moto's stacks and start the thread that applies changes."""
    global _background
    _background = Background("cloudformation")
    host.exits.callback(_background.end)
    patches.apply()


@patches.replaces(
    CloudFormationResponse, "_validate_different_update", "moto refuses an unchanged template even after a failure."
)
def _validate_different_update(self: CloudFormationResponse, parameters: Any, body: str, stack: Stack) -> None:
    if not stack.status.endswith("_FAILED"):
        _validate_in_moto(self, parameters, body, stack)


@patches.replaces(
    models.CloudFormationBackend, "describe_stacks", "moto reads the stacks while another thread adds or removes one."
)
def _describe_stacks(self: models.CloudFormationBackend, name_or_stack_id: str) -> list[Stack]:
    now = copy.copy(self)
    now.stacks, now.deleted_stacks = self.stacks.copy(), self.deleted_stacks.copy()
    return cast("list[Stack]", _describe_in_moto(now, name_or_stack_id))


# moto builds the responses from attributes of the class, and their names from the name of the class.
@patches.replaces(models, "Stack", "moto ignores unknown resource types and most of an update.")
class Stack(models.Stack):
    """A stack of moto whose changes are applied in a background thread."""

    parameters: dict[str, str]
    resource_map: Template

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._resources: dict[str, Resource] = {}
        self._changing = threading.Lock()
        super().__init__(*arguments, **options)

    @override
    @staticmethod
    def parse_template(template: str) -> dict[str, Any]:
        try:
            return load(template)
        except TemplateError as error:
            raise ValidationError(message=str(error)) from error

    def _create_resource_map(self) -> Template:
        template = self._parsed(self.template_dict, self.parameters)
        self.parameters = _all_values(self.template_dict, self.parameters)
        return template

    def _create_output_map(self) -> dict[str, Any]:
        return {}

    def _parsed(self, document: dict[str, Any], parameters: dict[str, str]) -> Template:
        pseudo = {
            "AWS::AccountId": self.account_id,
            "AWS::NotificationARNs": [],
            "AWS::Region": self.region_name,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
        }
        try:
            template = Template(document, parameters, pseudo)
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
        declared = self.template_dict.get("Parameters") or {}
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

    @override
    def create_resources(self) -> None:
        self.status = "CREATE_IN_PROGRESS"
        _background.run(self._apply, self.resource_map, "CREATE")

    @override
    def update(
        self,
        template: str,
        role_arn: str | None = None,
        parameters: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        document = self.parse_template(template)
        wanted = self._parsed(document, parameters or {})
        with self._changing:
            if self.status.endswith("_IN_PROGRESS"):
                raise ValidationError(
                    message=f"Stack:{self.stack_id} is in {self.status} state and can not be updated."
                )
            self.status = "UPDATE_IN_PROGRESS"
        self.template, self.template_dict = template, document
        self.parameters = _all_values(document, parameters or {})
        self.resource_map = wanted
        self.role_arn = role_arn
        if tags is not None:
            self.tags = tags
        self._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
        _background.run(self._apply, wanted, "UPDATE")

    @override
    def delete(self) -> None:
        self._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")
        for resource in reversed(self.stack_resources):
            try:
                self._remove(resource)
            except Exception as error:
                self.status = "DELETE_FAILED"
                # moto has already removed the stack from its backend.
                models.cloudformation_backends[self.account_id][self.region_name].stacks[self.stack_id] = self
                raise ValidationError(message=f"{resource.logical_resource_id}: {error}") from error
        self.status = "DELETE_COMPLETE"
        self._add_stack_event("DELETE_COMPLETE")

    def _apply(self, wanted: Template, action: str) -> None:
        """Create, update and delete resources until they match the template; stop at the first failure."""
        retired: list[Resource] = []
        for logical_id in wanted.order:
            try:
                self._apply_resource(logical_id, wanted, retired)
            except Exception as error:  # noqa: BLE001  every error of a resource is the stack's failure
                self._fail(action, logical_id, wanted.resources[logical_id]["Type"], error)
                return
        removed = [resource for logical_id, resource in self._resources.items() if logical_id not in wanted.resources]
        try:
            self.output_map = wanted.outputs(self)
            for resource in [*retired, *reversed(removed)]:
                self._remove(resource)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(action, self.name, self.cloudformation_type(), error)
            return
        self._add_stack_event(f"{action}_COMPLETE")
        self.status = f"{action}_COMPLETE"

    def _apply_resource(self, logical_id: str, wanted: Template, retired: list[Resource]) -> None:
        kind = TYPES[wanted.resources[logical_id]["Type"]]
        properties = wanted.properties(logical_id, self)
        existing = self._resources.get(logical_id)
        if existing is None or not existing.exists:
            self._create(kind(self.name, self.account_id, self.region_name, logical_id, properties))
        elif not existing.is_configured:
            self._update(existing, properties, {})
        elif properties != existing.properties:
            if existing.needs_replacement(properties) or type(existing) is not kind:
                self._replace(existing, kind(self.name, self.account_id, self.region_name, logical_id, properties))
                existing.is_retained = wanted.resources[logical_id].get("UpdateReplacePolicy") == "Retain"
                retired.append(existing)
            else:
                self._update(existing, properties, existing.properties)
        self._resources[logical_id].is_retained = wanted.resources[logical_id].get("DeletionPolicy") == "Retain"

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

    def _replace(self, existing: Resource, successor: Resource) -> None:
        if successor.name == existing.name and type(successor) is type(existing):
            raise TemplateError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {existing.name} and update the stack again."
            )
        self._create(successor)

    def _create(self, resource: Resource) -> None:
        # A resource that was created but not completely configured belongs to the stack, too.
        self._resources[resource.logical_resource_id] = resource
        resource.create()
        resource.is_configured = True
        self._add_resource_event(resource, "CREATE_COMPLETE")

    def _remove(self, resource: Resource) -> None:
        if resource.exists and not resource.is_retained:
            resource.delete()
        if self._resources.get(resource.logical_resource_id) is resource:
            del self._resources[resource.logical_resource_id]
        self._add_resource_event(resource, "DELETE_COMPLETE")

    def _fail(self, action: str, logical_id: str, kind: str, error: Exception) -> None:
        expected = isinstance(error, ClientError | TemplateError | AttributeMissingError | TargetError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        self._add_event(logical_id, "", kind, f"{action}_FAILED", reason)
        self._add_stack_event(f"{action}_FAILED", f"The following resource(s) failed: [{logical_id}].")
        self.status = f"{action}_FAILED"

    def _add_resource_event(self, resource: Resource, status: str) -> None:
        self._add_event(
            resource.logical_resource_id, resource.physical_resource_id, resource.cf_resource_type, status, None
        )

    def _add_event(self, logical_id: str, physical_id: str, kind: str, status: str, reason: str | None) -> None:
        self.events.append(
            Event(
                stack_id=self.stack_id,
                stack_name=self.name,
                logical_resource_id=logical_id,
                physical_resource_id=physical_id,
                resource_type=kind,
                resource_status=status,
                resource_status_reason=reason,
                resource_properties=None,
            )
        )


def _all_values(document: dict[str, Any], parameters: dict[str, str]) -> dict[str, str]:
    declared = document.get("Parameters") or {}
    return {name: str(parameter.get("Default")) for name, parameter in declared.items()} | parameters
