import json
from typing import Any

import pytest

from promotion.history.table import PromotionTable
from promotion.record import PromotionRecord
from tests.support import promotion_table
from tests.support.lambda_context import CONTEXT
from tests.support.promotion_table import FIRST, NAME, PROMOTION, put
from widgets import show_stage

RECORD: PromotionRecord = PROMOTION | {
    "execution": FIRST,
    "source_kind": "model",
    "status": "Succeeded",
    "reason": "",
    "model_name": "reviews-1",
    "started_at": "2026-05-04T16:00:00Z",
    "ended_at": "2026-05-04T17:20:01Z",
}


@pytest.fixture
def table(moto: None, monkeypatch: pytest.MonkeyPatch) -> PromotionTable:
    monkeypatch.setenv("TABLE", NAME)
    return promotion_table.created()


def shown(**event: Any) -> str:
    return str(show_stage.handler(event, CONTEXT)["markdown"])


def test_the_widget_shows_what_the_table_has(table: PromotionTable) -> None:
    promotion = json.dumps(RECORD)
    put("live", "reviews-qa", promotion=promotion)
    put("history#reviews-qa", f"{RECORD['ended_at']}#{FIRST}", promotion=promotion)
    put("lock", "reviews-qa", execution=FIRST, acquired_at="2026-05-05T00:00:00+00:00", promotion=promotion)
    put("approval", "reviews-qa#abab", execution=FIRST, automation="a-1", promotion=promotion)

    text = shown(widgetContext={"period": 300})

    for part in ("[reviews-1](https://", "locked by a promotion", "approval requested", "[Succeeded](https://"):
        assert part in text


def test_the_widget_describes_itself(table: PromotionTable) -> None:
    assert "what the stage serves" in shown(describe=True)
