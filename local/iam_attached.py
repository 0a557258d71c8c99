"""Which policies there are: of users and roles, and of what they call; read from moto's backends.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html
"""

from __future__ import annotations

import json
import logging
from typing import Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda_simple.models import lambda_simple_backends
from moto.ecr.models import ecr_backends
from moto.events.models import events_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.kms.utils import RESERVED_ALIASES
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local import iam_policies, iam_s3
from local.iam_conditions import listed
from local.iam_policies import Statement

_ARN_COLONS = 5

_logger = logging.getLogger(__name__)


def of_identity(principal: str) -> list[Statement]:
    entity = _entity(principal)
    if entity is None:
        return []
    documents = [(f"{principal} {name}", policy) for name, policy in entity.policies.items()]
    documents += [(f"{principal} {policy.name}", _document(policy)) for policy in entity.managed_policies.values()]
    return [statement for name, document in documents for statement in parse(document, name)]


def boundary_of(principal: str) -> list[Statement] | None:
    """The permissions boundary of a user or role, if it has one."""
    arn = getattr(_entity(principal), "permissions_boundary_arn", None)
    if not arn:
        return None
    policy = iam_backends[account_of(principal, "")]["aws"].managed_policies.get(arn)
    return parse(_document(policy), arn) if policy else []


def _document(policy: Any) -> str:
    """The version of a managed policy that counts."""
    for version in policy.versions:
        if version.version_id == policy.default_version_id:
            return str(version.document)
    return '{"Statement": []}'


def _entity(principal: str) -> Any:
    """moto's user or role."""
    *_, account, kind_and_name = principal.split(":", 5)
    backend = iam_backends[account]["aws"]
    if kind_and_name.startswith("user/"):
        return backend.users.get(kind_and_name.rpartition("/")[2])
    return next((role for role in list(backend.roles.values()) if role.arn == principal), None)


def of_resource(arn: str) -> list[Statement]:
    document = _resource_policy(arn) if _is_arn(arn) else None
    return parse(document, arn) if document else []


def _resource_policy(arn: str) -> Any:
    """The policy attached to a resource."""
    _, _, service, region, account, resource = arn.split(":", 5)
    match service:
        case "s3":
            bucket = resource.partition("/")[0]
            owner = iam_s3.owner(bucket)
            found = s3_backends[owner]["aws"].buckets.get(bucket) if owner else None
            return found.policy.decode() if found and found.policy else None
        case "kms":
            key = _key(arn)
            return key.policy if key else None
        case "events":
            bus = events_backends[account][region].event_buses.get(resource.removeprefix("event-bus/"))
            return bus.policy if bus else None
        case "sns":
            topic = sns_backends[account][region].topics.get(arn)
            return topic.policy if topic else None
        case "sqs":
            queue = sqs_backends[account][region].queues.get(resource)
            return queue.policy if queue else None
        case "iam" if resource.startswith("role/"):
            role = _entity(arn)
            return role.assume_role_policy_document if role else None
        case "lambda":
            function = _function(account, region, resource)
            # moto keeps an account's number as it came, where AWS's GetPolicy has {"AWS": ...}.
            return function and {
                "Statement": [
                    {**each, "Principal": {"AWS": each["Principal"]}} if isinstance(each["Principal"], str) else each
                    for each in function.policy.statements
                ]
            }
        case "logs":
            policies = list(logs_backends[account][region].resource_policies.values())
            statements = [json.loads(policy.policy_document)["Statement"] for policy in policies]
            return {"Statement": [each for some in statements for each in (some if isinstance(some, list) else [some])]}
        case "ecr":
            backend = ecr_backends[account][region]
            repository = backend.repositories.get(resource.removeprefix("repository/"))
            # "Amazon ECR ... enforces the registry policy in all ECR requests" (registry-permissions).
            return _together(backend.registry_policy, repository.policy if repository else None)
    return None


def _together(*documents: str | None) -> dict[str, Any]:
    """One document with the statements of several."""
    found = [json.loads(document).get("Statement", []) for document in documents if document]
    return {"Statement": [each for some in found for each in listed(some)]}


def is_managed_by_aws(key_arn: str) -> bool:
    """AWS's own keys let in whoever may use the service in their account ("AWS managed keys", concepts)."""
    key = _key(key_arn)
    return key is not None and any(alias in RESERVED_ALIASES for alias in key.aliases)


def is_open_to_its_account(resource: str) -> bool:
    """Of a key that does not exist, the account may be told so."""
    return ":kms:" in resource and (_key(resource) is None or is_managed_by_aws(resource))


def exists(arn: str) -> bool:
    """Of what a service calls without a role: it is told that a thing is gone rather than that it may not have it."""
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
    """Resources are as the caller wrote them."""
    return text.startswith("arn:") and text.count(":") >= _ARN_COLONS


def parse(document: Any, name: str) -> list[Statement]:
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        return list(iam_policies.parse(text, name))
    except iam_policies.PolicyError as error:
        _logger.warning("%s", error)
        return []


def account_of(resource: str, callers: str) -> str:
    """The account a resource belongs to, or would belong to."""
    if not _is_arn(resource):
        return callers
    _, _, service, _, account, name = resource.split(":", 5)
    if service == "s3":
        account = iam_s3.owner(name.partition("/")[0]) or callers
    return account or callers
