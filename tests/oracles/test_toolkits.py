"""AWS's published inference toolkits find and import the code of the models that training jobs are promoted as."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from promotion.copying import code_tar
from promotion.source.candidate import from_training_job
from tests.support import toolkits
from tests.support.archives import spliced, tar_gz
from tests.support.descriptions import TAGS, training_job

pytestmark = toolkits.installed

RECORDS = Path(__file__).parents[1] / "sdk_models"
V2 = json.loads((RECORDS / "v2.json").read_text())["cases"]
V3, TUNED = (json.loads((RECORDS / "v3.json").read_text())[key] for key in ("job", "TrainingJobDefinition"))
REGION = "eu-west-1"
CODE = "s3://sagemaker-eu-west-1-111111111111/job/source/sourcedir.tar.gz"
DEEP_LEARNING = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
# Answers with the name of its file. The toolkit for MXNet accepts models of MXNet or a transform_fn.
SCRIPT = """
import json, os, words
def model_fn(model_dir):
    with open(os.path.join(model_dir, "label.txt")) as file:
        return file.read()
def transform_fn(model, data, content_type, accept):
    return json.dumps({"script": __name__ + ".py", "label": model, "word": words.WORD})
"""
FILES = {name: SCRIPT.encode() for name in ("train.py", "inference.py", "serve.py")} | {"words.py": b"WORD = 'found'"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A training job, the image that serves its model, and the script that must answer."""

    name: str
    description: dict[str, Any]
    image: str
    script: str
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)


def of_sdk_2() -> list[Case]:
    """Return the recorded jobs whose models a published toolkit serves."""
    found = []
    for case in V2:
        request, image = case["job"], case["container"]["Image"]
        if not toolkits.toolkit_of(image):
            continue
        code = {"ChannelName": "code", "DataSource": {"S3DataSource": {"S3Uri": CODE, "S3DataType": "S3Prefix"}}}
        description = training_job(
            AlgorithmSpecification={"TrainingImage": request["TrainingImage"], "TrainingInputMode": "File"},
            HyperParameters=request["HyperParameters"],
            InputDataConfig=[code] if case["isolated"] else None,
            EnableNetworkIsolation=case["isolated"],
        )
        # A model of Hugging Face contains the code that serves it.
        own = case["name"] == "huggingface"
        files = {"code/inference.py": FILES["inference.py"], "code/words.py": FILES["words.py"]} if own else {}
        script = "inference.py" if own else "train.py"
        name = f"{case['name']}, version 2{', isolated' * case['isolated']}"
        found.append(Case(name, description, image, script, files=files))
    return found


def of_sdk_3() -> list[Case]:
    """Return jobs of ModelTrainer, with and without network isolation, and with a program of the tag."""
    images = {
        "scikit-learn": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "xgboost": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "pytorch": f"{DEEP_LEARNING}/pytorch-inference:2.3-cpu-py311",
        "mxnet": f"{DEEP_LEARNING}/mxnet-inference:1.9.0-cpu-py38",
        "huggingface": f"{DEEP_LEARNING}/huggingface-pytorch-inference:2.6-transformers4.51-cpu-py312",
    }
    found = []
    for name, image in images.items():
        for isolated in (False, True):
            job = V3 | {"AlgorithmSpecification": V3["AlgorithmSpecification"] | {"TrainingImage": image}}
            description = training_job(**job, EnableNetworkIsolation=isolated)
            text = f"{name}, version 3{', isolated' * isolated}"
            found.append(Case(text, description, image, "inference.py"))
        tuned = training_job(
            AlgorithmSpecification=TUNED["AlgorithmSpecification"] | {"TrainingImage": image},
            HyperParameters=TUNED["StaticHyperParameters"],
            InputDataConfig=TUNED["InputDataConfig"],
        )
        found.append(Case(f"{name}, tuned with version 3", tuned, image, "inference.py"))
        program = {"model-promotion:inference-program": "serve.py"}
        found.append(Case(f"{name}, version 3, with a program", training_job(**job), image, "serve.py", program))
    return found


CASES = [*of_sdk_2(), *of_sdk_3()]


def on_disk(case: Case, folder: Path) -> dict[str, Any]:
    """Unpack the model as SageMaker does, and return what its container gets."""
    tags = TAGS | {"model-promotion:inference-image": case.image} | case.tags
    candidate = from_training_job(case.description, tags, None, REGION, {})
    [container] = candidate.containers
    archive = tar_gz({"label.txt": b"trained"} | case.files)
    if candidate.code:
        program = candidate.code["program"]
        assert program is None or program in FILES
        archive = spliced(archive, FILES)[1]
    model = folder / "model"
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as tar:
        tar.extractall(model, filter="data")
    submitted = container["Environment"].get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    s3 = {}
    if submitted.startswith("s3://"):
        (folder / "sourcedir.tar.gz").write_bytes(tar_gz(FILES))
        s3[submitted] = str(folder / "sourcedir.tar.gz")
    return {
        "toolkit": toolkits.toolkit_of(container["Image"]),
        "model": str(model),
        "environment": container["Environment"],
        "s3": s3,
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    models = [on_disk(case, tmp_path_factory.mktemp("model")) for case in CASES]
    return dict(zip([case.name for case in CASES], toolkits.answers(models), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_toolkit_of_the_image_imports_the_code_of_the_model(case: Case, answers: dict[str, Any]) -> None:
    assert answers[case.name] == {"answer": {"script": case.script, "label": "trained", "word": "found"}}


def test_a_toolkit_without_the_code_does_not_answer(tmp_path: Path) -> None:
    """The answers above come from the code, and the empty program of the SDK hides it from the toolkit."""
    case = next(case for case in CASES if case.name == "huggingface, version 2")
    model = on_disk(case, tmp_path)
    empty = model | {"environment": model["environment"] | {"SAGEMAKER_PROGRAM": ""}}
    other = model | {"environment": model["environment"] | {"SAGEMAKER_PROGRAM": "other.py"}}

    found = toolkits.answers([model, empty, other])

    assert "answer" in found[0]
    assert all("You need to define one of the following" in each["error"] for each in found[1:])


def test_the_toolkits_look_for_requirements_where_the_code_is_added(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(code_tar.tar_of({"requirements.txt": b"numpy\n"}))) as tar:
        tar.extractall(tmp_path / "model", filter="data")

    found = toolkits.requirements(tmp_path)

    assert found == tmp_path / "model/code/requirements.txt"
    assert found.exists()
