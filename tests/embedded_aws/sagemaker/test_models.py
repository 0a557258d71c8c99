"""Models and endpoint configs are stored as in the request and validated as by SageMaker."""

from __future__ import annotations

from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.sagemaker_account import IMAGE, VARIANT, Account, arn, greeter, refused
from tests.support import registries


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def test_existing_names_are_rejected_in_any_case(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config)
    upper = config.upper()
    container = {"Image": IMAGE}
    variant = {"VariantName": "v", "ModelName": config, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}

    assert refused(
        qa.sagemaker.create_model, ModelName=upper, ExecutionRoleArn=qa.role_arn, PrimaryContainer=container
    ) == ("ValidationException", f'Cannot create already existing model "{arn(qa, "model", config)}".')
    assert refused(qa.sagemaker.create_endpoint_config, EndpointConfigName=upper, ProductionVariants=[variant]) == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{arn(qa, "endpoint-config", config)}".',
    )
    assert refused(qa.sagemaker.create_endpoint, EndpointName=qa.name.upper(), EndpointConfigName=config) == (
        "ValidationException",
        f'Cannot create already existing endpoint "{arn(qa, "endpoint", qa.name)}".',
    )


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_an_image_with_an_oci_manifest_is_rejected(qa: Account, by: str) -> None:
    ecr = qa.client("ecr")
    registries.ensure_repository(ecr, qa.name)
    digest = registries.push_image(ecr, qa.name, [b"1"], "1", media_type=registries.OCI_MANIFEST)
    registry = f"{qa.id}.dkr.ecr.eu-west-1.amazonaws.com"
    image = f"{registry}/{qa.name}" + (":1" if by == "tag" else f"@{digest}")

    assert refused(
        qa.sagemaker.create_model,
        ModelName=qa.name,
        ExecutionRoleArn=qa.role_arn,
        PrimaryContainer={"Image": image},
    ) == (
        "ValidationException",
        f"Unsupported manifest media type application/vnd.oci.image.manifest.v1+json for image {image}. Ensure that "
        "valid manifest media type is used for specified image.",
    )


