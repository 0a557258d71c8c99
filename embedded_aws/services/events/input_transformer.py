"""The input of a rule's target: the event, a part of it, a constant, or a template filled from it.

Sources: "Amazon EventBridge input transformation" in the user guide (eb-transform-target-input) and the API's Target
type.
"""

from __future__ import annotations

import json
import re
from typing import Any

from embedded_aws.kernel import json_paths

_PREDEFINED = {
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event",
    "aws.events.event.json",
    "aws.events.event.ingestion-time",
}
_INPUT_OPTIONS = ("Input", "InputPath", "InputTransformer")
_LONGEST_TEMPLATE = 8192
_MOST_PATHS = 100
_PLACEHOLDER = r"<([A-Za-z0-9_.\-]+)>"


class InvalidInputError(Exception):
    """PutTargets refuses the target; the message is the one of EventBridge."""


class InvalidJsonError(Exception):
    """The event cannot be delivered because the input is missing or not valid JSON."""


def check(target: dict[str, Any]) -> None:
    """Raise InvalidInputError if PutTargets refuses the target's input."""
    target_id = target["Id"]
    if sum(1 for name in _INPUT_OPTIONS if target.get(name)) > 1:
        raise InvalidInputError(
            f"Only one of Input, InputPath, or InputTransformer must be provided for target {target_id}."
        )
    if constant := target.get("Input"):
        try:
            json.loads(constant)
        except ValueError as error:
            raise InvalidInputError(f"JSON syntax error in input for target {target_id}: {error}.") from None
    transformer = target.get("InputTransformer", {})
    if len(transformer.get("InputTemplate", "")) > _LONGEST_TEMPLATE:
        raise InvalidInputError(f"InputTemplate for target {target_id} has more than {_LONGEST_TEMPLATE} characters.")
    if len(transformer.get("InputPathsMap") or {}) > _MOST_PATHS:
        raise InvalidInputError(f"InputPathsMap for target {target_id} has more than {_MOST_PATHS} entries.")
    known = _PREDEFINED | set(transformer.get("InputPathsMap") or {})
    for placeholder in re.findall(_PLACEHOLDER, transformer.get("InputTemplate", "")):
        if placeholder not in known:
            raise InvalidInputError(f"InputTemplate for target {target_id} contains invalid placeholder {placeholder}.")


def changes_event(target: dict[str, Any]) -> bool:
    """Return whether the target receives something other than the event."""
    return any(target.get(name) for name in _INPUT_OPTIONS)


def target_input(
    target: dict[str, Any], event: dict[str, Any], ingestion_time: str, rule_arn: str, rule_name: str
) -> str:
    """Return the input of the target for `event`; raise InvalidJsonError."""
    if constant := target.get("Input"):
        return str(constant)
    if path := target.get("InputPath"):
        value = json_paths.find(path, event)
        if value is json_paths.ABSENT:
            raise InvalidJsonError(f"The event has no value at the input path {path}.")
        return _json(value)
    if transformer := target.get("InputTransformer"):
        values = {
            name: json_paths.find(path, event) for name, path in (transformer.get("InputPathsMap") or {}).items()
        } | {
            "aws.events.rule-arn": rule_arn,
            "aws.events.rule-name": rule_name,
            # AWS renames detail-type here, which is not documented.
            "aws.events.event": {
                "detailType" if key == "detail-type" else key: value for key, value in event.items() if key != "detail"
            },
            "aws.events.event.json": event,
            "aws.events.event.ingestion-time": ingestion_time,
        }
        return _fill(transformer["InputTemplate"].strip(), values)
    return _json(event)


def _fill(template: str, values: dict[str, Any]) -> str:
    is_json = template.startswith(("{", "["))
    in_string = False

    def replace(token: re.Match[str]) -> str:
        nonlocal in_string
        if token[1] is None:
            in_string ^= token[0] == '"'
            return token[0]
        if not in_string and is_json:
            return _json("" if values[token[1]] is json_paths.ABSENT else values[token[1]])
        return _raw(values[token[1]], is_json)

    filled = re.sub(r'\\.|"|' + _PLACEHOLDER, replace, template, flags=re.DOTALL)
    if not is_json:
        return filled
    try:
        return _json(json.loads(filled))
    except ValueError as error:
        raise InvalidJsonError(f"The filled input template is not valid JSON: {error}.") from None


def _raw(value: Any, is_json: bool) -> str:
    """Return a value for a place inside quotes. Nothing is escaped: a quote in the value breaks the JSON, as on AWS."""
    if value is json_paths.ABSENT:
        return ""
    if isinstance(value, str):
        return value
    text = _json(value)
    return text if is_json else text.replace('"', "")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
