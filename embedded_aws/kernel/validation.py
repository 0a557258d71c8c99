"""Validation of requests by botocore's service models, with AWS's error messages.

The models contain every limit, pattern and enum in the API references; boto3 checks only some of them before it sends a
request (https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html, ValidationError).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from moto.core.exceptions import ServiceException

from embedded_aws.kernel.sdk import service_model

# The patterns are Java's; Python writes these character classes differently.
_JAVA_CLASSES = {
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
    r"\p{Print}+": r"[\x20-\x7e]+",
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r"\s",
    r"\p{M}": r"\u0300-\u036f\ufe00-\ufe0f",
    r"\p{P}": r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2fff\u3001-\u303f",
    r"\p{S}": r"$+<=>^`|~\u20a0-\u20cf\u2100-\u2bff\U0001f000-\U0001faff",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{Print}": r"\x20-\x7e",
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\z": r"\Z",
}


class ApiError(ServiceException):
    """An error response. moto derives the shape of an error from the service whose module defines its class."""


def check(service: str, operation: str, request: dict[str, Any], code: str = "ValidationException") -> None:
    """Raise ApiError with `code` if `request` is not a valid input of the operation."""
    shape = service_model(service).operation_model(operation).input_shape
    problems = list(_problems(shape, request, "")) if shape else []
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}"
        raise ApiError(code, f"{count} detected: {'; '.join(problems)}")


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not _is(shape.type_name, value):
        raise ApiError("SerializationException", f"{path or 'The request'} is not of type {shape.type_name}")
    yield from _own_problems(shape, value, path)
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            member_path = f"{path}.{_camel(name)}" if path else _camel(name)
            if value.get(name) is not None:
                yield from _problems(member, value[name], member_path)
            elif name in shape.required_members:
                yield f"Value null at '{member_path}' failed to satisfy constraint: Member must not be null"
    elif isinstance(shape, ListShape):
        for position, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{position}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.key")
            yield from _problems(shape.value, item, f"{path}.{key}.member")


def _own_problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for constraint in _broken_constraints(shape, value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {constraint}"


def _broken_constraints(shape: Shape, value: Any) -> Iterator[str]:
    limits = shape.metadata
    number = isinstance(value, int | float)
    if number or isinstance(value, str | list | dict | bytes):
        size = value if number else len(value)
        measure = "have value" if number else "have length"
        if "min" in limits and size < limits["min"]:
            yield f"{measure} greater than or equal to {limits['min']}"
        if "max" in limits and size > limits["max"]:
            yield f"{measure} less than or equal to {limits['max']}"
    if isinstance(value, str):
        if "enum" in limits and value not in limits["enum"]:
            yield f"satisfy enum value set: [{', '.join(limits['enum'])}]"
        if "pattern" in limits and not _compiled(limits["pattern"]).fullmatch(value):
            yield f"satisfy regular expression pattern: {limits['pattern']}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    # Python has no quantifier of `$`, which the pattern of CustomerMetadataKey has. The length is checked separately.
    return re.compile(re.sub(r"\$\{\d+,\d+\}", "", pattern))


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
        case "structure" | "map":
            return isinstance(value, dict)
    return True


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]
