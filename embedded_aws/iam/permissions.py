"""The permissions that a call requires: actions on resources, from the service authorization reference.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
has a table of actions for each service. This module is the registry: the `PERMISSIONS` of each service list the
permissions that its operations require.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.kms.models import kms_backends


@dataclasses.dataclass(frozen=True)
class Need:
    """A required permission: one action on one resource, and the action's condition keys beyond the global ones.

    `resources` are the forms in which AWS documents the resource: permission for one of them is enough. If `header` is
    set, only that header of the response requires it, and the call succeeds without the permission and the header.
    """

    action: str
    resources: tuple[str, ...]
    context: Mapping[str, str | list[str] | None] = dataclasses.field(default_factory=dict)
    header: str = ""


Needs = Iterator[Need]


@dataclasses.dataclass(frozen=True)
class Call:
    """A request from the caller's `account`, read by botocore's model of its service.

    `query`, `headers` and `body` are set only in requests to S3.
    """

    service: str
    operation: str
    parameters: dict[str, Any]
    account: str
    region: str
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in the caller's account and the request's region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclasses.dataclass(frozen=True)
class Permissions:
    """The permissions that the operations of one service require.

    An operation is known if `required` yields a permission for it or if it is `free`. If `required` is incomplete for
    some operations, `known` lists those for which it is complete.
    """

    required: Callable[[Call], Needs]
    free: frozenset[str] = frozenset()
    known: frozenset[str] | None = None


_services: dict[str, Permissions] = {}


def register(services: Mapping[str, Permissions]) -> None:
    """Add services, by their names in request signatures."""
    _services.update(services)


def of(call: Call) -> tuple[list[Need], bool]:
    """Return the permissions that a call requires, and whether they are complete."""
    service = _services.get(call.service)
    if service is None:
        return [], False
    needs = list(service.required(call))
    if service.known is not None:
        return needs, call.operation in service.known
    return needs, bool(needs) or call.operation in service.free


def tags(request: Mapping[str, Any]) -> dict[str, str | list[str] | None]:
    """Return the condition keys of the tags in a request."""
    values = {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in request.get("Tags") or []}
    return {"aws:tagkeys": list(values), **{f"aws:requesttag/{key}".lower(): value for key, value in values.items()}}


def key(
    action: str, key_id: str, account: str, region: str, via: str, context: Mapping[str, str] | None = None
) -> Need:
    """Return the permission to use a KMS key through a service: "AWS KMS condition keys" (conditions-kms)."""
    keys = {f"kms:encryptioncontext:{name}": value for name, value in (context or {}).items()}
    known = {"kms:viaservice": f"{via}.{region}.amazonaws.com", "kms:calleraccount": account, **keys}
    return Need(f"kms:{action}", (key_arn(key_id, account, region),), known)


def key_arn(key_id: str, account: str, region: str) -> str:
    """Return the ARN of a key from its ID, its ARN or one of its aliases."""
    if ":key/" in key_id:
        return key_id
    if key_id.startswith("arn:"):
        region, account, key_id = key_id.split(":", 5)[3:]
    if not key_id.startswith("alias/"):
        return f"arn:aws:kms:{region}:{account}:key/{key_id}"
    target = kms_backends[account][region].get_key_id_from_alias(key_id)
    return f"arn:aws:kms:{region}:{account}:key/{target or key_id}"


def pass_role(role_arn: Any, service: str, resource: str) -> Needs:
    """Yield the permission to pass a role, if there is one, to a service.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    if role_arn:
        context = {"iam:passedtoservice": service, "iam:associatedresourcearn": resource}
        yield Need("iam:PassRole", (str(role_arn),), context)
