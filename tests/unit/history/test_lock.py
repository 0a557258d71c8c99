import datetime

import pytest
from botocore.exceptions import ClientError

from promotion.errors import PromotionRefusedError
from promotion.history import lock
from promotion.history.lock import Holder, Lock, Scaling
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support import promotion_table
from tests.support.promotion_table import FIRST, PROMOTION, SECOND, hold, put

NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
BEFORE, AFTER = [{"ResourceId": "endpoint/reviews-qa/variant/a"}], [{"ResourceId": "endpoint/reviews-qa/variant/b"}]


def test_a_lock_that_was_never_acquired_has_no_holder(table: PromotionTable) -> None:
    assert lock.holder(table, "reviews-qa") is None
    assert lock.holder_with_execution(table, FIRST) is None


def test_the_holder_of_a_lock_is_found_by_endpoint_and_by_execution(table: PromotionTable) -> None:
    hold("other-qa", SECOND)
    hold("reviews-qa", FIRST)

    held = Holder(FIRST, recoveries=0, record={"endpoint": "reviews-qa"})
    assert lock.holder(table, "reviews-qa") == held
    assert lock.holder_with_execution(table, FIRST) == held


def test_all_locks_that_are_held_are_found_with_their_holder_and_since_when(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, acquired_at="2026-11-28T10:00:00+00:00")
    hold("other-qa", SECOND, acquired_at="2026-11-28T11:00:00+00:00", recoveries=1)

    held = {each.endpoint: each for each in lock.all_held(table)}

    assert held["reviews-qa"].since == NOON - datetime.timedelta(hours=2)
    assert held["reviews-qa"].holder == Holder(FIRST, recoveries=0, record={"endpoint": "reviews-qa"})
    assert (held["other-qa"].holder.execution, held["other-qa"].holder.recoveries) == (SECOND, 1)


@pytest.mark.parametrize(
    ("promotion", "seconds"),
    [({}, 7200), ({"baking_seconds": 0}, 7200), ({"baking_seconds": 1200}, 6000), ({"baking_seconds": 9000}, 0)],
)
def test_the_baking_period_of_a_deployment_explains_that_a_lock_is_held(
    promotion: PromotionRecord, seconds: int
) -> None:
    held = Lock("reviews-qa", NOON - datetime.timedelta(hours=2), Holder(FIRST, 0, promotion))

    assert held.unexplained_seconds(NOON) == seconds


def test_the_recoveries_of_a_promotion_are_counted(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, recoveries=2)

    held = lock.holder(table, "reviews-qa")

    assert held
    assert held.recoveries == 2


def test_a_holder_is_found_among_very_many(table: PromotionTable) -> None:
    # More than the megabyte that one page of a query holds.
    for number in range(30):
        hold(f"a{number:02}-qa", SECOND, padding="x" * 50_000)
    hold("z-qa", FIRST)

    held = lock.holder_with_execution(table, FIRST)

    assert held
    assert held.record == {"endpoint": "z-qa"}


def test_the_record_of_what_is_live_or_was_is_no_lock(table: PromotionTable) -> None:
    put("live", "reviews-qa", execution=FIRST, promotion="{}")
    put("history#reviews-qa", "2026-01-02T03:04:05Z#first", execution=FIRST, promotion="{}")

    assert lock.holder(table, "reviews-qa") is None
    assert lock.holder_with_execution(table, FIRST) is None


def test_the_holder_of_a_lock_records_what_it_changes(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, recoveries=1)

    lock.record_change(table, FIRST, PROMOTION | {"changing": True}, BEFORE, AFTER)

    assert lock.holder(table, "reviews-qa") == Holder(FIRST, 1, PROMOTION | {"changing": True})
    assert lock.recorded_scaling(table, "reviews-qa") == Scaling(previous=BEFORE, wanted=AFTER)


def test_an_execution_that_lost_the_lock_records_nothing(table: PromotionTable) -> None:
    hold("reviews-qa", SECOND)

    with pytest.raises(PromotionRefusedError) as error:
        lock.record_change(table, FIRST, PROMOTION | {"changing": True}, BEFORE, AFTER)

    assert "The endpoint reviews-qa is no longer held by this execution, so nothing was changed" in str(error.value)
    assert lock.holder(table, "reviews-qa") == Holder(SECOND, 0, {"endpoint": "reviews-qa"})
    assert promotion_table.keys() == ["lock reviews-qa"]


def test_without_a_lock_nothing_is_recorded(table: PromotionTable) -> None:
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.record_change(table, FIRST, PROMOTION, [], [])

    assert lock.holder(table, "reviews-qa") is None


def test_a_lock_is_acquired_by_one_execution_however_often_it_requests_it(table: PromotionTable) -> None:
    acquired = [lock.acquire(table, who, PROMOTION, "2026-01-02T03:04:05Z") for who in (FIRST, SECOND, FIRST)]

    assert acquired == [True, False, True]
    assert lock.holder(table, "reviews-qa") == Holder(FIRST, 0, PROMOTION)


def test_an_execution_that_does_not_hold_the_lock_is_refused(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST)

    lock.assert_held(table, FIRST, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.assert_held(table, SECOND, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.assert_held(table, FIRST, "other-qa")


@pytest.mark.parametrize(("recoveries", "abandoned"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_recovery_is_abandoned_after_three_attempts(recoveries: int, abandoned: bool) -> None:
    assert Holder(FIRST, recoveries, PROMOTION).is_abandoned is abandoned


def test_an_error_other_than_the_lost_lock_is_raised_as_it_is(moto: None) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        lock.record_change(promotion_table.missing(), FIRST, PROMOTION, [], [])
