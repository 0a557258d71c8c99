"""The S3 URIs that a model of the account refers to."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.history import cleanup
from promotion.history.cleanup import Scope, _s3_uris
from promotion.history.references import References
from promotion.history.retention import Kept, Superseded
from promotion.history.table import PromotionTable
from tests.support.s3_faults import client_error, not_found

OWN, MARKETPLACE = "222222222222", "999999999999"


class SageMaker:
    """A SageMaker with a single model package."""

    def __init__(self, error: ClientError | None = None) -> None:
        self.error = error

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if self.error:
            raise self.error
        assert MARKETPLACE not in ModelPackageName
        return {"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://stage/of-package"}]}}


def test_every_s3_uri_in_a_model_is_found() -> None:
    containers = [
        {"ModelDataUrl": "s3://stage/a", "Environment": {"CODE": "s3://stage/b", "THREADS": "2"}},
        {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://stage/c/", "S3DataType": "S3Prefix"}}},
        {"AdditionalModelDataSources": [{"S3DataSource": {"S3Uri": "s3://stage/d"}}], "SomethingNew": ["s3://stage/e"]},
    ]

    found = _s3_uris(SageMaker(), OWN, {"Containers": containers})

    assert found == {f"s3://stage/{name}" for name in ("a", "b", "c/", "d", "e")}


@pytest.mark.parametrize("name", ["reviews", f"arn:aws:sagemaker:eu-west-1:{OWN}:model-package/reviews/3"])
def test_a_model_refers_to_the_artifacts_of_its_model_package(name: str) -> None:
    model = {"PrimaryContainer": {"ModelPackageName": name, "ModelDataUrl": "s3://stage/a"}}

    assert _s3_uris(SageMaker(), OWN, model) == {"s3://stage/a", "s3://stage/of-package"}
    assert _s3_uris(SageMaker(not_found("model package", "reviews")), OWN, model) == {"s3://stage/a"}
    with pytest.raises(ClientError, match="AccessDenied"):
        _s3_uris(SageMaker(client_error("AccessDeniedException")), OWN, model)


def test_a_product_of_aws_marketplace_has_no_artifacts_in_the_account() -> None:
    name = f"arn:aws:sagemaker:eu-west-1:{MARKETPLACE}:model-package/product"

    assert _s3_uris(SageMaker(), OWN, {"PrimaryContainer": {"ModelPackageName": name}}) == set()


SCOPE = Scope("reviews", "qa", "stage", OWN, "arn:executions:")
OLD, NEW = "reviews-qa-20260101-0000-00000001", "reviews-qa-20260102-0000-00000002"
DIGESTS = {OLD: "ab" * 32, NEW: "cd" * 32}


KINDS = {
    "list_models": "Model",
    "list_endpoint_configs": "EndpointConfig",
    "list_endpoints": "Endpoint",
    "list_inference_components": "InferenceComponent",
}


class Account:
    """SageMaker and S3 with a superseded and a live model, each with an endpoint config of the same name."""

    def __init__(self) -> None:
        self.endpoints = {"reviews-qa": NEW}
        self.configs = {OLD: OLD, NEW: NEW}
        self.models = {name: f"s3://stage/models/reviews/{digest}/0/model.tar.gz" for name, digest in DIGESTS.items()}
        self.components: dict[str, dict[str, Any]] = {}
        self.folders = set(DIGESTS.values())
        self.described: list[str] = []
        self.listed_since: list[Any] = []

    def get_paginator(self, operation: str) -> Any:
        self.listed = KINDS.get(operation, operation)
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        if self.listed == "list_tags":
            name = request["ResourceArn"]
            tags = {"execution": "arn:executions:first", "application": "reviews", "digest": DIGESTS.get(name, "")}
            return [{"Tags": [{"Key": f"model-promotion:{key}", "Value": value} for key, value in tags.items()]}]
        if self.listed == "list_objects_v2" and "Delimiter" in request:
            return [{"CommonPrefixes": [{"Prefix": f"models/reviews/{digest}/"} for digest in self.folders]}]
        if self.listed == "list_objects_v2":
            return [{"Contents": [{"Key": f"{request['Prefix']}0/model.tar.gz"}]}]
        if "NameContains" not in request:
            assert request["PaginationConfig"] == {"PageSize": 100}
            self.listed_since.append(request.get("CreationTimeAfter") or request.get("LastModifiedTimeAfter"))
        names: dict[str, dict[str, Any]] = {
            "Model": self.models,
            "EndpointConfig": self.configs,
            "Endpoint": self.endpoints,
            "InferenceComponent": self.components,
        }
        named = [name for name in names[self.listed] if request.get("NameContains", "") in name]
        return [{f"{self.listed}s": [{f"{self.listed}Name": name, f"{self.listed}Arn": name} for name in named]}]

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.described.append(EndpointName)
        if EndpointName not in self.endpoints:
            raise not_found("resource", EndpointName)
        return {"EndpointConfigName": self.endpoints[EndpointName]}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        self.described.append(EndpointConfigName)
        if EndpointConfigName not in self.configs:
            raise not_found("resource", EndpointConfigName)
        return {"ProductionVariants": [{"ModelName": self.configs[EndpointConfigName]}]}

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803
        self.described.append(ModelName)
        if ModelName not in self.models:
            raise not_found("resource", ModelName)
        return {"PrimaryContainer": {"ModelDataUrl": self.models[ModelName]}}

    def describe_inference_component(self, InferenceComponentName: str) -> dict[str, Any]:  # noqa: N803
        self.described.append(InferenceComponentName)
        if InferenceComponentName not in self.components:
            raise not_found("inference component", InferenceComponentName)
        return {"InferenceComponentStatus": "InService"} | self.components[InferenceComponentName]

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803
        del self.configs[EndpointConfigName]

    def delete_model(self, ModelName: str) -> None:  # noqa: N803
        del self.models[ModelName]

    def delete_objects(self, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.folders -= {each["Key"].split("/")[2] for each in Delete["Objects"]}
        return {}


KEEP = Kept(frozenset({NEW}), frozenset({DIGESTS[NEW]}), frozenset())


def removed_from(account: Account, table: PromotionTable) -> tuple[Superseded, int]:
    references = References(table, account, remember=True)
    return cleanup.remove(references, account, SCOPE, cleanup.survey(references, account, SCOPE, KEEP), KEEP)


def test_what_is_superseded_is_removed(table: PromotionTable) -> None:
    account = Account()

    removed, objects = removed_from(account, table)

    assert (removed, objects) == (Superseded([OLD], [OLD], [DIGESTS[OLD]]), 1)
    assert (set(account.configs), set(account.models), account.folders) == ({NEW}, {NEW}, {DIGESTS[NEW]})


@pytest.mark.parametrize("kind", ["endpoint", "config", "model"])
def test_what_someone_has_begun_to_use_since_the_survey_is_not_removed(kind: str, table: PromotionTable) -> None:
    account = Account()
    references = References(table, account, remember=True)
    survey = cleanup.survey(references, account, SCOPE, KEEP)
    match kind:
        case "endpoint":
            account.endpoints["by-hand"] = OLD
        case "config":
            account.configs["by-hand"] = OLD
        case _:
            account.models["by-hand"] = account.models[OLD]

    removed, _ = cleanup.remove(references, account, SCOPE, survey, KEEP)

    assert (OLD in account.configs) == (kind == "endpoint")
    assert (OLD in account.models) == (kind in ("endpoint", "config"))
    assert account.folders == set(DIGESTS.values())
    assert removed.digests == []


ADAPTER = f"s3://stage/models/reviews/{DIGESTS[OLD]}/0/adapter.tar.gz"


@pytest.mark.parametrize(
    ("component", "keeps_model"),
    [
        ({"Specification": {"ModelName": OLD}}, True),
        ({"Specifications": [{"ModelName": "other"}, {"ModelName": OLD}]}, True),
        ({"Specification": {"ModelName": "other"}, "InferenceComponentStatus": "Updating"}, True),
        ({"Specification": {"BaseInferenceComponentName": "b", "Container": {"ArtifactUrl": ADAPTER}}}, False),
        ({"Specification": {"Container": {"Environment": {"CODE": ADAPTER}}}}, False),
    ],
)
def test_what_an_inference_component_uses_is_not_removed(
    component: dict[str, Any], keeps_model: bool, table: PromotionTable
) -> None:
    account = Account()
    account.components["by-hand"] = component

    removed, objects = removed_from(account, table)

    assert OLD not in account.configs
    assert (OLD in account.models) == keeps_model
    assert (account.folders, removed.digests, objects) == (set(DIGESTS.values()), [], 0)

    del account.components["by-hand"]
    assert removed_from(account, table)[0].digests == [DIGESTS[OLD]]
    assert OLD not in account.models


def test_an_inference_component_that_is_used_since_the_survey_keeps_its_model(table: PromotionTable) -> None:
    account = Account()
    references = References(table, account, remember=True)
    survey = cleanup.survey(references, account, SCOPE, KEEP)
    account.components["by-hand"] = {"Specification": {"ModelName": OLD}}

    cleanup.remove(references, account, SCOPE, survey, KEEP)

    assert OLD in account.models
    assert account.folders == set(DIGESTS.values())


def test_each_resource_is_described_once_and_then_remembered(table: PromotionTable) -> None:
    account = Account()
    # Of others; none of them refers to a superseded resource.
    for number in range(20):
        account.configs[f"other-{number}"], account.models[f"other-{number}"] = f"other-{number}", "s3://other/model"
        account.endpoints[f"other-{number}"] = f"other-{number}"
    removed_from(account, table)
    assert account.described.count("other-7") == 3
    assert account.listed_since[:4] == [None] * 4
    assert all(account.listed_since[4:])

    # The same again, by the promotion of another application.
    account.configs[OLD], account.models[OLD] = OLD, f"s3://stage/models/reviews/{DIGESTS[OLD]}/0/model.tar.gz"
    account.folders.add(DIGESTS[OLD])
    account.described.clear()
    removed, _ = removed_from(account, table)

    assert removed == Superseded([OLD], [OLD], [DIGESTS[OLD]])
    assert "other-7" not in account.described


def test_what_a_deleted_resource_referred_to_is_removed(table: PromotionTable) -> None:
    account = Account()
    account.endpoints["by-hand"] = OLD
    assert removed_from(account, table)[0] == Superseded([], [], [])

    del account.endpoints["by-hand"]

    assert removed_from(account, table)[0] == Superseded([OLD], [OLD], [DIGESTS[OLD]])


def test_a_preview_remembers_nothing(table: PromotionTable) -> None:
    references = References(table, Account(), remember=False)

    survey = cleanup.survey(references, Account(), SCOPE, KEEP)

    assert survey.models_of_configs == {OLD: {OLD}, NEW: {NEW}}
    assert list(table.query("reference")) == []


def test_a_survey_that_was_interrupted_continues_where_it_ended(table: PromotionTable) -> None:
    account = Account()
    account.configs |= {f"other-{number}": "other" for number in range(5)}
    describe = account.describe_model

    def throttled(ModelName: str) -> dict[str, Any]:  # noqa: N803
        raise client_error("ThrottlingException", "Rate exceeded", "DescribeModel")

    account.describe_model = throttled  # type: ignore[method-assign]
    with pytest.raises(ClientError):
        removed_from(account, table)
    account.describe_model = describe  # type: ignore[method-assign]
    account.described.clear()

    assert removed_from(account, table)[0] == Superseded([OLD], [OLD], [DIGESTS[OLD]])
    assert "other-3" not in account.described
