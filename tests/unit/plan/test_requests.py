"""The requests that create a model and an endpoint config of a candidate."""

import dataclasses
from typing import Any

import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.plan.requests import Origin, Requests, build, containers_of_stage
from promotion.source.candidate import Candidate
from promotion.source.images import Image
from promotion.stage import Stage
from tests.support.containers import s3_source

STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")
ROLE = "arn:aws:iam::222222222222:role/sagemaker"
REGISTRY = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{1:064}"
CONTAINER = {"Image": f"{REGISTRY}/reviews@{DIGEST}", "ModelDataUrl": "s3://stage/models/reviews/d/model.tar.gz"}
SETTINGS: dict[str, Any] = {
    "EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}
}
CANDIDATE = Candidate(
    "reviews",
    {"kind": "model", "name": "reviews-1", "arn": "arn:aws:sagemaker:eu-west-1:111111111111:model/reviews-1"},
    "2026-01-02T03:04:05Z",
    containers=[CONTAINER],
    tags={"team": "search"},
)
ORIGIN = Origin("d" * 64, "arn:execution", "s3://stage/suite.json")


def built(
    candidate: Candidate = CANDIDATE,
    origin: Origin = ORIGIN,
    settings: dict[str, Any] = SETTINGS,
    *,
    require_isolation: bool = False,
) -> Requests:
    return build(candidate, [CONTAINER], settings, STAGE, ROLE, origin, require_isolation)


def in_stage(settings: dict[str, Any], repository: str | None = None, **changes: Any) -> Any:
    def image_digest(image: Image) -> str:
        return image.digest or f"sha256:{image.tag:0>64}"

    return containers_of_stage([CONTAINER | changes], SETTINGS | settings, STAGE, repository, image_digest)


def tags_of(request: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


def test_the_endpoint_config_refers_to_the_model_and_only_the_model_has_a_tag_for_the_smoke_test() -> None:
    requests = built()

    [variant] = requests.endpoint_config["ProductionVariants"]
    assert variant["ModelName"] == requests.model["ModelName"]
    of_model, of_config = tags_of(requests.model), tags_of(requests.endpoint_config)
    assert of_model == of_config | {"model-promotion:smoke-test": "s3://stage/suite.json"}
    assert of_config["team"] == "search"
    assert of_config["model-promotion:execution"] == "arn:execution"


def test_without_a_smoke_test_there_is_no_tag_for_it() -> None:
    requests = built(origin=dataclasses.replace(ORIGIN, smoke_test_uri="skip"))

    assert tags_of(requests.model) == tags_of(requests.endpoint_config)


def test_a_model_has_at_most_50_tags() -> None:
    # With six tags of the promotion, the model has 50.
    fits = dataclasses.replace(CANDIDATE, tags={f"tag-{number}": "" for number in range(44)})
    full = dataclasses.replace(CANDIDATE, tags={f"tag-{number}": "" for number in range(45)})

    assert len(tags_of(built(fits).model)) == 50
    with pytest.raises(PromotionRefusedError, match="would have 51, but SageMaker allows 50"):
        built(full)


def test_an_invalid_default_of_the_stack_is_refused_with_the_remedy() -> None:
    wrong = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "m5.large", "InitialInstanceCount": 1}]}}

    with pytest.raises(InvalidRequestError, match=r"InstanceType is 'm5.large', which AWS does not know.* Deploy"):
        built(settings=wrong)


def test_a_source_in_a_vpc_requires_a_vpc_in_the_settings() -> None:
    with pytest.raises(PromotionRefusedError, match=r"Set Model\.VpcConfig"):
        built(dataclasses.replace(CANDIDATE, in_vpc=True))


def test_images_are_not_copied_without_a_repository() -> None:
    assert in_stage({}) == ([CONTAINER], [])


def test_the_image_of_the_settings_is_pinned_and_copied() -> None:
    containers, copies = in_stage({"Model": {"PrimaryContainer": {"Image": f"{REGISTRY}/other:7"}}}, "copies")

    [copy] = copies
    assert copy.source == f"{REGISTRY}/other@sha256:{7:064}"
    assert copy.target == f"222222222222.dkr.ecr.eu-west-1.amazonaws.com/copies@sha256:{7:064}"
    assert containers == [CONTAINER | {"Image": copy.target}]


def test_a_serverless_endpoint_cannot_use_an_image_of_another_account() -> None:
    serverless = [{"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]

    with pytest.raises(PromotionRefusedError, match="only images in its own account"):
        in_stage({"EndpointConfig": {"ProductionVariants": serverless}})


def test_a_stage_can_require_network_isolation_from_the_source_or_the_settings() -> None:
    of_source = dataclasses.replace(CANDIDATE, enable_network_isolation=True)
    of_settings = SETTINGS | {"Model": {"EnableNetworkIsolation": True}}

    assert built(of_source, require_isolation=True).model["EnableNetworkIsolation"]
    assert built(settings=of_settings, require_isolation=True).model["EnableNetworkIsolation"]
    with pytest.raises(PromotionRefusedError, match="reviews-1 has no network isolation, which this stage requires"):
        built(require_isolation=True)


GATED: dict[str, Any] = {
    "AdditionalModelDataSources": [
        {"ChannelName": "base", **s3_source(ModelAccessConfig={"AcceptEula": accepted})} for accepted in (False, True)
    ]
}


def test_the_license_of_a_gated_model_is_accepted_for_each_stage() -> None:
    with pytest.raises(PromotionRefusedError) as refused:
        in_stage({"AcceptEula": False}, **GATED)
    containers, _ = in_stage({"AcceptEula": True}, **GATED)

    assert "its license was accepted for Containers[0].AdditionalModelDataSources[1]" in str(refused.value)
    assert "set AcceptEula to true in the settings" in str(refused.value)
    assert containers[0]["AdditionalModelDataSources"] == GATED["AdditionalModelDataSources"]


def test_a_component_has_a_model_and_a_config_of_one_name_that_follows_from_all_it_runs() -> None:
    component = {"ComputeResourceRequirements": {"MinMemoryRequiredInMb": 128}, "CopyCount": 1}
    settings = SETTINGS | {"InferenceComponent": component, "Model": {"VpcConfig": VPC, "EnableNetworkIsolation": True}}
    more = settings | {"InferenceComponent": component | {"CopyCount": 2}}
    larger = settings | {
        "EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}]}
    }

    requests = built(settings=settings)

    name = requests.model["ModelName"]
    assert requests.endpoint_config["EndpointConfigName"] == name
    assert len({name, built(settings=more).model["ModelName"], built(settings=larger).model["ModelName"]}) == 3
    assert requests.endpoint_config["ExecutionRoleArn"] == ROLE
    assert (requests.endpoint_config["VpcConfig"], requests.endpoint_config["EnableNetworkIsolation"]) == (VPC, True)
    [variant] = requests.endpoint_config["ProductionVariants"]
    assert variant == {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    assert tags_of(requests.model) == tags_of(requests.endpoint_config) | {
        "model-promotion:smoke-test": "s3://stage/suite.json"
    }


VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
