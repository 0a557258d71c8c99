"""Training jobs of the embedded AWS, and the example model in a job and on an endpoint."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jmespath
import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.sagemaker.operations import Call
from embedded_aws.services.sagemaker.training import api as training
from examples import repack
from examples.reviews import data
from tests.embedded_aws.support.sagemaker_account import IMAGE, Account, archive, greeter
from tests.support.waiting import wait_for

EXAMPLES = Path(__file__).parents[4] / "examples"
ENDED = ("Completed", "Failed", "Stopped")
SCRIPT = """
import argparse, json, os, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--greeting")
parser.add_argument("--repeat", type=int, default=1)
arguments = parser.parse_args()
if arguments.greeting == "fail":
    raise ValueError("no such greeting")
names = sorted(path.name for path in pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*"))
print("epoch 1 quality=0.25")
print("epoch 2 quality=0.9")
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "greeting.txt").write_text(arguments.greeting * arguments.repeat)
seen = {"names": names, "hyperparameters": json.loads(os.environ["SM_HPS"]), "word": os.environ.get("WORD")}
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json").write_text(json.dumps(seen))
"""
SLEEP = """
import os, pathlib, signal, sys, time
def save(*_):
    pathlib.Path(os.environ["SM_MODEL_DIR"], "half.txt").write_text("half")
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("asleep")
time.sleep(600)
"""


@pytest.fixture
def dev(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("dev", name)


def train(account: Account, script: str, hyperparameters: dict[str, Any], **request: Any) -> str:
    """Start a training job in script mode with the request of SageMaker's SDK."""
    account.put("train/a.csv", "1")
    account.put("train/more/b.csv", "2")
    code = account.put("code/sourcedir.tar.gz", archive({"train.py": script}))
    all_hyperparameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": code, **hyperparameters}
    return create(account, {key: json.dumps(value) for key, value in all_hyperparameters.items()}, **request)


def create(account: Account, hyperparameters: dict[str, str], **request: Any) -> str:
    channel = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{account.bucket}/train"}},
    }
    account.sagemaker.create_training_job(
        **{
            "TrainingJobName": account.name,
            "RoleArn": account.role_arn,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "HyperParameters": hyperparameters,
            "InputDataConfig": [channel],
            "OutputDataConfig": {"S3OutputPath": f"s3://{account.bucket}/jobs"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        }
        | request
    )
    return account.name


def ended(account: Account) -> dict[str, Any]:
    def description() -> dict[str, Any] | None:
        job: dict[str, Any] = account.sagemaker.describe_training_job(TrainingJobName=account.name)
        return job if job["TrainingJobStatus"] in ENDED else None

    job: dict[str, Any] = wait_for(description)
    return job


def members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_a_job_runs_its_script_and_uploads_its_model(dev: Account) -> None:
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "quality", "Regex": "quality=([0-9.]+)"}, {"Name": "absent", "Regex": "x=(.*)"}],
    }
    train(
        dev,
        SCRIPT,
        {"greeting": "Hello", "repeat": 2},
        AlgorithmSpecification=algorithm,
        Environment={"WORD": "please"},
        Tags=[{"Key": "team", "Value": "reviews"}],
    )

    job = ended(dev)

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    artifact = f"s3://{dev.bucket}/jobs/{dev.name}/output/model.tar.gz"
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": artifact}
    assert members(dev.get(artifact)) == {"greeting.txt": b"HelloHello"}
    output = members(dev.get(f"s3://{dev.bucket}/jobs/{dev.name}/output/output.tar.gz"))
    assert json.loads(output["seen.json"]) == {
        "names": ["a.csv", "b.csv", "more"],
        "hyperparameters": {"greeting": "Hello", "repeat": 2},
        "word": "please",
    }
    assert [(metric["MetricName"], metric["Value"]) for metric in job["FinalMetricDataList"]] == [
        ("quality", 0.8999999761581421)
    ]
    steps = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] >= 1
    assert "FailureReason" not in job
    tags = dev.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "reviews"}]
    assert "epoch 2 quality=0.9" in dev.log("/aws/sagemaker/TrainingJobs")


