import pytest

from promotion.history.table import PromotionTable
from tests.support import promotion_table


@pytest.fixture
def table(moto: None) -> PromotionTable:
    return promotion_table.created()
