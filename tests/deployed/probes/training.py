"""SageMaker training: the encryption of a job's output, the tags in its event, and model packages."""

from __future__ import annotations

import json
import uuid
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, error_of, trusting
from tests.deployed.hosting import SCRIPT, archive, image
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost
from tests.deployed.probes.s3 import encryption

_TRAINS = (
    SCRIPT
    + """
if __name__ == "__main__":
    import os
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "label.txt"), "w") as file:
        file.write("trained")
"""
)
_APPLICATION = "model-promotion-probe"


def _train(account: Account) -> tuple[str, str]:
    """Run a training job without a key, and return its name and its bucket."""
    bucket, sagemaker = account.bucket("train"), account.client("sagemaker")
    account.client("s3").put_object(
        Bucket=bucket,
        Key="sourcedir.tar.gz",
        Body=archive({"train.py": _TRAINS.encode()}),
        ServerSideEncryption="aws:kms",
    )
    arns = [f"arn:{account.partition}:s3:::{bucket}", f"arn:{account.partition}:s3:::{bucket}/*"]
    statements = [
        allow(["s3:GetObject", "s3:PutObject", "s3:ListBucket"], arns),
        allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]),
        allow(["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]),
        allow("ecr:BatchCheckLayerAvailability"),
    ]
    role = account.role("train", statements, trusting("sagemaker"))
    name = account.name("job")

    def create() -> None:
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": image(account.region), "TrainingInputMode": "File"},
            HyperParameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": f"s3://{bucket}/sourcedir.tar.gz",
            },
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            RoleArn=role,
            StoppingCondition={"MaxRuntimeInSeconds": 900},
            Tags=[{"Key": "probe:application", "Value": _APPLICATION}],
        )

    account.settling(create, "assume", "AccessDenied", "does not exist")
    account.ledger.add("sagemaker", "stop_training_job", TrainingJobName=name)

    def ended() -> str | None:
        status = str(sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])
        return None if status in ("InProgress", "Stopping") else status

    status = account.wait(ended, f"the end of the training job {name}")
    if status != "Completed":
        raise TimeoutError(f"The training job {name} ended as {status}.")
    return name, bucket


@probe(
    "SageMaker encrypts the output of a job without KmsKeyId with the AWS managed key aws/s3, in a bucket whose "
    "default is SSE-S3; its event contains the tags as a map",
    documented="SageMaker API reference, OutputDataConfig; tags assumed: README.md",
    believed=f'aws:kms with aws/s3; Completed, Tags {{"probe:application": "{_APPLICATION}"}}',
    costs=[Cost("training instance ml.m5.large", 0.1), Cost("SQS request", 60)],
)
def a_default_training_job(account: Account) -> str:
    """Train without a key, read the encryption of the output, and receive the event."""
    url, arn = account.queue("train")
    detail = {"TrainingJobName": [account.name("job")], "TrainingJobStatus": ["Completed"]}
    account.rule("train", {"source": ["aws.sagemaker"], "detail": detail}, {"Arn": arn})
    job, bucket = _train(account)
    bodies = account.messages(url, 1)
    found = json.loads(bodies[0])["detail"] if bodies else {}
    event = f"{found.get('TrainingJobStatus', 'no event')}, Tags {json.dumps(found.get('Tags'))}"
    return f"{encryption(account, bucket, f'output/{job}/output/model.tar.gz')}; {event}"


def _package(account: Account, **more: Any) -> str:
    """Create a version of a model package group, and return its ARN."""
    sagemaker, group = account.client("sagemaker"), account.name("group")
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError:
        account.ledger.add("sagemaker", "delete_model_package_group", ModelPackageGroupName=group)
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arn = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [{"Image": image(account.region)}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        **more,
    )["ModelPackageArn"]
    account.ledger.add("sagemaker", "delete_model_package", ModelPackageName=arn)
    return str(arn)


@probe(
    "SageMaker rejects the tags of a version of a model package, also in AddTags and ListTags",
    documented="assumed: embedded_aws/services/sagemaker/tags.py, model_packages.py",
    believed="CreateModelPackage ValidationException, AddTags ValidationException, ListTags ValidationException",
)
def tags_of_a_package_version(account: Account) -> str:
    """Create a version with tags, and add and list the tags of a version without."""
    sagemaker, tags = account.client("sagemaker"), [{"Key": "team", "Value": "reviews"}]
    arn = _package(account)
    says = {
        "CreateModelPackage": error_of(lambda: _package(account, Tags=tags)),
        "AddTags": error_of(lambda: sagemaker.add_tags(ResourceArn=arn, Tags=tags)),
        "ListTags": error_of(lambda: sagemaker.list_tags(ResourceArn=arn)),
    }
    return ", ".join(f"{operation} {error}" for operation, error in says.items())


@probe(
    "A tag whose key begins with sagemaker: can be set by users; only aws: is reserved",
    documented="SageMaker API reference, Tag (the pattern of the key)",
    believed="accepted",
)
def tags_of_sagemaker(account: Account) -> str:
    """Tag a model package group with a key that begins with sagemaker:."""
    arn = _package(account).rpartition("/")[0].replace(":model-package/", ":model-package-group/")
    tags = [{"Key": "sagemaker:probe", "Value": "1"}]
    return error_of(lambda: account.client("sagemaker").add_tags(ResourceArn=arn, Tags=tags))


@probe(
    "CreateModelPackage with the ClientToken of an earlier request returns its version instead of another one",
    documented="SageMaker API reference, CreateModelPackage (ClientToken: a unique token that guarantees that the call "
    "is idempotent); the answer assumed: functions/promotion/endpoint/registry.py",
    believed="the same version",
)
def a_repeated_token_of_a_package(account: Account) -> str:
    """Create a version twice with the same token."""
    token = str(uuid.uuid4())
    first, second = (_package(account, ClientToken=token) for _ in range(2))
    return "the same version" if first == second else "another version"


@probe(
    "A role that may only create model packages registers a version of an image and of artifacts that it cannot read",
    documented="not documented; assumed: functions/promotion/endpoint/registry.py",
    believed="accepted",
)
def a_package_of_artifacts_that_the_caller_cannot_read(account: Account) -> str:
    """Create a version with a role that has no permission for S3 and ECR."""
    group, bucket = _package(account).split("/")[1], account.bucket("packages")
    account.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=archive({"label.txt": b"one"}))
    role = account.role("registers", [allow("sagemaker:CreateModelPackage")])
    sagemaker = account.client("sagemaker", account.session_of(role))
    container = {"Image": image(account.region), "ModelDataUrl": f"s3://{bucket}/model.tar.gz"}

    def register() -> None:
        arn = sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification={"Containers": [container]}
        )["ModelPackageArn"]
        account.ledger.add("sagemaker", "delete_model_package", ModelPackageName=arn)

    return error_of(lambda: account.settling(register, "AccessDenied"))
