import json
from typing import Any

import boto3
import pytest

from promotion.errors import PromotionRefusedError
from steps import apply_autoscaling
from tests.support.lambda_context import CONTEXT
from tests.support.moto_endpoints import ENDPOINT, make_endpoint
from tests.support.promotion_table import FIRST, NAME, SECOND, put
from tests.support.scalable_targets import TRACKING, target


def apply(dynamodb: Any, *wanted: Any, previous: list[Any] | None = None, holder: str = FIRST) -> None:
    put("lock", ENDPOINT, execution=holder, promotion="{}")
    put("autoscaling", ENDPOINT, previous=json.dumps(previous or []), wanted=json.dumps(wanted))
    promotion = {"endpoint": ENDPOINT, "endpoint_config_name": "new", "previous_endpoint_config_name": "new"}
    apply_autoscaling.handler({"promotion": promotion, "execution": FIRST, "table": NAME}, CONTEXT)


def scaling() -> tuple[list[tuple[int, int]], list[str]]:
    """Return the capacities of all targets, and the names of all policies."""
    client = boto3.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    return [(each["MinCapacity"], each["MaxCapacity"]) for each in targets], [each["PolicyName"] for each in policies]


def test_the_autoscaling_in_the_journal_is_applied(dynamodb: Any) -> None:
    make_endpoint("new")

    apply(dynamodb, target(MaxCapacity=4, ScalingPolicies=[TRACKING]))

    assert scaling() == ([(1, 4)], ["invocations"])


def test_autoscaling_that_is_not_in_the_journal_is_removed(dynamodb: Any) -> None:
    make_endpoint("new")
    apply(dynamodb, target())

    apply(dynamodb, previous=[target()])

    assert scaling() == ([], [])


def test_autoscaling_that_someone_changed_during_the_promotion_stays(dynamodb: Any) -> None:
    make_endpoint("new")
    apply(dynamodb, target(MaxCapacity=9))

    apply(dynamodb, target(), previous=[target()])

    assert scaling() == ([(1, 9)], [])


def test_autoscaling_is_not_changed_without_the_lock(dynamodb: Any) -> None:
    make_endpoint("new")

    with pytest.raises(PromotionRefusedError, match="no longer holds the lock"):
        apply(dynamodb, target(), holder=SECOND)

    assert scaling() == ([], [])


def test_an_endpoint_that_someone_changed_in_the_meantime_is_not_recorded(dynamodb: Any) -> None:
    make_endpoint("by-hand")

    with pytest.raises(PromotionRefusedError, match="changed it to by-hand"):
        apply(dynamodb)
