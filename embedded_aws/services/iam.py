"""IAM's managed policies: AWS managed policies, and the quotas (reference_iam-quotas). The permissions of GetRole.

`embedded_aws.iam` makes the decisions on permissions.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import DeleteConflictException, LimitExceededException
from moto.iam.models import AWSManagedPolicy, IAMBackend, iam_backends
from moto.iam.responses import IamResponse

from embedded_aws.iam import decisions
from embedded_aws.iam.permissions import Call, Need, Needs, Permissions
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

_POLICIES_PER_ROLE = 10
# In characters without white space.
_POLICY_SIZE = 6144
_AWS_POLICY = "arn:aws:iam::aws:policy"

patches = Patches("5.2.5")
_attach_in_moto = IAMBackend.attach_role_policy
_create_in_moto = IAMBackend.create_policy
_create_version_in_moto = IAMBackend.create_policy_version
_delete_in_moto = IAMBackend.delete_policy


def install(host: Host) -> None:
    """Apply the patches."""
    patches.apply()


def _aws_policies() -> dict[str, dict[str, Any]]:
    """Return all AWS managed policies by name: 12 MB, which are not kept."""
    policies: dict[str, dict[str, Any]] = json.loads(aws_managed_policies_data)
    return policies


@functools.cache
def aws_managed_policy_arns() -> dict[str, str]:
    """Return the ARNs of all AWS managed policies by name."""
    return {name: f"{_AWS_POLICY}{policy['Path']}{name}" for name, policy in _aws_policies().items()}


@patches.replaces(
    IAMBackend,
    "attach_role_policy",
    "moto loads all AWS managed policies (in seconds) or none, and has no quota. The replacement loads each on demand.",
)
def _attach_role_policy(self: IAMBackend, policy_arn: str, role_name: str) -> None:
    name = policy_arn.rpartition("/")[2]
    if policy_arn not in self.managed_policies and aws_managed_policy_arns().get(name) == policy_arn:
        policy = AWSManagedPolicy.from_data(name, self.account_id, self.region_name, _aws_policies()[name])
        self.managed_policies[policy.arn] = policy
    attached = self.get_role(role_name).managed_policies
    if policy_arn in attached:
        return
    if len(attached) == _POLICIES_PER_ROLE:
        raise LimitExceededException(f"Cannot exceed quota for PoliciesPerRole: {_POLICIES_PER_ROLE}")
    _attach_in_moto(self, policy_arn, role_name)


@patches.replaces(IAMBackend, "create_policy", "moto does not limit the size of a managed policy.")
def _create_policy(self: IAMBackend, description: str, path: str, policy_document: str, *name_and_tags: Any) -> Any:
    _check_size(policy_document)
    return _create_in_moto(self, description, path, policy_document, *name_and_tags)


@patches.replaces(IAMBackend, "create_policy_version", "moto does not limit the size of a managed policy.")
def _create_policy_version(self: IAMBackend, policy_arn: str, policy_document: str, set_as_default: bool) -> Any:
    _check_size(policy_document)
    return _create_version_in_moto(self, policy_arn, policy_document, set_as_default)


def _check_size(document: str) -> None:
    if len("".join(document.split())) > _POLICY_SIZE:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {_POLICY_SIZE}")


@patches.replaces(IAMBackend, "delete_policy", "moto deletes a policy that is attached.")
def _delete_policy(self: IAMBackend, policy_arn: str) -> None:
    if self.get_policy(policy_arn).attachment_count:
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    _delete_in_moto(self, policy_arn)


@patches.replaces(IamResponse, "simulate_principal_policy", "moto does not implement it.", adds=True)
def _simulate_principal_policy(response: IamResponse) -> ActionResult:
    """Answer SimulatePrincipalPolicy. *Assumed*: a denial for want of an allowing policy is implicit, any other not."""
    entries = response._get_param("ContextEntries") or []
    context = {entry["ContextKeyName"].lower(): entry["ContextKeyValues"] for entry in entries}
    results = [
        _simulated(response._get_param("PolicySourceArn"), action, resource, context)
        for action in response._get_param("ActionNames")
        for resource in response._get_param("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _simulated(principal: str, action: str, resource: str, context: dict[str, Any]) -> dict[str, Any]:
    verdict = decisions.simulate(principal, action, resource, context)
    denied = "explicitDeny" if "explicit deny" in verdict.why else "implicitDeny"
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": "allowed" if verdict.allowed else denied,
        "MatchedStatements": [],
        "MissingContextValues": [],
    }


def _required(call: Call) -> Needs:
    if call.operation == "SimulatePrincipalPolicy":
        yield Need("iam:SimulatePrincipalPolicy", (call.parameters["PolicySourceArn"],))
    if call.operation == "GetRole":
        name = call.parameters["RoleName"]
        roles = iam_backends[call.account]["aws"].roles.values()
        # The ARN of a role has its path. Assumed: a name that no role has counts as that of a role without a path.
        arns = [role.arn for role in roles if role.name.lower() == name.lower()]
        yield Need("iam:GetRole", tuple(arns) or (f"arn:aws:iam::{call.account}:role/{name}",))


PERMISSIONS = {"iam": Permissions(_required)}
