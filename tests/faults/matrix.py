"""The cases of the fault matrix: a fault, a call and a scenario, with names that are the same in every process."""

from __future__ import annotations

import dataclasses
import re

from moto.iam.models import iam_backends

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.kernel import accounts
from tests.faults.changes import Change, possible_after
from tests.faults.judging import Result, run
from tests.faults.scenarios import begin
from tests.faults.world import World

# Operations that are polled. Their second call represents all further ones.
_POLLING = {"DescribeExecution", "DescribeEndpoint", "GetAutomationExecution"}
_KILLED = {Kind.KILLED_BEFORE, Kind.KILLED_AFTER}


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault at a call, or a change before it, in a scenario.

    `role` is the name of the caller's role without its random suffix.
    """

    scenario: str
    account: str
    role: str
    service: str
    operation: str
    number: int
    kind: Kind | Change

    @property
    def call(self) -> Call:
        """The call in this process, in which the role has its random suffix."""
        roles = [role.arn for role in list(iam_backends[self.account]["aws"].roles.values())]
        (arn,) = [arn for arn in roles if _stable(arn) == self.role]
        return Call(arn, self.service, self.operation, self.number)

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind.value}: {self.role} {self.service}:{self.operation} {self.number}"


def cases(scenario: str, world: World) -> list[Case]:
    """Return a case for each fault or change at each call that the application's roles make in a promotion."""
    trial = begin(scenario, world)
    with faults.watched() as watched:
        result = run(trial)
    assert not result.errors, result
    found, seen = [], set[str]()
    for call in dict.fromkeys(watched):
        role = _stable(call.principal)
        possible = [change for change in Change if possible_after(change, scenario) in (None, *seen)]
        seen.add(call.operation)
        if role is None or not _belongs(role, trial.stage.name) or (call.operation in _POLLING and call.number > 2):
            continue
        place = (scenario, accounts.account_of(call.principal), role, call.service, call.operation, call.number)
        found += [Case(*place, kind) for kind in Kind if _applies(kind, call, role)]
        found += [
            Case(*place, change) for change in possible if scenario == "approval" or change is not Change.CANCELED
        ]
    return found


def run_case(case: Case, world: World) -> Result:
    """Run a trial; after an incorrect one, the scenario uses another application."""
    trial = begin(case.scenario, world)
    result = run(trial, case.call, case.kind)
    if result.errors:
        world.discard(trial.application)
    return result


def _applies(kind: Kind, call: Call, role: str) -> bool:
    """Return whether a fault applies to a call: only functions are killed, and only some operations conflict."""
    if kind is Kind.CONFLICT_ONCE:
        return call.service == "dynamodb" and call.operation in faults.CONFLICTING
    return kind not in _KILLED or "Function" in role or "upstream-of" in role


def _stable(arn: str) -> str | None:
    """Return the name of a role of the application without CloudFormation's suffix, or None for another ARN."""
    found = re.fullmatch(r"arn:aws:iam::\d+:role/(?:model-promotion/)?(?:\w+/)?(model-promotion-.+)", arn)
    return re.sub(r"-[A-Z0-9]{10,13}$", "", found[1]) if found else None


def _belongs(role: str, stage: str) -> bool:
    """Return whether promotions into the stage use the role."""
    if "upstream-of" in role:
        return f"upstream-of-{stage}" in role
    return role.startswith(f"model-promotion-{stage}-")
