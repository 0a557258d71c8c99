"""Automation runbooks: validation of documents with schema 0.3, and resolution of their variables.

Sources: "Schemas, features, and examples" (documents-schemas-features), "Automation actions reference"
(automation-actions) and "Automation system variables" (automation-variables) in the user guide of Systems Manager.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

from embedded_aws.services.ssm.actions import ACTIONS

_VARIABLE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")
_SYSTEM_VARIABLES = {
    "global:ACCOUNT_ID",
    "global:REGION",
    "global:AWS_PARTITION",
    "global:DATE",
    "global:DATE_TIME",
    "automation:EXECUTION_ID",
}
_STEP_PROPERTIES = {
    "name",
    "action",
    "description",
    "inputs",
    "outputs",
    "maxAttempts",
    "timeoutSeconds",
    "onFailure",
    "onCancel",
    "isEnd",
    "nextStep",
    "isCritical",
}
_LIST_TYPES = ("StringList", "MapList")


class InvalidRunbookError(Exception):
    """The document is invalid and cannot be created."""


class InvalidParametersError(Exception):
    """The execution cannot be started with these parameters."""


class UnresolvedError(Exception):
    """A variable of a step has no value."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One of the `mainSteps`, with the defaults of "Properties shared by all actions"."""

    name: str
    action: str
    inputs: dict[str, Any]
    outputs: list[dict[str, str]]
    max_attempts: int
    timeout_seconds: float | None
    on_failure: str
    on_cancel: str
    is_end: bool
    is_critical: bool
    next_step: str


