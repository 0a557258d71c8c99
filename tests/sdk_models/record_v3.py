"""Record the training job that version 3 of the SageMaker Python SDK starts (ModelTrainer), without an AWS account.

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

REGION, BUCKET = "eu-west-1", "sagemaker-eu-west-1-111111111111"
ROLE = "arn:aws:iam::111111111111:role/training"
HERE = pathlib.Path(__file__).parent


def readme_block(beginning: str) -> str:
    """Return the example of the README that begins with a line."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (HERE.parents[1] / "README.md").read_text(), re.DOTALL)
    [block] = [block for block in blocks if block.startswith(beginning)]
    return block


def main() -> None:
    """Run the example of the README, whose request is caught, and write the record."""
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
            "InputDataConfig": [
                {
                    "ChannelName": channel.channel_name,
                    "InputMode": channel.input_mode,
                    "DataSource": {
                        "S3DataSource": {
                            "S3Uri": channel.data_source.s3_data_source.s3_uri,
                            "S3DataType": channel.data_source.s3_data_source.s3_data_type,
                        }
                    },
                }
                for channel in request["input_data_config"]
            ],
        },
        "tags": request["tags"],
        "files": uploaded,
        "sourcecode.json": driver,
    }
    (HERE / "v3.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
