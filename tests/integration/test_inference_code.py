"""Training jobs of each framework and SDK: the endpoint answers with the code that its container finds.

The containers of AWS's images run AWS's published inference toolkits, if these are installed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.kernel import accounts
from embedded_aws.services.sagemaker.hosting import containers
from tests.support import toolkits
from tests.support.archives import tar_gz
from tests.support.settings import configure
from tests.support.world import DEV_BUCKET, ECHO_LABEL, IMAGE, ROLE, SKLEARN, TRAINS, Lab, Stage

DEEP_LEARNING = f"763104351884.dkr.ecr.{accounts.REGION}.amazonaws.com"
PYTORCH = f"{DEEP_LEARNING}/pytorch-inference:2.3-cpu-py311"
MXNET = f"{DEEP_LEARNING}/mxnet-inference:1.9.0-cpu-py38"
XGBOOST = SKLEARN.replace("scikit-learn:1.2-1-cpu-py3", "xgboost:1.7-1")
HUGGING_FACE = f"{DEEP_LEARNING}/huggingface-pytorch-inference:2.6-transformers4.51-cpu-py312"
V3 = json.loads((Path(__file__).parents[1] / "sdk_models/v3.json").read_text())
# Answers with another label, to tell it from the training code.
OTHER = ECHO_LABEL.replace('{"label": model}', '{"label": "other " + model}')
# The toolkit for Hugging Face passes on what a script returns, without a content type.
OF_HUGGING_FACE = ', "application/json"'
# The toolkit for MXNet accepts a model that is none of MXNet's own only with this function, and then no other.
OF_MXNET = """
def transform_fn(model, data, content_type, accept):
    return json.dumps({"label": model}), "application/json"
"""
# Writes the code that serves the model into the model, as HuggingFace.create_model() requires.
WRITES_CODE = f"""
    os.makedirs(os.environ["SM_MODEL_DIR"] + "/code")
    with open(os.environ["SM_MODEL_DIR"] + "/code/inference.py", "w") as file:
        file.write({ECHO_LABEL.replace(OF_HUGGING_FACE, "")!r})
