"""A promotion and a removal notice each other's claims, whichever is first."""

from typing import Any

import pytest

from promotion.errors import EndpointBusyError
from promotion.history import claims
from promotion.history.claims import Removal, Use
from promotion.history.table import PromotionTable
from tests.support.promotion_table import FIRST, SECOND, keys

NOW = 1_000_000.0


class StepFunctions:
    """A Step Functions whose executions are running, except those with another status."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = statuses

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"status": self.statuses.get(executionArn.rpartition(":")[2], "RUNNING")}


ALL_RUNNING = StepFunctions()


def use(
    table: PromotionTable, claim: Use, endpoint: str = "reviews-qa", now: float = NOW, of: Any = ALL_RUNNING
) -> None:
    claims.use(table, of, endpoint, claim, now)


def test_a_use_is_valid_while_its_execution_is_running(table: PromotionTable) -> None:
    use(table, Use(FIRST, "d1"))
    use(table, Use(SECOND, "d2"))
    use(table, Use(SECOND, "d3"), "reviews-qa-2")

    assert claims.uses(table, ALL_RUNNING, "reviews-qa") == [Use(FIRST, "d1"), Use(SECOND, "d2")]
    assert claims.uses(table, StepFunctions(first="FAILED"), "reviews-qa") == [Use(SECOND, "d2")]


def test_a_use_waits_for_a_removal_and_protects_from_the_next_one(table: PromotionTable) -> None:
    claims.begin_removal(table, Removal("reviews-qa", FIRST, "one"), NOW + 60)

    with pytest.raises(EndpointBusyError, match="superseded resources of the endpoint reviews-qa"):
        use(table, Use(SECOND, "d2"))

    assert claims.uses(table, ALL_RUNNING, "reviews-qa") == [Use(SECOND, "d2")]
    claims.end_removal(table, Removal("reviews-qa", FIRST, "one"))
    use(table, Use(SECOND, "d2"))


def test_a_removal_whose_function_has_ended_does_not_block(table: PromotionTable) -> None:
    claims.begin_removal(table, Removal("reviews-qa", FIRST, "one"), NOW + 60)

    use(table, Use(SECOND, "d2"), now=NOW + 61)
    use(table, Use(SECOND, "d2"), of=StepFunctions(first="SUCCEEDED"))
    with pytest.raises(EndpointBusyError):
        # The function of an aborted execution may still be running.
        use(table, Use(SECOND, "d2"), of=StepFunctions(first="ABORTED"))


def test_a_removal_for_another_endpoint_does_not_block(table: PromotionTable) -> None:
    claims.begin_removal(table, Removal("reviews-qa-2", FIRST, "one"), NOW + 60)

    use(table, Use(SECOND, "d2"))


def test_the_end_of_a_removal_does_not_end_another(table: PromotionTable) -> None:
    claims.begin_removal(table, Removal("reviews-qa", FIRST, "one"), NOW + 60)
    claims.begin_removal(table, Removal("reviews-qa", SECOND, "one"), NOW + 60)
    claims.end_removal(table, Removal("reviews-qa", FIRST, "one"))

    with pytest.raises(EndpointBusyError):
        use(table, Use(FIRST, "d1"))


def test_claims_of_ended_executions_are_deleted(table: PromotionTable) -> None:
    for endpoint in ("reviews-qa", "other-qa"):
        for number, execution in enumerate((FIRST, SECOND)):
            use(table, Use(execution, "d1"), endpoint)
            claims.begin_removal(table, Removal(endpoint, execution, "one"), NOW + number * 60)

    claims.clear(table, StepFunctions(first="ABORTED"), "reviews-qa", NOW + 30)

    assert [key for key in keys() if "reviews-qa" in key] == [
        f"removal reviews-qa#{SECOND}#one",
        f"use reviews-qa#{SECOND}",
    ]
    assert len([key for key in keys() if "other-qa" in key]) == 4


def test_an_invocation_that_ends_does_not_end_that_of_a_retry(table: PromotionTable) -> None:
    first, retry = (Removal("reviews-qa", FIRST, invocation) for invocation in ("one", "two"))
    claims.begin_removal(table, first, NOW + 60)
    claims.begin_removal(table, retry, NOW + 60)

    claims.end_removal(table, first)

    with pytest.raises(EndpointBusyError):
        use(table, Use(SECOND, "d2"))
