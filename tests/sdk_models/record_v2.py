"""Record the models that version 2 of the SageMaker Python SDK makes of its training jobs, without an AWS account.

    uv venv --python 3.12 sdk && uv pip install --python sdk/bin/python sagemaker==2.257.0
    sdk/bin/python tests/sdk_models/record_v2.py

Each case has the request that starts the job, and the container that `estimator.create_model()` prepares.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import re
import tempfile
from typing import Any
from unittest import mock

import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.huggingface import HuggingFace
from sagemaker.mxnet import MXNet
from sagemaker.pytorch import PyTorch
from sagemaker.sklearn import SKLearn
from sagemaker.tensorflow import TensorFlow
from sagemaker.xgboost import XGBoost

REGION, ROLE = "eu-west-1", "arn:aws:iam::111111111111:role/training"
ARTIFACTS = "s3://sagemaker-eu-west-1-111111111111/job/output/model.tar.gz"
OWN_IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/team/server:1"

COMMON = {"instance_type": "ml.m5.large", "instance_count": 1}
ENTRY = COMMON | {"entry_point": "train.py"}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "scikit-learn": (SKLearn, ENTRY | {"framework_version": "1.2-1"}),
    "xgboost": (XGBoost, ENTRY | {"framework_version": "1.7-1"}),
    "pytorch": (PyTorch, ENTRY | {"framework_version": "2.3", "py_version": "py311"}),
    "pytorch 1.1": (PyTorch, ENTRY | {"framework_version": "1.1.0", "py_version": "py3"}),
    "mxnet": (MXNet, ENTRY | {"framework_version": "1.9.0", "py_version": "py38"}),
    "mxnet 1.3": (MXNet, ENTRY | {"framework_version": "1.3.0", "py_version": "py3"}),
    "huggingface": (
        HuggingFace,
        ENTRY
        | {
            "transformers_version": "4.28.1",
            "pytorch_version": "2.0.0",
            "py_version": "py310",
            "instance_type": "ml.g4dn.xlarge",
        },
    ),
    "tensorflow": (TensorFlow, ENTRY | {"framework_version": "2.13", "py_version": "py310"}),
    "own image with a script": (Estimator, ENTRY | {"image_uri": OWN_IMAGE}),
    "own image": (Estimator, COMMON | {"image_uri": OWN_IMAGE}),
    "built-in algorithm": (
        Estimator,
        COMMON | {"image_uri": "685385470294.dkr.ecr.eu-west-1.amazonaws.com/xgboost:1"},
    ),
}


def session() -> Any:
    """Return a session whose calls to AWS succeed."""
    found = mock.MagicMock(name="session", boto_region_name=REGION, local_mode=False, default_bucket_prefix=None)
    found.default_bucket.return_value = f"sagemaker-{REGION}-111111111111"
    found.boto_session.region_name = REGION
    found.sagemaker_config = {}
    found.settings = sagemaker.session_settings.SessionSettings()
    found.sagemaker_client.describe_training_job.return_value = {"ModelArtifacts": {"S3ModelArtifacts": ARTIFACTS}}
    found.expand_role.side_effect = lambda role: role
    found.upload_data.return_value = "s3://uploaded"
    found._append_sagemaker_config_tags.side_effect = lambda tags, _: tags
    found.resolve_value_from_config = lambda direct_input=None, default_value=None, **_: direct_input or default_value
    return found


def recorded(kind: Any, arguments: dict[str, Any], isolated: bool) -> dict[str, Any]:
    """Return the request of a job and the container of its model."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "train.py").write_text("print()\n")
        if "entry_point" in arguments:
            arguments = arguments | {"source_dir": folder}
        estimator = kind(
            role=ROLE, sagemaker_session=session(), enable_network_isolation=isolated, base_job_name="job", **arguments
        )
        estimator._prepare_for_training("job")
        request = {
            "TrainingImage": estimator.training_image_uri(),
            "HyperParameters": estimator.hyperparameters() or {},
            "EnableNetworkIsolation": estimator.enable_network_isolation(),
        }
        if isolated:
            request["CodeChannel"] = estimator.code_uri
        estimator.latest_training_job = mock.MagicMock(job_name="job")
        estimator.latest_training_job.name = "job"
        with mock.patch("sagemaker.utils.repack_model") as repack:
            model = estimator.create_model(name="model")
            container = model.prepare_container_def(instance_type="ml.m5.large")
        calls = [call.kwargs for call in repack.call_args_list]
    return {
        "job": request,
        "container": {
            "Image": container["Image"],
            "Environment": container.get("Environment", {}),
            "ModelDataUrl": container.get("ModelDataUrl"),
        },
        "repacked": [
            {
                "inference_script": call.get("inference_script"),
                "source_directory": call.get("source_directory"),
                "model_uri": call["model_uri"],
            }
            for call in calls
        ],
    }


def of_readme() -> dict[str, Any]:
    """Run the example of the README, and return it with the tags and the code of its job."""
    here, found = pathlib.Path(__file__).parent, session()
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (here.parents[1] / "README.md").read_text(), re.DOTALL)
    [block] = [block for block in blocks if block.startswith("from sagemaker.sklearn")]
    with tempfile.TemporaryDirectory() as folder, mock.patch("sagemaker.estimator.Session", return_value=found):
        os.chdir(folder)
        os.mkdir("source")
        pathlib.Path("source", "train.py").write_text("print()\n")
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - the example
        os.chdir(here)
    request = found.train.call_args.kwargs
    return {"readme": block, "tags": request["tags"], "program": request["hyperparameters"]["sagemaker_program"]}


def main() -> None:
    """Write all cases."""
    version = importlib.metadata.version("sagemaker")
    found: dict[str, Any] = {"sagemaker": version, "example": of_readme(), "cases": []}
    for name, (kind, arguments) in CASES.items():
        for isolated in (False, True):
            case = recorded(kind, arguments, isolated)
            found["cases"].append({"name": name, "isolated": isolated} | case)
    pathlib.Path(__file__).with_name("v2.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
