"""IAM's decisions: who may do what, by all the policies that have a say in it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and, for a resource of another
account, reference_policies_evaluation-logic-cross-account.html. Every decision is kept, for reports.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import logging
from collections.abc import Mapping

from local import iam_attached, iam_policies
from local.iam_needs import Need
from local.iam_policies import Answer, Match, Principal, Question, Statement

_MOST_DECISIONS = 200_000
# "Unlike other AWS resource policies, a KMS key policy does not automatically give permission to the account"
# (key-policy-overview), and nobody assumes a role but by its trust policy.
_RESOURCE_HAS_TO_ALLOW = ("kms:", "sts:AssumeRole")
# What AWS's own keys, queues and the like cannot say is absent from a call, rather than unknown.
_ABSENT = (
    "aws:calledvia",
    "aws:federatedprovider",
    "aws:multifactorauthpresent",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceorgid",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:tagkeys",
    "aws:username",
)

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who signed a request: `arn` as sts:GetCallerIdentity has it, `principal` the user or role that policies name."""

    account: str
    arn: str
    principal: str
    session_policy: str = ""


@dataclasses.dataclass(frozen=True)
class ServiceCall:
    """What IAM sees when an AWS service calls for a customer's resource without a role of theirs."""

    principal: str
    source_arn: str

    @property
    def source_account(self) -> str:
        return self.source_arn.split(":")[4]


@dataclasses.dataclass(frozen=True)
class Decision:
    """One action on one resource: `by` are the statements that allowed or denied it, `reason` why it is refused."""

    caller: str
    action: str
    resource: str
    allowed: bool
    by: tuple[Match, ...]
    reason: str = ""


# The last of all decisions, oldest first.
decisions: collections.deque[Decision] = collections.deque(maxlen=_MOST_DECISIONS)


def decide(caller: Caller | ServiceCall, need: Need, about: Mapping[str, str | list[str] | None]) -> Decision:
    """Whether the caller may; `about` is what is known of the request for conditions, whatever the need."""
    found = [_decide(caller, need, resource, about) for resource in need.resources]
    denied = next((each for each in found if not each.allowed and each.by), None)
    allowed = [each for each in found if each.allowed]
    decision = found[0]
    if denied:
        decision = denied
    elif allowed:
        matches = tuple(dict.fromkeys(match for each in allowed for match in each.by))
        decision = dataclasses.replace(allowed[0], by=matches)
    decisions.append(decision)
    if not decision.allowed:
        _logger.info("%s", decision.reason)
    return decision


def may_assume(call: ServiceCall, role_arn: str) -> Decision:
    """Whether a service may take a role for what it does: by the role's trust policy alone."""
    return decide(call, Need("sts:AssumeRole", (role_arn,), {"sts:externalid": None}), {})


def refuse_unknown(caller: Caller | ServiceCall, action: str) -> Decision:
    """For an operation that nothing is known of."""
    who = caller.arn if isinstance(caller, Caller) else caller.principal
    reason = (
        f"User: {who} is not authorized to perform: {action}, of which the embedded AWS does not know what it needs"
    )
    decision = Decision(who, action, "*", False, (), reason)
    decisions.append(decision)
    return decision


def resource_admits(caller: Caller, action: str, resource: str) -> bool:
    """Whether the policy of another account's resource may let the caller in: its conditions are of a later call."""
    allowing = [
        dataclasses.replace(statement, body={**statement.body, "Condition": {}})
        for statement in iam_attached.of_resource(resource)
        if statement.allows
    ]
    question = Question(_principal(caller), action, resource, _context(caller, resource, {}))
    return bool(iam_policies.evaluate(allowing, question, of_resource=True).allowed)


def _decide(
    caller: Caller | ServiceCall, need: Need, resource: str, about: Mapping[str, str | list[str] | None]
) -> Decision:
    principal, action = _principal(caller), need.action
    context = {**_context(caller, resource, about), **need.context}
    question = Question(principal, action, resource, context)
    of_resource = iam_policies.evaluate(iam_attached.of_resource(resource), question, of_resource=True)
    if isinstance(caller, ServiceCall) and not iam_attached.exists(resource):
        return Decision(caller.principal, action, resource, True, ())
    of_identity, limits = Answer(), []
    if isinstance(caller, Caller):
        of_identity = iam_policies.evaluate(iam_attached.of_identity(caller.principal), question)
        limits = [(kind, iam_policies.evaluate(policy, question)) for kind, policy in _limits(caller)]
    who = caller.arn if isinstance(caller, Caller) else caller.principal

    def refused(why: str, by: tuple[Match, ...] = ()) -> Decision:
        shown = f'"{resource}"' if action.startswith("s3:") else resource
        reason = f"User: {who} is not authorized to perform: {action} on resource: {shown} {why}"
        return Decision(who, action, resource, False, by, reason)

    for kind, answer in (("an identity-based", of_identity), ("a resource-based", of_resource), *limits):
        if answer.denied:
            return refused(f"with an explicit deny in {kind} policy", answer.denied)
    for kind, answer in limits:
        if not answer.allowed:
            return refused(f"because no {kind.split(' ', 1)[1]} allows the {action} action")
    allowed_by = _allowing(caller, action, resource, of_identity.allowed, of_resource.allowed)
    if allowed_by is None:
        by_resource = isinstance(caller, ServiceCall) or bool(of_identity.allowed)
        kind = "resource-based" if by_resource else "identity-based"
        return refused(f"because no {kind} policy allows the {action} action")
    return Decision(who, action, resource, True, allowed_by)


