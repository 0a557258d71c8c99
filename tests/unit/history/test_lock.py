import datetime

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.tagging import Changes
from promotion.errors import PromotionRefusedError
from promotion.history import lock
from promotion.history.lock import Holder, Journal, Lock
from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support import promotion_table
from tests.support.promotion_table import FIRST, PROMOTION, SECOND, hold, put

NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
BEFORE, AFTER = [{"ResourceId": "endpoint/reviews-qa/variant/a"}], [{"ResourceId": "endpoint/reviews-qa/variant/b"}]
TAGS: Changes = {"team": ["search", None]}
JOURNAL = Journal(BEFORE, AFTER, TAGS)


def test_a_lock_that_was_never_acquired_has_no_holder(table: PromotionTable) -> None:
    assert lock.holder(table, "reviews-qa") is None
    assert lock.holder_with_execution(table, FIRST) is None


def test_the_holder_of_a_lock_is_found_by_endpoint_and_by_execution(table: PromotionTable) -> None:
    for endpoint, execution in (("other-qa", SECOND), ("reviews-qa", FIRST)):
        lock.record_execution(table, execution, endpoint)
        hold(endpoint, execution)

    held = Holder(FIRST, recoveries=0, record={"endpoint": "reviews-qa"})
    assert lock.holder(table, "reviews-qa") == held
    assert lock.holder_with_execution(table, FIRST) == held


def test_all_held_locks_are_found_with_their_holders_and_times(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, acquired_at="2026-11-28T10:00:00+00:00")
    hold("other-qa", SECOND, acquired_at="2026-11-28T11:00:00+00:00", recoveries=1)

    held = {each.endpoint: each for each in lock.all_held(table)}

    assert held["reviews-qa"].acquired_at == NOON - datetime.timedelta(hours=2)
    assert held["reviews-qa"].holder == Holder(FIRST, recoveries=0, record={"endpoint": "reviews-qa"})
    assert (held["other-qa"].holder.execution, held["other-qa"].holder.recoveries) == (SECOND, 1)


@pytest.mark.parametrize(
    ("promotion", "seconds"),
    [({}, 7200), ({"baking_seconds": 0}, 7200), ({"baking_seconds": 1200}, 6000), ({"baking_seconds": 9000}, 0)],
)
def test_the_baking_period_of_a_deployment_is_not_counted(promotion: PromotionRecord, seconds: int) -> None:
    held = Lock("reviews-qa", NOON - datetime.timedelta(hours=2), Holder(FIRST, 0, promotion))

    assert held.unexplained_seconds(NOON) == seconds


def test_the_recoveries_of_a_promotion_are_counted(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, recoveries=2)

    held = lock.holder(table, "reviews-qa")

    assert held
    assert held.recoveries == 2


def test_locks_are_found_beyond_the_first_page(table: PromotionTable) -> None:
    # One page of a query has at most 1 MB.
    for number in range(30):
        hold(f"a{number:02}-qa", SECOND, acquired_at=NOON.isoformat(), padding="x" * 50_000)

    assert len(lock.all_held(table)) == 30


