import datetime
from typing import Any

import botocore.session
import pytest

from promotion.errors import PromotionRefusedError
from promotion.source import model_package
from promotion.source.candidate import (
    Candidate,
    from_model,
    from_model_package,
    package_not_for_promotion,
    package_without_application,
)
from promotion.source.model_package import group_arn, names
from tests.support.containers import s3_source

UPSTREAM = "111111111111"
ARN = f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model-package/reviews/3"
IMAGE = f"{UPSTREAM}.dkr.ecr.eu-west-1.amazonaws.com/team/reviews:1.0"
DIGEST = "sha256:" + "0f" * 32
ARTIFACT = "s3://artifacts/reviews/model.tar.gz"
ETAG = "d41d8cd98f00b204e9800998ecf8427e"
TAGS = {"model-promotion:application": "reviews", "team": "search"}
CREATED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def offered(**changes: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "ModelDataUrl": ARTIFACT, **changes}


def package(*containers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Build a response of DescribeModelPackage, without the members changed to None."""
    description = {
        "ModelPackageGroupName": "reviews",
        "ModelPackageVersion": 3,
        "ModelPackageArn": ARN,
        "CreationTime": CREATED,
        "InferenceSpecification": {
            "Containers": list(containers) or [offered()],
            "SupportedContentTypes": ["text/csv"],
        },
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": "Approved",
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    return {key: value for key, value in (description | changes).items() if value is not None}


def carried(description: dict[str, Any]) -> Candidate:
    return from_model_package(description, TAGS, None)


def model_of(container: dict[str, Any], description: dict[str, Any]) -> Candidate:
    """Return the candidate of a model whose only container uses a package."""
    model = {
        "ModelName": "reviews",
        "ModelArn": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model/reviews",
        "PrimaryContainer": {"ModelPackageName": ARN, **container},
        "CreationTime": CREATED,
    }
    return from_model(model, TAGS, None, {ARN: description})


def refusal(description: dict[str, Any]) -> str:
    with pytest.raises(PromotionRefusedError) as error:
        carried(description)
    return str(error.value)


def test_a_model_package_is_a_candidate() -> None:
    assert carried(package()) == Candidate(
        application="reviews",
        source={"kind": "model_package", "name": ARN, "arn": ARN},
        created_at="2026-01-02T03:04:05.000Z",
        containers=[offered()],
        tags={"team": "search"},
    )


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        (IMAGE, f"{UPSTREAM}.dkr.ecr.eu-west-1.amazonaws.com/team/reviews@{DIGEST}"),
        ("registry:5000/reviews", f"registry:5000/reviews@{DIGEST}"),
        ("registry:5000/reviews:1", f"registry:5000/reviews@{DIGEST}"),
        (f"registry/reviews@sha256:{'0' * 64}", f"registry/reviews@{DIGEST}"),
        ("reviews:1", f"reviews@{DIGEST}"),
    ],
)
def test_the_image_has_the_registered_digest(image: str, pinned: str) -> None:
    found = carried(package(offered(Image=image, ImageDigest=DIGEST.upper().replace("SHA", "sha"))))

    assert found.containers == [offered(Image=pinned)]


def test_all_containers_are_copied_in_order_with_environment_and_host_name() -> None:
    containers = [
        offered(ContainerHostname="first", Environment={"THREADS": "2"}),
        {"Image": "second", "AdditionalModelDataSources": [{"ChannelName": "a", **s3_source()}]},
        {"Image": "third", "ModelDataSource": s3_source()},
    ]

    assert carried(package(*containers)).containers == containers


def test_fields_that_do_not_affect_inference_are_ignored() -> None:
    described = offered(
        Framework="PYTORCH", FrameworkVersion="2.6", NearestModelName="x", ModelInput={"DataInputConfig": "{}"}
    )
    more = {"ModelMetrics": {"ModelQuality": {}}, "Domain": "NLP", "ModelCard": {"ModelCardStatus": "Draft"}}

    assert carried(package(described, **more)).containers == [offered()]


@pytest.mark.parametrize(
    ("described", "etags"),
    [
        (offered(ModelDataETag=ETAG), {"0/ModelDataUrl": ETAG}),
        (offered(ModelDataETag=f'"{ETAG}-12"'), {"0/ModelDataUrl": f"{ETAG}-12"}),
        (offered(ModelDataETag="something else"), {}),
        (
            {"Image": IMAGE, "ModelDataSource": s3_source(S3DataType="S3Object", ETag=ETAG)},
            {"0/ModelDataSource/S3DataSource/S3Uri": ETAG},
        ),
        ({"Image": IMAGE, "ModelDataSource": s3_source(ETag=ETAG)}, {}),
    ],
)
def test_an_artifact_that_is_one_object_must_have_the_registered_etag(
    described: dict[str, Any], etags: dict[str, str]
) -> None:
    assert carried(package(described)).etags == etags


@pytest.mark.parametrize(
    ("described", "why", "field"),
    [
        (package(offered(ProductId="prod-1")), "an AWS Marketplace product", "ProductId"),
        (package(offered(BaseModel={"HubContentName": "llama"})), "was fine-tuned from a model of a hub", "BaseModel"),
        (package(offered(IsCheckpoint=True)), "a checkpoint of a training", "IsCheckpoint"),
        (
            package(offered(AdditionalS3DataSource={"S3DataType": "S3Object", "S3Uri": "s3://a/b"})),
            "a model cannot have this kind of additional data",
            "AdditionalS3DataSource",
        ),
        (package(ManagedStorageType="Restricted"), "restricted storage of SageMaker", "ManagedStorageType"),
        (
            package(SourceAlgorithmSpecification={"SourceAlgorithms": [{"AlgorithmName": "a"}]}),
            "based on an algorithm resource",
            "SourceAlgorithmSpecification",
        ),
        (
            package(offered(ModelDataUrl=None, ModelDataSource=s3_source(HubAccessConfig={"HubContentArn": "a"}))),
            "it refers to a model of JumpStart through a private hub",
            "HubAccessConfig",
        ),
    ],
)
def test_a_field_that_cannot_be_copied_is_refused_with_the_reason(
    described: dict[str, Any], why: str, field: str
) -> None:
    message = refusal(described)

    assert message.startswith(f"The model package {ARN} cannot be promoted because of its field {field}: ")
    assert why in message


@pytest.mark.parametrize(
    "unknown",
    [
        package(QuantumConfig="x"),
        package(offered(QuantumConfig="x")),
        package(InferenceSpecification={"Containers": [offered()], "QuantumConfig": "x"}),
    ],
)
def test_an_unknown_field_stops_the_promotion_with_its_name(unknown: dict[str, Any]) -> None:
    assert f"The model package {ARN} has the field QuantumConfig" in refusal(unknown)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (
            package(ModelApprovalStatus="Rejected"),
            "has the approval status Rejected. Approve the model package in its account first",
        ),
        (
            package(ModelApprovalStatus="PendingManualApproval"),
            "has the approval status PendingManualApproval. Approve",
        ),
        (package(ModelPackageStatus="Failed"), "is Failed. Only a Completed model package can be promoted"),
        (package(ModelPackageStatus="InProgress"), "is InProgress. Only a Completed model package"),
        (package(InferenceSpecification=None), "has no inference specification, which defines its containers"),
    ],
)
def test_a_package_that_is_not_ready_is_refused_with_its_status(described: dict[str, Any], words: str) -> None:
    assert f"The model package {ARN} " in refusal(described)
    assert words in refusal(described)


def test_a_package_in_storage_that_is_not_restricted_is_copied() -> None:
    assert carried(package(ManagedStorageType="Open")).containers == [offered()]


def test_a_package_without_a_group_needs_no_approval() -> None:
    alone = package(ModelApprovalStatus=None, ModelPackageGroupName=None, ModelPackageName="reviews")

    assert carried(alone).containers == [offered()]
    assert group_arn(alone) is None


def test_a_package_has_the_tags_of_its_group() -> None:
    assert group_arn(package()) == f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model-package-group/reviews"


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval", None])
def test_an_event_of_a_package_that_is_no_longer_approved_starts_nothing(status: str | None) -> None:
    why_not = package_not_for_promotion(package(ModelApprovalStatus=status), None, by_life_cycle=False)

    assert why_not is not None
    assert "not Approved" in why_not


def test_an_event_of_a_package_without_an_application_starts_nothing() -> None:
    why_not = package_without_application(package(), {"team": "search"})

    assert why_not == f"Neither the model package {ARN} nor its group has the tag model-promotion:application."
    assert package_without_application(package(), TAGS) is None
    assert package_not_for_promotion(package(), None, by_life_cycle=False) is None


@pytest.mark.parametrize("status", ["InProgress", "Pending"])
def test_an_event_of_a_package_in_progress_waits_for_its_completion(status: str) -> None:
    why_not = package_not_for_promotion(package(ModelPackageStatus=status), None, by_life_cycle=False)

    assert why_not == f"The model package {ARN} is {status}. The event of its completion starts the promotion."


def test_a_change_of_the_life_cycle_promotes_only_as_the_settings_require() -> None:
    staging = {"Stage": "Staging", "StageStatus": "Approved"}
    pending = package(ModelApprovalStatus="PendingManualApproval", ModelLifeCycle=staging)
    other = package(ModelLifeCycle=staging | {"StageStatus": "Waiting"})

    assert package_not_for_promotion(pending, staging, by_life_cycle=True) is None
    assert from_model_package(pending, TAGS, None, staging).application == "reviews"
    why_not = package_not_for_promotion(other, staging, by_life_cycle=True)
    assert why_not is not None
    assert "the life cycle stage Staging and the status Waiting, not Staging and Approved" in why_not
    unused = package_not_for_promotion(other, None, by_life_cycle=True)
    assert unused is not None
    assert "which the settings do not use (Sources.ModelLifeCycle)" in unused


def test_a_model_of_a_package_overrides_the_packages_containers() -> None:
    described = package(offered(Environment={"THREADS": "2", "LABEL": "a"}, ImageDigest=DIGEST, ModelDataETag=ETAG))
    own = {"Environment": {"THREADS": "8"}, "ContainerHostname": "predictor", "Mode": "SingleModel"}

    found = model_of(own, described)

    assert found.containers == [
        {
            "Image": f"{UPSTREAM}.dkr.ecr.eu-west-1.amazonaws.com/team/reviews@{DIGEST}",
            "ModelDataUrl": ARTIFACT,
            "Environment": {"THREADS": "8", "LABEL": "a"},
            "ContainerHostname": "predictor",
        }
    ]
    assert found.etags == {"0/ModelDataUrl": ETAG}


def test_package_values_in_a_models_description_come_from_the_package() -> None:
    repeated = {"Image": "by-tag", "ModelDataUrl": "s3://elsewhere/x", "ModelDataSource": s3_source()}

    assert model_of(repeated, package(offered(), {"Image": "second"})).containers == [offered(), {"Image": "second"}]


def test_a_model_can_use_an_additional_specification_of_the_package() -> None:
    further = [{"Name": "small", "Containers": [{"Image": "small"}]}, {"Name": "big", "Containers": [{"Image": "big"}]}]
    described = package(AdditionalInferenceSpecifications=further)

    assert model_of({"InferenceSpecificationName": "big"}, described).containers == [{"Image": "big"}]
    with pytest.raises(PromotionRefusedError, match="has no inference specification with the name other"):
        model_of({"InferenceSpecificationName": "other"}, described)


def test_a_change_to_a_package_of_several_containers_is_refused_as_ambiguous() -> None:
    with pytest.raises(
        PromotionRefusedError, match="The model reviews sets Environment for a model package with 2 containers"
    ):
        model_of({"Environment": {"A": "b"}}, package(offered(), offered()))


def test_a_model_of_a_rejected_package_is_refused() -> None:
    with pytest.raises(PromotionRefusedError, match="has the approval status Rejected"):
        model_of({}, package(ModelApprovalStatus="Rejected"))


def test_a_model_of_a_package_in_another_account_is_refused() -> None:
    of_the_marketplace = "arn:aws:sagemaker:eu-west-1:985815980388:model-package/product-1"

    with pytest.raises(PromotionRefusedError, match=r"in account 985815980388.*not an AWS Marketplace product"):
        names([{"ModelPackageName": of_the_marketplace}], "The model m", UPSTREAM)
    assert names([offered(), {"ModelPackageName": ARN}, {"ModelPackageName": "own"}], "m", UPSTREAM) == [ARN, "own"]


SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")
OF_SPECIFICATION = model_package.USED_IN_SPECIFICATION | model_package.IGNORED_IN_SPECIFICATION
GROUPS = {
    "DescribeModelPackageOutput": [
        model_package.USED_IN_PACKAGE,
        model_package.IGNORED_IN_PACKAGE - {"ResponseMetadata"},
        set(model_package.REFUSED_IN_PACKAGE),
    ],
    "AdditionalInferenceSpecificationDefinition": [OF_SPECIFICATION],
    "ModelPackageContainerDefinition": [
        model_package.CARRIED_FROM_PACKAGE_CONTAINER,
        model_package.REPLACED_IN_PACKAGE_CONTAINER,
        model_package.IGNORED_IN_PACKAGE_CONTAINER,
        set(model_package.REFUSED_IN_PACKAGE_CONTAINER),
    ],
}


@pytest.mark.parametrize("shape", GROUPS)
def test_every_field_of_the_aws_api_is_handled_exactly_once(shape: str) -> None:
    handled = [field for group in GROUPS[shape] for field in group]

    assert sorted(handled) == sorted(SAGEMAKER.shape_for(shape).members)


def test_every_field_of_an_inference_specification_is_handled() -> None:
    assert set(SAGEMAKER.shape_for("InferenceSpecification").members) <= OF_SPECIFICATION