"""


@pytest.fixture(autouse=True)
def _toolkits() -> Iterator[None]:
    with containers.served_by(toolkits.server_of):
        yield


@dataclasses.dataclass
class Job:
    """A job whose script is `train.py`; `files` are further ones of its code."""

    lab: Lab
    application: str
    image: str
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    script: str = TRAINS
    is_isolated: bool = False
    compression: str = "GZIP"
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    expected: str = "trained"

    @property
    def code(self) -> dict[str, bytes]:
        return {"train.py": self.script.encode()} | self.files

    def __post_init__(self) -> None:
        if self.image == HUGGING_FACE:
            self.files = {name: hugging_face(content) for name, content in self.files.items()}
        if self.image == MXNET:
            self.files = {name: mxnet(content.decode()).encode() for name, content in self.files.items()}
            self.script = mxnet(self.script)

    def of_sdk_2(self) -> str:
        """Start it as an estimator of version 2 does, and return its name when it has completed."""
        archive = self.lab.upload_as_sdk(f"{self.application}/source/sourcedir.tar.gz", tar_gz(self.code))
        submitted = "/opt/ml/input/data/code/sourcedir.tar.gz" if self.is_isolated else archive
        framework = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(submitted)}
        return self._started(framework, {"code": archive} if self.is_isolated else {}, {})

    def of_sdk_3(self) -> str:
        """Start it as ModelTrainer does, and return its name when it has completed."""
        folder = f"{self.application}/input"
        for name, content in self.code.items():
            self.lab.upload(f"{folder}/code/{name}", content)
        self.lab.upload(f"{folder}/sm_drivers/sourcecode.json", json.dumps(V3["sourcecode.json"]).encode())
        channels = {name: f"s3://{DEV_BUCKET}/{folder}/{name}" for name in ("code", "sm_drivers")}
        specification = V3["job"]["AlgorithmSpecification"]
        container = {key: specification[key] for key in ("ContainerEntrypoint", "ContainerArguments")}
        return self._started({}, channels, container)

    def _started(self, hyperparameters: dict[str, str], channels: dict[str, str], container: dict[str, Any]) -> str:
        training = self.image.replace("-inference", "-training")
        tags = {
            "model-promotion:application": self.application,
            "model-promotion:smoke-test": self.lab.suite(self.application, f"label == '{self.expected}'"),
            "model-promotion:inference-image": self.image,
        } | self.tags
        inputs = [
            {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}
            for name, uri in channels.items()
        ]
        self.lab.client("sagemaker").create_training_job(
            **({"InputDataConfig": inputs} if inputs else {}),
            TrainingJobName=self.application,
            AlgorithmSpecification={"TrainingImage": training, "TrainingInputMode": "File", **container},
            HyperParameters=hyperparameters | {"label": "trained", "say": "done"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{DEV_BUCKET}", "CompressionType": self.compression},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            EnableNetworkIsolation=self.is_isolated,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        assert self.lab.ended(self.application) == "Completed"
        return self.application


def hugging_face(script: bytes) -> bytes:
    return script.replace(OF_HUGGING_FACE.encode(), b"")


def mxnet(script: str) -> str:
    start, end = script.find("def input_fn"), script.find("if __name__")
    return script if start < 0 else script[:start] + OF_MXNET + (script[end:] if end >= 0 else "")


def promoted(qa: Stage, job: str) -> dict[str, Any]:
    """Return the container of the model that the event of the job has promoted."""
    execution = qa.execution_of(job)
    assert execution.status == "SUCCEEDED", f"{execution.cause} {log(qa, job + '-qa')}"
    model = qa.client("sagemaker").describe_model(ModelName=execution.output["model_name"])
    container: dict[str, Any] = model["PrimaryContainer"]
    if server := toolkits.server_of(container["Image"]):
        assert f"The toolkit {server.argument} has loaded the model." in log(qa, execution.output["endpoint"])
    return container


def log(qa: Stage, endpoint: str) -> str:
    """Return what the containers of an endpoint have written."""
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    events = qa.client("logs").filter_log_events(logGroupName=group)["events"]
    return "\n".join(event["message"] for event in events)


def content(qa: Stage, uri: str) -> dict[str, bytes]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = qa.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body), mode="r|gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_a_pytorch_job_serves_its_script_from_the_archive(lab: Lab, qa: Stage, application: str) -> None:
    job = Job(lab, application, PYTORCH)

    container = promoted(qa, job.of_sdk_2())

    assert qa.answer(application) == {"label": "trained"}
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert content(qa, container["ModelDataUrl"]) == {"code/train.py": TRAINS.encode(), "label.txt": b"trained"}


@pytest.mark.parametrize(("image", "file"), [(XGBOOST, None), (MXNET, "code/train.py")], ids=["xgboost", "mxnet"])
def test_a_job_of_another_framework_serves_its_script(
    lab: Lab, qa: Stage, application: str, image: str, file: str | None
) -> None:
    container = promoted(qa, Job(lab, application, image).of_sdk_2())

    assert qa.answer(application) == {"label": "trained"}
    assert set(content(qa, container["ModelDataUrl"])) == {"label.txt", *([file] if file else [])}


def test_a_hugging_face_job_serves_the_code_that_it_has_written(lab: Lab, qa: Stage, application: str) -> None:
    container = promoted(qa, Job(lab, application, HUGGING_FACE, script=TRAINS + WRITES_CODE).of_sdk_2())

    assert qa.answer(application) == {"label": "trained"}
    assert "SAGEMAKER_PROGRAM" not in container["Environment"]


def test_an_isolated_job_serves_its_script_from_the_archive(lab: Lab, qa: Stage, application: str) -> None:
    container = promoted(qa, Job(lab, application, SKLEARN, is_isolated=True).of_sdk_2())

    assert qa.answer(application) == {"label": "trained"}
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"


@pytest.mark.parametrize(
    "image",
    [PYTORCH, SKLEARN, HUGGING_FACE, XGBOOST, MXNET],
    ids=["pytorch", "scikit-learn", "huggingface", "xgboost", "mxnet"],
)
def test_a_job_of_model_trainer_serves_its_inference_script(lab: Lab, qa: Stage, application: str, image: str) -> None:
    files = {"inference.py": b"from lib.echo import *\n", "lib/echo.py": ECHO_LABEL.encode()}

    container = promoted(qa, Job(lab, application, image, files).of_sdk_3())

    assert qa.answer(application) == {"label": "trained"}
    assert set(content(qa, container["ModelDataUrl"])) == {
        "code/inference.py",
        "code/lib/echo.py",
        "code/train.py",
        "label.txt",
    }


def test_an_uncompressed_model_gets_the_code_as_objects(lab: Lab, qa: Stage, application: str) -> None:
    container = promoted(qa, Job(lab, application, PYTORCH, compression="NONE").of_sdk_2())

    assert qa.answer(application) == {"label": "trained"}
    prefix = container["ModelDataSource"]["S3DataSource"]["S3Uri"].removeprefix(f"s3://{qa.bucket}/")
    listed = qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=prefix)["Contents"]
    assert {found["Key"].removeprefix(prefix) for found in listed} == {"code/train.py", "label.txt"}


def test_the_code_of_the_tag_replaces_the_training_code(lab: Lab, qa: Stage, application: str) -> None:
    code = lab.upload(f"{application}/serving.tar.gz", tar_gz({"serve.py": hugging_face(OTHER.encode())}))
    tags = {"model-promotion:inference-code": code, "model-promotion:inference-program": "serve.py"}
    job = Job(lab, application, HUGGING_FACE, tags=tags, expected="other trained")

    container = promoted(qa, job.of_sdk_2())

    assert qa.answer(application) == {"label": "other trained"}
    assert set(content(qa, container["ModelDataUrl"])) == {"code/serve.py", "label.txt"}


def test_the_code_of_the_settings_replaces_the_training_code(lab: Lab, qa: Stage, application: str) -> None:
    lab.upload(f"{application}/serving/inference.py", OTHER.encode())
    configure(qa, application, InferenceCode={"S3Uri": f"s3://{DEV_BUCKET}/{application}/serving"})

    promoted(qa, Job(lab, application, PYTORCH, expected="other trained").of_sdk_2())

    assert qa.answer(application) == {"label": "other trained"}


def test_code_without_an_inference_script_is_refused_while_planning(lab: Lab, qa: Stage, application: str) -> None:
    execution = qa.execution_of(Job(lab, application, PYTORCH).of_sdk_3())

    assert execution.error == "PromotionRefusedError"
    assert "has no file 'inference.py', which serves the model" in (execution.cause or "")
    assert "Copy artifacts" not in execution.states


def test_an_archive_that_cannot_be_spliced_is_refused_while_planning(lab: Lab, qa: Stage, application: str) -> None:
    job = Job(lab, application, PYTORCH).of_sdk_2()
    assert qa.execution_of(job).status == "SUCCEEDED"
    key = f"{job}/output/model.tar.gz"
    body = lab.client("s3").get_object(Bucket=DEV_BUCKET, Key=key)["Body"].read()
    lab.upload(key, body + body)

    execution = qa.promote({"training_job": job})

    assert execution.error == "PromotionRefusedError"
    assert "consists of several gzip members" in (execution.cause or "")


def test_a_job_with_an_own_image_gets_no_environment(lab: Lab, qa: Stage, application: str) -> None:
    container = promoted(qa, lab.train(application, "packed", image=IMAGE))

    assert qa.answer(application) == {"label": "packed"}
    assert "Environment" not in container or container["Environment"] == {}
