"""The S3 URIs that a model of the account refers to."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.history import cleanup
from promotion.history.cleanup import Scope, _s3_uris
from promotion.history.retention import Kept, Superseded
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


class Account:
    """SageMaker and S3 with a superseded and a live model, each with an endpoint config of the same name."""

    def __init__(self) -> None:
        self.endpoints = {"reviews-qa": NEW}
        self.configs = {OLD: OLD, NEW: NEW}
        self.models = {name: f"s3://stage/models/reviews/{digest}/0/model.tar.gz" for name, digest in DIGESTS.items()}
        self.folders = set(DIGESTS.values())

    def get_paginator(self, operation: str) -> Any:
        kind = {"list_models": "Model", "list_endpoint_configs": "EndpointConfig", "list_endpoints": "Endpoint"}
        self.listed = kind.get(operation, operation)
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
        names = {"Model": self.models, "EndpointConfig": self.configs, "Endpoint": self.endpoints}[self.listed]
        named = [name for name in names if request.get("NameContains", "") in name]
        return [{f"{self.listed}s": [{f"{self.listed}Name": name, f"{self.listed}Arn": name} for name in named]}]

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"EndpointConfigName": self.endpoints[EndpointName]}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        return {"ProductionVariants": [{"ModelName": self.configs[EndpointConfigName]}]}

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803
        return {"PrimaryContainer": {"ModelDataUrl": self.models[ModelName]}}

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803
        del self.configs[EndpointConfigName]

    def delete_model(self, ModelName: str) -> None:  # noqa: N803
        del self.models[ModelName]

    def delete_objects(self, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.folders -= {each["Key"].split("/")[2] for each in Delete["Objects"]}
        return {}


KEEP = Kept(frozenset({NEW}), frozenset({DIGESTS[NEW]}), frozenset())


def test_what_is_superseded_is_removed() -> None:
    account = Account()

    removed, objects = cleanup.remove(account, account, SCOPE, cleanup.survey(account, account, SCOPE, KEEP), KEEP)

    assert (removed, objects) == (Superseded([OLD], [OLD], [DIGESTS[OLD]]), 1)
    assert (set(account.configs), set(account.models), account.folders) == ({NEW}, {NEW}, {DIGESTS[NEW]})


@pytest.mark.parametrize("kind", ["endpoint", "config", "model"])
def test_what_someone_has_begun_to_use_since_the_survey_is_not_removed(kind: str) -> None:
    account = Account()
    survey = cleanup.survey(account, account, SCOPE, KEEP)
    match kind:
        case "endpoint":
            account.endpoints["by-hand"] = OLD
        case "config":
            account.configs["by-hand"] = OLD
        case _:
            account.models["by-hand"] = account.models[OLD]

    removed, _ = cleanup.remove(account, account, SCOPE, survey, KEEP)

    assert (OLD in account.configs) == (kind == "endpoint")
    assert (OLD in account.models) == (kind in ("endpoint", "config"))
    assert account.folders == set(DIGESTS.values())
    assert removed.digests == []
