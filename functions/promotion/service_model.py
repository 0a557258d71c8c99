"""Values against AWS's own service model: members, types, limits, enums and patterns, each problem with its path.

botocore's validator leaves maxima, enums and patterns to AWS, which would refuse them only when something is created.
The models lie in botocore's data (sagemaker/2017-07-24/service-2.json); their patterns are understood by `re` as they
are for everything that settings can hold.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

_FEW = 10
"""So many values of an enum are named; of longer ones only those that are like what was given."""

_TYPES = {
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
}


@functools.cache
def service(name: str) -> Any:
    """botocore's model of a service."""
    return botocore.session.get_session().get_service_model(name)


def input_shape(service_name: str, operation: str) -> StructureShape:
    """What an operation takes."""
    shape: StructureShape = service(service_name).operation_model(operation).input_shape
    return shape


def problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """What is wrong with `value` as a `shape`: texts that begin with the path, `EndpointConfig.KmsKeyId is …`."""
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
            yield from problems(shape.value, item, f"{path}.{key}")


def _problems_of_members(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in value.items():
        if name in shape.members:
            yield from problems(shape.members[name], member, f"{path}.{name}")
        else:
            yield f"{path} has the unknown key {name!a:.100}{_like(name, list(shape.members))}"
    for name in shape.required_members:
        if name not in value:
            yield f"{path}.{name} is missing"


def _broken_limits(shape: Shape, value: Any) -> Iterator[str]:
    limits = shape.metadata
    number = isinstance(value, int | float)
    if "min" in limits or "max" in limits:
        size = value if number else len(value)
        so = f"is {size}" if number else f"has {size} {'members' if isinstance(value, list | dict) else 'characters'}"
        if size < limits.get("min", size):
            yield f"{so}, and the least is {limits['min']}"
        if size > limits.get("max", size):
            yield f"{so}, and the most is {limits['max']}"
    if not isinstance(value, str):
        return
    if "enum" in limits and value not in limits["enum"]:
        values = limits["enum"]
        known = f"; it has to be one of {', '.join(values)}" if len(values) <= _FEW else _like(value, values)
        yield f"is {value!a:.100}, which SageMaker does not know{known}"
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield f"is {value[:100]!a}, which does not match {limits['pattern']}"


def _like(given: str, known: list[str]) -> str:
    found = difflib.get_close_matches(given, known, n=3)
    return f"; like it are {', '.join(found)}" if found else ""


def _is(type_name: str, value: Any) -> bool:
    match type_name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float" | "double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "list":
            return isinstance(value, list)
    return isinstance(value, dict)


def _kind_of(value: Any) -> str:
    names: dict[type, str] = {type(None): "nothing", bool: "true or false", list: "a list", dict: "an object"}
    return names.get(type(value), repr(value)[:100] if isinstance(value, str | int | float) else "of another type")
