"""The conditions of an IAM policy statement.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html,
reference_policies_condition-logic-multiple-context-keys-or-values.html and
reference_policies_condition-single-vs-multi-valued-context-keys.html. A condition that cannot be evaluated raises
UnknownError.
"""

from __future__ import annotations

import base64
import datetime
import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

# The condition keys of a call. A key that the call does not have is None; a key that is unknown here is missing.
Context = Mapping[str, str | list[str] | None]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SPECIAL = {"*": "*", "?": "?", "$": "$"}
_ARN_PARTS = 6
# The prefixes of keys that end in a tag's key, and the key that is in a context with all tags of that family.
_TAG_FAMILIES = {"aws:requesttag/": "aws:tagkeys", "aws:resourcetag/": "aws:resourcetag/"}


class UnknownError(Exception):
    """An operator that does not exist, or a condition key that is unknown for this call."""


class AbsentError(Exception):
    """A policy variable without a value in this call, which matches nothing."""


def value_of(context: Context, key: str) -> str | list[str] | None:
    """Return the value of a condition key in a call. Its name is not case-sensitive. Raise UnknownError if unknown."""
    name = key.lower()
    if name in context:
        return context[name]
    # If all tags of the family are known, the call does not have this one.
    for family, marker in _TAG_FAMILIES.items():
        if name.startswith(family) and marker in context:
            return None
    raise UnknownError(f"The condition key {key} is unknown for this call.")


def resolve(text: str, context: Context) -> str:
    """Return a regular expression for a string with wildcards and policy variables (reference_policies_variables)."""
    pattern, end = "", 0
    for variable in _VARIABLE.finditer(text):
        pattern += _wild(text[end : variable.start()]) + re.escape(_variable(variable[1], context))
        end = variable.end()
    return pattern + _wild(text[end:])


