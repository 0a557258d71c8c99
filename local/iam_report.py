"""What roles may do, and what they did: the grants of their policies beside the decisions that needed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from moto.iam.models import iam_backends

from local import iam_attached
from local.iam import Decision
from local.iam_conditions import listed


@dataclasses.dataclass(frozen=True, order=True)
class Grant:
    """One action of one statement of a role's policy, on one of its resources."""

    role: str
    statement: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource} ({self.statement})"


def granted(accounts: Iterable[str], path: str) -> set[Grant]:
    """The grants of all roles whose path and name begin with `path`."""
    roles = [role.arn for account in accounts for role in list(iam_backends[account]["aws"].roles.values())]
    return {
        Grant(role, str(statement).removeprefix(role).strip(), str(action), str(resource))
        for role in roles
        if role.split(":role", 1)[1].startswith(path)
        for statement in iam_attached.of_identity(role)
        if statement.allows
        for action in listed(statement.body.get("Action", ["NotAction"]))
        for resource in listed(statement.body.get("Resource", ["NotResource"]))
    }


def used(decisions: Iterable[Decision]) -> set[Grant]:
    """The grants of identities that allowed something."""
    return {
        Grant(role, rest.strip(), match.action, match.resource)
        for decision in decisions
        if decision.allowed
        for match in decision.by
        for role, _, rest in [str(match.statement).partition(" ")]
        if ":role/" in role and rest
    }


def denied(decisions: Iterable[Decision]) -> list[Decision]:
    return [decision for decision in decisions if not decision.allowed]
