"""IAM's decisions: whether a caller has permission for an action on a resource, by all policies that apply.

`attached_policies` finds the policies, and `evaluation` combines them. `watched` passes every decision to an observer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterator, Mapping

from embedded_aws.iam import attached_policies, evaluation, policies
from embedded_aws.iam.evaluation import Case, Consent, Verdict
from embedded_aws.iam.permissions import Need
from embedded_aws.iam.policies import Match, Principal, Question, Statement

# "Unlike other AWS resource policies, a KMS key policy does not automatically give permission to the account"
# (key-policy-overview), and a role can be assumed only by its trust policy.
_RESOURCE_MUST_ALLOW = ("kms:", "sts:AssumeRole")
# Lambda's aws:SourceArn "applies only to policies where your Lambda function is the target resource"
# (permissions-source-function-arn), and no page documents one for the roles that Lambda assumes.
_WITHOUT_SOURCE = ("lambda.amazonaws.com",)
# Keys that are absent from a call, rather than unknown, unless the call has a value for them.
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
    """The signer of a request: `arn` is that of sts:GetCallerIdentity, `principal` the user or role in policies."""

    account: str
    arn: str
    principal: str
    session_policy: str = ""


@dataclasses.dataclass(frozen=True)
class ServiceCall:
    """An AWS service that calls on behalf of a customer's resource, without a role of the customer."""

    principal: str
    source_arn: str

    @property
    def source_account(self) -> str:
        """Return the account of the customer's resource."""
        return self.source_arn.split(":")[4]


@dataclasses.dataclass(frozen=True)
class Decision:
    """The decision on an action on a resource.

    `by` are the statements that allowed or denied it, `why` is the reason of a denial. `principal` is the user, role or
    service that policies name for the `caller`. `cases` has one case for each form of the resource.
    """

    caller: str
    principal: str
    action: str
    resource: str
    allowed: bool
    by: tuple[Match, ...] = ()
    why: str = ""
    cases: tuple[Case, ...] = ()

    @property
    def reason(self) -> str:
        """Return AWS's error message: "Troubleshoot access denied error messages" (troubleshoot_access-denied)."""
        shown = f'"{self.resource}"' if self.action.startswith("s3:") else self.resource
        return f"User: {self.caller} is not authorized to perform: {self.action} on resource: {shown} {self.why}"


_watchers: list[Callable[[Decision], object]] = []


@contextlib.contextmanager
def watched(watch: Callable[[Decision], object]) -> Iterator[None]:
    """Pass every decision inside the `with` statement to `watch`."""
    _watchers.append(watch)
    try:
        yield
    finally:
        _watchers.remove(watch)


def decide(caller: Caller | ServiceCall, need: Need, about: Mapping[str, str | list[str] | None]) -> Decision:
    """Decide on a required permission. `about` has the condition keys of the request that every permission shares."""
    cases = tuple(_case(caller, need, resource, about) for resource in need.resources)
    case, verdict = evaluation.judge_forms(cases)
    resource = case.question.resource
    decision = Decision(
        _name(caller), caller.principal, need.action, resource, verdict.allowed, verdict.by, verdict.why, cases
    )
    # Without the permission for a header, no call is refused.
    return decision if need.header and not verdict.allowed else _show(decision)


def simulate(principal: str, action: str, resource: str, context: Mapping[str, str | list[str] | None]) -> Verdict:
    """Return what the identity-based policies of a user or role, and its boundary, say about an action.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    caller = Caller(principal.split(":")[4], principal, principal)
    case = _case(caller, Need(action, (resource,), context), resource, {})
    return evaluation.judge(dataclasses.replace(case, consent=Consent.EITHER, of_resource=()))


def decide_assume_role(call: ServiceCall, role_arn: str, session_name: str) -> Decision:
    """Decide whether a service may assume a role: by the role's trust policy alone."""
    context: dict[str, str | None] = {"sts:externalid": None, "sts:rolesessionname": session_name}
    if call.principal in _WITHOUT_SOURCE:
        context |= {"aws:sourcearn": None, "aws:sourceaccount": None}
    return decide(call, Need("sts:AssumeRole", (role_arn,), context), {})


