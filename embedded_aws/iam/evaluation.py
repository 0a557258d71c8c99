"""What all policies together say of one action on one resource: whose have to allow it, and that none denies it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and, for a resource of another
account, reference_policies_evaluation-logic-cross-account.html. Nothing here knows of an account's roles or resources.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

from embedded_aws.iam import policies
from embedded_aws.iam.conditions import listed
from embedded_aws.iam.policies import Match, Question, Statement


class Consent(enum.Enum):
    """Whose policies have to allow it; no one else's may deny it."""

    EITHER = "the caller's or the resource's, where it names the caller itself"
    BOTH = "the caller's and the resource's"
    RESOURCE = "the resource's, and the caller's where it names no more than the account"
    RESOURCE_ALONE = "the resource's"
    NOBODY = "nobody's"


@dataclasses.dataclass(frozen=True)
class Case:
    """A question, and all policies that have a say in it. `limits` allow nothing by themselves: each has its kind."""

    question: Question
    consent: Consent
    of_identity: tuple[Statement, ...] = ()
    of_resource: tuple[Statement, ...] = ()
    limits: tuple[tuple[str, tuple[Statement, ...]], ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`by` are the statements that allowed or denied it, `why` says of a refusal what of which policy it is."""

    allowed: bool
    by: tuple[Match, ...] = ()
    why: str = ""


def judge(case: Case) -> Verdict:
    """Whether it is allowed."""
    question = case.question
    of_identity = policies.evaluate(case.of_identity, question)
    of_resource = policies.evaluate(case.of_resource, question, of_resource=True)
    limits = [(kind, policies.evaluate(statements, question)) for kind, statements in case.limits]
    for kind, answer in (("an identity-based", of_identity), ("a resource-based", of_resource), *limits):
        if answer.denied:
            return Verdict(False, answer.denied, f"with an explicit deny in {kind} policy")
    for kind, answer in limits:
        if not answer.allowed:
            return Verdict(False, (), f"because no {kind.split(' ', 1)[1]} allows the {question.action} action")
    by = _allowing(case.consent, of_identity.allowed, of_resource.allowed)
    if by is None:
        is_missing_there = case.consent is Consent.RESOURCE_ALONE or bool(of_identity.allowed)
        kind = "resource-based" if is_missing_there else "identity-based"
        return Verdict(False, (), f"because no {kind} policy allows the {question.action} action")
    return Verdict(True, by)


def judge_forms(cases: Iterable[Case]) -> tuple[Case, Verdict]:
    """Of several forms of one resource it is enough that one is allowed, if none is denied; which case decided."""
    found = [(case, judge(case)) for case in cases]
    denied = next(((case, verdict) for case, verdict in found if not verdict.allowed and verdict.by), None)
    allowed = [(case, verdict) for case, verdict in found if verdict.allowed]
    if denied or not allowed:
        return denied or found[0]
    by = tuple(dict.fromkeys(match for _, verdict in allowed for match in verdict.by))
    return allowed[0][0], Verdict(True, by)


def without(case: Case, match: Match) -> Case:
    """The same case, were the action on the resource by which a statement matched not in that statement."""

    def rest(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(
            left
            for statement in statements
            for left in (_parts_without(match) if statement == match.statement else [statement])
        )

    return dataclasses.replace(case, of_identity=rest(case.of_identity), of_resource=rest(case.of_resource))


def _parts_without(match: Match) -> list[Statement]:
    body = match.statement.body
    parts = []
    if actions := [action for action in listed(body.get("Action", [])) if action != match.action]:
        parts.append({**body, "Action": actions})
    if resources := [resource for resource in listed(body.get("Resource", [])) if resource != match.resource]:
        parts.append({**body, **({"Action": match.action} if "Action" in body else {}), "Resource": resources})
    return [dataclasses.replace(match.statement, body=part) for part in parts]


def _allowing(
    consent: Consent, of_identity: tuple[Match, ...], of_resource: tuple[Match, ...]
) -> tuple[Match, ...] | None:
    """The statements that together allow it, or None."""
    itself = tuple(match for match in of_resource if not match.whole_account)
    match consent:
        case Consent.NOBODY:
            return of_resource
        case Consent.RESOURCE_ALONE:
            return of_resource or None
        case Consent.BOTH:
            return of_identity + of_resource if of_identity and of_resource else None
        case Consent.RESOURCE:
            if itself:
                return itself + of_identity
            return of_identity + of_resource if of_identity and of_resource else None
        case Consent.EITHER:
            return of_identity + itself or None
