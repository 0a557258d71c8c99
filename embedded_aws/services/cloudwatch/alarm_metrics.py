"""The value that an alarm evaluates: one metric, or the sum or the maximum of several.

Of "Using math expressions with CloudWatch metrics" (using-metric-math), only `SUM` and `MAX` of `METRICS()`, or of a
list of metrics and of `FILL(metric, number)`, are supported; PutMetricAlarm refuses all other expressions.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from moto.cloudwatch.models import Alarm, MetricDataQuery

from embedded_aws.services.cloudwatch.metrics import REPORTED, Metric, is_statistic, statistic

_FUNCTIONS: dict[str, Callable[[list[float]], float]] = {"SUM": sum, "MAX": max}
_CALL = re.compile(r"(?P<function>SUM|MAX)\((?:METRICS\(\)|\[(?P<terms>.+)\])\)")
_TERM = re.compile(r"FILL\((?P<filled>\w+), *(?P<number>-?\d+(?:\.\d+)?)\)|(?P<plain>\w+)")
_BETWEEN_TERMS = re.compile(r", *(?![^(]*\))")


class CannotEvaluateError(Exception):
    """The embedded CloudWatch cannot evaluate the alarm; the message is a predicate, such as "has several periods"."""


@dataclasses.dataclass(frozen=True)
class Term:
    """A statistic of a metric, and the value that replaces it in periods without data."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str
    period: int
    fill: float | None = None

    def value(self, account: str, region: str, after: float, until: float) -> float | None:
        """Return the data point of a period, or None if it is missing."""
        metric = Metric(account, region, self.namespace, self.name, self.dimensions)
        value = statistic(metric, self.statistic, after, until)
        return self.fill if value is None else value


@dataclasses.dataclass(frozen=True)
class Expression:
    """A function of terms with the same period; one metric is a sum with one term."""

    function: str
    terms: tuple[Term, ...]

    @property
    def period(self) -> int:
        """Return the period of the terms in seconds."""
        return self.terms[0].period

    def value(self, account: str, region: str, after: float, until: float) -> float | None:
        """Return the data point of a period, or None if the data of all terms are missing."""
        values = [term.value(account, region, after, until) for term in self.terms]
        known = [each for each in values if each is not None]
        return _FUNCTIONS[self.function](known) if known else None


def expression(alarm: Alarm) -> Expression:
    """Return the expression whose value the alarm compares with its threshold; raise CannotEvaluateError."""
    found = _expression(alarm)
    for term in found.terms:
        if term.name not in REPORTED.get(term.namespace, () if term.namespace.startswith("AWS/") else (term.name,)):
            raise CannotEvaluateError(
                f"uses the metric {term.namespace} {term.name}, which the embedded AWS does not report"
            )
        if not is_statistic(term.statistic):
            raise CannotEvaluateError(f"uses the statistic {term.statistic}")
    if len({term.period for term in found.terms}) != 1:
        raise CannotEvaluateError("has several periods")
    return found


def _expression(alarm: Alarm) -> Expression:
    if not alarm.metric_data_queries:
        stat = alarm.statistic or alarm.extended_statistic
        term = _term(alarm.namespace, alarm.metric_name, alarm.dimensions, stat, alarm.period)
        return Expression("SUM", (term,))
    queries = {query.id: query for query in alarm.metric_data_queries}
    (returned,) = [query for query in queries.values() if str(query.return_data).lower() != "false"]
    if not returned.expression:
        return Expression("SUM", (_query_term(returned),))
    call = _CALL.fullmatch(returned.expression)
    if call and not call["terms"]:
        metrics = [_query_term(query) for query in queries.values() if query.metric_stat]
        return Expression(call["function"], tuple(metrics))
    parts = [_TERM.fullmatch(part) for part in _BETWEEN_TERMS.split(call["terms"])] if call else [None]
    terms = []
    for part in parts:
        query = queries.get(part["filled"] or part["plain"]) if part else None
        if part is None or query is None or query.metric_stat is None:
            raise CannotEvaluateError(f"uses the expression {returned.expression}")
        fill = float(part["number"]) if part["number"] else None
        terms.append(dataclasses.replace(_query_term(query), fill=fill))
    return Expression(call["function"] if call else "", tuple(terms))


def _query_term(query: MetricDataQuery) -> Term:
    stat = query.metric_stat
    return _term(stat.metric.namespace, stat.metric.metric_name, stat.metric.dimensions, stat.stat, stat.period)


def _term(namespace: str, name: str, dimensions: list[Any], stat: str, period: Any) -> Term:
    return Term(namespace, name, frozenset((each.name, each.value) for each in dimensions), stat, int(period))
