"""The quality gate: which metrics a candidate has to have, alone and beside the model that is live."""

from __future__ import annotations

import math
from typing import Any

from promotion.aws import strict_json
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.source import model_metrics

_MEMBERS = {"MetricName", "Minimum", "Maximum", "Type", "NotWorseThanLiveBy"}
# The words of SageMaker's tuning jobs (API reference, HyperParameterTuningJobObjective).
_TYPES = ("Maximize", "Minimize")


def validated(rules: Any, where: str) -> list[dict[str, Any]]:
    """The rules of a gate: [{"MetricName", "Minimum"?, "Maximum"?, "Type"?, "NotWorseThanLiveBy"?}, …].

    `NotWorseThanLiveBy` is in the metric's own unit; with it `Type` says whether more is better ("Maximize") or less.
    Raises InvalidRequestError naming `where` and what is wrong.
    """
    if not isinstance(rules, list) or not rules:
        raise InvalidRequestError(f"{where} has to be a list of at least one rule.")
    for index, rule in enumerate(rules):
        if wrong := _wrong(rule):
            raise InvalidRequestError(f"{where}[{index}] {wrong}.")
    return rules


def _wrong(rule: Any) -> str | None:
    if not isinstance(rule, dict):
        return "is not an object"
    if unknown := sorted(set(rule) - _MEMBERS):
        return f"has the unknown key {unknown[0]!a:.100}; known are {', '.join(sorted(_MEMBERS))}"
    if not model_metrics.is_name(rule.get("MetricName")):
        return (
            f"names no metric in MetricName: a text of 1 to {model_metrics.LONGEST_NAME} characters that can be shown"
        )
    bounds = [member for member in ("Minimum", "Maximum", "NotWorseThanLiveBy") if member in rule]
    if not bounds:
        return "asks for nothing; give Minimum, Maximum or NotWorseThanLiveBy"
    for member in bounds:
        if not strict_json.is_number(rule[member]):
            return f"has a {member} that is no number"
    if rule.get("Minimum", -math.inf) > rule.get("Maximum", math.inf):
        return "has a Minimum above its Maximum, which no model can meet"
    if "Type" in rule and str(rule["Type"]) not in _TYPES:
        return f"has the Type {str(rule['Type'])!a:.100}; it is Maximize or Minimize"
    if ("Type" in rule) != ("NotWorseThanLiveBy" in rule):
        return "has to have Type (Maximize or Minimize) and NotWorseThanLiveBy together"
    if rule.get("NotWorseThanLiveBy", 0) < 0:
        return "has a negative NotWorseThanLiveBy"
    return None


def check(
    rules: list[dict[str, Any]], found: dict[str, float], live: PromotionRecord | None, note: str = ""
) -> list[dict[str, Any]]:
    """Each rule with what was found: "value", "live_value" (None where there is none), "passed" and "reason".

    `found` are the candidate's metrics, `note` why it has none, `live` the record of what is live, if anything is. A
    metric that the candidate does not have fails. One that the record of the live model does not have is not compared.
    """
    return [_checked(rule, found, live, note) for rule in rules]


def why_failed(checks: list[dict[str, Any]]) -> str | None:
    """A sentence with all the numbers that fail, or None when the gate is passed."""
    failed = [check["reason"] for check in checks if not check["passed"]]
    return f"It does not pass the quality gate: {'; '.join(failed)}." if failed else None


def _checked(rule: dict[str, Any], found: dict[str, float], live: PromotionRecord | None, note: str) -> dict[str, Any]:
    rule = {member: rule[member] for member in rule if member in _MEMBERS}
    name = rule["MetricName"]
    value, live_value = found.get(name), ((live or {}).get("metrics") or {}).get(name)
    checked = {**rule, "value": value, "live_value": live_value}
    if value is None:
        known = f"; it has {', '.join(sorted(found))[:500]}" if found else "; it has none at all"
        why = f"{name} is not among its metrics{f' ({note})' if note else known}"
        return {**checked, "passed": False, "reason": why}
    failures = []
    if "Minimum" in rule and _is_less(value, rule["Minimum"]):
        failures.append(f"the least is {_shown(rule['Minimum'])}")
    if "Maximum" in rule and _is_less(rule["Maximum"], value):
        failures.append(f"the most is {_shown(rule['Maximum'])}")
    remark = ""
    if "NotWorseThanLiveBy" in rule:
        if live_value is None:
            remark = (
                f", not compared, since {live['model_name']}, which is live, has none on record"
                if live
                else ", not compared, since nothing is live"
            )
        elif _is_less(rule["NotWorseThanLiveBy"], _worse_by(rule, value, live_value)):
            failures.append(
                f"{(live or {})['model_name']}, which is live, has {_shown(live_value)}, and it may be worse by "
                f"{_shown(rule['NotWorseThanLiveBy'])} at most"
            )
    reason = f"{name} is {_shown(value)}{f', but {" and ".join(failures)}' if failures else ''}{remark}"
    return {**checked, "passed": not failures, "reason": reason}


def _worse_by(rule: dict[str, Any], value: float, live_value: float) -> float:
    return live_value - value if rule["Type"] == "Maximize" else value - live_value


def _is_less(one: float, other: float) -> bool:
    """Whether `one` is less than `other` by more than what calculating with fractions adds."""
    return one < other and not math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


def _shown(number: float) -> str:
    return f"{number:.7g}"
