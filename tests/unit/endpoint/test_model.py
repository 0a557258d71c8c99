import copy
import dataclasses
from typing import Any

import pytest

from promotion.endpoint.model import differences, resource_tags, stage_containers, tag_list
from promotion.errors import PromotionRefusedError
from promotion.source.candidate import Candidate
from tests.support.sagemaker_requests import (
    CANDIDATE,
    CONTAINER,
    ROLE,
    VPC,
    accepted_by,
    config_request,
    model_request,
)


def candidate(**changes: Any) -> Candidate:
    return dataclasses.replace(CANDIDATE, **changes)


def test_a_model_has_the_role_of_the_stage_and_the_container_of_the_candidate() -> None:
    request = model_request()

    name = request.pop("ModelName")
    assert name.startswith("reviews-qa-20260102-0304-")
    assert request == {
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": CONTAINER,
        "Tags": [{"Key": "team", "Value": "search"}],
    }


def test_a_pipeline_keeps_its_mode_and_the_order_of_its_containers() -> None:
    containers = [CONTAINER, {"Image": "second"}]

    request = model_request(candidate=candidate(inference_execution_config={"Mode": "Direct"}), containers=containers)

    assert request["Containers"] == containers
    assert request["InferenceExecutionConfig"] == {"Mode": "Direct"}
    assert "PrimaryContainer" not in request
    assert accepted_by("CreateModel", request)


def test_a_single_container_keeps_its_mode() -> None:
    request = model_request(candidate=candidate(inference_execution_config={"Mode": "Serial"}))

    assert request["InferenceExecutionConfig"] == {"Mode": "Serial"}
    assert request["Containers"] == [CONTAINER]


