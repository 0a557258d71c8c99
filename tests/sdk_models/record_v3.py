"""Record the jobs that version 3 of the SageMaker Python SDK starts (ModelTrainer, HyperparameterTuner), without AWS.

    uv venv --python 3.13 sdk && uv pip install --python sdk/bin/python 'sagemaker==3.27.0'
    sdk/bin/python tests/sdk_models/record_v3.py

The record has the members of the request that decide about the code of a model, and the files in the channels.
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

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.training.configs import Compute, SourceCode
from sagemaker.train import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

REGION, BUCKET = "eu-west-1", "sagemaker-eu-west-1-111111111111"
ROLE = "arn:aws:iam::111111111111:role/training"
HERE = pathlib.Path(__file__).parent


def readme_block(beginning: str) -> str:
    """Return the example of the README that begins with a line."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (HERE.parents[1] / "README.md").read_text(), re.DOTALL)
    [block] = [block for block in blocks if block.startswith(beginning)]
    return block


def definition_of_tuner(session: Any) -> dict[str, Any]:
    """Return the members of a tuning job's TrainingJobDefinition that decide about the code of its model."""
    trainer = ModelTrainer(
        training_image="141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        source_code=SourceCode(source_dir="source", entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        hyperparameters={"epochs": 3},
        sagemaker_session=session,
        role=ROLE,
    )
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name="loss",
        objective_type="Minimize",
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        hyperparameter_ranges={"rate": ContinuousParameter(0, 1)},
        max_jobs=3,
    )
    with mock.patch("sagemaker.train.tuner.HyperParameterTuningJob.create") as create:
        tuner.tune(wait=False)
    definition = create.call_args.kwargs["training_job_definition"]
    return {
        "AlgorithmSpecification": {
            "TrainingImage": definition.algorithm_specification.training_image,
            "TrainingInputMode": definition.algorithm_specification.training_input_mode,
        },
        "StaticHyperParameters": definition.static_hyper_parameters,
        "InputDataConfig": [channel_of(channel) for channel in definition.input_data_config],
    }


def channel_of(channel: Any) -> dict[str, Any]:
    """Return an input channel as the API has it."""
    source = channel.data_source.s3_data_source
    return {
        "ChannelName": channel.channel_name,
        "InputMode": channel.input_mode if isinstance(channel.input_mode, str) else "File",
        "DataSource": {"S3DataSource": {"S3Uri": source.s3_uri, "S3DataType": source.s3_data_type}},
    }


def main() -> None:
    """Run the example of the README, whose request is caught, and a tuner, and write the record."""
    uploaded: dict[str, list[str]] = {}
    driver: dict[str, Any] = {}

    def upload(path: str, bucket: str, key_prefix: str, **_: Any) -> str:
        root = pathlib.Path(path)
        uploaded[key_prefix.rsplit("/", 1)[-1]] = sorted(
            str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()
        )
        if (root / "sourcecode.json").exists():
            driver.update(json.loads((root / "sourcecode.json").read_text()))
        return f"s3://{bucket}/{key_prefix}"

    session = mock.MagicMock(spec=Session, boto_region_name=REGION, default_bucket_prefix=None, sagemaker_config={})
    session.boto_session = mock.MagicMock()
    session.boto_session.region_name = REGION
    session.default_bucket.return_value = BUCKET
    session.settings = mock.MagicMock(include_jumpstart_tags=False)
    session.upload_data.side_effect = upload
    block = readme_block("from sagemaker.core")
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("sagemaker.train.defaults.resolve_and_validate_role", return_value=ROLE),
        mock.patch("sagemaker.train.defaults.TrainDefaults.get_sagemaker_session", return_value=session),
        mock.patch("sagemaker.train.model_trainer.TrainingJob.create") as create,
    ):
        os.chdir(folder)
        os.mkdir("source")
        for name in ("train.py", "inference.py"):
            pathlib.Path("source", name).write_text("print()\n")
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - the example
        files = dict(uploaded)
        tuned = definition_of_tuner(session)
        os.chdir(HERE)
    request = create.call_args.kwargs
    specification = request["algorithm_specification"]
    record = {
        "sagemaker": importlib.metadata.version("sagemaker"),
        "readme": block,
        "job": {
            "AlgorithmSpecification": {
                "TrainingImage": specification.training_image,
                "TrainingInputMode": specification.training_input_mode,
                "ContainerEntrypoint": specification.container_entrypoint,
                "ContainerArguments": specification.container_arguments,
            },
            "HyperParameters": request["hyper_parameters"],
            "InputDataConfig": [channel_of(channel) for channel in request["input_data_config"]],
        },
        "tags": request["tags"],
        "files": files,
        "sourcecode.json": driver,
        "TrainingJobDefinition": tuned,
    }
    (HERE / "v3.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
