"""What an alarm watches: one metric, or the sum of several.

Of "Using math expressions with CloudWatch metrics" (using-metric-math) there is `SUM([...])` of metrics and of
`FILL(metric, number)`; what else an alarm may ask for is refused when it is put.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from moto.cloudwatch.models import Alarm, MetricDataQuery

from embedded_aws.services.cloudwatch.metrics import REPORTED, STATISTICS, Metric, statistic

_SUM = re.compile(r"SUM\(\[(.+)\]\)")
_TERM = re.compile(r"FILL\((?P<filled>\w+), *(?P<number>-?\d+(?:\.\d+)?)\)|(?P<plain>\w+)")
_BETWEEN_TERMS = re.compile(r", *(?![^(]*\))")


class CannotEvaluateError(Exception):
    """The embedded CloudWatch cannot evaluate this: the message says what, as the rest of a sentence."""


@dataclasses.dataclass(frozen=True)
class Term:
    """A statistic of a metric, and what stands for it in periods without data."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str
    period: int
    fill: float | None = None

    def value(self, account: str, region: str, after: float, until: float) -> float | None:
        metric = Metric(account, region, self.namespace, self.name, self.dimensions)
        found = statistic(metric, self.statistic, after, until)
        return self.fill if found is None else found


def namespaces(alarm: Alarm) -> set[str]:
    """Those of the metrics that an alarm watches."""
    stats = [query.metric_stat.metric.namespace for query in alarm.metric_data_queries if query.metric_stat]
    return {alarm.namespace, *stats} - {None}


def terms(alarm: Alarm) -> list[Term]:
    """What is summed up to the value that the alarm compares; raises CannotEvaluateError."""
    found = _terms(alarm)
    for term in found:
        if term.name not in REPORTED.get(term.namespace, () if term.namespace.startswith("AWS/") else (term.name,)):
            raise CannotEvaluateError(f"watches {term.namespace} {term.name}, which nobody reports here")
        if term.statistic not in STATISTICS:
            raise CannotEvaluateError(f"watches the statistic {term.statistic}")
    if len({term.period for term in found}) != 1:
        raise CannotEvaluateError("has several periods")
    return found


def value(found: list[Term], account: str, region: str, after: float, until: float) -> float | None:
    """The data point of a period; None where all data are missing."""
    values = [term.value(account, region, after, until) for term in found]
    real = [each for each in values if each is not None]
    return sum(real) if real else None


def _terms(alarm: Alarm) -> list[Term]:
    if not alarm.metric_data_queries:
        stat = alarm.statistic or alarm.extended_statistic
        return [_term(alarm.namespace, alarm.metric_name, alarm.dimensions, stat, alarm.period)]
    queries = {query.id: query for query in alarm.metric_data_queries}
    (returned,) = [query for query in queries.values() if str(query.return_data).lower() != "false"]
    if not returned.expression:
        return [_of_query(returned)]
    whole = _SUM.fullmatch(returned.expression)
    parts = [_TERM.fullmatch(part) for part in _BETWEEN_TERMS.split(whole[1])] if whole else [None]
    found = []
    for part in parts:
        query = queries.get(part["filled"] or part["plain"]) if part else None
        if part is None or query is None or query.metric_stat is None:
            raise CannotEvaluateError(f"watches the expression {returned.expression}")
        fill = float(part["number"]) if part["number"] else None
        found.append(dataclasses.replace(_of_query(query), fill=fill))
    return found


def _of_query(query: MetricDataQuery) -> Term:
    stat = query.metric_stat
    return _term(stat.metric.namespace, stat.metric.metric_name, stat.metric.dimensions, stat.stat, stat.period)


def _term(namespace: str, name: str, dimensions: list[Any], stat: str, period: Any) -> Term:
    return Term(namespace, name, frozenset((each.name, each.value) for each in dimensions), stat, int(period))
