from typing import Any

import pytest

from promotion.endpoint.smoke_test import validated
from promotion.plan import suite_rules

INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
SINGLE = {"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}
MULTI = {"Image": "image", "ModelDataUrl": "s3://b/models/", "Mode": "MultiModel"}
ONE = {"ProductionVariants": [INSTANCES]}
TWO = {"ProductionVariants": [{**INSTANCES, "VariantName": "Cpu"}, {**INSTANCES, "VariantName": "Gpu"}]}
EXPLAINED: dict[str, Any] = ONE | {"ExplainerConfig": {"ClarifyExplainerConfig": {}}}
ASYNCHRONOUS: dict[str, Any] = ONE | {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/out"}}}


def refusals(config: dict[str, Any], *containers: dict[str, Any], **case: Any) -> list[str]:
    whole = {"name": "one", "body": {}, "expect": "`true`", **case}
    suite = validated({"cases": [whole]}, "a test")
    return list(suite_rules.refusals(suite, [2], list(containers) or [SINGLE], "", config))


@pytest.mark.parametrize(
    ("config", "case"),
    [
        (ONE, {}),
        (ONE, {"stream": True, "custom_attributes": "a", "session_id": "a", "prefix_aware_id": "a"}),
        (ONE, {"session_id": "NEW_SESSION"}),
        (ONE, {"target_variant": "AllTraffic"}),
        (TWO, {}),
        (TWO, {"target_variant": "Gpu"}),
        (EXPLAINED, {"enable_explanations": "`true`"}),
        (ASYNCHRONOUS, {"custom_attributes": "a"}),
    ],
)
def test_a_case_that_the_endpoint_accepts(config: dict[str, Any], case: dict[str, Any]) -> None:
    assert refusals(config, **case) == []


@pytest.mark.parametrize(
    ("config", "case", "says"),
    [
        (TWO, {"target_variant": "AllTraffic"}, "the endpoint has the production variants Cpu, Gpu."),
        (
            ONE,
            {"inference_component_name": "a"},
            "the promotion calls the component of its own application. Remove it.",
        ),
        (ONE, {"enable_explanations": "`true`"}, "the endpoint has no ExplainerConfig."),
        (ASYNCHRONOUS, {"stream": True}, "has stream, but the endpoint is asynchronous, and InvokeEndpointAsync has"),
        (ASYNCHRONOUS, {"session_id": "a"}, "has session_id, but the endpoint is asynchronous"),
        (ASYNCHRONOUS, {"target_variant": "AllTraffic"}, "has target_variant, but the endpoint is asynchronous"),
    ],
)
def test_a_case_that_the_endpoint_refuses(config: dict[str, Any], case: dict[str, Any], says: str) -> None:
    (refusal,) = refusals(config, **case)

    assert refusal.startswith("The case 'one' of the smoke test has ")
    assert says in refusal


def test_a_stream_cannot_choose_one_of_many_models() -> None:
    (refusal,) = refusals(ONE, MULTI, stream=True)

    assert "cannot choose a model of a multi-model endpoint" in refusal
