import datetime
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.errors import PromotionRefusedError
from promotion.history import approval_requests, lock, records
from promotion.history.approval_requests import ApprovalRequest
from promotion.history.lock import Held, Running, Scaling
from tests.support.promotion_table import FIRST, SECOND, TABLE

NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
BEFORE, AFTER = [{"ResourceId": "endpoint/reviews-qa/variant/a"}], [{"ResourceId": "endpoint/reviews-qa/variant/b"}]
PROMOTION = {"endpoint": "reviews-qa", "digest": "ab" * 32, "application": "reviews"}


def put(dynamodb: Any, kind: str, key: str, **attributes: Any) -> None:
    """Write an item as the state machine does."""
    item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
    dynamodb.put_item(TableName=TABLE, Item={"kind": {"S": kind}, "key": {"S": key}, **item})


def hold(dynamodb: Any, endpoint: str, execution: str, **more: Any) -> None:
    put(dynamodb, "running", endpoint, execution=execution, promotion=json.dumps({"endpoint": endpoint}), **more)


def test_nobody_holds_an_endpoint_that_nobody_took(dynamodb: Any) -> None:
    assert lock.running(dynamodb, TABLE, "reviews-qa") is None
    assert lock.running_in(dynamodb, TABLE, FIRST) is None


def test_the_promotion_that_holds_an_endpoint_is_found_by_either(dynamodb: Any) -> None:
    hold(dynamodb, "other-qa", SECOND)
    hold(dynamodb, "reviews-qa", FIRST)

    held = Running(FIRST, recoveries=0, promotion={"endpoint": "reviews-qa"})
    assert lock.running(dynamodb, TABLE, "reviews-qa") == held
    assert lock.running_in(dynamodb, TABLE, FIRST) == held


def test_all_endpoints_that_are_held_are_found_with_who_holds_them_since_when(dynamodb: Any) -> None:
    hold(dynamodb, "reviews-qa", FIRST, taken_at="2026-11-28T10:00:00+00:00")
    hold(dynamodb, "other-qa", SECOND, taken_at="2026-11-28T11:00:00+00:00", recoveries=1)

    held = {each.endpoint: each for each in lock.held(dynamodb, TABLE)}

    assert held["reviews-qa"].since == NOON - datetime.timedelta(hours=2)
    assert held["reviews-qa"].by == Running(FIRST, recoveries=0, promotion={"endpoint": "reviews-qa"})
    assert (held["other-qa"].by.execution, held["other-qa"].by.recoveries) == (SECOND, 1)


@pytest.mark.parametrize(
    ("promotion", "seconds"),
    [({}, 7200), ({"baking_seconds": 0}, 7200), ({"baking_seconds": 1200}, 6000), ({"baking_seconds": 9000}, 0)],
)
def test_the_waits_of_a_deployment_explain_that_an_endpoint_is_held(promotion: dict[str, Any], seconds: int) -> None:
    held = Held("reviews-qa", NOON - datetime.timedelta(hours=2), Running(FIRST, 0, promotion))

    assert held.unexplained_seconds(NOON) == seconds


def test_the_recoveries_of_a_promotion_are_counted(dynamodb: Any) -> None:
    hold(dynamodb, "reviews-qa", FIRST, recoveries=2)

    held = lock.running(dynamodb, TABLE, "reviews-qa")

    assert held
    assert held.recoveries == 2


def test_a_promotion_is_found_among_very_many(dynamodb: Any) -> None:
    # More than the megabyte that one page of a query holds.
    for number in range(30):
        hold(dynamodb, f"a{number:02}-qa", SECOND, padding="x" * 50_000)
    hold(dynamodb, "z-qa", FIRST)

    held = lock.running_in(dynamodb, TABLE, FIRST)

    assert held
    assert held.promotion == {"endpoint": "z-qa"}


def test_what_is_live_or_was_is_not_taken_for_what_runs(dynamodb: Any) -> None:
    put(dynamodb, "live", "reviews-qa", execution=FIRST, promotion="{}")
    put(dynamodb, "history#reviews-qa", "2026-01-02T03:04:05Z#first", execution=FIRST, promotion="{}")

    assert lock.running(dynamodb, TABLE, "reviews-qa") is None
    assert lock.running_in(dynamodb, TABLE, FIRST) is None