def deny_unknown(caller: Caller | ServiceCall, action: str) -> Decision:
    """Deny an operation whose required permissions are unknown."""
    why = "because the embedded AWS does not know the permissions that it requires"
    return _show(Decision(_name(caller), caller.principal, action, "*", False, why=why))


def _show(decision: Decision) -> Decision:
    if not decision.allowed:
        _logger.info("%s", decision.reason)
    for watch in list(_watchers):
        watch(decision)
    return decision


def _name(caller: Caller | ServiceCall) -> str:
    return caller.arn if isinstance(caller, Caller) else caller.principal


def resource_admits(caller: Caller, action: str, resource: str) -> bool:
    """Return whether the policy of a resource in another account can allow the action, if its conditions are met."""
    allowing = [
        dataclasses.replace(statement, body={**statement.body, "Condition": {}})
        for statement in attached_policies.of_resource(resource)
        if statement.allows
    ]
    question = Question(_principal(caller), action, resource, _context(caller, resource, {}))
    return bool(policies.evaluate(allowing, question, of_resource=True).allowed)


def _case(caller: Caller | ServiceCall, need: Need, resource: str, about: Mapping[str, str | list[str] | None]) -> Case:
    """Return the question with all policies that apply to it."""
    context = {**_context(caller, resource, about), **need.context}
    question = Question(_principal(caller), need.action, resource, context)
    consent, of_resource = _consent(caller, need.action, resource), tuple(attached_policies.of_resource(resource))
    if isinstance(caller, ServiceCall):
        return Case(question, consent, (), of_resource)
    return Case(question, consent, tuple(attached_policies.of_identity(caller.principal)), of_resource, _limits(caller))


def _consent(caller: Caller | ServiceCall, action: str, resource: str) -> Consent:
    if isinstance(caller, ServiceCall):
        return Consent.RESOURCE_ALONE if attached_policies.exists(resource) else Consent.NOBODY
    if _is_foreign(resource, action, caller):
        return Consent.BOTH
    if action.startswith(_RESOURCE_MUST_ALLOW) and not attached_policies.is_missing_key(resource):
        return Consent.RESOURCE
    return Consent.EITHER


def _principal(caller: Caller | ServiceCall) -> Principal:
    if isinstance(caller, ServiceCall):
        return Principal(caller.principal, service=caller.principal)
    return Principal(caller.principal, caller.arn, caller.account)


def _context(
    caller: Caller | ServiceCall, resource: str, about: Mapping[str, str | list[str] | None]
) -> dict[str, str | list[str] | None]:
    """Return the global condition keys of a call.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
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
            "aws:sourcearn": caller.source_arn if _has_source(caller, resource, about) else None,
            "aws:sourceaccount": caller.source_account if _has_source(caller, resource, about) else None,
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
        context["aws:resourceaccount"] = attached_policies.account_of(resource, caller.account)
    return {**context, **about}


def _has_source(caller: ServiceCall, resource: str, about: Mapping[str, str | list[str] | None]) -> bool:
    """Return whether a service's call has aws:SourceArn and aws:SourceAccount.

    EventBridge sets neither when it publishes to a topic or uses the topic's key: EventBridge user guide,
    "Troubleshooting Amazon EventBridge"; SNS developer guide, "Managing Amazon SNS encryption keys and costs".
    """
    is_for_topic = ":sns:" in resource or str(about.get("kms:viaservice")).startswith("sns.")
    return caller.principal != "events.amazonaws.com" or not is_for_topic


def _limits(caller: Caller) -> tuple[tuple[str, tuple[Statement, ...]], ...]:
    """Return the session policy and the permissions boundary of a caller."""
    limits = []
    if caller.session_policy:
        limits.append(("a session", tuple(attached_policies.parse(caller.session_policy, f"session {caller.arn}"))))
    boundary = attached_policies.boundary_of(caller.principal)
    if boundary is not None:
        limits.append(("a permissions boundary", tuple(boundary)))
    return tuple(limits)


def _is_foreign(resource: str, action: str, caller: Caller) -> bool:
    # The name of a new bucket may belong to another account; S3 reports that, not IAM.
    return action != "s3:CreateBucket" and attached_policies.account_of(resource, caller.account) != caller.account
