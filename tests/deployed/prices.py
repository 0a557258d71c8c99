"""The list prices of everything that `make probe` and `make e2e` use, and the cost of a run.

The prices are in US dollars, for the more expensive of us-east-1 and eu-west-1, rounded up. AWS's pages are the
authority: https://aws.amazon.com/sagemaker/ai/pricing/ and the pricing pages of the other services. The Price List API
was not read. Free tiers and taxes are not considered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

AS_OF = "November 2026"


@dataclasses.dataclass(frozen=True)
class Price:
    """The price of a unit, such as an hour of an instance."""

    dollars: float
    unit: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """A use of something that has a price: `amount` units of it."""

    of: str
    amount: float

    @property
    def dollars(self) -> float:
        """Return the list price."""
        return self.amount * PRICES[self.of].dollars


PRICES = {
    "endpoint instance ml.t2.medium": Price(0.065, "hour"),
    "endpoint instance ml.m5.large": Price(0.134, "hour"),
    "training instance ml.m5.large": Price(0.134, "hour"),
    "KMS key": Price(0.0014, "hour"),  # $1 a month
    "KMS request": Price(0.000003, "request"),
    "Automation step": Price(0.002, "step"),
    "state transition": Price(0.000025, "transition"),
    "S3 write or list request": Price(0.0000054, "request"),
    "S3 read request": Price(0.00000043, "request"),
    "Lambda gigabyte-second": Price(0.0000167, "gigabyte-second"),
    "DynamoDB write request unit": Price(0.0000015, "unit"),
    "EventBridge event": Price(0.000001, "event"),
    "SQS request": Price(0.0000004, "request"),
    "CloudWatch alarm metric": Price(0.00014, "hour"),  # $0.10 a month
    "log gigabyte": Price(0.57, "gigabyte"),
}


def total(costs: Iterable[Cost]) -> float:
    """Return the sum of the list prices, in US dollars."""
    return sum(cost.dollars for cost in costs)


def statement(costs: Iterable[Cost]) -> list[str]:
    """Return the lines that state the cost of a run: one for each thing that has a price, and the total."""
    amounts: dict[str, float] = {}
    for cost in costs:
        amounts[cost.of] = amounts.get(cost.of, 0) + cost.amount
    lines = [
        f"  {amount:10,.2f} {of} at ${PRICES[of].dollars:.8f}".rstrip("0") + f" per {PRICES[of].unit}"
        for of, amount in sorted(amounts.items(), key=lambda item: -item[1] * PRICES[item[0]].dollars)
    ]
    sum_ = total(Cost(of, amount) for of, amount in amounts.items())
    return [*lines, f"  about ${sum_:.2f} at list prices of {AS_OF}"]