def test_the_journal_of_a_held_endpoint_is_written(dynamodb: Any) -> None:
    hold(dynamodb, "reviews-qa", FIRST, recoveries=1)

    lock.note(dynamodb, TABLE, FIRST, PROMOTION | {"changing": True}, BEFORE, AFTER)

    assert lock.running(dynamodb, TABLE, "reviews-qa") == Running(FIRST, 1, PROMOTION | {"changing": True})
    assert lock.scaling(dynamodb, TABLE, "reviews-qa") == Scaling(previous=BEFORE, wanted=AFTER)


def test_the_journal_of_an_endpoint_that_another_execution_took_is_left_alone(dynamodb: Any) -> None:
    hold(dynamodb, "reviews-qa", SECOND)

    with pytest.raises(PromotionRefusedError) as error:
        lock.note(dynamodb, TABLE, FIRST, PROMOTION | {"changing": True}, BEFORE, AFTER)

    assert "The endpoint reviews-qa is no longer held by this execution, so nothing was changed" in str(error.value)
    assert lock.running(dynamodb, TABLE, "reviews-qa") == Running(SECOND, 0, {"endpoint": "reviews-qa"})


def test_no_journal_is_begun_for_an_endpoint_that_nobody_holds(dynamodb: Any) -> None:
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.note(dynamodb, TABLE, FIRST, PROMOTION, [], [])

    assert lock.running(dynamodb, TABLE, "reviews-qa") is None


def test_an_endpoint_is_taken_by_one_execution_however_often_it_asks(dynamodb: Any) -> None:
    taken = [lock.take(dynamodb, TABLE, who, PROMOTION, "2026-01-02T03:04:05Z") for who in (FIRST, SECOND, FIRST)]

    assert taken == [True, False, True]
    assert lock.running(dynamodb, TABLE, "reviews-qa") == Running(FIRST, 0, PROMOTION)


def test_who_does_not_hold_an_endpoint_any_more_is_told_so_before_it_changes_it(dynamodb: Any) -> None:
    hold(dynamodb, "reviews-qa", FIRST)

    lock.assert_held(dynamodb, TABLE, FIRST, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.assert_held(dynamodb, TABLE, SECOND, "reviews-qa")
    with pytest.raises(PromotionRefusedError, match="no longer held"):
        lock.assert_held(dynamodb, TABLE, FIRST, "other-qa")


@pytest.mark.parametrize(("recoveries", "given_up"), [(0, False), (2, False), (3, True), (4, True)])
def test_what_could_not_be_recovered_three_times_is_given_up(recoveries: int, given_up: bool) -> None:
    assert Running(FIRST, recoveries, PROMOTION).is_given_up is given_up


def test_approvals_that_are_asked_for_are_found_until_they_are_noted_as_ended(dynamodb: Any) -> None:
    asked = {digest: PROMOTION | {"digest": digest * 64} for digest in "abc"}
    for digest, promotion in asked.items():
        approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, promotion, None)
        if digest != "c":
            approval_requests.note_approval_request(dynamodb, TABLE, promotion, f"automation-{digest}")
    approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION | {"endpoint": "reviews-qa-2"}, None)

    requests = approval_requests.open_approval_requests(dynamodb, TABLE, "reviews-qa")
    approval_requests.note_approval_ended(dynamodb, TABLE, *requests[0], "newer")
    # Asked for anew meanwhile: what ended is another request.
    approval_requests.note_approval_ended(
        dynamodb, TABLE, asked["b"], ApprovalRequest(FIRST, "automation-before"), "newer"
    )

    assert requests == [(asked[d], ApprovalRequest(FIRST, f"automation-{d}")) for d in "ab"]
    assert approval_requests.open_approval_requests(dynamodb, TABLE, "reviews-qa") == requests[1:]
    assert approval_requests.open_approval_requests(dynamodb, TABLE) == requests[1:]
    assert approval_requests.superseded_by(dynamodb, TABLE, "reviews-qa", "a" * 64, "automation-a") == "newer"
    assert approval_requests.superseded_by(dynamodb, TABLE, "reviews-qa", "a" * 64, "automation-before") == ""
    assert approval_requests.superseded_by(dynamodb, TABLE, "reviews-qa", "b" * 64, "automation-b") == ""


