from typing import Any

from promotion.plan import other_models
from tests.support.s3_faults import client_error

CONFIG: dict[str, Any] = {
    "ProductionVariants": [{"VariantName": "A"}, {"VariantName": "B", "ModelName": "proven"}],
    "ShadowProductionVariants": [{"ModelName": "shadow"}],
}


class SageMaker:
    """An account with the model `proven`."""

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if ModelName != "proven":
            raise client_error("ValidationException", f'Could not find model "{ModelName}".', "DescribeModel")
        return {"ModelName": ModelName}


def test_the_models_that_variants_name_are_told_from_the_promoted_one() -> None:
    assert other_models.names(CONFIG, "ProductionVariants") == ["proven"]
    assert other_models.names(CONFIG, "ShadowProductionVariants") == ["shadow"]
    own = {"ProductionVariants": [{"ModelName": "own"}, {"ModelName": "proven"}]}
    assert other_models.names(own, "ProductionVariants", "own") == ["proven"]
    assert other_models.names(own, "ShadowProductionVariants", "own") == []


def test_a_model_that_does_not_exist_is_refused_with_its_path() -> None:
    (refusal,) = other_models.refusals(SageMaker(), CONFIG)

    assert refusal.startswith(
        "EndpointConfig.ShadowProductionVariants[0].ModelName is 'shadow', but this account has no"
    )
