"""Event patterns of EventBridge: matches, and invalid patterns."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import DEV, QA, client

EVENT = {
    "id": "1",
    "account": DEV,
    "source": "shop.orders",
    "time": "2024-01-01T00:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:one", "arn:aws:two"],
    "detail-type": "Order Placed",
    "detail": {
        "status": "Completed",
        "price": 10.5,
        "paid": True,
        "note": None,
        "address": "10.0.0.7",
        "empty": [],
        "items": [{"name": "book", "count": 2}, {"name": "pen", "count": 7}],
    },
}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["shop.orders", "other"]},
        {"account": [DEV], "region": ["eu-west-1"]},
        {"resources": ["arn:aws:two"]},
        {"resources": [{"prefix": "arn:aws:o"}]},
        {"source": [{"prefix": "shop."}]},
        {"source": [{"prefix": {"equals-ignore-case": "SHOP."}}]},
        {"source": [{"suffix": ".orders"}]},
        {"source": [{"wildcard": "sh*.*ers"}]},
        {"source": [{"equals-ignore-case": "Shop.Orders"}]},
        {"detail": {"status": [{"anything-but": ["Failed", "Stopped"]}]}},
        {"detail": {"status": [{"anything-but": {"prefix": "Fail"}}]}},
        {"detail": {"price": [{"numeric": [">", 10, "<=", 10.5]}]}},
        {"detail": {"price": [{"numeric": ["=", 10.5]}], "paid": [True], "note": [None]}},
        {"detail": {"address": [{"cidr": "10.0.0.0/24"}]}},
        {"detail": {"status": [{"exists": True}], "reason": [{"exists": False}], "empty": [{"exists": False}]}},
        {"detail": {"more": {"reason": [{"exists": False}]}}},
        {"detail": {"items": {"name": ["pen"], "count": [7]}}},
        {"detail": {"$or": [{"status": ["Failed"]}, {"price": [{"numeric": [">", 10]}]}]}},
        {"$or": [{"source": ["other"]}, {"detail": {"paid": [True]}}]},
    ],
    ids=json.dumps,
)
def test_a_pattern_matches(aws: EmbeddedAws, pattern: dict[str, Any]) -> None:
    assert matches(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["shop"]},
        {"account": [QA]},
        {"source": ["shop.orders"], "account": [QA]},
        {"resources": ["arn:aws:three"]},
        {"source": [{"prefix": "orders"}]},
        {"source": [{"wildcard": "shop*x"}]},
        {"detail": {"status": ["completed"]}},
        {"detail": {"status": [{"anything-but": ["Completed"]}]}},
        {"detail": {"status": [{"anything-but": {"suffix": "ed"}}]}},
        {"detail": {"reason": [{"anything-but": ["x"]}]}},
        {"detail": {"price": ["10.5"]}},
        {"detail": {"paid": [1]}},
        {"detail": {"paid": [{"numeric": ["=", 1]}]}},
        {"detail": {"status": [{"exists": False}]}},
        {"detail": {"items": [{"exists": True}]}},
        {"detail": {"items": {"name": ["book"], "count": [7]}}},
        {"detail": {"$or": [{"status": ["Failed"]}, {"price": [{"numeric": ["<", 10]}]}]}},
    ],
    ids=json.dumps,
)
def test_a_pattern_does_not_match(aws: EmbeddedAws, pattern: dict[str, Any]) -> None:
    assert not matches(pattern)


def matches(pattern: dict[str, Any]) -> bool:
    answer = client("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(EVENT))
    return bool(answer["Result"])


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ({"source": "shop"}, '"source" must be an object or an array'),
        ({"source": []}, "Empty arrays are not allowed"),
        ({"detail": {}}, "Filter is empty"),
        ({"source": [{"prefxi": "shop"}]}, "Unrecognized match type prefxi"),
        ({"detail": {"price": [{"numeric": [">", 0, ">", 1]}]}}, "Bad numeric range operator: >"),
        ({"source": [{"prefix": 5}]}, "prefix match pattern must be a string"),
        ({"source": [["shop"]]}, "Match value must be String, number, true, false, or null"),
    ],
    ids=str,
)
def test_an_invalid_pattern_is_refused(aws: EmbeddedAws, name: str, pattern: Any, reason: str) -> None:
    with pytest.raises(ClientError, match=rf"InvalidEventPatternException.*{re.escape(reason)}"):
        client("events").put_rule(Name=name, EventPattern=json.dumps(pattern))
