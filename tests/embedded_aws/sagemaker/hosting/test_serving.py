"""The containers of an endpoint: artifacts, scripts, requests and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.sagemaker_account import (
    EXIT_ON_BOMB,
    PING_FAILED,
    UNRESPONSIVE,
    VARIANT,
    Account,
    archive,
    greeter,
    refused,
)
from tests.support import registries
from tests.support.waiting import wait_for

# The containers for scikit-learn read their script from SAGEMAKER_SUBMIT_DIRECTORY, unlike those for PyTorch.
SCIKIT_LEARN = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


@pytest.fixture
def qa(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.3)
    return Account("qa", name)


def test_the_error_of_a_model_is_returned(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))

    with pytest.raises(ClientError) as caught:
        qa.greet("nobody")

    response = caught.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 500
    assert response["OriginalMessage"].startswith("nobody is not welcome")
    assert response["LogStreamArn"] == (f"arn:aws:logs:eu-west-1:{qa.id}:log-group:/aws/sagemaker/Endpoints/{qa.name}")
    wait_for(lambda: "ValueError: nobody is not welcome" in qa.log(f"/aws/sagemaker/Endpoints/{qa.name}"))


def test_a_container_that_exits_is_restarted(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello", EXIT_ON_BOMB))

    assert refused(qa.greet, person="bomb")[0] == "ModelError"

    def greets() -> bool:
        try:
            return qa.greet() == "Hello Ada"
        except ClientError:
            return False

    wait_for(greets)


def test_a_model_that_exceeds_the_time_limit_is_an_error(qa: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded_aws.services.sagemaker.hosting.changes.INVOCATION_SECONDS", 0.5)
    slow = "import time\ndef model_fn(model_dir): return lambda data: time.sleep(600)"
    qa.endpoint(qa.config(qa.model("a", archive({"code/inference.py": slow}))))

    code, message = refused(qa.greet)

    assert code == "ModelError"
    assert "Your invocation timed out while waiting for a response from container primary" in message


def test_a_body_larger_than_six_megabytes_is_rejected(qa: Account) -> None:
    qa.endpoint(qa.greeter_config("a", "Hello"))

    code, message = refused(qa.runtime.invoke_endpoint, EndpointName=qa.name, Body=b"x" * 6_291_457)

    assert code == "ValidationError"
    assert "less than or equal to 6291456" in message


def test_bytes_are_passed_to_and_from_the_model_unchanged(qa: Account) -> None:
    echo = "def model_fn(d): return None\ndef transform_fn(model, body, kind, accept): return body[::-1], kind"
    qa.endpoint(qa.config(qa.model("a", archive({"code/inference.py": echo}))))

    response = qa.runtime.invoke_endpoint(EndpointName=qa.name, ContentType="application/x-npy", Body=bytes(range(256)))

    assert response["Body"].read() == bytes(reversed(range(256)))
    assert response["ContentType"] == "application/x-npy"
    assert response["InvokedProductionVariant"] == VARIANT


@pytest.mark.parametrize(
    ("content_type", "accept", "body", "expected"),
    [
        ("application/json", "application/json", '["a"]', '["a", "a"]'),
        ("text/csv", "text/csv", "1,2\n3,4\n", "1,2\r\n3,4\r\n1,2\r\n3,4\r\n"),
        ("text/plain", "text/plain", "ab", "abab"),
    ],
)
def test_missing_functions_of_a_script_have_defaults(
    qa: Account, content_type: str, accept: str, body: str, expected: str
) -> None:
    qa.endpoint(
        qa.config(qa.model("a", archive({"code/inference.py": "def model_fn(d): return lambda data: data * 2"})))
    )

    response = qa.runtime.invoke_endpoint(
        EndpointName=qa.name, ContentType=content_type, Accept=accept, Body=body.encode()
    )

    assert (response["ContentType"], response["Body"].read().decode()) == (accept, expected)


def test_a_script_can_be_outside_of_the_model_archive(qa: Account) -> None:
    code = qa.put(
        "code/sourcedir.tar.gz",
        archive(
            {
                "serve.py": "import helper\nmodel_fn = helper.load",
                "helper.py": ("def load(model_dir): return lambda data: open(model_dir + '/greeting.txt').read()"),
            }
        ),
    )
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": code, "SAGEMAKER_PROGRAM": "serve.py"}
    artifact = archive({"greeting.txt": "Good day"})
    qa.endpoint(qa.config(qa.model("a", artifact, Image=SCIKIT_LEARN, Environment=environment)))

    assert qa.greet() == "Good day"


def test_a_container_in_network_isolation_cannot_download_its_script(qa: Account) -> None:
    code = qa.put("code/sourcedir.tar.gz", archive({"inference.py": "def model_fn(d): return print"}))
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": code}
    isolated = {"EnableNetworkIsolation": True}
    model = qa.model("a", greeter("x"), isolated, Image=SCIKIT_LEARN, Environment=environment)
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=qa.config(model))

    assert qa.settled()["FailureReason"] == PING_FAILED


def test_a_model_has_only_its_environment_and_the_credentials_of_its_role(
    qa: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    script = """
