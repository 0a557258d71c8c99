import copy
from typing import Any

import botocore.session
import pytest

from promotion.source import containers
from promotion.source.candidate import from_model
from tests.support.containers import ARTIFACT, IMAGE, container, s3_source
from tests.support.descriptions import TAGS, model, model_refusal


def test_every_supported_field_of_a_container_is_copied() -> None:
    full = {
        "AdditionalModelDataSources": [{"ChannelName": "adapter", **s3_source()}],
        "ContainerHostname": "predictor",
        "ContainerMetricsConfig": {"MetricsEndpoints": [{"MetricsEndpointPath": "/metrics"}]},
        "Environment": {"THREADS": "2"},
        "Image": IMAGE,
        "ImageConfig": {"RepositoryAccessMode": "Platform"},
        "Mode": "MultiModel",
        "ModelDataUrl": "s3://artifacts/models/",
        "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
    }

    assert from_model(model(PrimaryContainer=full), TAGS, None).containers == [full]


def test_empty_fields_are_omitted() -> None:
    empty = container(Environment={}, ImageConfig={}, AdditionalModelDataSources=[], ModelPackageName="")

    assert from_model(model(PrimaryContainer=empty), TAGS, None).containers == [container()]


ARCHIVE = {"S3DataSource": {"S3Uri": ARTIFACT, "S3DataType": "S3Object", "CompressionType": "Gzip"}}
UNPACKED = {"S3DataSource": {"S3Uri": ARTIFACT, "S3DataType": "S3Object", "CompressionType": "None"}}


@pytest.mark.parametrize(
    ("described", "carried"),
    [
        (container(ModelDataSource=ARCHIVE), container()),
        (container(ModelDataSource=UNPACKED), {"Image": IMAGE, "ModelDataSource": UNPACKED}),
        (container(ModelDataSource=s3_source()), {"Image": IMAGE, "ModelDataSource": s3_source()}),
        (
            container(ModelDataSource=s3_source(CompressionType="Gzip")),
            {"Image": IMAGE, "ModelDataSource": s3_source(CompressionType="Gzip")},
        ),
        ({"Image": IMAGE, "ModelDataSource": ARCHIVE}, {"Image": IMAGE, "ModelDataSource": ARCHIVE}),
        (container(Mode="SingleModel"), container()),
        (container(Mode="MultiModel"), container(Mode="MultiModel")),
    ],
)
def test_a_container_is_copied_in_the_form_of_create_model(described: dict[str, Any], carried: dict[str, Any]) -> None:
    assert from_model(model(PrimaryContainer=described), TAGS, None).containers == [carried]


def test_members_that_a_copy_replaces_are_removed() -> None:
    described = container(
        ModelDataSource=s3_source(ETag="e", ManifestEtag="m"),
        AdditionalModelDataSources=[{"ChannelName": "adapter", **s3_source(ETag="e")}],
    )
    before = copy.deepcopy(described)

    carried = from_model(model(PrimaryContainer=described), TAGS, None).containers[0]

    assert carried["ModelDataSource"] == s3_source()
    assert carried["AdditionalModelDataSources"] == [{"ChannelName": "adapter", **s3_source()}]
    assert described == before


@pytest.mark.parametrize(
    "unknown",
    [
        container(QuantumConfig={"Qubits": 2}),
        container(ModelDataSource=s3_source(QuantumConfig="x")),
        container(ModelDataSource={**s3_source(), "QuantumConfig": "x"}),
        container(AdditionalModelDataSources=[{"ChannelName": "adapter", **s3_source(QuantumConfig="x")}]),
        container(AdditionalModelDataSources=[{"ChannelName": "adapter", "QuantumConfig": "x", **s3_source()}]),
    ],
)
def test_an_unknown_field_of_a_container_stops_the_promotion_with_its_name(unknown: dict[str, Any]) -> None:
    message = model_refusal(PrimaryContainer=None, Containers=[container(), unknown])

    assert "The model reviews-1 has the field QuantumConfig" in message