def test_missing_resources_are_sagemakers_not_found_errors(qa: Account) -> None:
    missing = f"{qa.name}-Missing"
    variant = {"VariantName": "v", "ModelName": missing, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    no_model = ("ValidationException", f'Could not find model "{arn(qa, "model", missing)}".')
    no_config = (
        "ValidationException",
        f'Could not find endpoint configuration "{arn(qa, "endpoint-config", missing)}".',
    )
    no_endpoint = ("ValidationException", f'Could not find endpoint "{arn(qa, "endpoint", missing)}".')

    assert refused(qa.sagemaker.describe_model, ModelName=missing) == no_model
    assert refused(qa.sagemaker.delete_model, ModelName=missing) == no_model
    assert (
        refused(qa.sagemaker.create_endpoint_config, EndpointConfigName=missing, ProductionVariants=[variant])
        == no_model
    )
    assert refused(qa.sagemaker.describe_endpoint_config, EndpointConfigName=missing) == no_config
    assert refused(qa.sagemaker.create_endpoint, EndpointName=missing, EndpointConfigName=missing) == no_config
    assert refused(qa.sagemaker.delete_endpoint, EndpointName=missing) == no_endpoint
    assert refused(qa.sagemaker.update_endpoint, EndpointName=missing, EndpointConfigName=missing) == no_endpoint


def test_the_description_of_a_model_contains_its_request(qa: Account) -> None:
    url = qa.put("model.tar.gz", greeter("Hello"))
    qa.put("weights/part-1", "1")
    source = {"S3Uri": f"s3://{qa.bucket}/weights/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    request = {
        "ModelName": f"{qa.name}-Pipeline",
        "ExecutionRoleArn": qa.role_arn,
        "Containers": [
            {
                "ContainerHostname": "first",
                "Image": IMAGE,
                "Mode": "SingleModel",
                "ModelDataSource": {"S3DataSource": source},
                "AdditionalModelDataSources": [{"ChannelName": "adapters", "S3DataSource": source}],
                "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
                "ImageConfig": {"RepositoryAccessMode": "Platform"},
            },
            {"ContainerHostname": "second", "Image": IMAGE, "Mode": "SingleModel", "ModelDataUrl": url},
        ],
        "InferenceExecutionConfig": {"Mode": "Serial"},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
        "EnableNetworkIsolation": True,
    }
    qa.sagemaker.create_model(**request, Tags=[{"Key": "team", "Value": "reviews"}])

    described = qa.sagemaker.describe_model(ModelName=request["ModelName"])

    # SageMaker adds a ModelDataSource to every ModelDataUrl.
    added = described["Containers"][1].pop("ModelDataSource")
    assert added == {"S3DataSource": {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"}}
    assert {member: described[member] for member in request} == request
    tags = qa.sagemaker.list_tags(ResourceArn=described["ModelArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "reviews"}]


def test_the_description_of_an_endpoint_config_contains_its_request(qa: Account) -> None:
    request = {
        "EndpointConfigName": f"{qa.name}-Config",
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": qa.model("a", greeter("Hello")),
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 0.5,
                "ModelDataDownloadTimeoutInSeconds": 300,
                "RoutingConfig": {"RoutingStrategy": "RANDOM"},
            }
        ],
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": 20,
            "DestinationS3Uri": f"s3://{qa.bucket}/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
        "KmsKeyId": "alias/endpoint",
        "ExecutionRoleArn": qa.role_arn,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
    }
    qa.sagemaker.create_endpoint_config(**request)

    described = qa.sagemaker.describe_endpoint_config(EndpointConfigName=request["EndpointConfigName"])

    assert {member: described[member] for member in request} == request


LOCAL = "VolumeSizeInGB parameter is not allowed for the selected Instance type"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"InstanceType": "ml.m5.large", "ManagedInstanceScaling": {"Status": "ENABLED"}},
            "ManagedInstanceScaling is only supported for inference component endpoints.",
        ),
        ({"InstanceType": "ml.g4dn.xlarge", "VolumeSizeInGB": 30}, f"{LOCAL} ml.g4dn.xlarge"),
        ({"InstanceType": "ml.g6e.xlarge", "VolumeSizeInGB": 30}, f"{LOCAL} ml.g6e.xlarge"),
        (
            {
                "InstancePools": [
                    {"InstanceType": "ml.m5.large", "Priority": 1},
                    {"InstanceType": "ml.m5d.large", "Priority": 2},
                ],
                "VolumeSizeInGB": 30,
            },
            f"{LOCAL} ml.m5d.large",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["ProductionVariants", "ShadowProductionVariants"])
def test_a_member_that_the_instances_do_not_accept_is_rejected(
    qa: Account, kind: str, members: dict[str, Any], message: str
) -> None:
    model = qa.model("a", greeter("Hello"))
    variant = {"ModelName": model, "InitialInstanceCount": 1}
    usual = {"ProductionVariants": [variant | {"VariantName": VARIANT, "InstanceType": "ml.m5.large"}]}

    assert refused(
        qa.sagemaker.create_endpoint_config,
        EndpointConfigName=qa.name,
        **usual | {kind: [variant | {"VariantName": "Other"} | members]},
    ) == ("ValidationException", message)


def test_a_volume_on_instances_without_local_storage_is_accepted(qa: Account) -> None:
    model = qa.model("a", greeter("Hello"))
    variant = {"VariantName": VARIANT, "ModelName": model, "InitialInstanceCount": 1, "VolumeSizeInGB": 30}

    qa.config(model, ProductionVariants=[variant | {"InstanceType": "ml.c6i.xlarge"}])


def test_the_tags_of_all_resource_types_can_be_changed(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.endpoint(config, Tags=[{"Key": "team", "Value": "reviews"}])
    group = qa.sagemaker.create_model_package_group(ModelPackageGroupName=qa.name)["ModelPackageGroupArn"]
    for resource in (
        arn(qa, "model", config),
        arn(qa, "endpoint-config", config),
        arn(qa, "endpoint", qa.name),
        group,
    ):
        qa.sagemaker.add_tags(ResourceArn=resource, Tags=[{"Key": "team", "Value": "old"}, {"Key": "x", "Value": "1"}])
        qa.sagemaker.add_tags(ResourceArn=resource, Tags=[{"Key": "team", "Value": "new"}])
        qa.sagemaker.delete_tags(ResourceArn=resource, TagKeys=["x"])

        assert qa.sagemaker.list_tags(ResourceArn=resource)["Tags"] == [{"Key": "team", "Value": "new"}]


@pytest.mark.parametrize(
    ("changes", "part_of_message"),
    [
        (
            {"ModelName": "under_score"},
            "'modelName' failed to satisfy constraint: Member must satisfy regular expression",
        ),
        ({"ModelName": "x" * 64}, "Member must have length less than or equal to 63"),
        ({"ModelName": None}, "Value null at 'modelName' failed to satisfy constraint: Member must not be null"),
        ({"InferenceExecutionConfig": {"Mode": "Both"}}, "'inferenceExecutionConfig.mode'"),
        ({"Tags": [{"Key": "a", "Value": "b,c"}]}, "'tags.1.member.value'"),
        ({"PrimaryContainer": {"Image": IMAGE, "Environment": {"1st": "x"}}}, "'primaryContainer.environment.key'"),
        ({"PrimaryContainer": {"Image": "python:3.13"}}, "Using non-ECR image"),
        ({"PrimaryContainer": {"Image": IMAGE.replace("eu-west-1", "us-east-1")}}, "region"),
        ({"PrimaryContainer": {}}, "PrimaryContainer or Containers"),
        ({"Containers": [{"Image": IMAGE}]}, "PrimaryContainer or Containers"),
        ({"ExecutionRoleArn": None}, "ExecutionRoleArn is required"),
    ],
)
def test_an_invalid_model_is_rejected(qa: Account, changes: dict[str, Any], part_of_message: str) -> None:
    request = {
        "ModelName": f"{qa.name}-a",
        "ExecutionRoleArn": qa.role_arn,
        "PrimaryContainer": {"Image": IMAGE},
    } | changes

    code, message = refused(
        qa.sagemaker.create_model, **{key: value for key, value in request.items() if value is not None}
    )

    assert code == "ValidationException"
    assert part_of_message in message


def test_a_model_data_url_excludes_a_model_data_source(qa: Account) -> None:
    url = qa.put("model.tar.gz", greeter("Hello"))
    source = {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"}
    both = {"Image": IMAGE, "ModelDataUrl": url, "ModelDataSource": {"S3DataSource": source}}

    code, message = refused(
        qa.sagemaker.create_model, ModelName=qa.name, ExecutionRoleArn=qa.role_arn, PrimaryContainer=both
    )

    assert code == "ValidationException"
    assert "mutually exclusive" in message


@pytest.mark.parametrize("lacking", ["object", "role", "trust"])
def test_the_role_of_a_model_must_be_able_to_read_its_data(qa: Account, lacking: str) -> None:
    key = "missing.tar.gz" if lacking == "object" else "model.tar.gz"
    qa.put("model.tar.gz", greeter("Hello"))
    role_arn = qa.role_arn
    if lacking == "role":
        role_arn = f"arn:aws:iam::{qa.id}:role/{qa.name}-missing"
    if lacking == "trust":
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role_arn = qa.role(f"{qa.name}-stranger", {"Version": "2012-10-17", "Statement": [trust]})

    code, message = refused(
        qa.sagemaker.create_model,
        ModelName=qa.name,
        ExecutionRoleArn=role_arn,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{qa.bucket}/{key}"},
    )

    assert code == "ValidationException"
    assert message.startswith(f"Could not access model data at s3://{qa.bucket}/{key}. Please ensure that the role")


def test_lists_are_filtered_and_paginated(qa: Account) -> None:
    models = [qa.model(f"m{number}", greeter("Hello")) for number in range(3)]

    first = qa.sagemaker.list_models(NameContains=qa.name, MaxResults=2, SortBy="Name", SortOrder="Ascending")
    second = qa.sagemaker.list_models(
        NameContains=qa.name, MaxResults=2, SortBy="Name", SortOrder="Ascending", NextToken=first["NextToken"]
    )

    listed = [model["ModelName"] for page in (first, second) for model in page["Models"]]
    assert listed == models
    assert "NextToken" not in second
