"""The policies attached to users, roles and resources, read from moto's backends.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html
"""

from __future__ import annotations

import json
import logging
from typing import Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda_simple.models import lambda_simple_backends
from moto.dynamodb.models import dynamodb_backends
from moto.ecr.models import ecr_backends
from moto.events.models import events_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.kms.utils import RESERVED_ALIASES
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from embedded_aws.iam import policies as iam_policies
from embedded_aws.iam.policies import Statement

_ARN_COLONS = 5

_logger = logging.getLogger(__name__)


def of_identity(principal: str) -> list[Statement]:
    """Return the statements of a user or role. A policy is named by the user or role and its own name or ARN."""
    entity = _entity(principal)
    if entity is None:
        return []
    documents = [(f"{principal} {name}", policy) for name, policy in entity.policies.items()]
    documents += [(f"{principal} {policy.arn}", _document(policy)) for policy in entity.managed_policies.values()]
    return [statement for name, document in documents for statement in parse(document, name)]


def boundary_of(principal: str) -> list[Statement] | None:
    """Return the permissions boundary of a user or role, or None if it has none."""
    arn = getattr(_entity(principal), "permissions_boundary_arn", None)
    if not arn:
        return None
    policy = iam_backends[account_of(principal, "")]["aws"].managed_policies.get(arn)
    return parse(_document(policy), arn) if policy else []


def _document(policy: Any) -> str:
    """Return the default version of a managed policy."""
    for version in policy.versions:
        if version.version_id == policy.default_version_id:
            return str(version.document)
    return '{"Statement": []}'


def _entity(principal: str) -> Any:
    """Return moto's user or role, or None."""
    *_, account, kind_and_name = principal.split(":", 5)
    backend = iam_backends[account]["aws"]
    if kind_and_name.startswith("user/"):
        return backend.users.get(kind_and_name.rpartition("/")[2])
    return next((role for role in list(backend.roles.values()) if role.arn == principal), None)


def of_resource(arn: str) -> list[Statement]:
    """Return the statements of the policies attached to a resource or its parent, by whose ARN they are named."""
    policies = _resource_policies(arn) if _is_arn(arn) else {}
    return [statement for name, document in policies.items() if document for statement in parse(document, name)]


def registry_arn(account: str, region: str) -> str:
    """Return the name of a private registry's policy, because a registry has no ARN."""
    return f"arn:aws:ecr:{region}:{account}:registry"


def _resource_policies(arn: str) -> dict[str, Any]:
    _, _, service, region, account, resource = arn.split(":", 5)
    match service:
        case "s3":
            bucket = resource.partition("/")[0]
            account = owner(bucket) or ""
            model = s3_backends[account]["aws"].buckets.get(bucket) if account else None
            return {f"arn:aws:s3:::{bucket}": model.policy.decode() if model and model.policy else None}
        case "kms":
            return {arn: _of_key(_key(arn))}
        case "events":
            buses = events_backends[account][region].event_buses
            return {arn: getattr(buses.get(resource.removeprefix("event-bus/")), "policy", None)}
        case "sns":
            return {arn: getattr(sns_backends[account][region].topics.get(arn), "policy", None)}
        case "sqs":
            return {arn: getattr(sqs_backends[account][region].queues.get(resource), "policy", None)}
        case "dynamodb":
            # "A resource-based policy attached to a table" covers its indexes as well (access-control-resource-based).
            table = arn.partition("/index/")[0]
            policy = dynamodb_backends[account][region].resource_policies.get(table)
            return {table: getattr(policy, "policy_doc", None)}
        case "iam" if resource.startswith("role/"):
            return {arn: getattr(_entity(arn), "assume_role_policy_document", None)}
        case "lambda":
            return _of_function(account, region, resource)
        case "logs":
            policies = list(logs_backends[account][region].resource_policies.values())
            return {f"{policy.policy_name} of {account}": policy.policy_document for policy in policies}
        case "ecr":
            backend = ecr_backends[account][region]
            repository = backend.repositories.get(resource.removeprefix("repository/"))
            # "Amazon ECR ... enforces the registry policy in all ECR requests" (registry-permissions).
            return {registry_arn(account, region): backend.registry_policy, arn: getattr(repository, "policy", None)}
    return {}