@pytest.mark.parametrize(
    ("refused", "why", "field"),
    [
        (
            container(ImageConfig={"RepositoryAccessMode": "Vpc"}),
            "its image is in a registry inside a VPC",
            "ImageConfig",
        ),
        (
            container(ModelDataSource=s3_source(HubAccessConfig={"HubContentArn": "arn"})),
            "it refers to a model of JumpStart through a private hub",
            "HubAccessConfig",
        ),
        (
            container(ModelDataSource=s3_source(ManifestS3Uri="s3://artifacts/manifest")),
            "a manifest lists its artifacts",
            "ManifestS3Uri",
        ),
    ],
)
def test_a_field_that_cannot_be_copied_is_refused_with_the_reason(
    refused: dict[str, Any], why: str, field: str
) -> None:
    message = model_refusal(PrimaryContainer=refused)

    assert message.startswith(f"The model reviews-1 cannot be promoted because of its field {field}: {why}")


@pytest.mark.parametrize("imageless", [{"ModelDataUrl": ARTIFACT}, {"Image": ""}, {}, None])
def test_a_model_without_an_image_is_refused(imageless: dict[str, Any] | None) -> None:
    assert "has a container without an image" in model_refusal(PrimaryContainer=imageless)


SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")
OF_CONTAINER = containers.CARRIED_FROM_CONTAINER | containers.EXPANDED_IN_CONTAINER
OF_S3_SOURCE = (
    containers.CARRIED_FROM_S3_SOURCE | containers.REPLACED_IN_S3_SOURCE | set(containers.REFUSED_IN_S3_SOURCE)
)


@pytest.mark.parametrize(
    ("shape", "handled"),
    [
        ("ContainerDefinition", OF_CONTAINER),
        ("ModelDataSource", {"S3DataSource"}),
        ("AdditionalModelDataSource", {"S3DataSource", "ChannelName"}),
        ("S3ModelDataSource", OF_S3_SOURCE),
    ],
)
def test_every_field_of_the_aws_api_is_handled(shape: str, handled: set[str]) -> None:
    assert set(SAGEMAKER.shape_for(shape).members) - handled == set()


@pytest.mark.parametrize(
    ("shape", "handled"), [("ContainerDefinition", OF_CONTAINER), ("S3ModelDataSource", OF_S3_SOURCE)]
)
def test_only_fields_of_the_aws_api_are_handled(shape: str, handled: set[str]) -> None:
    assert handled - set(SAGEMAKER.shape_for(shape).members) == set()


def test_no_field_is_handled_twice() -> None:
    assert not containers.CARRIED_FROM_CONTAINER & containers.EXPANDED_IN_CONTAINER
    assert not containers.CARRIED_FROM_S3_SOURCE & (
        containers.REPLACED_IN_S3_SOURCE | set(containers.REFUSED_IN_S3_SOURCE)
    )
    assert not containers.REPLACED_IN_S3_SOURCE & set(containers.REFUSED_IN_S3_SOURCE)


def test_the_license_of_one_archive_is_not_dropped_with_the_duplicate_of_its_location() -> None:
    source = s3_source(ARTIFACT, "S3Object", CompressionType="Gzip", ModelAccessConfig={"AcceptEula": True})

    [carried] = from_model(
        model(PrimaryContainer=container(ModelDataUrl=ARTIFACT, ModelDataSource=source)), TAGS, None
    ).containers

    assert carried["ModelDataSource"] == source
    assert "ModelDataUrl" not in carried


def test_an_unknown_member_of_an_accepted_license_stops_the_promotion() -> None:
    source = s3_source(ModelAccessConfig={"AcceptEula": True, "Region": "eu"})

    message = model_refusal(PrimaryContainer=container(ModelDataUrl=None, ModelDataSource=source))

    assert "has the field ModelDataSource.S3DataSource.ModelAccessConfig.Region, which this version" in message