@dataclasses.dataclass(frozen=True)
class Runbook:
    """A valid runbook."""

    parameters: dict[str, dict[str, Any]]
    assume_role: str
    steps: dict[str, Step]
    outputs: list[str]

    def step_after(self, name: str) -> str:
        """Return the name of the following step in the document, or an empty string."""
        return dict(itertools.pairwise(self.steps)).get(name, "")

    def arguments(self, given: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return the given parameters and the defaults of the others; raise InvalidParametersError."""
        for name in given:
            if name not in self.parameters:
                raise InvalidParametersError(f"Parameter {name} is not defined in the document.")
        missing = [name for name, rule in self.parameters.items() if name not in given and "default" not in rule]
        if missing:
            raise InvalidParametersError(f"The following required parameters are missing: {', '.join(missing)}.")
        for name, values in given.items():
            _check_argument(name, values, self.parameters[name])
        return {name: given.get(name, _strings(rule.get("default"))) for name, rule in self.parameters.items()}


def parse(content: dict[str, Any], *, is_json: bool = False) -> Runbook:
    """Return the runbook in a document's content; raise InvalidRunbookError.

    A document in JSON has no scripts of its own (automation-action-executeScript, Script).
    """
    if str(content.get("schemaVersion")) != "0.3":
        raise InvalidRunbookError("The schemaVersion of an Automation document must be 0.3.")
    parameters = content.get("parameters") or {}
    for name, rule in parameters.items():
        _check_parameter(name, rule)
    steps: dict[str, Step] = {}
    for definition in content.get("mainSteps") or []:
        step = _step(definition)
        if step.name in steps:
            raise InvalidRunbookError(f"The name of the step {step.name} is not unique.")
        steps[step.name] = step
    for step in steps.values():
        if is_json and step.action == "aws:executeScript" and "Script" in step.inputs:
            raise InvalidRunbookError(f"Step {step.name}: Script is not supported in a runbook in JSON.")
    if not steps:
        raise InvalidRunbookError("An Automation document must have at least one step in mainSteps.")
    runbook = Runbook(parameters, content.get("assumeRole") or "", steps, content.get("outputs") or [])
    _check_references(runbook)
    return runbook


def resolve(template: Any, value_of: Callable[[str], Any]) -> Any:
    """Return `template` with each `{{ variable }}` replaced.

    A string that consists of one variable becomes its value with its type. In a longer string, the value is inserted
    without escaping: a quote in it breaks the JSON around it.
    """
    if isinstance(template, dict):
        return {key: resolve(value, value_of) for key, value in template.items()}
    if isinstance(template, list):
        elements: list[Any] = []
        for value in template:
            resolved = resolve(value, value_of)
            # A variable in a list can be a list itself: Approvers: ["{{ Approvers }}"].
            elements += resolved if isinstance(value, str) and isinstance(resolved, list) else [resolved]
        return elements
    if not isinstance(template, str):
        return template
    if variable := _VARIABLE.fullmatch(template):
        return value_of(variable[1])
    return _VARIABLE.sub(lambda match: _string(value_of(match[1])), template)


def typed(values: list[str], rule: dict[str, Any]) -> Any:
    """Return the value of a parameter with its type: a string, a list of strings, an integer or a Boolean."""
    kind = rule.get("type", "String")
    if kind in _LIST_TYPES or kind.startswith("List<"):
        return values
    value = values[0] if values else ""
    if kind == "Integer" and value:
        return int(value)
    return value.lower() == "true" if kind == "Boolean" else value


def _step(definition: dict[str, Any]) -> Step:
    name = definition.get("name", "")
    if not re.fullmatch(r"[a-zA-Z0-9_]{1,128}", name):
        raise InvalidRunbookError(f"{name!r} is not a valid name of a step.")
    if unknown := set(definition) - _STEP_PROPERTIES:
        raise InvalidRunbookError(f"Step {name} has unknown properties: {', '.join(sorted(unknown))}.")
    action = definition.get("action", "")
    if action not in ACTIONS:
        raise InvalidRunbookError(
            f"Step {name}: the embedded AWS does not support the action {action}, only {', '.join(ACTIONS)}."
        )
    on_failure = definition.get("onFailure", "Abort")
    if on_failure.lower() not in ("abort", "continue") and not on_failure.startswith("step:"):
        raise InvalidRunbookError(f"Step {name}: onFailure must be Abort, Continue or step:NAME, not {on_failure}.")
    timeout = _number(definition, "timeoutSeconds", ACTIONS[action].default_timeout)
    longest = ACTIONS[action].longest_timeout
    if timeout and longest and timeout > longest:
        raise InvalidRunbookError(f"Step {name}: timeoutSeconds of {action} must be at most {longest:.0f}.")
    return Step(
        name=name,
        action=action,
        inputs=definition.get("inputs") or {},
        outputs=definition.get("outputs") or [],
        max_attempts=int(_number(definition, "maxAttempts", 1) or 1),
        timeout_seconds=timeout,
        on_failure=on_failure,
        on_cancel=definition.get("onCancel", "Abort"),
        is_end=_is_true(definition.get("isEnd", False)),
        is_critical=_is_true(definition.get("isCritical", on_failure.lower() != "continue")),
        next_step=definition.get("nextStep", ""),
    )


def _number(definition: dict[str, Any], name: str, default: float | None) -> float | None:
    if name not in definition:
        return default
    try:
        return float(definition[name])
    except (TypeError, ValueError):
        raise InvalidRunbookError(
            f"Step {definition['name']}: {name} must be a number, not {definition[name]!r}."
        ) from None


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _check_references(runbook: Runbook) -> None:
    """Raise InvalidRunbookError for a step or variable that does not exist."""
    for step in runbook.steps.values():
        for target in _jumps(step):
            if target not in runbook.steps:
                raise InvalidRunbookError(f"Step {step.name} continues with {target}, which does not exist.")
        for variable in _variables(step.inputs):
            _check_variable(variable, runbook, f"Step {step.name}")
    for variable in _variables(runbook.assume_role):
        if variable not in runbook.parameters:
            raise InvalidRunbookError(f"assumeRole: {variable} is not a parameter of the document.")
    for output in runbook.outputs:
        _check_variable(output, runbook, "outputs")


def _jumps(step: Step) -> list[str]:
    jumps = [text.removeprefix("step:") for text in (step.on_failure, step.on_cancel) if text.startswith("step:")]
    if step.action == "aws:branch":
        jumps += [choice.get("NextStep", "") for choice in step.inputs.get("Choices", [])]
        jumps += [step.inputs["Default"]] if "Default" in step.inputs else []
    return jumps + ([step.next_step] if step.next_step else [])


def _variables(template: Any) -> list[str]:
    return _VARIABLE.findall(json.dumps(template))


def _check_variable(variable: str, runbook: Runbook, where: str) -> None:
    step, separator, _ = variable.partition(".")
    if variable in _SYSTEM_VARIABLES or variable in runbook.parameters or (separator and step in runbook.steps):
        return
    raise InvalidRunbookError(f"{where}: {variable} is neither a parameter nor the output of a step.")


def _check_parameter(name: str, rule: dict[str, Any]) -> None:
    kind = rule.get("type")
    if kind not in ("String", "StringList", "Integer", "Boolean", "StringMap", "MapList") and not str(kind).startswith(
        ("AWS::", "List<AWS::")
    ):
        raise InvalidRunbookError(f"Parameter {name} has the type {kind}, which does not exist.")
    if pattern := rule.get("allowedPattern"):
        try:
            re.compile(pattern)
        except re.error as error:
            raise InvalidRunbookError(
                f"Parameter {name}: allowedPattern is not a regular expression: {error}."
            ) from None


def _check_argument(name: str, values: list[str], rule: dict[str, Any]) -> None:
    kind = rule["type"]
    if len(values) != 1 and kind not in _LIST_TYPES and not kind.startswith("List<"):
        raise InvalidParametersError(f"Parameter {name} of type {kind} must have one value, not {len(values)}.")
    if not rule.get("minItems", 0) <= len(values) <= rule.get("maxItems", len(values)):
        raise InvalidParametersError(f"Parameter {name} has too few or too many values: {len(values)}.")
    for value in values:
        if kind == "Integer" and not re.fullmatch(r"[+-]?\d+", value):
            raise InvalidParametersError(f"Parameter {name} must be an integer, not {value!r}.")
        if kind == "Boolean" and value.lower() not in ("true", "false"):
            raise InvalidParametersError(f"Parameter {name} must be true or false, not {value!r}.")
        if rule.get("allowedValues") and value not in _strings(rule["allowedValues"]):
            raise InvalidParametersError(
                f"Parameter {name} cannot be {value!r}: the value is not one of the allowedValues."
            )
        # AWS does not document whether the pattern must match the whole value; here, a part of it is sufficient.
        if rule.get("allowedPattern") and not re.search(rule["allowedPattern"], value):
            raise InvalidParametersError(
                f"Parameter {name} cannot be {value!r}: the value does not match the allowedPattern "
                f"{rule['allowedPattern']}."
            )
        if not rule.get("minChars", 0) <= len(value) <= rule.get("maxChars", len(value)):
            raise InvalidParametersError(f"Parameter {name} cannot be {value!r}: the value is too short or too long.")


def _strings(value: Any) -> list[str]:
    """Return a value of the document as a list of strings, the API's form of parameter values."""
    return [_string(element) for element in value] if isinstance(value, list) else [_string(value)]


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
