"""A promotion that uses and a removal that removes see each other, whichever was first."""

from typing import Any

import pytest

from promotion.errors import EndpointBusyError
from promotion.history import claims
from promotion.history.claims import Use
from tests.support.promotion_table import FIRST, SECOND, TABLE

NOW = 1_000_000.0


class StepFunctions:
    """Of whose executions each runs, but for those with another status."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = statuses

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        return {"status": self.statuses.get(executionArn.rpartition(":")[2], "RUNNING")}


ALL_RUN = StepFunctions()


def use(dynamodb: Any, claim: Use, endpoint: str = "reviews-qa", now: float = NOW, of: Any = ALL_RUN) -> None:
    claims.use(dynamodb, of, TABLE, endpoint, claim, now)


def test_a_use_counts_while_its_execution_runs(dynamodb: Any) -> None:
    use(dynamodb, Use(FIRST, "d1"))
    use(dynamodb, Use(SECOND, "d2"))
    use(dynamodb, Use(SECOND, "d3"), "reviews-qa-2")

    assert claims.uses(dynamodb, ALL_RUN, TABLE, "reviews-qa") == [Use(FIRST, "d1"), Use(SECOND, "d2")]
    assert claims.uses(dynamodb, StepFunctions(first="FAILED"), TABLE, "reviews-qa") == [Use(SECOND, "d2")]


def test_a_use_waits_while_something_is_removed_and_is_seen_by_the_next_removal(dynamodb: Any) -> None:
    claims.begin_removal(dynamodb, TABLE, "reviews-qa", FIRST, NOW + 60)

    with pytest.raises(EndpointBusyError, match="on reviews-qa right now"):
        use(dynamodb, Use(SECOND, "d2"))

    assert claims.uses(dynamodb, ALL_RUN, TABLE, "reviews-qa") == [Use(SECOND, "d2")]
    claims.end_removal(dynamodb, TABLE, "reviews-qa", FIRST)
    use(dynamodb, Use(SECOND, "d2"))


def test_a_removal_whose_function_has_died_stops_nobody_for_good(dynamodb: Any) -> None:
    claims.begin_removal(dynamodb, TABLE, "reviews-qa", FIRST, NOW + 60)

    use(dynamodb, Use(SECOND, "d2"), now=NOW + 61)
    use(dynamodb, Use(SECOND, "d2"), of=StepFunctions(first="SUCCEEDED"))
    with pytest.raises(EndpointBusyError):
        # Its function may be running all the same.
        use(dynamodb, Use(SECOND, "d2"), of=StepFunctions(first="ABORTED"))


def test_a_removal_of_another_endpoint_stops_nobody(dynamodb: Any) -> None:
    claims.begin_removal(dynamodb, TABLE, "reviews-qa-2", FIRST, NOW + 60)

    use(dynamodb, Use(SECOND, "d2"))


def test_one_of_two_removals_that_ends_does_not_end_the_other(dynamodb: Any) -> None:
    claims.begin_removal(dynamodb, TABLE, "reviews-qa", FIRST, NOW + 60)
    claims.begin_removal(dynamodb, TABLE, "reviews-qa", SECOND, NOW + 60)
    claims.end_removal(dynamodb, TABLE, "reviews-qa", FIRST)

    with pytest.raises(EndpointBusyError):
        use(dynamodb, Use(FIRST, "d1"))


def test_what_the_dead_have_left_is_cleared(dynamodb: Any) -> None:
    for endpoint in ("reviews-qa", "other-qa"):
        for number, execution in enumerate((FIRST, SECOND)):
            use(dynamodb, Use(execution, "d1"), endpoint)
            claims.begin_removal(dynamodb, TABLE, endpoint, execution, NOW + number * 60)

    claims.clear(dynamodb, StepFunctions(first="ABORTED"), TABLE, "reviews-qa", NOW + 30)

    keys = sorted(f"{item['kind']['S']} {item['key']['S']}" for item in dynamodb.scan(TableName=TABLE)["Items"])
    assert [key for key in keys if "reviews-qa" in key] == [f"removal reviews-qa#{SECOND}", f"use reviews-qa#{SECOND}"]
    assert len([key for key in keys if "other-qa" in key]) == 4
