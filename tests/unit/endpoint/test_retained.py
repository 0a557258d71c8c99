"""An update keeps the sizes and the weights that others have set, unless the settings change them."""

from typing import Any

import pytest

from promotion.endpoint import retained
from tests.support.s3_faults import not_found

OLD, NEW = "old", "new"
COUNT, WEIGHT = "DesiredInstanceCount", "DesiredWeight"


class SageMaker:
    """Endpoint configs of two variants, by their sizes and weights."""

    def __init__(self, **configs: list[tuple[int, float]]) -> None:
        self.configs = configs

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - the name in boto3
        if EndpointConfigName not in self.configs:
            raise not_found("endpoint-configuration", EndpointConfigName)
        return {
            "ProductionVariants": [
                {"VariantName": name, "InitialInstanceCount": count, "InitialVariantWeight": weight}
                for name, (count, weight) in zip("AB", self.configs[EndpointConfigName], strict=True)
            ]
        }


def endpoint(*variants: tuple[int, float]) -> dict[str, Any]:
    found = [
        {"VariantName": name, "DesiredInstanceCount": count, "DesiredWeight": weight}
        for name, (count, weight) in zip("AB", variants, strict=True)
    ]
    return {"EndpointConfigName": OLD, "ProductionVariants": found}


@pytest.mark.parametrize(
    ("actual", "new", "kept"),
    [
        # As it started.
        ([(1, 1.0), (1, 1.0)], [(1, 1.0), (1, 1.0)], set()),
        # Scaled out.
        ([(3, 1.0), (1, 1.0)], [(1, 1.0), (1, 1.0)], {COUNT}),
        # Someone has changed the weights.
        ([(1, 9.0), (1, 1.0)], [(1, 1.0), (1, 1.0)], {WEIGHT}),
        ([(3, 9.0), (1, 1.0)], [(1, 1.0), (1, 1.0)], {COUNT, WEIGHT}),
        # The settings change them.
        ([(1, 9.0), (1, 1.0)], [(1, 5.0), (1, 1.0)], set()),
        ([(3, 9.0), (1, 1.0)], [(1, 5.0), (1, 1.0)], {COUNT}),
        ([(3, 1.0), (1, 1.0)], [(1, 5.0), (1, 1.0)], {COUNT}),
    ],
)
def test_what_others_have_set_stays_unless_the_settings_change_it(
    actual: list[tuple[int, float]], new: list[tuple[int, float]], kept: set[str]
) -> None:
    sagemaker = SageMaker(old=[(1, 1.0), (1, 1.0)], new=new)

    request = retained.properties(sagemaker, endpoint(*actual), NEW)

    excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])}
    assert ({COUNT, WEIGHT} - excluded if request["RetainAllVariantProperties"] else set()) == kept


@pytest.mark.parametrize("configs", [{"old": [(1, 1.0), (1, 1.0)]}, {"new": [(1, 1.0), (1, 1.0)]}])
def test_nothing_is_retained_without_both_endpoint_configs(configs: dict[str, Any]) -> None:
    request = retained.properties(SageMaker(**configs), endpoint((3, 9.0), (1, 1.0)), NEW)

    assert request == {"RetainAllVariantProperties": False}
