"""Validation against AWS's service model: members, types, limits, enums and patterns, each problem with its path.

botocore's validator does not check maxima, enums and patterns; AWS would reject them only when a resource is created.
The models are those of `promotion.aws.sdk`. Their patterns are Java's; those that `re` cannot compile are left to AWS.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import botocore.utils
from botocore.model import ListShape, MapShape, Shape, StructureShape

from promotion.aws import sdk
from promotion.aws.input_checks import did_you_mean
from promotion.aws.strict_json import is_number
from promotion.errors import InvalidRequestError

_FEW = 10
"""Enums with up to this many values are listed in full; for longer ones the most similar value is suggested."""

_TYPES = {
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "timestamp": "a timestamp",
}

_MAXIMUM_LISTED = 10
_BITS = {"integer": 32, "long": 64}


def input_shape(service_name: str, operation: str) -> StructureShape:
    """Return the shape of an operation's input."""
    shape: StructureShape = sdk.service(service_name).operation_model(operation).input_shape
    return shape


def output_shape(service_name: str, operation: str) -> StructureShape:
    """Return the shape of an operation's output."""
    shape: StructureShape = sdk.service(service_name).operation_model(operation).output_shape
    return shape


def listed(descriptions: Iterable[str]) -> str:
    """Join the first problems for a message, and count the others."""
    texts = list(descriptions)
    more = [f"and {len(texts) - _MAXIMUM_LISTED} more"] if len(texts) > _MAXIMUM_LISTED else []
    return "; ".join(texts[:_MAXIMUM_LISTED] + more)


def problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Yield each violation of `shape` in `value`, starting with its path: `EndpointConfig.KmsKeyId is …`."""
    expected = _TYPES[shape.type_name]
    if not _is(shape.type_name, value):
        yield f"{path} is {_kind_of(value)}, not {expected}"
        return
    yield from (f"{path} {problem}" for problem in _broken_limits(shape, value))
    if isinstance(shape, StructureShape):
        yield from _problems_of_members(shape, value, path)
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from problems(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from problems(shape.key, key, f"{path} has the key {key!a:.100}, which")
            yield from problems(shape.value, item, f"{path}.{_shown(key)}")


def checked_names(shape: Shape, value: Any, where: str) -> list[str]:
    """Return `value` if it is a list whose members match `shape`; raise InvalidRequestError, with the path, if not."""
    if not isinstance(value, list):
        raise InvalidRequestError(f"{where} is not a list.")
    found = [problem for index, name in enumerate(value) for problem in problems(shape, name, f"{where}[{index}]")]
    if found:
        raise InvalidRequestError(f"{listed(found)}.")
    return value


def unknown_members(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each member of `value` that `shape` lacks, unless it is empty."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, member in value.items():
            inner = f"{path}.{_shown(name)}".lstrip(".")
            if name in shape.members:
                yield from unknown_members(shape.members[name], member, inner)
            elif member:
                yield inner
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_members(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for key, item in value.items():
            yield from unknown_members(shape.value, item, f"{path}.{_shown(key)}")


def wrong_types(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Yield each member of a response whose type differs from `shape`, in the form of `problems`."""
    is_float = shape.type_name in ("float", "double") and isinstance(value, float)  # NaN too
    if not is_float and not _is(shape.type_name, value):
        yield f"{path or 'it'} is {_kind_of(value)}, not {_TYPES[shape.type_name]}"
    elif isinstance(shape, StructureShape):
        for name in shape.members.keys() & value.keys():
            yield from wrong_types(shape.members[name], value[name], f"{path}.{name}".lstrip("."))
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from wrong_types(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from wrong_types(shape.value, item, f"{path}.{_shown(key)}")


def _shown(key: str) -> str:
    return key[:100] if key.isprintable() else ascii(key[:100])


def _problems_of_members(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in value.items():
        if name in shape.members:
            yield from problems(shape.members[name], member, f"{path}.{name}")
        else:
            yield f"{path} has the unknown key {name!a:.100}{did_you_mean(name, shape.members)}"
    for name in shape.required_members:
        if name not in value:
            yield f"{path}.{name} is missing"


def _broken_limits(shape: Shape, value: Any) -> Iterator[str]:
    limits = shape.metadata
    number = isinstance(value, int | float)
    if "min" in limits or "max" in limits:
        size = value if number else len(value)
        observed = (
            f"is {size:.12g}"
            if number
            else f"has {size} {'members' if isinstance(value, list | dict) else 'characters'}"
        )
        if size < limits.get("min", size):
            yield f"{observed}, below the minimum of {limits['min']}"
        if size > limits.get("max", size):
            yield f"{observed}, above the maximum of {limits['max']}"
            return
    if not isinstance(value, str):
        return
    if "enum" in limits and value not in limits["enum"]:
        values = limits["enum"]
        known = f"; it must be one of {', '.join(values)}" if len(values) <= _FEW else did_you_mean(value, values)
        yield f"is {value!a:.100}, which AWS does not know{known}"
    pattern = _compiled(limits.get("pattern", ""))
    if pattern and not pattern.fullmatch(value):
        yield f"is {value[:100]!a}, which does not match {limits['pattern']}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error:
        return None


def _is(type_name: str, value: Any) -> bool:
    match type_name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "long":
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            return is_whole and -(2 ** (_BITS[type_name] - 1)) <= value < 2 ** (_BITS[type_name] - 1)
        case "float" | "double":
            return is_number(value)
        case "timestamp":
            return _is_time(value)
        case "list":
            return isinstance(value, list)
    return isinstance(value, dict)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str | datetime.datetime) and bool(botocore.utils.parse_to_aware_datetime(value))
    except (ArithmeticError, OSError, RuntimeError, TypeError, ValueError):
        return False


def _kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {list: "a list", dict: "an object"}
    return names.get(type(value), repr(value)[:100] if isinstance(value, str | int | float) else "of another type")