@pytest.mark.parametrize(
    ("candidates", "settings", "isolated"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_network_isolation_is_never_turned_off(candidates: bool, settings: bool, isolated: bool) -> None:
    request = model_request(
        candidate=candidate(enable_network_isolation=candidates), model={"EnableNetworkIsolation": settings}
    )

    assert request.get("EnableNetworkIsolation", False) is isolated


def test_a_source_in_a_vpc_is_refused_in_a_stage_without_vpc() -> None:
    with pytest.raises(PromotionRefusedError) as error:
        model_request(candidate=candidate(in_vpc=True))

    assert "reviews-1 uses a VPC, but reviews has no VPC in this stage" in str(error.value)
    assert "Set Model.VpcConfig in the settings" in str(error.value)


@pytest.mark.parametrize("in_vpc", [True, False])
def test_the_vpc_comes_from_the_settings(in_vpc: bool) -> None:
    request = model_request(candidate=candidate(in_vpc=in_vpc), model={"VpcConfig": VPC})

    assert request["VpcConfig"] == VPC


def test_a_request_is_valid_for_create_model() -> None:
    isolated = candidate(enable_network_isolation=True)

    assert accepted_by("CreateModel", model_request(candidate=isolated, model={"VpcConfig": VPC}))


def test_the_same_candidate_and_settings_result_in_the_same_name() -> None:
    assert model_request()["ModelName"] == model_request(containers=[copy.deepcopy(CONTAINER)])["ModelName"]


@pytest.mark.parametrize(
    "changes",
    [
        {"containers": [{**CONTAINER, "Image": "other"}]},
        {"containers": [{**CONTAINER, "Environment": {"THREADS": "3"}}]},
        {"containers": [CONTAINER, CONTAINER]},
        {"candidate": candidate(enable_network_isolation=True)},
        {"candidate": candidate(inference_execution_config={"Mode": "Serial"})},
        {"candidate": candidate(application="other")},
        {"candidate": candidate(created_at="2026-01-02T03:05:05.678Z")},
        {"model": {"VpcConfig": VPC}},
        {"role_arn": ROLE + "2"},
        {"stage": "production"},
    ],
)
def test_another_model_results_in_another_name(changes: dict[str, Any]) -> None:
    assert model_request(**changes)["ModelName"] != model_request()["ModelName"]


def test_models_trained_in_the_same_minute_have_different_names() -> None:
    first = model_request(containers=[{**CONTAINER, "ModelDataUrl": "s3://stage/models/first/m.tar.gz"}])
    second = model_request(containers=[{**CONTAINER, "ModelDataUrl": "s3://stage/models/second/m.tar.gz"}])

    assert first["ModelName"] != second["ModelName"]


def test_tags_do_not_change_the_name() -> None:
    assert model_request(tags={})["ModelName"] == model_request()["ModelName"]


def test_the_environment_of_the_settings_overrides_that_of_the_container() -> None:
    settings = {"PrimaryContainer": {"Environment": {"THREADS": "8", "LOG": "debug"}}}
    containers = [copy.deepcopy(CONTAINER)]

    staged = stage_containers(containers, settings)

    assert staged == [{**CONTAINER, "Environment": {"THREADS": "8", "LOG": "debug"}}]
    assert containers == [CONTAINER]


def test_a_container_without_environment_gets_that_of_the_settings() -> None:
    staged = stage_containers([{"Image": "image"}], {"PrimaryContainer": {"Environment": {"LOG": "debug"}}})

    assert staged == [{"Image": "image", "Environment": {"LOG": "debug"}}]


def test_the_image_of_the_settings_replaces_that_of_the_model() -> None:
    staged = stage_containers([CONTAINER], {"PrimaryContainer": {"Image": "of-the-settings"}})

    assert staged == [{**CONTAINER, "Image": "of-the-settings"}]


@pytest.mark.parametrize("settings", [{}, {"VpcConfig": VPC}])
def test_without_a_container_in_the_settings_the_containers_are_unchanged(settings: dict[str, Any]) -> None:
    assert stage_containers([CONTAINER, CONTAINER], settings) == [CONTAINER, CONTAINER]


def test_an_environment_in_the_settings_is_refused_for_a_pipeline() -> None:
    with pytest.raises(PromotionRefusedError, match=r"a pipeline of 2 containers. Remove Model.PrimaryContainer"):
        stage_containers([CONTAINER, CONTAINER], {"PrimaryContainer": {"Environment": {"LOG": "debug"}}})


def test_a_resource_has_the_tags_of_the_source_and_of_the_promotion() -> None:
    tags = resource_tags(CANDIDATE, "d" * 64, "arn:execution", "s3://stage/suite.json")

    assert tags == {
        "team": "search",
        "model-promotion:application": "reviews",
        "model-promotion:created-at": "2026-01-02T03:04:05.678Z",
        "model-promotion:digest": "d" * 64,
        "model-promotion:execution": "arn:execution",
        "model-promotion:smoke-test": "s3://stage/suite.json",
        "model-promotion:source": "arn:aws:sagemaker:eu-west-1:1:training-job/reviews-1",
    }


def test_the_tags_of_the_promotion_cannot_be_replaced() -> None:
    tags = resource_tags(CANDIDATE, "d" * 64, "arn:execution", tags={"team": "x", "model-promotion:digest": "x"})

    assert (tags["team"], tags["model-promotion:digest"]) == ("x", "d" * 64)


def test_a_resource_without_smoke_test_has_no_tag_for_it() -> None:
    assert "model-promotion:smoke-test" not in resource_tags(CANDIDATE, "d" * 64, "arn:execution", None)


def test_tags_become_a_sorted_list_of_keys_and_values() -> None:
    assert tag_list({"b": "2", "a": "1"}) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]


def test_a_source_can_have_tags_up_to_the_quota() -> None:
    full = candidate(tags={f"tag-{number}": "x" for number in range(44)})

    assert len(resource_tags(full, "d" * 64, "arn:execution", "s3://stage/suite.json")) == 50


def test_a_source_with_too_many_tags_is_refused_with_the_numbers() -> None:
    full = candidate(tags={f"tag-{number}": "x" for number in range(45)})

    with pytest.raises(PromotionRefusedError) as error:
        resource_tags(full, "d" * 64, "arn:execution", "s3://stage/suite.json")

    assert "reviews-1 has 45 tags" in str(error.value)
    assert "would have 51, but SageMaker allows 50. Remove at least 1 of its tags." in str(error.value)


def described(request: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the description of the resource that `request` created."""
    return {key: value for key, value in copy.deepcopy(request).items() if key != "Tags"} | defaults


def test_a_created_resource_does_not_differ_from_its_request() -> None:
    model = model_request(model={"VpcConfig": VPC})
    config = config_request()

    assert differences(model, described(model, ModelArn="arn", CreationTime="now", EnableNetworkIsolation=False)) == []
    assert differences(config, described(config, EndpointConfigArn="arn", EnableNetworkIsolation=False)) == []


def test_defaults_of_sagemaker_are_not_differences() -> None:
    model, config = model_request(), config_request()

    model_as_described = described(model)
    model_as_described["PrimaryContainer"] |= {
        "Mode": "SingleModel",
        "ModelDataSource": {"S3DataSource": {"S3Uri": CONTAINER["ModelDataUrl"], "S3DataType": "S3Object"}},
    }
    config_as_described = described(config)
    config_as_described["ProductionVariants"][0]["InitialVariantWeight"] = 1.0

    assert differences(model, model_as_described) == []
    assert differences(config, config_as_described) == []


def test_another_name_is_not_a_difference() -> None:
    assert differences(model_request(), described(model_request(), ModelName="other")) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"ExecutionRoleArn": "other"}, "ExecutionRoleArn"),
        ({"ExecutionRoleArn": None}, "ExecutionRoleArn"),
        ({"VpcConfig": {**VPC, "Subnets": ["subnet-other"]}}, "VpcConfig.Subnets[0]"),
        ({"VpcConfig": {**VPC, "Subnets": ["subnet-qa", "subnet-2"]}}, "VpcConfig.Subnets"),
        ({"VpcConfig": None}, "VpcConfig"),
        ({"PrimaryContainer": {**CONTAINER, "Image": "other"}}, "PrimaryContainer.Image"),
        ({"PrimaryContainer": {**CONTAINER, "ModelDataUrl": "other"}}, "PrimaryContainer.ModelDataUrl"),
        ({"PrimaryContainer": {**CONTAINER, "Environment": {"THREADS": "3"}}}, "PrimaryContainer.Environment"),
        ({"PrimaryContainer": {**CONTAINER, "Environment": {"THREADS": "2", "X": ""}}}, "PrimaryContainer.Environment"),
        ({"PrimaryContainer": {"Image": "image", "ModelDataUrl": "x"}}, "PrimaryContainer.Environment"),
        ({"PrimaryContainer": None, "Containers": [CONTAINER]}, "PrimaryContainer"),
        ({"EnableNetworkIsolation": False}, "EnableNetworkIsolation"),
    ],
)
def test_a_difference_is_reported_with_its_path(changes: dict[str, Any], path: str) -> None:
    request = model_request(candidate=candidate(enable_network_isolation=True), model={"VpcConfig": VPC})

    assert path in differences(request, described(request) | changes)


def test_every_difference_is_reported() -> None:
    request = config_request()
    other = described(request)
    other["ProductionVariants"][0] |= {"ModelName": "other", "InitialInstanceCount": 2}

    assert differences(request, other) == [
        "ProductionVariants[0].ModelName",
        "ProductionVariants[0].InitialInstanceCount",
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"VpcConfig": VPC},
        {"EnableNetworkIsolation": True},
        {"PrimaryContainer": {"Image": "image", "Environment": {"X": "1"}}},
    ],
)
def test_an_additional_member_that_is_never_a_default_is_a_difference(more: dict[str, Any]) -> None:
    request = model_request(containers=[{"Image": "image"}])

    assert differences(request, described(request) | more)


def test_another_order_of_containers_is_a_difference() -> None:
    request = model_request(containers=[CONTAINER, {"Image": "second"}])

    swapped = described(request)
    swapped["Containers"].reverse()

    assert "Containers[0].Image" in differences(request, swapped)