def _of_function(account: str, region: str, resource: str) -> dict[str, Any]:
    function = _function(account, region, resource)
    if function is None:
        return {}
    # moto keeps an account ID as it is in the request, where AWS's GetPolicy returns {"AWS": ...}.
    statements = [
        {**each, "Principal": {"AWS": each["Principal"]}} if isinstance(each["Principal"], str) else each
        for each in function.policy.statements
    ]
    return {function.function_arn: {"Statement": statements}}


def _of_key(key: Any) -> Any:
    """Return the policy of a KMS key; AWS writes that of an AWS managed key, and nobody can change it.

    It allows all principals of the key's account to use the key through its service, and no other account: KMS
    developer guide, "AWS managed keys" (concepts) and "AWS KMS condition keys" (conditions-kms, kms:CallerAccount).
    *Assumed*: the policy of each service has the form of that of Amazon S3 (aws kms get-key-policy, "auto-s3-2").
    """
    aliases = getattr(key, "aliases", ())
    service = next((alias.removeprefix("alias/aws/") for alias in aliases if alias in RESERVED_ALIASES), "")
    if not service:
        return getattr(key, "policy", None)
    through_the_service = {
        "kms:ViaService": f"{service}.{key.region}.amazonaws.com",
        "kms:CallerAccount": key.account_id,
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": {"StringEquals": through_the_service},
            },
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{key.account_id}:root"},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*",
            },
        ],
    }


def is_missing_key(resource: str) -> bool:
    """Return whether a resource is a KMS key that does not exist, which its account can learn."""
    return ":kms:" in resource and _key(resource) is None


def exists(arn: str) -> bool:
    """Return whether a target of a service's call without a role exists: otherwise the error is not AccessDenied."""
    _, _, service, region, account, resource = arn.split(":", 5)
    match service:
        case "sqs":
            return resource in sqs_backends[account][region].queues
        case "sns":
            return arn in sns_backends[account][region].topics
        case "lambda":
            return _function(account, region, resource) is not None
    return True


def _function(account: str, region: str, resource: str) -> Any:
    try:
        return lambda_simple_backends[account][region].get_function(resource.split(":")[1])
    except LambdaClientError:
        return None


def _key(arn: str) -> Any:
    _, _, _, region, account, resource = arn.split(":", 5)
    return kms_backends[account][region].keys.get(resource.removeprefix("key/"))


def _is_arn(text: str) -> bool:
    """Return whether a resource, which the caller may have written in another form, is an ARN."""
    return text.startswith("arn:") and text.count(":") >= _ARN_COLONS


def parse(document: Any, name: str) -> list[Statement]:
    """Return the statements of a policy. An invalid one, which AWS would have rejected, denies everything."""
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        return list(iam_policies.parse(text, name))
    except iam_policies.PolicyError as error:
        _logger.warning("%s. It denies everything.", error)
        everything = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
        return [Statement(name, 0, everything)]


def owner(bucket: str) -> str | None:
    """Return the account that owns a bucket, or None if the bucket does not exist."""
    partition_and_account = s3_backends.bucket_accounts.get(bucket)
    return str(partition_and_account[1]) if partition_and_account else None


def account_of(resource: str, caller_account: str) -> str:
    """Return the account that owns a resource; the caller's account if the resource does not name one.

    The account of an AWS managed policy or of a transform is `aws`. It has no policy that could allow a call.
    """
    if not _is_arn(resource):
        return caller_account
    _, _, service, _, account, name = resource.split(":", 5)
    if service == "s3":
        account = owner(name.partition("/")[0]) or caller_account
    return caller_account if account in ("", "aws") else account
