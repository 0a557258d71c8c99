import copy
import dataclasses
from typing import Any

import pytest

from promotion.endpoint.model import differences, own_tags, stage_containers, tag_list
from promotion.errors import PromotionRefusedError
from promotion.source.candidate import Candidate
from tests.support.sagemaker_requests import (
    CANDIDATE,
    CONTAINER,
    ROLE,
    VPC,
    config_request,
    lock_held_by,
    model_request,
)


def candidate(**changes: Any) -> Candidate:
    return dataclasses.replace(CANDIDATE, **changes)


def test_a_model_is_made_with_this_stages_role_and_the_candidates_container() -> None:
    request = model_request()

    name = request.pop("ModelName")
    assert name.startswith("reviews-qa-20260102-0304-")
    assert request == {
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": CONTAINER,
        "Tags": [{"Key": "team", "Value": "search"}],
    }


def test_a_pipeline_keeps_its_containers_in_their_order_and_its_mode() -> None:
    containers = [CONTAINER, {"Image": "second"}]

    request = model_request(candidate=candidate(inference_execution_config={"Mode": "Direct"}), containers=containers)

    assert request["Containers"] == containers
    assert request["InferenceExecutionConfig"] == {"Mode": "Direct"}
    assert "PrimaryContainer" not in request
    assert lock_held_by("CreateModel", request)


def test_a_mode_is_not_dropped_even_of_a_single_container() -> None:
    request = model_request(candidate=candidate(inference_execution_config={"Mode": "Serial"}))

    assert request["InferenceExecutionConfig"] == {"Mode": "Serial"}
    assert request["Containers"] == [CONTAINER]


