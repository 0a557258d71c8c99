from __future__ import annotations

import pytest

from promotion.errors import PromotionRefusedError
from promotion.plan.pinned_weights import not_pinned

CONTAINERS = [{"Environment": {"HF_MODEL_ID": "org/model", "LOG": "s3a://bucket/logs"}}]


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