import importlib.util, os
import boto3
def model_fn(model_dir): return model_dir
def predict_fn(data, model_dir):
    return {
        "caller": boto3.client("sts").get_caller_identity()["Arn"],
        "embedded_aws": importlib.util.find_spec("embedded_aws") is not None,
        "secret": "SECRET_OF_THE_DEVELOPER" in os.environ,
        "greeting": os.environ["GREETING"],
        "model_dir": model_dir == os.environ["SM_MODEL_DIR"],
    }
"""
    qa.endpoint(qa.config(qa.model("a", archive({"code/inference.py": script}), Environment={"GREETING": "Hi"})))

    seen: Any = qa.greet()

    assert seen.pop("caller").startswith(f"arn:aws:sts::{qa.id}:assumed-role/execution-{qa.name}/")
    assert seen == {"embedded_aws": False, "secret": False, "greeting": "Hi", "model_dir": True}


def test_a_model_with_network_isolation_has_no_credentials(qa: Account) -> None:
    script = """
import os
def model_fn(model_dir): return model_dir
def predict_fn(data, model_dir):
    return [name for name in os.environ if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED"]
"""
    model = qa.model("a", archive({"code/inference.py": script}), {"EnableNetworkIsolation": True})
    qa.endpoint(qa.config(model))

    seen: Any = qa.greet()

    assert seen == []


def test_a_missing_artifact_fails_the_deployment(qa: Account) -> None:
    config = qa.greeter_config("a", "Hello")
    qa.s3.delete_object(Bucket=qa.bucket, Key=f"{config}/model.tar.gz")
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)

    reason = qa.settled()["FailureReason"]
    assert reason.startswith(
        f'Failed to download model data for container "primary" from URL: "s3://{qa.bucket}/{config}'
    )


@pytest.mark.parametrize(
    "missing", ["nothing", "GetAuthorizationToken", "BatchCheckLayerAvailability", "GetDownloadUrlForLayer"]
)
def test_pulling_an_image_requires_the_permissions_for_its_layers(qa: Account, name: str, missing: str) -> None:
    ecr = qa.client("ecr")
    registries.ensure_repository(ecr, name)
    digest = registries.push_list(ecr, name, {"arm64": [b"one", b"two"], "amd64": [b"three"]}, "1")
    image = f"{qa.id}.dkr.ecr.{accounts.REGION}.amazonaws.com/{name}"
    role = {"RoleName": f"execution-{name}", "PolicyName": "access"}
    document = json.dumps(qa.iam.get_role_policy(**role)["PolicyDocument"])
    qa.iam.put_role_policy(**role, PolicyDocument=document.replace(f"ecr:{missing}", "ecr:PutImage"))

    config = qa.config(qa.model("a", greeter("Hello"), Image=f"{image}:1"))
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)

    endpoint = qa.settled()
    if missing != "nothing":
        assert "has permissions to access them" in endpoint["FailureReason"]
    else:
        assert endpoint["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"] == f"{image}@{digest}"


def test_an_invalid_archive_fails_the_deployment(qa: Account) -> None:
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=qa.config(qa.model("a", b"no archive")))

    assert "is a valid tar.gz archive" in qa.settled()["FailureReason"]


def test_an_archive_cannot_write_outside_of_its_directory(qa: Account) -> None:
    escaping = archive({"../../outside.txt": "here", "code/inference.py": "def model_fn(model_dir): return print"})
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=qa.config(qa.model("a", escaping)))

    assert "is a valid tar.gz archive" in qa.settled()["FailureReason"]


def test_a_model_that_cannot_be_loaded_fails_a_new_endpoint(qa: Account) -> None:
    config = qa.config(qa.model("a", archive({"code/inference.py": "raise SystemExit('no weights')"})))
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)

    seen, endpoint = qa.statuses()

    assert seen == ["Creating", "Failed"]
    assert endpoint["FailureReason"] == PING_FAILED
    wait_for(lambda: "no weights" in qa.log(f"/aws/sagemaker/Endpoints/{qa.name}"))


def test_an_unresponsive_container_fails_a_new_endpoint(
    qa: Account, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.pace, "health_check", 1.0)
    config = qa.greeter_config("a", "Hello", UNRESPONSIVE)
    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=config)

    assert qa.settled()["FailureReason"] == PING_FAILED


START_AND_END = """
import os, signal, sys
from pathlib import Path
from embedded_aws.aws import EmbeddedAws, Pace
from tests.embedded_aws.support.sagemaker_account import Account, archive

with EmbeddedAws(Path(sys.argv[2]), pace=Pace(endpoint_change=0.1)):
    qa = Account("qa", "ending")
    script = "import os\\ndef model_fn(model_dir): return lambda data: os.getpid()"
    qa.endpoint(qa.config(qa.model("a", archive({"code/inference.py": script}))))
    print(qa.greet(), flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_containers_end_with_the_embedded_aws(end: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    ended = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", START_AND_END, end, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    container = int(ended.stdout)

    def process_ended() -> bool:
        try:
            os.kill(container, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(process_ended)


def says(word: str) -> str:
    return f"def model_fn(model_dir): return lambda data: {word!r}\n"


@pytest.mark.parametrize("repository", ["pytorch-inference", "huggingface-pytorch-inference", "mxnet-inference"])
@pytest.mark.parametrize("program", [None, "serve.py", "serve"])
def test_the_containers_of_deep_learning_read_code_only_from_the_model(
    qa: Account, repository: str, program: str | None
) -> None:
    image = f"763104351884.dkr.ecr.eu-west-1.amazonaws.com/{repository}:2.0-cpu"
    submitted = qa.put(
        "sourcedir.tar.gz", archive({f"{name}.py": says("submitted") for name in ("serve", "inference")})
    )
    files = {f"code/{name}.py": says(name) for name in ("inference", "serve")}
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": submitted}
    if program is not None:
        environment["SAGEMAKER_PROGRAM"] = program

    qa.endpoint(qa.config(qa.model("a", archive(files), Image=image, Environment=environment)))

    assert qa.greet() == ("serve" if program else "inference")


@pytest.mark.parametrize(("file", "program"), [("label.txt", "inference.py"), ("code/inference.py", "")])
def test_a_deep_learning_container_without_the_code_of_its_program_does_not_start(
    qa: Account, file: str, program: str
) -> None:
    image = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.0-cpu"
    submitted = qa.put("sourcedir.tar.gz", archive({"inference.py": says("submitted")}))
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": submitted, "SAGEMAKER_PROGRAM": program}
    model = qa.model("a", archive({file: says("model")}), Image=image, Environment=environment)

    qa.sagemaker.create_endpoint(EndpointName=qa.name, EndpointConfigName=qa.config(model))

    assert qa.settled()["EndpointStatus"] == "Failed"
    wait_for(lambda: any("does not exist" in line for line in qa.log(f"/aws/sagemaker/Endpoints/{qa.name}")))