def test_the_description_of_a_job_contains_its_request(dev: Account) -> None:
    request = {
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableInterContainerTrafficEncryption": True,
        "Environment": {"WORD": "please"},
        "CheckpointConfig": {"S3Uri": f"s3://{dev.bucket}/checkpoints"},
    }
    train(dev, SCRIPT, {"greeting": "Hello"}, **request)

    job = ended(dev)

    assert {member: job[member] for member in request} == request
    assert job["HyperParameters"]["sagemaker_program"] == '"train.py"'
    assert job["EnableNetworkIsolation"] is False


def test_the_failure_reason_contains_the_error_of_the_script(dev: Account) -> None:
    train(dev, SCRIPT, {"greeting": "fail"})

    job = ended(dev)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage")
    assert "ValueError: no such greeting" in job["FailureReason"]
    assert '--greeting fail", exit code: 1' in job["FailureReason"]
    assert not dev.exists(job["ModelArtifacts"]["S3ModelArtifacts"])


def test_missing_data_fails_the_job(dev: Account) -> None:
    channel = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{dev.bucket}/missing"}},
    }
    train(dev, SCRIPT, {"greeting": "Hello"}, InputDataConfig=[channel])

    assert ended(dev)["FailureReason"].startswith("ClientError: Data download failed")


def test_an_output_path_without_permission_fails_the_job(dev: Account) -> None:
    bucket = f"other-{dev.name}"
    train(dev, SCRIPT, {"greeting": "Hello"}, OutputDataConfig={"S3OutputPath": f"s3://{bucket}"})

    assert ended(dev)["FailureReason"].startswith("ClientError: Artifact upload failed")


