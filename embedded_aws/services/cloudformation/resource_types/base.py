"""The base class of all resource types.

A resource type calls the public API of its service, as CloudFormation does. A resource of a stack therefore behaves
like one that was created directly, including all changes that the embedded AWS makes to moto. moto's own resource types
write to its backends and ignore most properties.
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
    """The resource type does not have the attribute that `Fn::GetAtt` names."""


class Resource(abc.ABC):
    """One resource of a stack.

    A subclass passes the resource type (`of`), the property that contains the resource's name (`name`), the maximum
    length of a generated name (`limit`), and the properties whose update requires replacement (`fixed`).
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
        # Whether the last create or update succeeded completely.
        self.is_configured = False
        # The template's DeletionPolicy, or its UpdateReplacePolicy after a replacement.
        self.deletion_policy = "Delete"

    @property
    def exists(self) -> bool:
        """Whether the resource was created."""
        return bool(self.physical_resource_id)

    @property
    def has_generated_name(self) -> bool:
        """Whether the template does not name the resource."""
        return not self.properties.get(self.name_property)

    @abc.abstractmethod
    def create(self) -> None:
        """Create the resource and call `set_identity`."""

    def update(self, old: dict[str, Any]) -> None:  # noqa: B027  some types are always replaced
        """Update the resource to `self.properties`; `old` contains its current properties."""

    @abc.abstractmethod
    def delete(self) -> None:
        """Delete the resource."""

    def needs_replacement(self, properties: dict[str, Any]) -> bool:
        """Return whether an update to `properties` requires replacement."""
        return any(self.properties.get(name) != properties.get(name) for name in self.fixed)

    def set_identity(self, physical_resource_id: str, **attributes: Any) -> None:
        """Set the values of `Ref` and of the attributes that `Fn::GetAtt` returns."""
        self.physical_resource_id = physical_resource_id
        self.attributes = attributes

    def attribute(self, name: str) -> Any:
        """Return the value of `Fn::GetAtt`; raise AttributeMissingError if the type has no such attribute."""
        if name not in self.attributes:
            raise AttributeMissingError(
                f"Requested attribute {name} does not exist in schema for {self.cf_resource_type}"
            )
        return self.attributes[name]

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call the API with `request`, from which unknown members are removed and whose values are converted.

        The types are those of botocore's service model: a policy becomes a JSON string, "60" becomes a number.
        """
        shape = service_model(service).operation_model(_operation_name(service, operation)).input_shape
        converted = _converted(request, shape) if shape else {}
        answer: dict[str, Any] = getattr(_client(service, self.account, self.region), operation)(**converted)
        return answer

    def _generated_name(self, stack_name: str) -> str:
        suffix = "".join(random.choices(string.ascii_uppercase + string.digits, k=_SUFFIX))  # noqa: S311
        room = self.name_limit - _SUFFIX - 2
        stack_part = stack_name[: max(room - len(self.logical_resource_id), room // 2)]
        return f"{stack_part}-{self.logical_resource_id[: room - len(stack_part)]}-{suffix}"


def forget_clients() -> None:
    """Discard the cached clients; their endpoint URL is no longer valid after a restart."""
    _client.cache_clear()


@functools.cache
def _client(service: str, account: str, region: str) -> Any:
    # CloudFormation uses the credentials of its caller: here, the operator of the account.
    return clients.client_as_operator(service, account, region)


@functools.cache
def _operation_name(service: str, operation: str) -> str:
    (name,) = [name for name in service_model(service).operation_names if xform_name(name) == operation]
    return str(name)


def _converted(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name: _member(value, name) for name in shape.members}
        return {name: _converted(item, shape.members[name]) for name, item in members.items() if item is not None}
    if isinstance(shape, ListShape):
        # Some resource types declare their tags as an object.
        items = [{"Key": key, "Value": item} for key, item in value.items()] if isinstance(value, Mapping) else value
        return [_converted(item, shape.member) for item in items]
    if isinstance(shape, MapShape):
        pairs = {item["Key"]: item["Value"] for item in value} if isinstance(value, list) else value
        return {key: _converted(member, shape.value) for key, member in pairs.items()}
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
    """Return the property for the member `name` of an API, which can begin with a lowercase letter or be a TagKey."""
    for spelling in (name, name[:1].upper() + name[1:], name.removeprefix("Tag")):
        if spelling in value:
            return value[spelling]
    return None
