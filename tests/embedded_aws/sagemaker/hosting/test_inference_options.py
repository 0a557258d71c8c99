"""Multi-container, multi-model, serverless and asynchronous endpoints."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.sagemaker_account import IMAGE, VARIANT, Account, archive, greeter
from tests.support.waiting import wait_for

SHOUT = "def model_fn(d): return lambda text: text.upper()"


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def two_containers(account: Account, mode: str) -> str:
    """Create a config with a container that greets and a container that shouts."""
    containers = [
        {"ContainerHostname": hostname, "Image": IMAGE, "ModelDataUrl": account.put(f"{hostname}.tar.gz", artifact)}
        for hostname, artifact in (("greet", greeter("Hello")), ("shout", archive({"code/inference.py": SHOUT})))
    ]
    account.sagemaker.create_model(
        ModelName=account.name,
        ExecutionRoleArn=account.role_arn,
        Containers=containers,
        InferenceExecutionConfig={"Mode": mode},
    )
    return account.config(account.name)


def test_the_containers_of_a_pipeline_run_in_sequence(qa: Account) -> None:
    qa.endpoint(two_containers(qa, "Serial"))

    assert qa.greet() == "HELLO ADA"
    (variant,) = qa.describe()["ProductionVariants"]
    assert len(variant["DeployedImages"]) == 2
    with pytest.raises(ClientError, match=r"Received server error \(500\) from greet"):
        qa.greet("nobody")


def test_containers_in_direct_mode_are_invoked_by_hostname(qa: Account) -> None:
    qa.endpoint(two_containers(qa, "Direct"))

    assert qa.greet(TargetContainerHostname="greet") == "Hello Ada"
    assert qa.greet(TargetContainerHostname="shout") == "ADA"
    with pytest.raises(ClientError, match="TargetContainerHostname is required"):
        qa.greet()
    with pytest.raises(ClientError, match="Container missing is not part of the endpoint"):
        qa.greet(TargetContainerHostname="missing")


def test_a_multi_model_endpoint_loads_a_model_with_its_first_request(qa: Account) -> None:
    prefix = f"s3://{qa.bucket}/many/"
    qa.put("many/en.tar.gz", greeter("Hello"))
    qa.sagemaker.create_model(
        ModelName=qa.name,
        ExecutionRoleArn=qa.role_arn,
        PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": prefix},
    )
    qa.endpoint(qa.config(qa.name))
    assert qa.greet(TargetModel="en.tar.gz") == "Hello Ada"
    with pytest.raises(ClientError, match="Failed to download model data"):
        qa.greet(TargetModel="fr.tar.gz")

    qa.put("many/fr.tar.gz", greeter("Bonjour"))

    assert qa.greet(TargetModel="fr.tar.gz") == "Bonjour Ada"
    assert qa.greet(TargetModel="en.tar.gz") == "Hello Ada"
    with pytest.raises(ClientError, match="TargetModel is required"):
        qa.greet()


def test_uncompressed_models_and_additional_data_are_downloaded_unchanged(qa: Account) -> None:
    script = """
import json, os, pathlib
def model_fn(model_dir):
    channels = json.loads(os.environ["SM_ADDITIONAL_MODEL_DATA_SOURCES"])
    adapter = pathlib.Path(channels["adapter"], "nested", "suffix.txt").read_text()
    return pathlib.Path(model_dir, "greeting.txt").read_text() + adapter
