"""What `make scale` prints, and whether a run was as it should be."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.scale import prices
from tests.scale.promotions import Result

# Step Functions developer guide, Service quotas.
MOST_EVENTS, MOST_BYTES = 25_000, 262_144


def problems(result: Result) -> list[str]:
    """Return what was not as it should be: an application that is not live, an endpoint that was rolled back."""
    found = list(result.failures)
    if missing := result.applications - len(result.waits):
        found.append(f"{missing} applications were not promoted.")
    if number := sum(each.last_state == "Roll back endpoint" or "Rollback" in each.error for each in result.executions):
        found.append(f"{number} endpoints were rolled back.")
    if max(each.events for each in result.executions) >= MOST_EVENTS:
        found.append("A history has too many events.")
    if max(each.largest for each in result.executions) >= MOST_BYTES:
        found.append("A payload is too large.")
    return found


def lines(title: str, result: Result) -> Iterator[str]:
    """Yield the lines of the report of a run."""
    quotas, waits = result.quotas, sorted(result.waits.values())
    yield f"{title}: {result.applications:,} applications at once, quotas of a {quotas.name}"
    yield ""
    for ending, number in result.statuses.most_common():
        yield f"  {number:7,}  {ending}"
    if waits:
        yield f"  {_minutes(statistics.median(waits))}  until half of the applications were promoted"
        yield f"  {_minutes(waits[-1])}  until all were promoted: the longest wait"
    if approvals := list(result.automations.known.values()):
        longest = max(each.began - each.requested for each in approvals)
        queued = f"at most {result.automations.most_queued:,} queued"
        yield f"  {_minutes(longest)}  until an approval could be granted, {queued}"
    cold = f"{result.functions.cold:,} cold starts"
    yield f"  {result.functions.most_running:7,}  functions at once (quota: {quotas.functions:,}), {cold}"
    for what, member in (
        ("transitions", "transitions"),
        ("history events", "events"),
        ("bytes in a payload", "largest"),
    ):
        values = [int(getattr(each, member)) for each in result.executions]
        yield f"  {max(values):7,}  {what} at most, {statistics.mean(values):,.0f} on average"
    costs = prices.per_promotion(result)
    yield f"  {sum(costs.values()):7.4f}  dollars for a promotion: " + ", ".join(
        f"{service} {cost:.4f}" for service, cost in costs.items() if cost >= 0.00005
    )
    yield ""
    yield f"  {'API':<52}{'calls':>9}{'throttled':>11}{'quota per second':>18}"
    counts = result.account.counts
    names = sorted(set(counts.calls) | set(counts.throttled), key=lambda api: -counts.throttled[api])
    for service, operation in names:
        rate = quotas.rates.get((service, operation)) or quotas.rates.get((service, "*"))
        limit = f"{rate.per_second:g}{' (assumed)' if rate.source == 'assumed' else ''}" if rate else "-"
        calls, throttled = counts.calls[service, operation], counts.throttled[service, operation]
        yield f"  {service + ' ' + operation:<52}{calls:>9,}{throttled:>11,}{limit:>18}"
    yield ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:5.1f} m"