def test_a_stopped_job_uploads_its_saved_model(dev: Account) -> None:
    train(dev, SLEEP, {})
    wait_for(lambda: "asleep" in dev.log("/aws/sagemaker/TrainingJobs"))

    dev.sagemaker.stop_training_job(TrainingJobName=dev.name)

    assert dev.sagemaker.describe_training_job(TrainingJobName=dev.name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = ended(dev)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert members(dev.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"half.txt": b"half"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        dev.sagemaker.stop_training_job(TrainingJobName=dev.name)


def test_a_job_is_stopped_after_its_maximum_runtime(dev: Account) -> None:
    train(dev, SLEEP, {}, StoppingCondition={"MaxRuntimeInSeconds": 1})

    job = ended(dev)

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_an_algorithm_without_a_script_fails_with_instructions(dev: Account) -> None:
    dev.put("train/a.csv", "1")
    create(dev, {"max_depth": "5"})

    reason = ended(dev)["FailureReason"]

    assert "cannot run in the embedded AWS" in reason
    assert f"s3://{dev.bucket}/jobs/{dev.name}/output/model.tar.gz" in reason


def test_a_job_without_a_script_completes_with_an_existing_artifact(dev: Account) -> None:
    artifact = dev.put(f"jobs/{dev.name}/output/model.tar.gz", greeter("Hello"))
    create(dev, {"max_depth": "5"})

    job = ended(dev)

    assert job["TrainingJobStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == artifact


def test_the_output_is_encrypted_with_the_key_of_the_job_or_otherwise_with_the_accounts_key_for_s3(
    dev: Account,
) -> None:
    script = """
import os, pathlib
for name in ("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR"):
    pathlib.Path(os.environ[name], "a.txt").write_text("a")
"""
    kms = dev.client("kms")
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
    allow = {"Effect": "Allow", "Principal": {"AWS": dev.role_arn}, "Action": "kms:GenerateDataKey", "Resource": "*"}
    own = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))["KeyMetadata"]["Arn"]
    location = f"s3://{dev.bucket}/jobs"
    for suffix, output, expected in (("-own", {"KmsKeyId": own}, own), ("-default", {}, managed)):
        dev.name += suffix
        train(dev, script, {}, OutputDataConfig={"S3OutputPath": location, **output})
        job = ended(dev)
        assert job["TrainingJobStatus"] == "Completed", job
        artifact = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{dev.bucket}/")
        for key in (artifact, artifact.replace("model.tar.gz", "output.tar.gz")):
            found = dev.s3.head_object(Bucket=dev.bucket, Key=key)
            assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", expected)


def test_an_uncompressed_model_is_uploaded_under_a_prefix(dev: Account) -> None:
    output = {"S3OutputPath": f"s3://{dev.bucket}/jobs", "CompressionType": "NONE"}
    train(dev, SCRIPT, {"greeting": "Hello"}, OutputDataConfig=output)

    artifacts = ended(dev)["ModelArtifacts"]["S3ModelArtifacts"]

    assert artifacts == f"s3://{dev.bucket}/jobs/{dev.name}/output/model/"
    assert dev.get(f"{artifacts}greeting.txt") == b"Hello"


def test_the_names_of_jobs_must_be_unique(dev: Account) -> None:
    train(dev, SCRIPT, {"greeting": "Hello"})

    with pytest.raises(ClientError) as caught:
        train(dev, SCRIPT, {"greeting": "Hello"})

    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    assert "Training job names must be unique within an AWS account and region" in str(caught.value)
    ended(dev)


def test_a_missing_job_is_sagemakers_not_found_error(dev: Account) -> None:
    with pytest.raises(ClientError) as caught:
        dev.sagemaker.describe_training_job(TrainingJobName="missing")

    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationException", "Requested resource not found.")


def test_a_role_that_does_not_trust_sagemaker_is_rejected(dev: Account) -> None:
    with pytest.raises(ClientError, match="Could not assume role"):
        train(dev, SCRIPT, {"greeting": "Hello"}, RoleArn=f"arn:aws:iam::{dev.id}:role/missing")


def test_a_job_of_a_tuning_job_contains_its_arn(dev: Account) -> None:
    tuning_job_arn = f"arn:aws:sagemaker:eu-west-1:{dev.id}:hyper-parameter-tuning-job/{dev.name}"
    artifact = dev.put(f"jobs/{dev.name}/output/model.tar.gz", greeter("Hello"))
    request = {
        "TrainingJobName": dev.name,
        "RoleArn": dev.role_arn,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": artifact.partition(f"/{dev.name}/")[0]},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }

    training.start(Call(dev.id, "eu-west-1", request), tuning_job_arn)

    assert ended(dev)["TuningJobArn"] == tuning_job_arn


def test_every_change_of_status_emits_an_event(dev: Account) -> None:
    queue = dev.client("sqs").create_queue(QueueName=dev.name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:eu-west-1:{dev.id}:{dev.name}"
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": queue_arn}]}
    dev.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [dev.name], "TrainingJobStatus": ["Completed"]},
    }
    dev.client("events").put_rule(Name=dev.name, EventPattern=json.dumps(pattern))
    dev.client("events").put_targets(Rule=dev.name, Targets=[{"Id": "queue", "Arn": queue_arn}])

    train(dev, SCRIPT, {"greeting": "Hello"}, Tags=[{"Key": "team", "Value": "reviews"}])

    (message,) = wait_for(lambda: dev.client("sqs").receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(message["Body"])
    job = ended(dev)
    assert (event["source"], event["account"], event["resources"]) == ("aws.sagemaker", dev.id, [job["TrainingJobArn"]])
    detail = event["detail"]
    assert detail["Tags"] == {"team": "reviews"}
    assert detail["TrainingEndTime"] == str(round(job["TrainingEndTime"].timestamp() * 1000))
    assert detail["OutputDataConfig"] == job["OutputDataConfig"]
    assert "ModelArtifacts" not in detail


def train_example(account: Account, directory: Path, **hyperparameters: str) -> dict[str, Any]:
    data.write(directory)
    for channel in ("train", "validation"):
        account.put(f"reviews/{channel}/{channel}.csv", (directory / channel / f"{channel}.csv").read_bytes())
    scripts = {path.name: path.read_text() for path in (EXAMPLES / "reviews").glob("*.py")}
    code = account.put("reviews/sourcedir.tar.gz", archive(scripts))
    source = {"S3DataType": "S3Prefix"}
    create(
        account,
        {"sagemaker_program": "train.py", "sagemaker_submit_directory": code, **hyperparameters},
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "validation:accuracy", "Regex": "validation:accuracy=([0-9.]+)"}],
        },
        InputDataConfig=[
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {**source, "S3Uri": f"s3://{account.bucket}/reviews/{channel}"}},
            }
            for channel in ("train", "validation")
        ],
    )
    return ended(account)


