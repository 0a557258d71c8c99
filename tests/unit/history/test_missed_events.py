import datetime

import pytest

from promotion.history import missed_events
from promotion.history.table import PromotionTable
from promotion.source.request import Promote, PublishRejection, Recover, Request
from tests.support.promotion_table import FIRST

NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("request_", "known"),
    [
        (Promote("training_job", "reviews-1", by_event=True), {"training_job#reviews-1"}),
        (Promote("tuning_job", "reviews"), {"tuning_job#reviews"}),
        (PublishRejection("0f1e"), {"approval#0f1e"}),
        # The account of a stage publishes the lost event of a model itself.
        (Promote("model", "reviews-1"), set()),
        (Recover((FIRST,), None, "why"), set()),
    ],
)
def test_the_start_for_a_source_or_an_approval_is_recorded(
    table: PromotionTable, request_: Request, known: set[str]
) -> None:
    missed_events.record_start(table, request_, FIRST, NOON.isoformat())

    assert missed_events.started(table, NOON) == known
    assert missed_events.started(table, NOON + datetime.timedelta(days=1)) == known
    # Nothing of the last day has been started before the day before yesterday.
    assert missed_events.started(table, NOON + datetime.timedelta(days=3)) == set()


def test_an_approval_that_was_granted_or_no_longer_exists_has_been_heard() -> None:
    granted = {
        "AutomationExecutionId": "0f1e",
        "AutomationExecutionStatus": "Failed",
        "StepExecutions": [{"StepName": "Approve", "StepStatus": "Success"}],
    }

    assert missed_events.fate(granted, set(), NOON) is missed_events.Fate.HEARD
    assert missed_events.fate(granted | {"AutomationExecutionStatus": "InProgress"}, set(), NOON) is (
        missed_events.Fate.OPEN
    )
    assert missed_events.fate(None, set(), NOON) is missed_events.Fate.HEARD