def test_the_approvals_of_all_endpoints_are_found_and_an_end_is_noted_once(dynamodb: Any) -> None:
    asked = [PROMOTION | {"endpoint": endpoint} for endpoint in ("a-qa", "b-qa")]
    for promotion in asked:
        approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, promotion, None)
        approval_requests.note_approval_request(dynamodb, TABLE, promotion, "automation")

    requests = approval_requests.open_approval_requests(dynamodb, TABLE)
    assert requests == [(promotion, ApprovalRequest(FIRST, "automation")) for promotion in asked]
    # Who was superseded stays so when it is seen that it has ended.
    for by in ("newer", ""):
        approval_requests.note_approval_ended(dynamodb, TABLE, *requests[0], by)
    assert approval_requests.open_approval_requests(dynamodb, TABLE) == requests[1:]
    assert approval_requests.superseded_by(dynamodb, TABLE, "a-qa", PROMOTION["digest"], "automation") == "newer"


def test_an_error_other_than_the_lost_lock_is_raised_as_it_is(dynamodb: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        lock.note(dynamodb, "no-such-table", FIRST, PROMOTION, [], [])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        approval_requests.claim_approval_request(dynamodb, "no-such-table", FIRST, PROMOTION, None)


def test_the_record_of_what_is_live_is_read_back(dynamodb: Any) -> None:
    record = PROMOTION | {"created_at": "2026-01-02T03:04:05Z", "by_event": True, "bytes": 7}
    put(dynamodb, "live", "reviews-qa", promotion=json.dumps(record))

    assert records.live(dynamodb, TABLE, "reviews-qa") == record
    assert records.live(dynamodb, TABLE, "other-qa") is None


def test_an_approval_is_asked_for_once(dynamodb: Any) -> None:
    claimed = approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, None)
    claimed_again = approval_requests.claim_approval_request(dynamodb, TABLE, SECOND, PROMOTION, None)

    assert (claimed, claimed_again) == (True, False)
    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_a_claim_whose_answer_was_lost_is_made_again(dynamodb: Any) -> None:
    approval_requests.claim_approval_request(dynamodb, TABLE, "zeroth", PROMOTION, None)
    last = approval_requests.approval_request(dynamodb, TABLE, PROMOTION)

    claims = [approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, last) for _ in range(2)]

    assert claims == [True, True]
    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_no_approval_was_asked_for_at_first(dynamodb: Any) -> None:
    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) is None


def test_the_runbooks_execution_is_noted_with_the_request(dynamodb: Any) -> None:
    approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, None)

    approval_requests.note_approval_request(dynamodb, TABLE, PROMOTION, "automation-1")

    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_after_an_approval_that_ended_one_execution_alone_asks_again(dynamodb: Any) -> None:
    approval_requests.claim_approval_request(dynamodb, TABLE, "zeroth", PROMOTION, None)
    approval_requests.note_approval_request(dynamodb, TABLE, PROMOTION, "automation-1")
    last = approval_requests.approval_request(dynamodb, TABLE, PROMOTION)

    claims = [
        approval_requests.claim_approval_request(dynamodb, TABLE, one, PROMOTION, last) for one in (FIRST, SECOND)
    ]

    assert claims == [True, False]
    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_an_execution_that_asks_again_keeps_the_approval_it_has_started(dynamodb: Any) -> None:
    approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, None)
    approval_requests.note_approval_request(dynamodb, TABLE, PROMOTION, "automation-1")
    last = approval_requests.approval_request(dynamodb, TABLE, PROMOTION)

    assert approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, last)
    assert approval_requests.approval_request(dynamodb, TABLE, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_another_candidate_or_endpoint_has_an_approval_of_its_own(dynamodb: Any) -> None:
    approval_requests.claim_approval_request(dynamodb, TABLE, FIRST, PROMOTION, None)

    for other in (PROMOTION | {"digest": "cd" * 32}, PROMOTION | {"endpoint": "other-qa"}):
        assert approval_requests.approval_request(dynamodb, TABLE, other) is None
        assert approval_requests.claim_approval_request(dynamodb, TABLE, SECOND, other, None)