def predict_fn(data, model): return model
"""
    qa.put("plain/greeting.txt", "Hello")
    qa.put("plain/code/inference.py", script)
    qa.put("adapter/nested/suffix.txt", ", world")
    sources = {
        name: {"S3Uri": f"s3://{qa.bucket}/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        for name in ("plain", "adapter")
    }
    qa.sagemaker.create_model(
        ModelName=qa.name,
        ExecutionRoleArn=qa.role_arn,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataSource": {"S3DataSource": sources["plain"]},
            "AdditionalModelDataSources": [{"ChannelName": "adapter", "S3DataSource": sources["adapter"]}],
        },
    )

    qa.endpoint(qa.config(qa.name))

    assert qa.greet() == "Hello, world"


def test_a_model_package_defines_its_containers(qa: Account) -> None:
    url = qa.put("package/model.tar.gz", greeter("Hello"))
    qa.sagemaker.create_model_package_group(ModelPackageGroupName=qa.name)
    package = qa.sagemaker.create_model_package(
        ModelPackageGroupName=qa.name,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": url}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    request = {
        "ModelName": qa.name,
        "ExecutionRoleArn": qa.role_arn,
        "Containers": [{"ModelPackageName": package}],
    }
    with pytest.raises(ClientError, match="must be in Approved status"):
        qa.sagemaker.create_model(**request)
    qa.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    qa.sagemaker.create_model(**request)

    assert qa.sagemaker.describe_model(ModelName=qa.name)["Containers"] == [{"ModelPackageName": package}]
    qa.endpoint(qa.config(qa.name))
    assert qa.greet() == "Hello Ada"


def test_a_target_variant_overrides_the_weights(qa: Account) -> None:
    variants = [
        {
            "VariantName": greeting,
            "ModelName": qa.model(greeting, greeter(greeting)),
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
        for greeting, weight in (("Hello", 1.0), ("Goodbye", 0.0))
    ]
    qa.endpoint(qa.config(qa.name, ProductionVariants=variants))

    assert {qa.greet() for _ in range(8)} == {"Hello Ada"}
    assert qa.greet(TargetVariant="Goodbye") == "Goodbye Ada"
    with pytest.raises(ClientError, match="Variant missing not found"):
        qa.greet(TargetVariant="missing")


def serverless(model: str) -> list[dict[str, Any]]:
    limits = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    return [{"VariantName": VARIANT, "ModelName": model, "ServerlessConfig": limits}]


def test_a_serverless_endpoint_describes_its_limits_and_stays_serverless(qa: Account) -> None:
    model = qa.model("a", greeter("Hello"))
    qa.endpoint(qa.config(f"{qa.name}-serverless", ProductionVariants=serverless(model)))

    (variant,) = qa.describe()["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert qa.greet() == "Hello Ada"
    with pytest.raises(ClientError, match="Cannot convert an endpoint between serverless and instance-based"):
        qa.update(qa.config(model))


def test_an_asynchronous_endpoint_stays_asynchronous(qa: Account) -> None:
    model = qa.model("a", greeter("Hello"))
    output = {"OutputConfig": {"S3OutputPath": f"s3://{qa.bucket}/out"}}
    variant = {"VariantName": VARIANT, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    qa.endpoint(qa.config(f"{qa.name}-async", ProductionVariants=[variant], AsyncInferenceConfig=output))

    with pytest.raises(
        ClientError, match=f"AsyncInferenceConfig parameter cannot be removed from this endpoint {qa.name}"
    ):
        qa.update(qa.config(model))


def test_an_endpoint_whose_config_was_deleted_cannot_be_updated(qa: Account) -> None:
    first, second = qa.greeter_config("a", "Hello"), qa.greeter_config("b", "Goodbye")
    qa.endpoint(first)
    qa.sagemaker.delete_endpoint_config(EndpointConfigName=first)

    with pytest.raises(ClientError, match=f'Could not find endpoint configuration ".*{first}"'):
        qa.update(second)
    assert qa.greet() == "Hello Ada"


@pytest.mark.parametrize(
    ("variant", "request_members", "part_of_message"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 5}}, {}, "multiple of 1024"),
        ({"ServerlessConfig": {"MemorySizeInMB": 8192, "MaxConcurrency": 5}}, {}, "less than or equal to 6144"),
        ({"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}, {}, "InstanceType"),
    ],
)
def test_an_invalid_serverless_config_is_rejected(
    qa: Account, variant: dict[str, Any], request_members: dict[str, Any], part_of_message: str
) -> None:
    (valid,) = serverless(qa.model("a", greeter("Hello")))

    with pytest.raises(ClientError, match=part_of_message):
        qa.config(f"{qa.name}-x", ProductionVariants=[valid | variant], **request_members)


def test_a_variant_can_have_instance_pools_instead_of_a_type(qa: Account) -> None:
    pools = [{"InstanceType": "ml.g5.xlarge", "Priority": 1}, {"InstanceType": "ml.g6.xlarge", "Priority": 2}]
    model = qa.model("a", greeter("Hello"))
    variant = {"VariantName": VARIANT, "ModelName": model, "InstancePools": pools, "InitialInstanceCount": 2}

    qa.endpoint(qa.config(f"{qa.name}-pools", ProductionVariants=[variant]))

    assert qa.greet() == "Hello Ada"
    assert qa.describe()["ProductionVariants"][0]["CurrentInstanceCount"] == 2


@pytest.mark.parametrize("missing", ["InstanceType", "InitialInstanceCount", "ModelName"])
def test_a_variant_requires_a_model_and_instances(qa: Account, missing: str) -> None:
    variant = {
        "VariantName": VARIANT,
        "ModelName": qa.model("a", greeter("Hello")),
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    del variant[missing]

    with pytest.raises(ClientError, match=f"{missing} is required"):
        qa.config(f"{qa.name}-x", ProductionVariants=[variant])


def asynchronous(account: Account) -> None:
    output = {"S3OutputPath": f"s3://{account.bucket}/out", "S3FailurePath": f"s3://{account.bucket}/failed"}
    model = account.model("a", greeter("Hello"))
    account.endpoint(account.config(model, AsyncInferenceConfig={"OutputConfig": output}))


def test_an_asynchronous_endpoint_writes_its_response(qa: Account) -> None:
    asynchronous(qa)
    source = qa.put("in/ada.json", json.dumps("Ada"))

    response = qa.runtime.invoke_endpoint_async(
        EndpointName=qa.name, InputLocation=source, ContentType="application/json", InferenceId="smoke-1"
    )

    assert response["InferenceId"] == "smoke-1"
    assert response["OutputLocation"].startswith(f"s3://{qa.bucket}/out/")
    wait_for(lambda: qa.exists(response["OutputLocation"]))
    assert qa.get(response["OutputLocation"]) == b'"Hello Ada"'
    assert not qa.exists(response["FailureLocation"])


def test_an_asynchronous_endpoint_writes_its_failure(qa: Account) -> None:
    asynchronous(qa)
    source = qa.put("in/nobody.json", json.dumps("nobody"))

    response = qa.runtime.invoke_endpoint_async(
        EndpointName=qa.name, InputLocation=source, ContentType="application/json"
    )

    wait_for(lambda: qa.exists(response["FailureLocation"]))
    assert b"nobody is not welcome" in qa.get(response["FailureLocation"])
    assert not qa.exists(response["OutputLocation"])


def test_asynchronous_endpoints_serve_only_asynchronous_requests(qa: Account) -> None:
    asynchronous(qa)
    with pytest.raises(ClientError, match="does not support InvokeEndpoint"):
        qa.greet()


def test_real_time_endpoints_serve_no_asynchronous_requests(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))

    with pytest.raises(ClientError, match="does not support InvokeEndpointAsync"):
        qa.runtime.invoke_endpoint_async(EndpointName=qa.name, InputLocation=f"s3://{qa.bucket}/in")


def captured(account: Account) -> list[dict[str, Any]]:
    response = account.s3.list_objects_v2(Bucket=account.bucket, Prefix=f"captured/{account.name}/{VARIANT}/")
    return [
        json.loads(account.get(f"s3://{account.bucket}/{each['Key']}"))
        for each in sorted(response.get("Contents", []), key=lambda each: each["LastModified"])
    ]


@pytest.mark.parametrize(
    ("options", "json_types", "percentage", "expected"),
    [
        (["Input", "Output"], ["application/json"], 100, {"endpointInput": '"Ada"', "endpointOutput": '"Hello Ada"'}),
        (["InputAndOutput"], [], 100, {"endpointInput": "IkFkYSI=", "endpointOutput": "IkhlbGxvIEFkYSI="}),
        (["Output"], ["application/json"], 100, {"endpointOutput": '"Hello Ada"'}),
        (["Input"], [], 0, None),
    ],
)
def test_requests_and_responses_are_captured_as_configured(
    qa: Account, options: list[str], json_types: list[str], percentage: int, expected: dict[str, str] | None
) -> None:
    capture = {
        "InitialSamplingPercentage": percentage,
        "DestinationS3Uri": f"s3://{qa.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": mode} for mode in options],
        **({"CaptureContentTypeHeader": {"JsonContentTypes": json_types}} if json_types else {}),
    }
    qa.endpoint(qa.config(qa.model("a", greeter("Hello")), DataCaptureConfig=capture))

    qa.greet(InferenceId="one")

    lines = captured(qa)
    assert [line["eventMetadata"]["inferenceId"] for line in lines] == (["one"] if expected else [])
    for line in lines:
        assert {name: data["data"] for name, data in line["captureData"].items()} == expected
    assert qa.describe()["DataCaptureConfig"]["CaptureStatus"] == "Started"


def test_a_custom_image_is_deployed_by_digest(qa: Account) -> None:
    ecr = qa.client("ecr")
    ecr.create_repository(repositoryName=qa.name)
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    upload = {"repositoryName": qa.name, "uploadId": ecr.initiate_layer_upload(repositoryName=qa.name)["uploadId"]}
    ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=1, layerPartBlob=b"{}")
    config = ecr.complete_layer_upload(**upload, layerDigests=[f"sha256:{hashlib.sha256(b'{}').hexdigest()}"])
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"digest": config["layerDigest"]}, "layers": []}
    put = ecr.put_image(repositoryName=qa.name, imageManifest=json.dumps(manifest), imageTag="v1")
    repository = f"{qa.id}.dkr.ecr.eu-west-1.amazonaws.com/{qa.name}"

    qa.endpoint(qa.config(qa.model("a", greeter("Hello"), Image=f"{repository}:v1")))

    (image,) = qa.describe()["ProductionVariants"][0]["DeployedImages"]
    assert image["ResolvedImage"] == f"{repository}@{put['image']['imageId']['imageDigest']}"
    qa.update(qa.config(qa.model("b", greeter("Hello"), Image=f"{repository}:v2")))
    assert "Please make sure all images included in the model" in qa.settled()["FailureReason"]
