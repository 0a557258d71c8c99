"""Rules for permissions: every statement of every policy in the templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.linter.project import TEMPLATES, Project, listed, members
from tests.linter.rules import rule

# Lambda assumes only roles that a principal of the same account has passed to a function (Lambda developer guide,
# "Defining Lambda function permissions with an execution role").
_TRUSTED = {"lambda.amazonaws.com"}
# EventBridge does not send its source account or ARN to these, so a condition on them never matches (SNS developer
# guide, "Managing Amazon SNS encryption keys and costs"; EventBridge user guide, "Troubleshooting Amazon EventBridge").
_WITHOUT_SOURCE = {"AWS::SNS::TopicPolicy", "AWS::KMS::Key"}
_SOURCE = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"}
# Condition operators that do not match if the request lacks the key.
_STRICT_OPERATORS = {"StringEquals", "StringLike", "ArnEquals", "ArnLike"}


class Statement(NamedTuple):
    """An Allow statement, its place, and the type of the resource that contains it."""

    place: str
    kind: str
    allowed: dict[str, Any]
    is_trust: bool

    @property
    def actions(self) -> list[str]:
        return [str(action) for action in listed(self.allowed.get("Action", []))]

    @property
    def principals(self) -> list[tuple[str, Any]]:
        """The principals with their kinds; `*` means everyone."""
        principal = self.allowed.get("Principal", {})
        named = [("AWS", principal)] if isinstance(principal, str) else members(principal)
        return [(kind, one) for kind, values in named for one in listed(values)]

    @property
    def services(self) -> list[str]:
        return [str(principal) for kind, principal in self.principals if kind == "Service"]


def _statements(project: Project) -> Iterator[Statement]:
    for path in TEMPLATES:
        for logical_id, resource in project.template(path)["Resources"].items():
            for allowed, is_trust in _allows(resource.get("Properties", {}), False):
                yield Statement(f"{logical_id} of {path}", resource["Type"], allowed, is_trust)


def _allows(value: Any, is_trust: bool) -> Iterator[tuple[dict[str, Any], bool]]:
    if isinstance(value, dict) and value.get("Effect") == "Allow":
        yield value, is_trust
    for key, member in members(value):
        yield from _allows(member, is_trust or key == "AssumeRolePolicyDocument")


@rule
def public_access(project: Project) -> Iterator[str]:
    for statement in _statements(project):
        if "NotPrincipal" in statement.allowed or "*" in [principal for _, principal in statement.principals]:
            yield f"{statement.place}: allows {', '.join(statement.actions)} to everyone."


@rule
def service_without_source_condition(project: Project) -> Iterator[str]:
    """A service acts for all customers; a condition limits it to one (IAM user guide, "The confused deputy")."""
    for statement in _statements(project):
        for service in statement.services:
            is_trusted = statement.is_trust and service in _TRUSTED
            if not is_trusted and not _lacks_source(statement, service) and not _names_source(statement):
                yield f"{statement.place}: {service} can act for any account (no aws:SourceArn or aws:SourceAccount)."


@rule
def source_condition_that_never_matches(project: Project) -> Iterator[str]:
    for statement in _statements(project):
        for service in statement.services:
            if _lacks_source(statement, service) and _names_source(statement):
                yield f"{statement.place}: {service} sends no source account or ARN, so the condition never matches."


def _lacks_source(statement: Statement, service: str) -> bool:
    return service == "events.amazonaws.com" and statement.kind in _WITHOUT_SOURCE


def _names_source(statement: Statement) -> bool:
    condition = statement.allowed.get("Condition", {})
    compared = [key_value for operator in _STRICT_OPERATORS for key_value in condition.get(operator, {}).items()]
    return any(key.lower() in _SOURCE and value != "*" for key, value in compared)


@rule
def wildcard_action(project: Project) -> Iterator[str]:
    for statement in _statements(project):
        stars = [action for action in statement.actions if "*" in action or "?" in action]
        if (stars or "NotAction" in statement.allowed) and not _enables_iam_policies(statement):
            yield f"{statement.place}: allows {', '.join(stars) or 'a NotAction'}; name the required actions instead."


def _enables_iam_policies(statement: Statement) -> bool:
    """Return whether the statement gives a key's account full access, without which a key can become unmanageable.

    KMS developer guide, "Default key policy".
    """
    root = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    return statement.kind == "AWS::KMS::Key" and statement.principals == [("AWS", root)]


@rule
def wildcard_resource_without_reason(project: Project) -> Iterator[str]:
    for path in TEMPLATES:
        lines = project.texts[path].splitlines()
        for logical_id, node in _nodes(yaml.compose(project.texts[path], yaml.CSafeLoader), "Resources"):
            for statement in _mappings(node):
                allowed = {key.value: value for key, value in statement.value}
                named = allowed.get("Resource")
                if named is None or allowed["Effect"].value != "Allow":
                    continue
                beside = lines[statement.start_mark.line : named.end_mark.line + 1]
                if _has_star(named) and not any(re.search(r"(^| )# ", line) for line in beside):
                    yield f"{logical_id} of {path}: a statement has the resource * without a reason in a comment."


def _nodes(document: Any, section: str) -> list[tuple[str, yaml.Node]]:
    [found] = [value for key, value in document.value if key.value == section]
    return [(key.value, value) for key, value in found.value]


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield every statement within a node."""
    if isinstance(node, yaml.MappingNode):
        if "Effect" in [key.value for key, _ in node.value]:
            yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def _has_star(node: yaml.Node) -> bool:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return "*" in [one.value for one in nodes]


@rule
def unrestricted_pass_role(project: Project) -> Iterator[str]:
    for statement in _statements(project):
        if "iam:passrole" not in [action.lower() for action in statement.actions]:
            continue
        role = statement.allowed.get("Resource")
        # One role, or the roles of one path, which nobody but the operators of a stage can create.
        is_limited = isinstance(role, dict) and "*" not in str(role).replace("/${Stage}/serving/*", "")
        if not is_limited:
            yield f"{statement.place}: iam:PassRole is not limited to one role or path."
        if "iam:PassedToService" not in statement.allowed.get("Condition", {}).get("StringEquals", {}):
            yield f"{statement.place}: iam:PassRole is not limited to one service (iam:PassedToService)."


@rule
def items_without_kinds(project: Project) -> Iterator[str]:
    """Each role has access only to the kinds of items that it needs. `ForAllValues` is true without a key, hence Null.

    DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control".
    """
    for statement in _statements(project):
        if "PromotionTable" not in str(statement.allowed.get("Resource")) or statement.is_trust:
            continue
        condition = statement.allowed.get("Condition", {})
        kinds = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ["*"])
        requires_key = condition.get("Null", {}).get("dynamodb:LeadingKeys") == "false"
        if not requires_key or any(kind.startswith(("*", "?")) for kind in listed(kinds)):
            yield f"{statement.place}: has access to all kinds of items in the promotion table (dynamodb:LeadingKeys)."
