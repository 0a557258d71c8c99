import re
from collections.abc import Iterator

import pytest

from promotion.aws import clients

ROLE = "arn:aws:iam::111111111111:role/model-promotion-upstream-of-qa"


@pytest.fixture(autouse=True)
def _aws(moto: None) -> Iterator[None]:
    clients.client.cache_clear()
    yield
    clients.client.cache_clear()


def test_a_client_is_created_once() -> None:
    assert clients.client("sts") is clients.client("sts")


def test_an_upstream_client_has_the_credentials_of_the_upstream_role() -> None:
    upstream = clients.upstream_client(ROLE, "model-promotion-qa", "promotion-1", "sts")

    assert upstream.get_caller_identity()["Arn"] == (
        "arn:aws:sts::111111111111:assumed-role/model-promotion-upstream-of-qa/promotion-1"
    )


def test_a_long_session_name_is_truncated() -> None:
    upstream = clients.upstream_client(ROLE, "model-promotion-qa", "p" * 80, "sts")

    assert re.search(r"/p{64}$", upstream.get_caller_identity()["Arn"])
