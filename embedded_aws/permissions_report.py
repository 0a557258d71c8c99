"""The grants in a stack's policies, and their use: the number of calls, and the calls that fail without a grant."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from embedded_aws.iam import attached_policies, evaluation
from embedded_aws.iam.conditions import listed
from embedded_aws.iam.decisions import Decision
from embedded_aws.iam.policies import Match, Statement
from embedded_aws.services.cloudformation.resource_types.base import Resource


@dataclasses.dataclass(frozen=True)
class Grant:
    """One action of a statement on one of its resources, as written in the policy.

    `policy` is the policy's name in decisions, `label` the statement's Sid or its index. A managed policy has separate
    grants for each role that it is attached to.
    """

    policy: str
    label: str
    action: str
    resource: str

    @classmethod
    def of(cls, match: Match) -> Grant:
        """Return the grant by which a statement matched."""
        return cls(match.statement.policy, _label(match.statement), match.action, match.resource)


def granted(resource: Resource) -> set[Grant]:
    """Return the grants in the policies of a stack's resource, or in those that it attaches to another resource."""
    statements = [
        statement
        for arn in bearers(resource)
        for statement in attached_policies.of_resource(arn)
        # The policy of the registry applies to a repository, too.
        if statement.policy == arn
    ]
    if resource.cf_resource_type == "AWS::IAM::Role":
        statements += attached_policies.of_identity(resource.attributes["Arn"])
    return _grants(statements)


def offered(resource: Resource) -> set[Grant]:
    """Return the grants of a managed policy to the users and roles that have it; their policy is its ARN.

    Any other resource of a stack offers none.
    """
    if resource.cf_resource_type != "AWS::IAM::ManagedPolicy":
        return set()
    return _grants(attached_policies.parse(resource.properties["PolicyDocument"], resource.physical_resource_id))


def _grants(statements: Iterable[Statement]) -> set[Grant]:
    return {
        Grant(statement.policy, _label(statement), str(action), str(on))
        for statement in statements
        if statement.allows
        for action in listed(statement.body.get("Action", ["NotAction"]))
        # The policy of a role, a repository or a key may omit the resource.
        for on in listed(statement.body.get("Resource", ["NotResource" if "NotResource" in statement.body else "*"]))
    }


def bearers(resource: Resource) -> Iterator[str]:
    """Yield the ARNs of the resources to which a stack's resource attaches policies, which include itself."""
    properties, account, region = resource.properties, resource.account, resource.region
    match resource.cf_resource_type:
        case "AWS::DynamoDB::Table" | "AWS::ECR::Repository" | "AWS::IAM::Role" | "AWS::KMS::Key":
            yield resource.attributes["Arn"]
        case "AWS::Events::EventBus" if "Policy" in properties:
            yield resource.attributes["Arn"]
        case "AWS::S3::BucketPolicy":
            yield f"arn:aws:s3:::{properties['Bucket']}"
        case "AWS::Events::EventBusPolicy":
            yield f"arn:aws:events:{region}:{account}:event-bus/{properties.get('EventBusName', 'default')}"
        case "AWS::SNS::TopicPolicy":
            yield from properties["Topics"]
        case "AWS::SQS::QueuePolicy":
            for url in properties["Queues"]:
                owner, name = url.rsplit("/", 2)[-2:]
                yield f"arn:aws:sqs:{region}:{owner}:{name}"
        case "AWS::Lambda::Permission":
            name = properties["FunctionName"]
            yield name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{account}:function:{name}"
        case "AWS::ECR::RegistryPolicy":
            yield attached_policies.registry_arn(account, region)


def _label(statement: Statement) -> str:
    return str(statement.body.get("Sid") or statement.index)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A call that is denied, or would be denied without a grant."""

    principal: str
    action: str
    resource: str
    why: str


class Use:
    """The grants that decisions were based on; the role sessions `excluded_sessions` are not recorded.

    `missed_by` maps each grant to the calls that are denied without it: the first of those that differ only in the
    resource.
    """

    def __init__(self, excluded_sessions: Iterable[str] = ()) -> None:
        self.decided = 0
        self.calls: Counter[Grant] = Counter()
        self.missed_by: dict[Grant, dict[tuple[str, str, str], Refusal]] = {}
        self.denied: Counter[Refusal] = Counter()
        self._excluded_sessions = frozenset(excluded_sessions)
        self._seen: set[tuple[str, str, str, tuple[Match, ...]]] = set()
        self._lock = threading.Lock()

    def of_offered(self, grant: Grant) -> tuple[int, set[Refusal]]:
        """Return the calls by an offered grant, of all users and roles that have it, and those that miss it."""
        attached = [
            each
            for each in list(self.calls)
            if each.policy.endswith(f" {grant.policy}") and dataclasses.replace(each, policy=grant.policy) == grant
        ]
        missed = {refusal for each in attached for refusal in self.missed_by.get(each, {}).values()}
        return sum(self.calls[each] for each in attached), missed

    def see(self, decision: Decision) -> None:
        """Record a decision; for `decisions.watched`."""
        if _session(decision) in self._excluded_sessions:
            return
        with self._lock:
            self.decided += 1
            if not decision.allowed:
                self.denied[Refusal(decision.principal, decision.action, decision.resource, decision.why)] += 1
                return
            self.calls.update(Grant.of(match) for match in decision.by)
            question = (decision.principal, decision.action, decision.resource, decision.by)
            if question not in self._seen:
                self._seen.add(question)
                self._decide_without_each_grant(decision)

    def _decide_without_each_grant(self, decision: Decision) -> None:
        for match in decision.by:
            missed_by = self.missed_by.setdefault(Grant.of(match), {})
            cases = [evaluation.without(case, match) for case in decision.cases]
            verdict = evaluation.judge_forms(cases)[1]
            if not verdict.allowed:
                refusal = Refusal(decision.principal, decision.action, decision.resource, verdict.why)
                missed_by.setdefault((refusal.principal, refusal.action, refusal.why), refusal)


def _session(decision: Decision) -> str:
    """Return the session name of an assumed role, or the one in a request for sts:AssumeRole."""
    if "assumed-role/" in decision.caller:
        return decision.caller.rpartition("/")[2]
    requested = decision.cases[0].question.context.get("sts:rolesessionname") if decision.cases else None
    return str(requested or "")