def _wild(text: str) -> str:
    return "".join(".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in text)


def _variable(expression: str, context: Context) -> str:
    if expression in _SPECIAL:
        return _SPECIAL[expression]
    key, _, default = (part.strip() for part in expression.partition(","))
    value = value_of(context, key)
    if isinstance(value, str):
        return value
    if value is None and default:
        return default.strip("'")
    raise AbsentError(key)


def _literally(text: str) -> str:
    return "".join(f"${{{sign}}}" if sign in _SPECIAL else sign for sign in text)


def plain(text: str, context: Context) -> str:
    """Return a string with the values of its policy variables. Wildcards in it have no special meaning."""
    return _VARIABLE.sub(lambda variable: _variable(variable[1], context), text)


def like(pattern: str, value: str, context: Context) -> bool:
    """Return whether a value matches a pattern with wildcards and policy variables, as of StringLike."""
    if "${" in pattern:
        return re.fullmatch(resolve(pattern, context), value, re.DOTALL) is not None
    return _expression(pattern).fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(_wild(pattern), re.DOTALL)


def arn_like(pattern: str, value: str, context: Context) -> bool:
    """Return whether each of the six parts of an ARN matches: "Amazon Resource Name (ARN) condition operators"."""
    # A variable may have colons in its name and in its value, but no wildcards.
    written = _VARIABLE.sub(lambda found: _literally(_variable(found[1], context)), pattern)
    patterns, values = written.split(":", _ARN_PARTS - 1), value.split(":", _ARN_PARTS - 1)
    if len(patterns) != _ARN_PARTS or len(values) != _ARN_PARTS:
        return False
    return all(like(*pair, context) for pair in zip(patterns, values, strict=True))


def hold(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Return whether all conditions are met: all operators, all keys of each, and one of the values of each key."""
    verdicts = [
        _holds(name, key, [str_of(value) for value in listed(values)], context)
        for name, block in conditions.items()
        for key, values in block.items()
    ]
    return all(verdicts)


def listed(value: Any) -> list[Any]:
    """Return a policy element's values, which may be a single value or a list."""
    return value if isinstance(value, list) else [value]


def str_of(value: Any) -> str:
    """Return a condition's value as the string that it is compared as."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _holds(name: str, key: str, wanted: list[str], context: Context) -> bool:
    given = value_of(context, key)
    if name == "Null":
        return _is_null(given, wanted)
    quantifier, separator, base = name.rpartition(":")
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if base not in _OPERATORS or (separator and quantifier not in ("ForAnyValue", "ForAllValues")):
        raise UnknownError(f"The condition operator {name} is unknown.")
    positive, test = _OPERATORS[base]

    def passes(value: str) -> bool:
        try:
            return any(test(want, value, context) for want in wanted) == positive
        except AbsentError:
            return False

    # For a set operator, an empty string is no value ("resolves to a null data set").
    if given is None or given == [] or (separator and given in ("", [""])):
        if if_exists and not given:
            return True
        # Without a key, a negated operator and ForAllValues are true, and ForAnyValue is false.
        return quantifier == "ForAllValues" if separator else not positive
    if not separator:
        if isinstance(given, list):
            raise UnknownError(f"{key} has several values, which {name} cannot compare.")
        return passes(given)
    values = given if isinstance(given, list) else [given]
    return all(map(passes, values)) if quantifier == "ForAllValues" else any(map(passes, values))


def _is_null(given: str | list[str] | None, wanted: list[str]) -> bool:
    if any(want not in ("true", "false") for want in wanted):
        raise UnknownError(f"The value of Null must be true or false, not {wanted}.")
    return any((given is None or given == []) == (want == "true") for want in wanted)


Test = Callable[[str, str, Context], bool]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnknownError(f"{text} is not a number.") from error


def _date(text: str) -> float:
    """Return the seconds since 1970 of an ISO 8601 date, or of a number of seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise UnknownError(f"{text} is not a date.") from error
    return (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()


def _compared(read: Callable[[str], float], compare: Callable[[float, float], bool]) -> Test:
    """Return a comparison of numbers or dates, in which policy variables are not resolved."""
    return lambda want, value, _: compare(read(value), read(want))


def _in_network(want: str, value: str, _: Context) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(want, strict=False)
    except ValueError as error:
        raise UnknownError(f"{want} or {value} is not an IP address.") from error


def _equals(want: str, value: str, context: Context) -> bool:
    return plain(want, context) == value


def _equals_ignoring_case(want: str, value: str, context: Context) -> bool:
    return plain(want, context).lower() == value.lower()


def _same_bytes(want: str, value: str, _: Context) -> bool:
    try:
        return base64.b64decode(want, validate=True) == base64.b64decode(value, validate=True)
    except ValueError as error:
        raise UnknownError(f"{want} or {value} is not Base64-encoded.") from error


# By name: whether a match makes the condition true, and the comparison of a policy's value with a call's.
_OPERATORS: dict[str, tuple[bool, Test]] = {
    "StringEquals": (True, _equals),
    "StringNotEquals": (False, _equals),
    "StringEqualsIgnoreCase": (True, _equals_ignoring_case),
    "StringNotEqualsIgnoreCase": (False, _equals_ignoring_case),
    "StringLike": (True, like),
    "StringNotLike": (False, like),
    # "ArnEquals and ArnLike behave identically."
    "ArnEquals": (True, arn_like),
    "ArnLike": (True, arn_like),
    "ArnNotEquals": (False, arn_like),
    "ArnNotLike": (False, arn_like),
    "Bool": (True, _equals_ignoring_case),
    "BinaryEquals": (True, _same_bytes),
    "IpAddress": (True, _in_network),
    "NotIpAddress": (False, _in_network),
    "NumericEquals": (True, _compared(_number, operator.eq)),
    "NumericNotEquals": (False, _compared(_number, operator.eq)),
    "NumericLessThan": (True, _compared(_number, operator.lt)),
    "NumericLessThanEquals": (True, _compared(_number, operator.le)),
    "NumericGreaterThan": (True, _compared(_number, operator.gt)),
    "NumericGreaterThanEquals": (True, _compared(_number, operator.ge)),
    "DateEquals": (True, _compared(_date, operator.eq)),
    "DateNotEquals": (False, _compared(_date, operator.eq)),
    "DateLessThan": (True, _compared(_date, operator.lt)),
    "DateLessThanEquals": (True, _compared(_date, operator.le)),
    "DateGreaterThan": (True, _compared(_date, operator.gt)),
    "DateGreaterThanEquals": (True, _compared(_date, operator.ge)),
}
