import copy
from typing import Any

import pytest

from tests.support.sagemaker_requests import INSTANCES, accepted_by, config_request


def test_an_endpoint_config_runs_the_model_on_the_instances_of_the_stage() -> None:
    request = config_request({**INSTANCES, "KmsKeyId": "key"})

    name = request.pop("EndpointConfigName")
    assert name.startswith("reviews-qa-20260102-0304-")
    assert request == {
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": "reviews-qa-20260102-0304-0a1b2c3d",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
        "KmsKeyId": "key",
        "Tags": [{"Key": "team", "Value": "search"}],
    }


def test_a_request_is_valid_for_create_endpoint_config() -> None:
    assert accepted_by("CreateEndpointConfig", config_request())


def test_the_same_model_and_settings_result_in_the_same_name() -> None:
    assert config_request()["EndpointConfigName"] == config_request(copy.deepcopy(INSTANCES))["EndpointConfigName"]


@pytest.mark.parametrize(
    "other",
    [
        config_request(model_name="another-model"),
        config_request({"ProductionVariants": [{"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}]}),
        config_request({**INSTANCES, "KmsKeyId": "key"}),
    ],
)
def test_another_model_instance_type_or_key_results_in_another_name(other: dict[str, Any]) -> None:
    assert other["EndpointConfigName"] != config_request()["EndpointConfigName"]
