"""Evaluation of JSONata expressions, as by Step Functions.

Step Functions uses JSONata 2.0.6 without `$eval`, adds functions, and raises an error for an expression without a
result. Source: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import random
import uuid
from collections.abc import Mapping
from typing import Any

from jsonata import Jsonata
from jsonata.parser import Parser
from jsonata.utils import Utils

# AWS's limit is one second. It is higher here, because a loaded developer machine needs longer.
_TIMEOUT_MILLISECONDS = 10_000
_MAX_DEPTH = 1_000
_HASHES = {"MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"}


class QueryEvaluationError(Exception):
    """The evaluation of an expression failed; Step Functions reports `States.QueryEvaluationError`."""


class _Parser(Parser):
    """Parses each expression once, since an evaluation does not change its tree. Most evaluations take less time."""

    @functools.lru_cache(maxsize=2048)  # noqa: B019 - there is one parser
    def parse(self, *arguments: Any) -> Any:
        """Return the tree of an expression."""
        return Parser().parse(*arguments)


_parser = _Parser()


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """Return the JSON value of an expression with the JSON values of its variables; raise QueryEvaluationError."""
    # Without $eval, the name of every variable that an expression uses occurs in it.
    used = {name: _bound(value) for name, value in variables.items() if f"${name}" in expression}
    Jsonata.PARSER.parser = _parser  # of this thread
    try:
        compiled = Jsonata(expression, timeout=_TIMEOUT_MILLISECONDS, stack=_MAX_DEPTH)
        compiled.set_output_convert_nulls(False)
        for name, function in _FUNCTIONS.items():
            compiled.register_lambda(name, function)
        result = compiled.evaluate(None, {"eval": None} | used)
    except Exception as error:
        code = getattr(error, "error", type(error).__name__)
        raise QueryEvaluationError(
            f"The JSONata expression '{expression}' threw an error during evaluation. {code}: {error}"
        ) from error
    if result is None:
        raise QueryEvaluationError(f"The JSONata expression '{expression}' returned nothing (undefined).")
    try:
        return _plain(result)
    except TypeError as error:
        raise QueryEvaluationError(
            f"The JSONata expression '{expression}' returned an unsupported result type."
        ) from error


def _bound(value: Any) -> Any:
    """Return a copy of a JSON value with the library's marker for null; the library treats None as undefined."""
    if isinstance(value, dict):
        return {key: _bound(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_bound(member) for member in value]
    return Utils.NULL_VALUE if value is None else value


def _plain(value: Any) -> Any:
    """Return the JSON value of a result, without the library's markers for null and for sequences."""
    if value is None or value is Utils.NULL_VALUE:
        return None
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(value[index]) for index in range(len(value))]
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _partition(array: list[Any], size: int) -> list[list[Any]]:
    if size < 1:
        raise ValueError("the size of a partition must be a positive number")
    return [array[start : start + size] for start in range(0, len(array), size)]


def _range(first: int, last: int, step: int) -> list[int]:
    return list(range(first, last + (1 if step > 0 else -1), step))


def _hash(content: str, algorithm: str) -> str:
    if algorithm not in _HASHES:
        raise ValueError(f"the algorithm must be one of {', '.join(sorted(_HASHES))}")
    return hashlib.new(algorithm.replace("-", ""), content.encode()).hexdigest()


def _random(seed: int | None = None) -> float:
    return random.Random(seed).random()  # noqa: S311


def _uuid() -> str:
    return str(uuid.uuid4())


def _parse(text: str) -> Any:
    return _bound(json.loads(text))


# "JSONata functions provided by Step Functions" on the page above.
_FUNCTIONS = {
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "uuid": _uuid,
    "parse": _parse,
}
