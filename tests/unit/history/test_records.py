import json

from promotion.history import records
from promotion.history.table import PromotionTable
from tests.support.promotion_table import PROMOTION, put


def test_the_live_record_is_read(table: PromotionTable) -> None:
    record = PROMOTION | {"created_at": "2026-01-02T03:04:05Z", "by_event": True, "bytes": 7}
    put("live", "reviews-qa", promotion=json.dumps(record))

    assert records.live(table, "reviews-qa") == record
    assert records.live(table, "other-qa") is None


def test_the_history_of_an_endpoint_is_sorted_oldest_first(table: PromotionTable) -> None:
    for endpoint, time in (("reviews-qa", "02"), ("reviews-qa", "01"), ("reviews-qa-2", "03")):
        promotion = json.dumps({"endpoint": endpoint, "ended_at": time})
        put(f"history#{endpoint}", f"2026-01-{time}T03:04:05Z#first", promotion=promotion)

    assert [record["ended_at"] for record in records.history(table, "reviews-qa")] == ["01", "02"]
    assert records.history(table, "other-qa") == []
