"""IAM policy documents, and the statements in them that match an action on a resource.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html, with a page for each element. This
module reads no roles or resources of accounts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from embedded_aws.iam import conditions
from embedded_aws.iam.conditions import AbsentError, Context, UnknownError, listed

_ARN_PARTS = 6
_WITH_VARIABLES = "2012-10-17"
_ELEMENTS = {
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Principal",
    "NotPrincipal",
    "Condition",
}

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Principal:
    """The caller as policies name it: a user or role, the session of a role, or an AWS service.

    `account` is empty for a service.
    """

    arn: str
    session: str = ""
    account: str = ""
    service: str = ""


@dataclasses.dataclass(frozen=True)
class Question:
    """The question whether `principal` has permission for an action on a resource, with the request's context."""

    principal: Principal
    action: str
    resource: str
    context: Context


@dataclasses.dataclass(frozen=True)
class Statement:
    """A statement and its place: `policy` is the owner and name of its policy, `index` its position there."""

    policy: str
    index: int
    body: Mapping[str, Any] = dataclasses.field(hash=False)

    @property
    def allows(self) -> bool:
        """Return whether the effect is Allow."""
        return bool(self.body["Effect"] == "Allow")

    def __str__(self) -> str:
        return f"{self.policy}[{self.body.get('Sid') or self.index}]"


@dataclasses.dataclass(frozen=True)
class Match:
    """A statement that matches a question, and the action and resource in it that match.

    `whole_account` is true if the statement names only the caller's account, not the caller itself.
    """

    statement: Statement
    action: str
    resource: str
    whole_account: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
    """The matching statements: "an explicit deny in any of these policies overrides the allow"."""

    allowed: tuple[Match, ...] = ()
    denied: tuple[Match, ...] = ()


class PolicyError(Exception):
    """An invalid policy document."""


@functools.lru_cache(maxsize=4096)
def parse(document: str, policy: str) -> tuple[Statement, ...]:
    """Return the statements of a policy document. Raise PolicyError if it is not valid. `policy` is its name."""
    try:
        loaded = json.loads(document)
        if loaded.get("Version") != _WITH_VARIABLES:
            # "Variables ... are treated as literal strings in the policy" (reference_policies_variables).
            loaded = json.loads(document.replace("${", "${$}{"))
        statements = listed(loaded.get("Statement", []))
        for body in statements:
            _check(body, policy)
    except (ValueError, AttributeError, TypeError) as error:
        raise PolicyError(f"The policy document of {policy} is not valid: {error}") from error
    return tuple(Statement(policy, index, body) for index, body in enumerate(statements))


def _check(body: Mapping[str, Any], policy: str) -> None:
    if unknown := set(body) - _ELEMENTS:
        raise PolicyError(f"The policy document of {policy} has unknown elements: {', '.join(sorted(unknown))}")
    if body.get("Effect") not in ("Allow", "Deny") or ("Action" in body) == ("NotAction" in body):
        raise PolicyError(f"The policy document of {policy} has a statement without an effect or an action")
    for operator, block in body.get("Condition", {}).items():
        if not isinstance(block, dict):
            raise PolicyError(f"The policy document of {policy} has a condition {operator} that is not an object")


def evaluate(statements: Iterable[Statement], question: Question, of_resource: bool = False) -> Answer:
    """Return the statements that match: of identity-based policies or, with `of_resource`, of resource-based ones."""
    allowed: list[Match] = []
    denied: list[Match] = []
    for statement in statements:
        if match := _match(statement, question, of_resource):
            (allowed if statement.allows else denied).append(match)
    return Answer(tuple(allowed), tuple(denied))


def _match(statement: Statement, question: Question, of_resource: bool) -> Match | None:
    body = statement.body
    action = _action(body, question.action)
    if not action:
        return None
    whole_account = False
    if of_resource:
        named = _principal(body, question.principal)
        if not named:
            return None
        whole_account = named == "account"
    try:
        resource = _resource(body, question, of_resource)
        if not resource or not conditions.hold(body.get("Condition", {}), question.context):
            return None
    except AbsentError:
        return None
    except UnknownError as unknown:
        # A statement that cannot be evaluated does not allow, but it does deny.
        message = "The statement %s does not allow %s on %s, because it cannot be evaluated: %s"
        _logger.warning(message, statement, question.action, question.resource, unknown)
        if statement.allows:
            return None
        resource = "*"
    return Match(statement, action, resource, whole_account)


def _action(body: Mapping[str, Any], action: str) -> str:
    """Return the pattern that matches the action. Actions are not case-sensitive."""
    for pattern in listed(body.get("Action", [])):
        if _matches_action(pattern, action):
            return str(pattern)
    if "NotAction" in body and not any(_matches_action(pattern, action) for pattern in listed(body["NotAction"])):
        return "NotAction"
    return ""


def _matches_action(pattern: str, action: str) -> bool:
    return _action_pattern(pattern).fullmatch(action) is not None


@functools.lru_cache(maxsize=4096)
def _action_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(conditions.resolve(pattern, {}), re.IGNORECASE)


def _resource(body: Mapping[str, Any], question: Question, of_resource: bool) -> str:
    if "NotResource" in body:
        if any(_matches_resource(pattern, question) for pattern in listed(body["NotResource"])):
            return ""
        return "NotResource"
    for pattern in listed(body.get("Resource", [])):
        if _matches_resource(pattern, question):
            return str(pattern)
    # The policy of a role, a repository or a key may omit the resource.
    return "*" if of_resource and "Resource" not in body else ""


def _matches_resource(pattern: str, question: Question) -> bool:
    if pattern == "*":
        return True
    if pattern.count(":") < _ARN_PARTS - 1:
        return conditions.like(pattern, question.resource, question.context)
    return conditions.arn_like(pattern, question.resource, question.context)


def _principal(body: Mapping[str, Any], caller: Principal) -> str:
    """Return "itself" if a statement names the caller, "account" if only the caller's account, otherwise ""."""
    if "NotPrincipal" in body:
        # "NotPrincipal" with Allow, which AWS advises against, is not supported: it allows nothing.
        if body["Effect"] == "Allow":
            return ""
        return "" if _named(body["NotPrincipal"], caller) else "itself"
    return _named(body.get("Principal", {}), caller)


def _named(principals: Any, caller: Principal) -> str:
    """Return how `principals` names the caller.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if principals == "*":
        return "itself"
    if not isinstance(principals, dict):
        return ""
    named = listed(principals.get("AWS", []))
    if caller.service:
        return "itself" if "*" in named or caller.service in listed(principals.get("Service", [])) else ""
    if "*" in named or caller.arn in named or (caller.session and caller.session in named):
        return "itself"
    root = f"arn:aws:iam::{caller.account}:root"
    return "account" if caller.account in named or root in named else ""