def smoke_test_failures(account: Account) -> list[str]:
    """Return the cases of the example's smoke test that its endpoint fails."""
    failures = []
    for case in json.loads((EXAMPLES / "reviews" / "smoke-test.json").read_text())["cases"]:
        body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
        response = account.runtime.invoke_endpoint(
            EndpointName=account.name, ContentType=case["content_type"], Accept=case["accept"], Body=body.encode()
        )
        if jmespath.search(case["expect"], json.loads(response["Body"].read())) is not True:
            failures.append(case["name"])
    return failures


def test_the_example_model_works_and_its_broken_variants_do_not(dev: Account, tmp_path: Path) -> None:
    job = train_example(dev, tmp_path, ngrams="5")
    assert job["TrainingJobStatus"] == "Completed", job
    assert job["FinalMetricDataList"][0]["Value"] > 0.88
    artifact = dev.get(job["ModelArtifacts"]["S3ModelArtifacts"])
    broken = EXAMPLES / "broken"

    dev.endpoint(dev.config(dev.model("good", artifact)))
    assert smoke_test_failures(dev) == []

    wrong = repack.repack(artifact, broken / "wrong_answers" / "inference.py")
    dev.update(dev.config(dev.model("wrong", wrong)))
    assert dev.settled()["EndpointConfigName"].endswith("-wrong")
    assert {"praise is positive", "complaints are negative"} <= set(smoke_test_failures(dev))

    cannot_load = repack.repack(artifact, broken / "cannot_load" / "inference.py")
    dev.update(dev.config(dev.model("unloadable", cannot_load)))
    assert dev.settled()["EndpointConfigName"].endswith("-wrong")


def test_the_hyperparameters_of_the_example_affect_the_model_quality(dev: Account, tmp_path: Path) -> None:
    job = train_example(dev, tmp_path, ngrams="2", share="0.3")

    assert job["FinalMetricDataList"][0]["Value"] < 0.8


@pytest.mark.parametrize("source_dir", ["source", "s3://bucket/code/source.tar.gz"])
def test_a_job_of_model_trainer_runs_the_entry_script_of_its_channel(dev: Account, source_dir: str) -> None:
    """The request and the files of sagemaker.train.ModelTrainer."""
    script = "import os, sys\nopen(os.environ['SM_MODEL_DIR'] + '/told', 'w').write(' '.join(sys.argv[1:]))\n"
    if source_dir.endswith(".tar.gz"):
        dev.put("input/code/source.tar.gz", archive({"train.py": script}))
    else:
        dev.put("input/code/train.py", script)
    described = {"source_dir": source_dir, "entry_script": "train.py", "command": None}
    dev.put("input/sm_drivers/sourcecode.json", json.dumps(described))
    run = "/opt/ml/input/data/sm_drivers/sm_train.sh"
    channels = [
        {
            "ChannelName": name,
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{dev.bucket}/input/{name}"},
            },
        }
        for name in ("code", "sm_drivers")
    ]

    create(
        dev,
        {"epochs": "3"},
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash"],
            "ContainerArguments": ["-c", f"chmod +x {run} && {run}"],
        },
        InputDataConfig=channels,
    )

    job = ended(dev)
    assert job["TrainingJobStatus"] == "Completed", job
    assert members(dev.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"told": b"--epochs 3"}


def test_a_job_of_model_trainer_without_its_entry_script_fails(dev: Account) -> None:
    run = "/opt/ml/input/data/sm_drivers/sm_train.sh"
    dev.put("train/a.csv", "1")

    create(
        dev,
        {},
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash"],
            "ContainerArguments": ["-c", run],
        },
    )

    assert "The code of the training job could not be read" in ended(dev)["FailureReason"]
