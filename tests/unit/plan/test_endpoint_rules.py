"""Every row of the tables of what SageMaker does not accept, and every pair of kinds of endpoints."""

import itertools
from typing import Any

import pytest

from promotion.aws import service_model
from promotion.plan import endpoint_rules
from promotion.plan.endpoint_rules import ASYNCHRONOUS, CONVERSIONS, OF_CONFIGS, OF_VARIANTS, REAL_TIME, SERVERLESS

INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
CAP = {"MaxCrossRegionPercentPerEndpoint": 10, "MaxInvocationsPerSecondPerInstance": 5}
POOLS = [{"InstanceType": "ml.m5.large", "Priority": 1}, {"InstanceType": "ml.g6e.xlarge", "Priority": 2}]
KINDS: dict[str, dict[str, Any]] = {
    REAL_TIME: {"ProductionVariants": [INSTANCES]},
    ASYNCHRONOUS: {"ProductionVariants": [INSTANCES], "AsyncInferenceConfig": {"OutputConfig": {}}},
    SERVERLESS: {"ProductionVariants": [{"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]},
}
# By member: a variant that is refused, the part of the refusal that names the place, and variants that are accepted.
VARIANTS: dict[str, tuple[dict[str, Any], str, list[dict[str, Any]]]] = {
    "ManagedInstanceScaling": (
        {**INSTANCES, "ManagedInstanceScaling": {"Status": "ENABLED"}},
        "ManagedInstanceScaling is only for endpoints that host inference components. Remove it",
        [INSTANCES],
    ),
    "InstancePools[].ModelNameOverride": (
        {"InstancePools": [POOLS[0], {**POOLS[1], "ModelNameOverride": "other"}], "InitialInstanceCount": 1},
        "InstancePools[1].ModelNameOverride would serve another model than the promoted one",
        [{"InstancePools": POOLS, "InitialInstanceCount": 1}],
    ),
    "VolumeSizeInGB": (
        {"InstancePools": POOLS, "InitialInstanceCount": 1, "VolumeSizeInGB": 30},
        "VolumeSizeInGB is not accepted for ml.g6e.xlarge, whose storage is a local NVMe volume",
        [{**INSTANCES, "VolumeSizeInGB": 30}, {"InstancePools": POOLS[:1], "VolumeSizeInGB": 30}],
    ),
}
CONFIGS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "CrossRegionTrafficConfig": ({"CrossRegionTrafficConfig": CAP}, [ASYNCHRONOUS, SERVERLESS], [REAL_TIME]),
}


def test_every_row_of_the_tables_is_tried() -> None:
    assert set(VARIANTS) == {rule.member for rule in OF_VARIANTS}
    assert set(CONFIGS) == {rule.member for rule in OF_CONFIGS}
    assert all(rule.source for rule in (*OF_VARIANTS, *OF_CONFIGS))


@pytest.mark.parametrize("kind", endpoint_rules.VARIANTS)
@pytest.mark.parametrize("member", VARIANTS)
def test_a_member_of_a_variant_is_refused_with_its_path(member: str, kind: str) -> None:
    refused, reason, accepted = VARIANTS[member]

    def found(variant: dict[str, Any]) -> list[str]:
        return list(endpoint_rules.refusals({"ProductionVariants": [INSTANCES]} | {kind: [INSTANCES, variant]}))

    (only,) = found(refused)
    assert only.startswith(f"EndpointConfig.{kind}[1].{reason}")
    assert "Remove it" in only
    assert [found(variant) for variant in accepted] == [[]] * len(accepted)


@pytest.mark.parametrize("member", CONFIGS)
def test_a_member_of_a_config_is_refused_for_some_kinds_of_endpoints(member: str) -> None:
    members, refused, accepted = CONFIGS[member]

    for kind in refused:
        (only,) = endpoint_rules.refusals(KINDS[kind] | members)
        assert only.startswith(f"EndpointConfig.{member} ")
        assert f"This endpoint is {kind}. Remove it." in only
    for kind in accepted:
        assert list(endpoint_rules.refusals(KINDS[kind] | members)) == []


def test_the_families_without_a_volume_of_their_own_are_those_of_the_sdk() -> None:
    shape = service_model.input_shape("sagemaker", "CreateEndpointConfig").members["ProductionVariants"].member
    types = shape.members["InstanceType"].enum

    refused = {
        name.split(".")[1]
        for name in types
        if list(
            endpoint_rules.refusals(
                {"ProductionVariants": [{"InstanceType": name, "InitialInstanceCount": 1, "VolumeSizeInGB": 30}]}
            )
        )
    }

    with_d = {"c5d", "c6gd", "dl1", "g4dn", "m5d", "m6gd", "p4d", "p4de", "r5d", "r6gd", "r7gd"}
    assert refused == with_d | {"g5", "g6", "g6e", "p5", "p5e", "p5en", "trn1", "trn1n"}


@pytest.mark.parametrize(("before", "after"), [*itertools.product(KINDS, KINDS)])
def test_a_live_endpoint_is_converted_only_if_sagemaker_can_do_and_undo_it(before: str, after: str) -> None:
    reasons = list(endpoint_rules.conversion_refusals("reviews-qa", KINDS[before], KINDS[after]))

    if before == after:
        assert reasons == []
    else:
        assert [CONVERSIONS[before, after] in reason for reason in reasons] == [True]
        assert f"The endpoint reviews-qa is {before} and would become {after}, which SageMaker" in reasons[0]
