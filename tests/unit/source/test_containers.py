import copy
from typing import Any

import botocore.session
import pytest

from promotion.source import containers
from promotion.source.candidate import from_model
from tests.support.containers import ARTIFACT, IMAGE, container, s3_source
from tests.support.descriptions import TAGS, model, model_refusal


def test_every_field_of_a_container_that_means_something_is_carried() -> None:
    full = {
        "AdditionalModelDataSources": [{"ChannelName": "adapter", **s3_source()}],
        "ContainerHostname": "predictor",
        "ContainerMetricsConfig": {"MetricsEndpoints": [{"MetricsPath": "/metrics"}]},
        "Environment": {"THREADS": "2"},
        "Image": IMAGE,
        "ImageConfig": {"RepositoryAccessMode": "Platform"},
        "Mode": "MultiModel",
        "ModelDataUrl": "s3://artifacts/models/",
        "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
    }

    assert from_model(model(PrimaryContainer=full), TAGS, None).containers == [full]


def test_fields_that_sagemaker_leaves_empty_are_left_out() -> None:
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
def test_a_container_is_carried_as_it_was_asked_for_and_not_as_sagemaker_describes_it(
    described: dict[str, Any], carried: dict[str, Any]
) -> None:
    assert from_model(model(PrimaryContainer=described), TAGS, None).containers == [carried]


def test_what_a_copy_has_anew_lock_held_out_of_its_source() -> None:
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
            "its image comes from a registry inside a VPC",
            "ImageConfig",
        ),
        (
            container(ModelDataSource=s3_source(HubAccessConfig={"HubContentArn": "arn"})),
            "it comes from a hub",
            "HubAccessConfig",
        ),
        (
            container(ModelDataSource=s3_source(ManifestS3Uri="s3://artifacts/manifest")),
            "its artifacts are listed in a manifest",
            "ManifestS3Uri",
        ),
        (
            container(ModelDataSource=s3_source(ModelAccessConfig={"AcceptEula": True})),
            "it is a gated model",
            "ModelAccessConfig",
        ),
    ],
)
def test_what_may_not_be_carried_across_is_refused_with_the_reason(
    refused: dict[str, Any], why: str, field: str
) -> None:
    message = model_refusal(PrimaryContainer=refused)

    assert message.startswith(f"The model reviews-1 cannot be promoted: {why}")
    assert message.endswith(f"({field}).")


@pytest.mark.parametrize("imageless", [{"ModelDataUrl": ARTIFACT}, {"Image": ""}, {}, None])
def test_a_model_without_an_image_is_refused(imageless: dict[str, Any] | None) -> None:
    assert "a container without an Image, so nothing could serve it" in model_refusal(PrimaryContainer=imageless)


SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")
OF_CONTAINER = containers.CARRIED_FROM_CONTAINER | containers.EXPANDED_IN_CONTAINER
OF_S3_SOURCE = (
    containers.CARRIED_FROM_S3_SOURCE | containers.REPLACED_IN_S3_SOURCE | set(containers.REFUSED_IN_S3_SOURCE)
)


@pytest.mark.parametrize(
    ("shape", "judged"),
    [
        ("ContainerDefinition", OF_CONTAINER),
        ("ModelDataSource", {"S3DataSource"}),
        ("AdditionalModelDataSource", {"S3DataSource", "ChannelName"}),
        ("S3ModelDataSource", OF_S3_SOURCE),
    ],
)
def test_every_field_that_aws_has_is_carried_replaced_or_refused(shape: str, judged: set[str]) -> None:
    assert set(SAGEMAKER.shape_for(shape).members) - judged == set()


@pytest.mark.parametrize(
    ("shape", "judged"), [("ContainerDefinition", OF_CONTAINER), ("S3ModelDataSource", OF_S3_SOURCE)]
)
def test_no_field_is_judged_that_aws_does_not_have(shape: str, judged: set[str]) -> None:
    assert judged - set(SAGEMAKER.shape_for(shape).members) == set()


def test_no_field_is_judged_in_two_ways() -> None:
    assert not containers.CARRIED_FROM_CONTAINER & containers.EXPANDED_IN_CONTAINER
    assert not containers.CARRIED_FROM_S3_SOURCE & (
        containers.REPLACED_IN_S3_SOURCE | set(containers.REFUSED_IN_S3_SOURCE)
    )
    assert not containers.REPLACED_IN_S3_SOURCE & set(containers.REFUSED_IN_S3_SOURCE)
