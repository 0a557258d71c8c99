"""The evaluation of all policies that apply to one action on one resource.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and, for a resource in another
account, reference_policies_evaluation-logic-cross-account.html. This module reads no roles or resources of accounts.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

from embedded_aws.iam import policies
from embedded_aws.iam.conditions import listed
from embedded_aws.iam.policies import Match, Question, Statement


class Consent(enum.Enum):
    """The policies that must allow an action; a deny in any other policy overrides them."""

    EITHER = "the caller's, or the resource's if it names the caller itself"
    BOTH = "the caller's and the resource's"
    RESOURCE = "the resource's, and the caller's as well if the resource's names only the account"
    RESOURCE_ALONE = "the resource's"
    NOBODY = "none"


@dataclasses.dataclass(frozen=True)
class Case:
    """A question and all policies that apply to it.

    `limits` are pairs of a kind, such as "a session", and its statements. A limit must allow the action, too, but
    grants nothing.
    """

    question: Question
    consent: Consent
    of_identity: tuple[Statement, ...] = ()
    of_resource: tuple[Statement, ...] = ()
    limits: tuple[tuple[str, tuple[Statement, ...]], ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result: `by` are the statements that allowed or denied the action, `why` is the reason of a denial."""

    allowed: bool
    by: tuple[Match, ...] = ()
    why: str = ""


def judge(case: Case) -> Verdict:
    """Evaluate a case: an explicit deny first, then the limits, then the policies that must allow the action."""
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
        resource_lacks_it = case.consent is Consent.RESOURCE_ALONE or bool(of_identity.allowed)
        kind = "resource-based" if resource_lacks_it else "identity-based"
        return Verdict(False, (), f"because no {kind} policy allows the {question.action} action")
    return Verdict(True, by)


def judge_forms(cases: Iterable[Case]) -> tuple[Case, Verdict]:
    """Return the deciding case and the verdict on several forms of one resource.

    It is allowed if one form is allowed and none is explicitly denied.
    """
    judged = [(case, judge(case)) for case in cases]
    denied = next(((case, verdict) for case, verdict in judged if not verdict.allowed and verdict.by), None)
    allowed = [(case, verdict) for case, verdict in judged if verdict.allowed]
    if denied or not allowed:
        return denied or judged[0]
    by = tuple(dict.fromkeys(match for _, verdict in allowed for match in verdict.by))
    return allowed[0][0], Verdict(True, by)


def without(case: Case, match: Match) -> Case:
    """Return the case with the action and resource of `match` removed from the statement that matched."""

    def remaining(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(
            part
            for statement in statements
            for part in (_parts_without(match) if statement == match.statement else [statement])
        )

    return dataclasses.replace(case, of_identity=remaining(case.of_identity), of_resource=remaining(case.of_resource))


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
    """Return the statements that together allow the action, or None if they do not."""
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
