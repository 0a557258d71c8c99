"""What all resources of a stack have in common: a name, properties, and calls to the API of their service.

A resource type is the calls that CloudFormation makes for it, so a resource of a stack is the same as one that is made
by hand, whatever the embedded AWS adds to its service. moto's types write to its backends and keep few properties.
"""

from __future__ import annotations

import abc
import functools
import json
import random
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from botocore import xform_name
from botocore.model import ListShape, MapShape, Shape, StructureShape

from embedded_aws.iam import clients
from embedded_aws.kernel.sdk import service_model

_SUFFIX = 12

TYPES: dict[str, type[Resource]] = {}


class AttributeMissingError(Exception):
    """`Fn::GetAtt` asked for what the type does not have."""


class Resource(abc.ABC):
    """One resource of a stack. A type says `of` what, which property holds its `name`, and what cannot be changed.

    `fixed` are the properties whose change needs another resource. `limit` is the length of a generated name.
    """

    cf_resource_type: ClassVar[str]
    name_property: ClassVar[str]
    name_limit: ClassVar[int]
    fixed: ClassVar[frozenset[str]]

    def __init_subclass__(cls, *, of: str, name: str = "", limit: int = 128, fixed: tuple[str, ...] = ()) -> None:
        cls.cf_resource_type = of
        cls.name_property = name
        cls.name_limit = limit
        cls.fixed = frozenset(fixed) | ({name} if name else set())
        TYPES[of] = cls

    def __init__(self, stack_name: str, account: str, region: str, logical_id: str, properties: dict[str, Any]) -> None:
        self.account = account
        self.region = region
        self.logical_resource_id = logical_id
        self.properties = properties
        self.name = str(properties.get(self.name_property) or self._generated_name(stack_name))
        self.physical_resource_id = ""
        self.attributes: dict[str, Any] = {}
        # Whether everything that belongs to the resource could be set, and whether it outlives the stack.
        self.settled = False
        self.retained = False

    @property
    def exists(self) -> bool:
        return bool(self.physical_resource_id)

    @property
    def has_generated_name(self) -> bool:
        return not self.properties.get(self.name_property)

    @abc.abstractmethod
    def create(self) -> None:
        """Make the resource, and say by `made` what `Ref` and `Fn::GetAtt` of it are."""

    def update(self, old: dict[str, Any]) -> None:  # noqa: B027  nothing to do for a type that is always replaced
        """Make the existing resource as its properties now are; `old` are those that it has had."""

    @abc.abstractmethod
    def delete(self) -> None: ...

    def needs_replacement(self, properties: dict[str, Any]) -> bool:
        """Whether the resource cannot be given these properties."""
        return any(self.properties.get(name) != properties.get(name) for name in self.fixed)

    def made(self, physical_resource_id: str, **attributes: Any) -> None:
        self.physical_resource_id = physical_resource_id
        self.attributes = attributes

    def attribute(self, name: str) -> Any:
        if name not in self.attributes:
            raise AttributeMissingError(
                f"Requested attribute {name} does not exist in schema for {self.cf_resource_type}"
            )
        return self.attributes[name]

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call the API with what it knows of the request, in its own types: a text for a policy, a number for "60"."""
        shape = service_model(service).operation_model(_operation_name(service, operation)).input_shape
        fitted = _fit(request, shape) if shape else {}
        answer: dict[str, Any] = getattr(_client(service, self.account, self.region), operation)(**fitted)
        return answer

    def _generated_name(self, stack_name: str) -> str:
        suffix = "".join(random.choices(string.ascii_uppercase + string.digits, k=_SUFFIX))  # noqa: S311
        room = self.name_limit - _SUFFIX - 2
        stack_part = stack_name[: max(room - len(self.logical_resource_id), room // 2)]
        return f"{stack_part}-{self.logical_resource_id[: room - len(stack_part)]}-{suffix}"


def forget_clients() -> None:
    """After the embedded AWS has moved to another address."""
    _client.cache_clear()


@functools.cache
def _client(service: str, account: str, region: str) -> Any:
    # CloudFormation acts with the credentials of its caller, which is the account's operator here.
    return clients.client_as_operator(service, account, region)


@functools.cache
def _operation_name(service: str, operation: str) -> str:
    (name,) = [name for name in service_model(service).operation_names if xform_name(name) == operation]
    return str(name)


def _fit(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        found = {name: _member(value, name) for name in shape.members}
        return {name: _fit(member, shape.members[name]) for name, member in found.items() if member is not None}
    if isinstance(shape, ListShape):
        # The tags of some types are an object.
        items = [{"Key": key, "Value": item} for key, item in value.items()] if isinstance(value, Mapping) else value
        return [_fit(item, shape.member) for item in items]
    if isinstance(shape, MapShape):
        pairs = {item["Key"]: item["Value"] for item in value} if isinstance(value, list) else value
        return {key: _fit(member, shape.value) for key, member in pairs.items()}
    match shape.type_name:
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if not isinstance(value, str):
            return json.dumps(value)
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
    return value


def _member(value: Mapping[str, Any], name: str) -> Any:
    """Some APIs begin their members with a small letter, and the tags of some have a TagKey and a TagValue."""
    for spelling in (name, name[:1].upper() + name[1:], name.removeprefix("Tag")):
        if spelling in value:
            return value[spelling]
    return None
