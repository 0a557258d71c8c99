"""Change sets: the changes that a submission would make to a stack, which begin when the change set is executed.

`sam deploy` and `aws cloudformation deploy` create a change set, wait for it, show its changes and execute it. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

from moto.cloudformation.exceptions import CloudFormationError

from embedded_aws.services.cloudformation.resource_types import TYPES
from embedded_aws.services.cloudformation.stacks import Stack
from embedded_aws.services.cloudformation.submissions import Submission
from embedded_aws.services.cloudformation.templates import Template, TemplateError

# CloudFormation's own placeholder for the ID or attribute of a resource that does not exist yet.
_UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
_UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."


class ChangeSetNotFoundError(CloudFormationError):
    """The stack has no change set of that name."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatusError(CloudFormationError):
    """The change set cannot be executed."""

    code = "InvalidChangeSetStatus"


class ChangeSet:
    """A submission for a stack and its changes, which are computed when the change set is created."""

    def __init__(self, stack: Stack, name: str, action: str, submission: Submission, description: str | None) -> None:
        self.stack = stack
        self.name = name
        self.action = action
        self.submission = submission
        self.description = description
        self.arn = stack.stack_id.split(":stack/")[0] + f":changeSet/{name}/{uuid.uuid4()}"
        self.created = datetime.datetime.now(datetime.UTC)
        self.wanted = stack.parsed(stack.parse_template(submission.body), submission.parameters)
        self.changes = list(_changes(stack, self.wanted))
        self.has_changes = action == "CREATE" or not stack.equals(self.wanted, submission)
        self.is_executed = False

    @property
    def execution_status(self) -> str:
        """Return whether the change set can be executed."""
        if self.is_executed:
            return "EXECUTE_COMPLETE"
        return "AVAILABLE" if self.has_changes else "UNAVAILABLE"

    def summary(self) -> dict[str, Any]:
        """Return the members that ListChangeSets and DescribeChangeSet have in common."""
        return {
            "ChangeSetId": self.arn,
            "ChangeSetName": self.name,
            "StackId": self.stack.stack_id,
            "StackName": self.stack.name,
            "Description": self.description,
            "CreationTime": self.created,
            "ExecutionStatus": self.execution_status,
            "Status": "CREATE_COMPLETE" if self.has_changes else "FAILED",
            "StatusReason": None if self.has_changes else _UNCHANGED,
        }

    def described(self) -> dict[str, Any]:
        """Return the answer of DescribeChangeSet."""
        return self.summary() | {
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value} for name, value in self.submission.parameters.items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in self.submission.tags.items()],
            "Capabilities": self.submission.capabilities,
            "Changes": [{"Type": "Resource", "ResourceChange": change} for change in self.changes],
        }

    def execute(self, *, disable_rollback: bool) -> None:
        """Begin the changes. The other change sets of the stack are no longer valid, and are deleted."""
        if self.execution_status != "AVAILABLE":
            raise InvalidChangeSetStatusError(
                f"ChangeSet [{self.arn}] cannot be executed in its current status of [{self.summary()['Status']}]"
            )
        self.is_executed = True
        self.stack.change(self.action, self.wanted, self.submission, disable_rollback=disable_rollback)
        self.stack.change_sets[self.name] = self


class _Proposed:
    """The resources after a change, as far as they are known before it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.existing = {
            resource.logical_resource_id: resource for resource in stack.stack_resources if resource.exists
        }
        self.replaced: set[str] = set()

    def reference(self, logical_id: str) -> str:
        return self._stack.reference(logical_id) if self._is_known(logical_id) else _UNKNOWN

    def attribute(self, logical_id: str, name: str) -> Any:
        return self._stack.attribute(logical_id, name) if self._is_known(logical_id) else _UNKNOWN

    def _is_known(self, logical_id: str) -> bool:
        return logical_id in self.existing and logical_id not in self.replaced


def _changes(stack: Stack, wanted: Template) -> Iterator[dict[str, Any]]:
    """Yield the ResourceChange of each resource that the template adds, modifies or removes."""
    proposed = _Proposed(stack)
    for logical_id in wanted.order:
        definition = wanted.resources[logical_id]
        resource = proposed.existing.get(logical_id)
        if resource is None:
            yield _change("Add", logical_id, definition["Type"])
            continue
        try:
            properties = wanted.properties(logical_id, proposed)
        except TemplateError:
            # A function such as Fn::Select, of a value that is not known yet.
            properties = dict.fromkeys(resource.properties, _UNKNOWN)
        if properties == resource.properties and resource.deletion_policy == definition.get("DeletionPolicy", "Delete"):
            continue
        replaced = type(resource) is not TYPES[definition["Type"]] or resource.needs_replacement(properties)
        if replaced:
            proposed.replaced.add(logical_id)
        by_unknown = any(_UNKNOWN in str(properties.get(name)) for name in resource.fixed)
        replacement = ("Conditional" if by_unknown else "True") if replaced else "False"
        yield _change("Modify", logical_id, definition["Type"], resource.physical_resource_id, replacement)
    for logical_id, resource in proposed.existing.items():
        if logical_id not in wanted.resources:
            yield _change("Remove", logical_id, resource.cf_resource_type, resource.physical_resource_id)


def _change(
    action: str, logical_id: str, kind: str, physical_id: str | None = None, replacement: str | None = None
) -> dict[str, Any]:
    return {
        "Action": action,
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id,
        "ResourceType": kind,
        "Replacement": replacement,
        "Scope": ["Properties"] if replacement else [],
        "Details": [],
    }