@pytest.mark.parametrize(
    ("candidates", "settings", "isolated"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_network_isolation_is_never_lowered(candidates: bool, settings: bool, isolated: bool) -> None:
    request = model_request(
        candidate=candidate(enable_network_isolation=candidates), model={"EnableNetworkIsolation": settings}
    )

    assert request.get("EnableNetworkIsolation", False) is isolated


def test_a_source_in_a_vpc_is_refused_by_a_stage_without_one() -> None:
    with pytest.raises(PromotionRefusedError) as error:
        model_request(candidate=candidate(in_vpc=True))

    assert str(error.value) == (
        "reviews-1 is in a VPC and this stage has no VPC for reviews. Set Model.VpcConfig in the application's "
        "settings."
    )


@pytest.mark.parametrize("in_vpc", [True, False])
def test_the_vpc_is_this_stages_own(in_vpc: bool) -> None:
    request = model_request(candidate=candidate(in_vpc=in_vpc), model={"VpcConfig": VPC})

    assert request["VpcConfig"] == VPC


def test_a_request_for_a_model_is_one_that_sagemaker_takes() -> None:
    isolated = candidate(enable_network_isolation=True)

    assert lock_held_by("CreateModel", model_request(candidate=isolated, model={"VpcConfig": VPC}))


def test_the_same_candidate_and_settings_have_a_model_of_the_same_name() -> None:
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
def test_another_model_has_another_name(changes: dict[str, Any]) -> None:
    assert model_request(**changes)["ModelName"] != model_request()["ModelName"]


def test_two_models_trained_within_a_minute_are_two_models() -> None:
    first = model_request(containers=[{**CONTAINER, "ModelDataUrl": "s3://stage/models/first/m.tar.gz"}])
    second = model_request(containers=[{**CONTAINER, "ModelDataUrl": "s3://stage/models/second/m.tar.gz"}])

    assert first["ModelName"] != second["ModelName"]


def test_tags_do_not_change_a_name() -> None:
    assert model_request(tags={})["ModelName"] == model_request()["ModelName"]


def test_the_environment_of_the_settings_goes_over_the_containers() -> None:
    settings = {"PrimaryContainer": {"Environment": {"THREADS": "8", "LOG": "debug"}}}
    containers = [copy.deepcopy(CONTAINER)]

    staged = stage_containers(containers, settings)

    assert staged == [{**CONTAINER, "Environment": {"THREADS": "8", "LOG": "debug"}}]
    assert containers == [CONTAINER]


def test_the_environment_of_the_settings_is_given_to_a_container_that_has_none() -> None:
    staged = stage_containers([{"Image": "image"}], {"PrimaryContainer": {"Environment": {"LOG": "debug"}}})

    assert staged == [{"Image": "image", "Environment": {"LOG": "debug"}}]


def test_the_image_of_the_settings_goes_over_that_of_the_model() -> None:
    staged = stage_containers([CONTAINER], {"PrimaryContainer": {"Image": "of-the-settings"}})

    assert staged == [{**CONTAINER, "Image": "of-the-settings"}]


@pytest.mark.parametrize("settings", [{}, {"VpcConfig": VPC}])
def test_without_a_container_in_the_settings_containers_stay_as_they_are(settings: dict[str, Any]) -> None:
    assert stage_containers([CONTAINER, CONTAINER], settings) == [CONTAINER, CONTAINER]


def test_an_environment_in_the_settings_is_refused_for_a_pipeline() -> None:
    with pytest.raises(PromotionRefusedError, match=r"a pipeline of 2 containers. Take it out of the settings"):
        stage_containers([CONTAINER, CONTAINER], {"PrimaryContainer": {"Environment": {"LOG": "debug"}}})


def test_a_resource_has_its_owners_tags_and_says_where_it_is_from() -> None:
    tags = own_tags(CANDIDATE, "d" * 64, "arn:execution", "s3://stage/suite.json")

    assert tags == {
        "team": "search",
        "model-promotion:application": "reviews",
        "model-promotion:created-at": "2026-01-02T03:04:05.678Z",
        "model-promotion:digest": "d" * 64,
        "model-promotion:execution": "arn:execution",
        "model-promotion:smoke-test": "s3://stage/suite.json",
        "model-promotion:source": "arn:aws:sagemaker:eu-west-1:1:training-job/reviews-1",
    }


def test_a_model_says_where_the_metrics_are_that_travel_with_it() -> None:
    tags = own_tags(CANDIDATE, "d" * 64, "arn:execution", None, "s3://stage/metrics.json")

    assert tags["model-promotion:metrics"] == "s3://stage/metrics.json"
    assert "model-promotion:metrics" not in own_tags(CANDIDATE, "d" * 64, "arn:execution", None)


def test_a_resource_without_a_smoke_test_has_no_tag_for_it() -> None:
    assert "model-promotion:smoke-test" not in own_tags(CANDIDATE, "d" * 64, "arn:execution", None)


def test_tags_are_listed_as_aws_lists_them() -> None:
    assert tag_list({"b": "2", "a": "1"}) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]


def test_a_source_may_have_as_many_tags_as_leave_room_for_those_of_the_promotion() -> None:
    full = candidate(tags={f"tag-{number}": "x" for number in range(44)})

    assert len(own_tags(full, "d" * 64, "arn:execution", "s3://stage/suite.json")) == 50


def test_a_source_with_too_many_tags_is_refused_with_their_number() -> None:
    full = candidate(tags={f"tag-{number}": "x" for number in range(45)})

    with pytest.raises(PromotionRefusedError) as error:
        own_tags(full, "d" * 64, "arn:execution", "s3://stage/suite.json")

    assert "reviews-1 has 45 tags; with those of the promotion it would have 51, and SageMaker allows 50" in str(
        error.value
    )


def described(request: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """What SageMaker describes of what `request` made."""
    return {key: value for key, value in copy.deepcopy(request).items() if key != "Tags"} | defaults


def test_what_was_made_of_a_request_differs_in_nothing() -> None:
    model = model_request(model={"VpcConfig": VPC})
    config = config_request()

    assert differences(model, described(model, ModelArn="arn", CreationTime="now", EnableNetworkIsolation=False)) == []
    assert differences(config, described(config, EndpointConfigArn="arn", EnableNetworkIsolation=False)) == []


def test_what_sagemaker_adds_by_itself_is_no_difference() -> None:
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


def test_another_name_is_no_difference() -> None:
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
def test_a_difference_is_told_by_its_path(changes: dict[str, Any], path: str) -> None:
    request = model_request(candidate=candidate(enable_network_isolation=True), model={"VpcConfig": VPC})

    assert path in differences(request, described(request) | changes)


def test_every_difference_is_told() -> None:
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
def test_what_was_not_asked_for_and_changes_a_model_is_a_difference(more: dict[str, Any]) -> None:
    request = model_request(containers=[{"Image": "image"}])

    assert differences(request, described(request) | more)


def test_containers_in_another_order_are_a_difference() -> None:
    request = model_request(containers=[CONTAINER, {"Image": "second"}])

    swapped = described(request)
    swapped["Containers"].reverse()

    assert "Containers[0].Image" in differences(request, swapped)
