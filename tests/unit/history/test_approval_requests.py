import pytest
from botocore.exceptions import ClientError

from promotion.history import approval_requests
from promotion.history.approval_requests import ApprovalRequest
from promotion.history.table import PromotionTable
from tests.support import promotion_table
from tests.support.promotion_table import FIRST, PROMOTION, SECOND


def test_requests_are_open_until_they_are_recorded_as_ended(table: PromotionTable) -> None:
    requested = {digest: PROMOTION | {"digest": digest * 64} for digest in "abc"}
    for digest, promotion in requested.items():
        approval_requests.claim(table, FIRST, promotion, None)
        if digest != "c":
            approval_requests.record_started(table, promotion, f"automation-{digest}")
    approval_requests.claim(table, FIRST, PROMOTION | {"endpoint": "reviews-qa-2"}, None)

    requests = approval_requests.open_requests(table, "reviews-qa")
    approval_requests.record_ended(table, *requests[0], "newer")
    # Requested again in the meantime: what ended is another request.
    approval_requests.record_ended(table, requested["b"], ApprovalRequest(FIRST, "automation-before"), "newer")

    assert requests == [(requested[d], ApprovalRequest(FIRST, f"automation-{d}")) for d in "ab"]
    assert approval_requests.open_requests(table, "reviews-qa") == requests[1:]
    assert approval_requests.open_requests(table) == requests[1:]
    assert approval_requests.superseded_by(table, "reviews-qa", "a" * 64, "automation-a") == "newer"
    assert approval_requests.superseded_by(table, "reviews-qa", "a" * 64, "automation-before") == ""
    assert approval_requests.superseded_by(table, "reviews-qa", "b" * 64, "automation-b") == ""


def test_the_requests_of_all_endpoints_are_found_and_an_end_is_recorded_once(table: PromotionTable) -> None:
    requested = [PROMOTION | {"endpoint": endpoint} for endpoint in ("a-qa", "b-qa")]
    for promotion in requested:
        approval_requests.claim(table, FIRST, promotion, None)
        approval_requests.record_started(table, promotion, "automation")

    requests = approval_requests.open_requests(table)
    assert requests == [(promotion, ApprovalRequest(FIRST, "automation")) for promotion in requested]
    # A superseded request stays superseded when it is seen that it has ended.
    for by in ("newer", ""):
        approval_requests.record_ended(table, *requests[0], by)
    assert approval_requests.open_requests(table) == requests[1:]
    assert approval_requests.superseded_by(table, "a-qa", PROMOTION["digest"], "automation") == "newer"


def test_a_claim_without_a_table_is_an_error(moto: None) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        approval_requests.claim(promotion_table.missing(), FIRST, PROMOTION, None)


def test_an_approval_is_requested_once(table: PromotionTable) -> None:
    claimed = approval_requests.claim(table, FIRST, PROMOTION, None)
    claimed_again = approval_requests.claim(table, SECOND, PROMOTION, None)

    assert (claimed, claimed_again) == (True, False)
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_a_claim_whose_answer_was_lost_is_made_again(table: PromotionTable) -> None:
    approval_requests.claim(table, "zeroth", PROMOTION, None)
    last = approval_requests.last(table, PROMOTION)

    claims = [approval_requests.claim(table, FIRST, PROMOTION, last) for _ in range(2)]

    assert claims == [True, True]
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_at_first_there_is_no_request(table: PromotionTable) -> None:
    assert approval_requests.last(table, PROMOTION) is None


def test_the_runbooks_execution_is_recorded_with_the_request(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)

    approval_requests.record_started(table, PROMOTION, "automation-1")

    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_after_a_request_that_ended_only_one_execution_claims_the_next(table: PromotionTable) -> None:
    approval_requests.claim(table, "zeroth", PROMOTION, None)
    approval_requests.record_started(table, PROMOTION, "automation-1")
    last = approval_requests.last(table, PROMOTION)

    claims = [approval_requests.claim(table, one, PROMOTION, last) for one in (FIRST, SECOND)]

    assert claims == [True, False]
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, automation="")


def test_an_execution_that_claims_again_keeps_the_approval_it_has_started(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)
    approval_requests.record_started(table, PROMOTION, "automation-1")
    last = approval_requests.last(table, PROMOTION)

    assert approval_requests.claim(table, FIRST, PROMOTION, last)
    assert approval_requests.last(table, PROMOTION) == ApprovalRequest(FIRST, "automation-1")


def test_another_candidate_or_endpoint_has_a_request_of_its_own(table: PromotionTable) -> None:
    approval_requests.claim(table, FIRST, PROMOTION, None)

    for other in (PROMOTION | {"digest": "cd" * 32}, PROMOTION | {"endpoint": "other-qa"}):
        assert approval_requests.last(table, other) is None
        assert approval_requests.claim(table, SECOND, other, None)