def test_the_holder_with_an_execution_is_found_without_a_read_of_all_locks(
    table: PromotionTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.record_execution(table, FIRST, "reviews-qa")
    hold("reviews-qa", FIRST)
    monkeypatch.delattr(PromotionTable, "query")

    assert lock.holder_with_execution(table, FIRST) == Holder(FIRST, recoveries=0, record={"endpoint": "reviews-qa"})


def test_an_execution_whose_lock_another_one_holds_is_no_holder(table: PromotionTable) -> None:
    lock.record_execution(table, FIRST, "reviews-qa")
    assert lock.holder_with_execution(table, FIRST) is None

    hold("reviews-qa", SECOND)

    assert lock.holder_with_execution(table, FIRST) is None


def test_live_and_historical_records_are_not_locks(table: PromotionTable) -> None:
    put("live", "reviews-qa", execution=FIRST, promotion="{}")
    put("history#reviews-qa", "2026-01-02T03:04:05Z#first", execution=FIRST, promotion="{}")

    assert lock.holder(table, "reviews-qa") is None
    assert lock.holder_with_execution(table, FIRST) is None


def test_the_holder_of_a_lock_writes_the_journal(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST, recoveries=1)

    lock.record_change(table, FIRST, PROMOTION | {"changing": True}, JOURNAL)

    assert lock.holder(table, "reviews-qa") == Holder(FIRST, 1, PROMOTION | {"changing": True})
    configs: PromotionRecord = {"endpoint_config_name": "new", "previous_endpoint_config_name": ""}
    assert lock.recorded_change(table, PROMOTION | configs) == Change(BEFORE, AFTER, None, "new", TAGS)


def test_the_journal_is_written_once(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST)
    first: PromotionRecord = PROMOTION | {"changing": True, "previous_endpoint_config_name": "old"}
    late: PromotionRecord = PROMOTION | {"changing": True, "previous_endpoint_config_name": "new"}

    # The promotion has deregistered the targets between both requests.
    written = [lock.record_change(table, FIRST, *each) for each in ((first, JOURNAL), (late, Journal([], AFTER, {})))]

    assert written == [first, first]
    assert lock.holder(table, "reviews-qa") == Holder(FIRST, 0, first)
    configs: PromotionRecord = {"endpoint_config_name": "new", "previous_endpoint_config_name": "old"}
    assert lock.recorded_change(table, PROMOTION | configs).previous == BEFORE


def test_a_late_request_for_the_lock_does_not_undo_the_journal(table: PromotionTable) -> None:
    lock.acquire(table, FIRST, PROMOTION, "2026-01-02T03:04:05Z")
    lock.record_change(table, FIRST, PROMOTION | {"changing": True}, JOURNAL)

    assert lock.acquire(table, FIRST, PROMOTION, "2026-01-02T03:04:05Z")

    held = lock.holder(table, "reviews-qa")
    assert held
    assert held.record["changing"]


def test_an_execution_that_lost_the_lock_does_not_write_the_journal(table: PromotionTable) -> None:
    hold("reviews-qa", SECOND)

    with pytest.raises(PromotionRefusedError) as error:
        lock.record_change(table, FIRST, PROMOTION | {"changing": True}, JOURNAL)

    assert "no longer holds the lock of the endpoint reviews-qa" in str(error.value)
    assert lock.holder(table, "reviews-qa") == Holder(SECOND, 0, {"endpoint": "reviews-qa"})
    assert promotion_table.keys() == ["lock reviews-qa"]


def test_the_journal_is_not_written_without_a_lock(table: PromotionTable) -> None:
    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        lock.record_change(table, FIRST, PROMOTION, Journal([], [], {}))

    assert lock.holder(table, "reviews-qa") is None


def test_only_one_execution_acquires_a_lock_even_repeatedly(table: PromotionTable) -> None:
    acquired = [
        lock.acquire(table, execution, PROMOTION, "2026-01-02T03:04:05Z") for execution in (FIRST, SECOND, FIRST)
    ]

    assert acquired == [True, False, True]
    assert lock.holder(table, "reviews-qa") == Holder(FIRST, 0, PROMOTION)


def test_an_execution_without_the_lock_is_refused(table: PromotionTable) -> None:
    hold("reviews-qa", FIRST)

    lock.assert_held(table, FIRST, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        lock.assert_held(table, SECOND, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        lock.assert_held(table, FIRST, "other-qa")


@pytest.mark.parametrize(("recoveries", "abandoned"), [(0, False), (3, False), (5, False), (6, True), (7, True)])
def test_a_recovery_is_abandoned_after_six_attempts(recoveries: int, abandoned: bool) -> None:
    assert Holder(FIRST, recoveries, PROMOTION).is_abandoned is abandoned


def test_the_first_attempts_follow_at_once_and_the_others_at_growing_distances() -> None:
    minutes = [Holder(FIRST, recoveries, PROMOTION).wait.total_seconds() / 60 for recoveries in range(7)]

    assert minutes == [0, 0, 0, 15, 60, 240, 0]


def test_any_other_error_of_the_journal_is_raised(moto: None) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        lock.record_change(promotion_table.missing(), FIRST, PROMOTION, Journal([], [], {}))
