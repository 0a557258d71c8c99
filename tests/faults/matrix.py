"""Which faults come to which calls of which scenario, under names that are the same in every process."""

from __future__ import annotations

import dataclasses
import re

from moto.iam.models import iam_backends

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.kernel import accounts
from tests.faults.judging import Result, run
from tests.faults.scenarios import SCENARIOS, World

# What is asked again and again until something has come about; the second time stands for all that follow.
_POLLING = {"DescribeExecution", "DescribeEndpoint", "GetAutomationExecution"}
_KILLED = {Kind.KILLED_BEFORE, Kind.KILLED_AFTER}


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault that comes to a call in a scenario; `role` is the name of the caller's without its random end."""

    scenario: str
    account: str
    role: str
    service: str
    operation: str
    number: int
    kind: Kind

    @property
    def call(self) -> Call:
        """The call in this process, whose stacks gave the role its end."""
        roles = [role.arn for role in list(iam_backends[self.account]["aws"].roles.values())]
        (arn,) = [arn for arn in roles if _stable(arn) == self.role]
        return Call(arn, self.service, self.operation, self.number)

    def __str__(self) -> str:
        return f"{self.scenario}: {self.kind.value}: {self.role} {self.service}:{self.operation} {self.number}"


def cases(scenario: str, world: World) -> list[Case]:
    """Every fault for every call that the application's own roles make in a promotion without any."""
    trial = SCENARIOS[scenario](world)
    with faults.watched() as watched:
        result = run(trial)
    assert not result.wrong, result
    found = []
    for call in dict.fromkeys(watched):
        role = _stable(call.principal)
        if role is None or not _belongs(role, trial.stage.name) or (call.operation in _POLLING and call.number > 2):
            continue
        account = accounts.account_of(call.principal)
        for kind in Kind:
            if _suits(kind, call, role):
                found.append(Case(scenario, account, role, call.service, call.operation, call.number, kind))
    return found


def tried(case: Case, world: World) -> Result:
    trial = SCENARIOS[case.scenario](world)
    result = run(trial, case.call, case.kind)
    if result.wrong:
        world.give_up(trial.application)
    return result


def _suits(kind: Kind, call: Call, role: str) -> bool:
    """Return whether a fault can come to a call: only functions are killed, only some operations conflict."""
    if kind is Kind.CONFLICT_ONCE:
        return call.service == "dynamodb" and call.operation in faults.CONFLICTING
    return kind not in _KILLED or "Function" in role or "upstream-of" in role


def _stable(arn: str) -> str | None:
    """A role's name without what CloudFormation appends to it; None for what is no role of the application."""
    found = re.fullmatch(r"arn:aws:iam::\d+:role/(?:model-promotion/)?(?:\w+/)?(model-promotion-.+)", arn)
    return re.sub(r"-[A-Z0-9]{10,13}$", "", found[1]) if found else None


def _belongs(role: str, stage: str) -> bool:
    """Whether a stage's promotions use the role: its own ones, but not that of SageMaker, which serves with it."""
    if "upstream-of" in role:
        return f"upstream-of-{stage}" in role
    return role.startswith(f"model-promotion-{stage}-") and "SageMakerRole" not in role
