from __future__ import annotations

from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from promotion.plan import pinned_weights


def not_pinned(
    containers: list[dict[str, Any]], settings: dict[str, Any], application: str, *, by_stage: bool = False
) -> list[str]:
    return pinned_weights.not_pinned(containers, settings, application, {}, required_by_stage=by_stage)


CONTAINERS: list[dict[str, Any]] = [{"Environment": {"HF_MODEL_ID": "org/model", "LOG": "s3a://bucket/logs"}}]


def test_what_is_not_pinned_is_refused_only_if_the_settings_require_it() -> None:
    assert len(not_pinned(CONTAINERS, {"RequirePinnedWeights": False}, "reviews")) == 2
    with pytest.raises(PromotionRefusedError) as refused:
        not_pinned(CONTAINERS, {"RequirePinnedWeights": True}, "reviews")

    assert "The settings of reviews require pinned weights" in str(refused.value)
    assert "Environment.HF_MODEL_ID: fetched at start from the model hub, org/model" in str(refused.value)
    assert "Environment.LOG: fetched at start from s3a://bucket/logs" in str(refused.value)


def test_kept_variables_are_pinned_by_the_deployment() -> None:
    kept = {"RequirePinnedWeights": True, "KeptVariables": ["LOG", "HF_MODEL_ID"]}

    assert not_pinned(CONTAINERS, kept, "reviews") == []


def test_a_stage_can_require_pinned_weights_whatever_the_settings_say() -> None:
    with pytest.raises(PromotionRefusedError, match=r"This stage requires pinned weights \(RequirePinnedWeights\)"):
        not_pinned(CONTAINERS, {"RequirePinnedWeights": False}, "reviews", by_stage=True)

    assert not_pinned([{"Environment": {}}], {}, "reviews", by_stage=True) == []
