"""Registries store layers and manifests by digest, and their policies permit other accounts to pull."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support.resource_stacks import ACCOUNT, Outputs, attributes_of
from tests.support.registries import push_image, push_layer, push_list, sha256

OTHER_ACCOUNT = accounts.ACCOUNTS["production"]
# A registry has one policy per region, so this is not the region of other tests' stacks.
REGION = "eu-west-2"
MIB = 1024**2


@pytest.fixture
def ecr(aws: EmbeddedAws, name: str) -> Any:
    client = clients.client_as_operator("ecr", ACCOUNT, REGION)
    client.create_repository(repositoryName=name)
    return client


def code(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**request)
    return str(refused.value.response["Error"]["Code"])


def upload(ecr: Any, name: str, *parts: bytes) -> dict[str, str]:
    started = {"repositoryName": name, "uploadId": ecr.initiate_layer_upload(repositoryName=name)["uploadId"]}
    first = 0
    for part in parts:
        last = first + len(part) - 1
        ecr.upload_layer_part(**started, partFirstByte=first, partLastByte=last, layerPartBlob=part)
        first = last + 1
    return started


def test_a_downloaded_layer_equals_the_uploaded_one(ecr: Any, name: str) -> None:
    layer = bytes(range(256)) * 40000
    digest = push_image(ecr, name, [layer], tag="1")

    url = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=sha256(layer))["downloadUrl"]

    with urllib.request.urlopen(url, timeout=10) as download:  # noqa: S310
        assert download.read() == layer
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "1"}])["images"]
    assert image["imageId"]["imageDigest"] == digest == sha256(image["imageManifest"].encode())
    digests = [sha256(layer), sha256(b"never pushed")]
    found = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=digests)
    assert [each["layerDigest"] for each in found["layers"]] == [sha256(layer)]


def test_invalid_uploads_are_rejected_with_ecrs_errors(ecr: Any, name: str) -> None:
    complete = ecr.complete_layer_upload
    assert code(complete, **upload(ecr, name), layerDigests=[sha256(b"")]) == "EmptyUploadException"
    assert code(complete, **upload(ecr, name, b"a"), layerDigests=[sha256(b"b")]) == "InvalidLayerException"
    halves = upload(ecr, name, b"a" * MIB, b"a" * MIB)
    assert code(complete, **halves, layerDigests=[sha256(b"a" * 2 * MIB)]) == "LayerPartTooSmallException"
    push_layer(ecr, name, b"once")
    assert code(complete, **upload(ecr, name, b"once"), layerDigests=[sha256(b"once")]) == "LayerAlreadyExistsException"
    begun = upload(ecr, name, b"a" * 10)
    part = {"layerPartBlob": b"b", "partFirstByte": 11, "partLastByte": 11}
    assert code(ecr.upload_layer_part, **begun, **part) == "InvalidLayerPartException"
    part = {"layerPartBlob": b"b", "partFirstByte": 10, "partLastByte": 11}
    assert code(ecr.upload_layer_part, **begun, **part) == "InvalidParameterException"


def test_an_image_requires_its_layers_and_a_manifest_list_its_images(ecr: Any, name: str) -> None:
    digest = push_list(ecr, name, {"arm64": [b"arm"], "amd64": [b"intel"]}, tag="1")
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageDigest": digest}])["images"]
    ecr.create_repository(repositoryName=f"{name}-empty")
    (child, _) = json.loads(image["imageManifest"])["manifests"]
    (lone,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageDigest": child["digest"]}])["images"]

    def put(manifest: str, **more: Any) -> str:
        return code(ecr.put_image, repositoryName=f"{name}-empty", imageManifest=manifest, **more)

    assert put(image["imageManifest"]) == "ReferencedImagesNotFoundException"
    assert put(lone["imageManifest"]) == "LayersNotFoundException"
    assert put(lone["imageManifest"], imageDigest=digest) == "ImageDigestDoesNotMatchException"
    assert put(json.dumps({"layers": []})) == "InvalidParameterException"


def test_a_mutable_tag_can_be_moved_to_another_image(ecr: Any, name: str) -> None:
    first, second = push_image(ecr, name, [b"1"], tag="latest"), push_image(ecr, name, [b"2"], tag="latest")
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "latest"}])["images"]
    assert image["imageId"]["imageDigest"] == second
    (untagged,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageDigest": first}])["images"]
    again = {"repositoryName": name, "imageManifest": untagged["imageManifest"]}
    assert code(ecr.put_image, **again) == "ImageAlreadyExistsException"

    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    assert code(ecr.put_image, **again, imageTag="latest") == "ImageTagAlreadyExistsException"


def test_another_account_can_pull_by_a_repository_or_registry_policy(ecr: Any, name: str) -> None:
    push_image(ecr, name, [b"1"], tag="1")
    other_account = clients.client_as_operator("ecr", OTHER_ACCOUNT, REGION)
    wanted = {"registryId": ACCOUNT, "repositoryName": name, "imageIds": [{"imageTag": "1"}]}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": "ecr:BatchGetImage",
    }
    registry = statement | {"Resource": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"}
    policies = [
        (ecr.set_repository_policy, ecr.delete_repository_policy, {"repositoryName": name}, statement),
        (ecr.put_registry_policy, ecr.delete_registry_policy, {}, registry),
    ]

    assert code(other_account.batch_get_image, **wanted) == "AccessDeniedException"
    for put, delete, of, allowed in policies:
        put(**of, policyText=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
        assert len(other_account.batch_get_image(**wanted)["images"]) == 1
        assert code(other_account.batch_get_image, **wanted | {"repositoryName": "other"}) == "AccessDeniedException"
        delete(**of)
    assert code(other_account.batch_get_image, **wanted) == "AccessDeniedException"


@pytest.fixture
def deploy(aws: EmbeddedAws, name: str, tmp_path: Path) -> Callable[..., Outputs]:
    def deploy_resources(resources: dict[str, Any], outputs: dict[str, Any]) -> Outputs:
        values = {key: {"Value": value} for key, value in outputs.items()}
        template = tmp_path / "template.json"
        template.write_text(json.dumps({"Resources": resources, "Outputs": values}))
        return cloudformation.deploy(template=template, stack_name=name, account=ACCOUNT, parameters={}, region=REGION)

    return deploy_resources


def test_cloudformation_manages_repositories_and_registry_policies(
    ecr: Any, deploy: Callable[..., Outputs], name: str
) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}, "Action": "ecr:*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    properties: dict[str, Any] = {
        "RepositoryName": f"{name}-created",
        "ImageTagMutability": "IMMUTABLE",
        "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"},
        "RepositoryPolicyText": policy,
    }
    registry_policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": "*"}]}
    repository = {"R": {"Type": "AWS::ECR::Repository", "Properties": properties}}
    registry = {"P": {"Type": "AWS::ECR::RegistryPolicy", "Properties": {"PolicyText": registry_policy}}}

    outputs = deploy(repository | registry, attributes_of("R", "Arn", "RepositoryUri"))

    (description,) = ecr.describe_repositories(repositoryNames=[f"{name}-created"])["repositories"]
    assert outputs["Ref"] == f"{name}-created"
    assert (description["repositoryArn"], description["repositoryUri"]) == (outputs["Arn"], outputs["RepositoryUri"])
    assert description["imageTagMutability"] == "IMMUTABLE"
    assert description["encryptionConfiguration"]["encryptionType"] == "KMS"
    assert json.loads(ecr.get_repository_policy(repositoryName=f"{name}-created")["policyText"]) == policy
    assert json.loads(ecr.get_registry_policy()["policyText"]) == registry_policy

    del properties["RepositoryPolicyText"], properties["ImageTagMutability"]
    deploy(repository, {})
    assert code(ecr.get_registry_policy) == "RegistryPolicyNotFoundException"
    assert code(ecr.get_repository_policy, repositoryName=f"{name}-created") == "RepositoryPolicyNotFoundException"
    (description,) = ecr.describe_repositories(repositoryNames=[f"{name}-created"])["repositories"]
    assert description["imageTagMutability"] == "MUTABLE"
    cloudformation.delete(stack_name=name, account=ACCOUNT, region=REGION)
    assert code(ecr.describe_repositories, repositoryNames=[f"{name}-created"]) == "RepositoryNotFoundException"


def test_cloudformation_does_not_replace_an_existing_registry_policy(
    ecr: Any, deploy: Callable[..., Outputs], name: str
) -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "ecr:CreateRepository", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [everybody]}
    ecr.put_registry_policy(policyText=json.dumps(policy))

    with pytest.raises(cloudformation.DeploymentError):
        deploy({"P": {"Type": "AWS::ECR::RegistryPolicy", "Properties": {"PolicyText": policy}}}, {})

    assert json.loads(ecr.get_registry_policy()["policyText"]) == policy
    ecr.delete_registry_policy()


def test_a_registry_policy_of_the_first_scope_permits_no_pulls(ecr: Any) -> None:
    """Registries of older accounts have the scope V1 until it is changed."""
    pull = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "ecr:BatchGetImage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [pull]})
    assert ecr.get_account_setting(name="REGISTRY_POLICY_SCOPE")["value"] == "V2"
    ecr.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")

    assert code(ecr.put_registry_policy, policyText=policy) == "InvalidParameterException"

    ecr.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V2")
    assert ecr.put_registry_policy(policyText=policy)["registryId"] == ACCOUNT
    ecr.delete_registry_policy()
