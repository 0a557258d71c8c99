"""The quality gate: limits for a candidate's metrics, absolute or relative to the live model."""

from __future__ import annotations

import math
from typing import Any

from promotion.aws import strict_json
from promotion.aws.input_checks import did_you_mean
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.source import model_metrics

_MEMBERS = {"MetricName", "Minimum", "Maximum", "Type", "NotWorseThanLiveBy"}
# The values of SageMaker's tuning jobs (API reference, HyperParameterTuningJobObjective).
_TYPES = ("Maximize", "Minimize")


def validated(rules: Any, where: str) -> list[dict[str, Any]]:
    """Return the valid rules of a gate: [{"MetricName", "Minimum"?, "Maximum"?, "Type"?, "NotWorseThanLiveBy"?}, …].

    `NotWorseThanLiveBy` is in the metric's own unit and requires `Type`: "Maximize" if higher values are better,
    "Minimize" if lower ones are. Raise InvalidRequestError with the problem and its place, `where`.
    """
    if not isinstance(rules, list) or not rules:
        raise InvalidRequestError(f"{where} must be a list of at least one rule.")
    for index, rule in enumerate(rules):
        if wrong := _wrong(rule):
            raise InvalidRequestError(f"{where}[{index}] {wrong}.")
    return rules


def _wrong(rule: Any) -> str | None:
    if not isinstance(rule, dict):
        return "is not an object"
    if unknown := sorted(set(rule) - _MEMBERS):
        suggestion = did_you_mean(unknown[0], _MEMBERS)
        return f"has the unknown key {unknown[0]!a:.100}{suggestion}; valid keys are {', '.join(sorted(_MEMBERS))}"
    if not model_metrics.is_name(rule.get("MetricName")):
        return f"has no valid MetricName: a string of 1 to {model_metrics.LONGEST_NAME} printable characters"
    bounds = [member for member in ("Minimum", "Maximum", "NotWorseThanLiveBy") if member in rule]
    if not bounds:
        return "has no limit; set Minimum, Maximum or NotWorseThanLiveBy"
    for member in bounds:
        if not strict_json.is_number(rule[member]):
            return f"has a {member} that is not a number"
    if rule.get("Minimum", -math.inf) > rule.get("Maximum", math.inf):
        return "has a Minimum above its Maximum, which no model can satisfy"
    if "Type" in rule and str(rule["Type"]) not in _TYPES:
        return f"has the Type {str(rule['Type'])!a:.100}; it must be Maximize or Minimize"
    if ("Type" in rule) != ("NotWorseThanLiveBy" in rule):
        return "must have both Type (Maximize or Minimize) and NotWorseThanLiveBy, or neither"
    if rule.get("NotWorseThanLiveBy", 0) < 0:
        return "has a negative NotWorseThanLiveBy"
    return None


def check(
    rules: list[dict[str, Any]], metrics: dict[str, float], live: PromotionRecord | None, note: str = ""
) -> list[dict[str, Any]]:
    """Return each rule with its result: "value" and "live_value" (or None), "passed" and "reason".

    `metrics` are the candidate's, `note` is why it has none, `live` is the record of the live model, if there is one. A
    rule fails if the candidate lacks the metric. A metric that the live model's record lacks is not compared.
    """
    return [_checked(rule, metrics, live, note) for rule in rules]


def why_failed(checks: list[dict[str, Any]]) -> str | None:
    """Return a sentence with all failed rules, or None if the gate is passed."""
    failed = [check["reason"] for check in checks if not check["passed"]]
    return f"The candidate does not pass the quality gate: {'; '.join(failed)}." if failed else None


def _checked(
    rule: dict[str, Any], metrics: dict[str, float], live: PromotionRecord | None, note: str
) -> dict[str, Any]:
    rule = {member: rule[member] for member in rule if member in _MEMBERS}
    name = rule["MetricName"]
    value, live_value = metrics.get(name), ((live or {}).get("metrics") or {}).get(name)
    checked = {**rule, "value": value, "live_value": live_value}
    if value is None:
        known = f"it has {', '.join(sorted(metrics))[:500]}" if metrics else "it has no metrics"
        reason = f"it has no metric {name}{did_you_mean(name, metrics)}; {note or known}"
        return {**checked, "passed": False, "reason": reason}
    failures = []
    if "Minimum" in rule and _is_less(value, rule["Minimum"]):
        failures.append(f"the minimum is {_shown(rule['Minimum'])}")
    if "Maximum" in rule and _is_less(rule["Maximum"], value):
        failures.append(f"the maximum is {_shown(rule['Maximum'])}")
    remark = ""
    if "NotWorseThanLiveBy" in rule:
        if live_value is None:
            remark = (
                f", not compared because the record of the live model {live['model_name']} does not have it"
                if live
                else ", not compared because no model is live"
            )
        elif _is_less(rule["NotWorseThanLiveBy"], _worse_by(rule, value, live_value)):
            failures.append(
                f"the live model {(live or {})['model_name']} has {_shown(live_value)}, and the maximum difference is "
                f"{_shown(rule['NotWorseThanLiveBy'])}"
            )
    reason = f"{name} is {_shown(value)}{f', but {" and ".join(failures)}' if failures else ''}{remark}"
    return {**checked, "passed": not failures, "reason": reason}


def _worse_by(rule: dict[str, Any], value: float, live_value: float) -> float:
    return live_value - value if rule["Type"] == "Maximize" else value - live_value


def _is_less(one: float, other: float) -> bool:
    """Return whether `one` is less than `other` by more than the rounding error of floats."""
    return one < other and not math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


def _shown(number: float) -> str:
    return f"{number:.7g}"