def _allowing(
    caller: Caller | ServiceCall,
    action: str,
    resource: str,
    of_identity: tuple[Match, ...],
    of_resource: tuple[Match, ...],
) -> tuple[Match, ...] | None:
    """The statements that together allow it, or None."""
    if isinstance(caller, ServiceCall):
        return of_resource or None
    itself = tuple(match for match in of_resource if not match.whole_account)
    if _is_foreign(resource, action, caller):
        return of_identity + of_resource if of_identity and of_resource else None
    if action.startswith(_RESOURCE_HAS_TO_ALLOW) and not iam_attached.is_open_to_its_account(resource):
        if not of_resource:
            return None
        return itself + of_identity if itself else (of_identity + of_resource if of_identity else None)
    if action.startswith("kms:") and iam_attached.is_managed_by_aws(resource):
        return of_resource
    return of_identity + itself or None


def _principal(caller: Caller | ServiceCall) -> Principal:
    if isinstance(caller, ServiceCall):
        return Principal(caller.principal, service=caller.principal)
    return Principal(caller.principal, caller.arn, caller.account)


def _context(
    caller: Caller | ServiceCall, resource: str, about: Mapping[str, str | list[str] | None]
) -> dict[str, str | list[str] | None]:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"""
    now = datetime.datetime.now(datetime.UTC)
    context: dict[str, str | list[str] | None] = dict.fromkeys(_ABSENT)
    context |= {
        # The loopback of one machine stands for TLS.
        "aws:securetransport": "true",
        "aws:currenttime": now.isoformat(),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:principalisawsservice": "false",
        "aws:viaawsservice": "true" if ":kms:" in resource else "false",
    }
    if isinstance(caller, ServiceCall):
        context |= {
            "aws:principalisawsservice": "true",
            "aws:principalservicename": caller.principal,
            "aws:sourcearn": caller.source_arn if _says_for_whom(caller, resource, about) else None,
            "aws:sourceaccount": caller.source_account if _says_for_whom(caller, resource, about) else None,
            "aws:principalarn": None,
            "aws:principalaccount": None,
            "aws:principaltype": None,
        }
    else:
        is_user = ":user/" in caller.principal
        context |= {
            "aws:principalarn": caller.principal,
            "aws:principalaccount": caller.account,
            "aws:principaltype": "User" if is_user else "AssumedRole",
            "aws:username": caller.principal.rpartition("/")[2] if is_user else None,
        }
        context["aws:resourceaccount"] = iam_attached.account_of(resource, caller.account)
    return {**context, **about}


def _says_for_whom(caller: ServiceCall, resource: str, about: Mapping[str, str | list[str] | None]) -> bool:
    """EventBridge does not when it publishes to a topic, nor when it uses the topic's key for that.

    EventBridge user guide, "Troubleshooting Amazon EventBridge"; SNS developer guide, "Managing Amazon SNS encryption
    keys and costs".
    """
    is_for_topic = ":sns:" in resource or str(about.get("kms:viaservice")).startswith("sns.")
    return caller.principal != "events.amazonaws.com" or not is_for_topic


def _limits(caller: Caller) -> list[tuple[str, list[Statement]]]:
    """Session policies and permissions boundaries: they allow nothing by themselves."""
    limits = []
    if caller.session_policy:
        limits.append(("a session", iam_attached.parse(caller.session_policy, f"session {caller.arn}")))
    boundary = iam_attached.boundary_of(caller.principal)
    if boundary is not None:
        limits.append(("a permissions boundary", boundary))
    return limits


def _is_foreign(resource: str, action: str, caller: Caller) -> bool:
    # A bucket's name may be taken in another account, which is for S3 to say.
    return action != "s3:CreateBucket" and iam_attached.account_of(resource, caller.account) != caller.account
