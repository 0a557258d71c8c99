"""The run of a training job: the submitted script as a process, as in SageMaker's framework containers.

https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md documents the environment
variables. They contain the job's directories, which are not under /opt/ml as on AWS.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from embedded_aws.kernel.processes import Process
from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts, pack, unpack
from embedded_aws.services.sagemaker.log_streams import LogStream
from embedded_aws.services.sagemaker.training.jobs import TrainingJob

_POLL_SECONDS = 0.05
# StopTrainingJob: "SIGTERM, which delays job termination for 120 seconds", in which a script can save its results.
_STOP_SECONDS = 5.0
_LINES_KEPT = 20_000
_OPT_ML = PurePosixPath("/opt/ml")
# sagemaker.train.constants.DEFAULT_CONTAINER_ARGUMENTS
_MODEL_TRAINER_SCRIPT = "/opt/ml/input/data/sm_drivers/sm_train.sh"


class JobFailedError(Exception):
    """The job failed. The message is its FailureReason."""


class TrainingRun:
    """The run of one job. `pause` waits some seconds, and raises an error if the embedded AWS stops."""

    def __init__(self, job: TrainingJob, directory: Path, pause: Callable[[float], None]) -> None:
        self._job = job
        self._directory = directory
        self._pause = pause
        self._model_dir = directory / "model"
        self._data_dir = directory / "output" / "data"
        stream = f"{job.name}/algo-1-{int(time.time())}"
        self._log = LogStream(job.role_arn, "/aws/sagemaker/TrainingJobs", stream)
        self._lines: list[str] = []
        self._hyperparameters: dict[str, str] = job.request.get("HyperParameters", {})
        self._isolated: bool = job.request.get("EnableNetworkIsolation", False)

    def run(self, start_seconds: float) -> None:
        """Run the job to its last status, `start_seconds` after its start."""
        try:
            self._pause(start_seconds)
            for directory in (self._model_dir, self._data_dir, self._directory / "code"):
                directory.mkdir(parents=True)
            ending = self._work()
        except JobFailedError as error:
            self._job.move("Failed", "Failed", str(error))
        else:
            self._job.move(ending, "Completed" if ending == "Completed" else "Stopped")
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _work(self) -> str:
        """Do the work of the job, and return its last secondary status."""
        artifacts = self._artifacts()
        if not self._is_of_model_trainer and "sagemaker_program" not in self._hyperparameters:
            self._use_existing_artifact(artifacts)
            return "Completed"
        self._job.move("Downloading")
        channels = self._download_channels(artifacts)
        if self._job.stop_requested.is_set():
            return "Stopped"
        self._job.move("Training")
        ending = self._train(artifacts, channels)
        self._job.measure(self._lines)
        if ending == "Completed":
            self._job.move("Uploading")
        self._upload(artifacts)
        return ending

    @property
    def _is_of_model_trainer(self) -> bool:
        """Return whether version 3 of SageMaker's SDK started the job: a script in a channel starts the training."""
        arguments: list[str] = self._job.request["AlgorithmSpecification"].get("ContainerArguments", [])
        return any(_MODEL_TRAINER_SCRIPT in argument for argument in arguments)

    def _artifacts(self) -> Artifacts:
        try:
            return Artifacts(self._job.role_arn)
        except ArtifactError as error:
            raise JobFailedError(f"ClientError: Failed to assume role: {error}") from error

    def _use_existing_artifact(self, artifacts: Artifacts) -> None:
        """Complete a job with a custom image, which cannot run, with an existing model artifact."""
        try:
            assert_exists = artifacts.assert_object if self._job.compressed else artifacts.assert_prefix
            assert_exists(self._job.model_artifacts)
        except ArtifactError as error:
            image = self._job.request["AlgorithmSpecification"].get("TrainingImage", "the algorithm")
            raise JobFailedError(
                f"ClientError: {image} cannot run in the embedded AWS, which has no container images. To train a "
                "model, use a script with the hyperparameters sagemaker_program and sagemaker_submit_directory. To use "
                f"an existing model, upload it to {self._job.model_artifacts} before you create the training job."
            ) from error
        self._job.move("Downloading")
        self._job.move("Training")
        self._job.move("Uploading")

    def _download_channels(self, artifacts: Artifacts) -> dict[str, Path]:
        channels = {}
        for channel in self._job.request.get("InputDataConfig", []):
            name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource", {})
            mode = channel.get("InputMode", self._job.request["AlgorithmSpecification"]["TrainingInputMode"])
            if source.get("S3DataType") != "S3Prefix" or mode == "Pipe":
                raise JobFailedError(
                    f"ClientError: Channel {name} cannot be read: the embedded AWS supports only S3Prefix in File mode."
                )
            channels[name] = self._directory / "input" / "data" / name
            try:
                artifacts.download_prefix(source["S3Uri"], channels[name])
            except ArtifactError as error:
                raise JobFailedError(f"ClientError: Data download failed: {error}") from error
        return channels

    def _train(self, artifacts: Artifacts, channels: dict[str, Path]) -> str:
        if self._is_of_model_trainer:
            program, code = self._code_of_model_trainer(channels)
        else:
            program = str(_decoded(self._hyperparameters["sagemaker_program"]))
            code = self._fetch_code(artifacts)
        if not (code / program).is_file():
            raise JobFailedError(
                f"AlgorithmError: ExecuteUserScriptError: {program} is not in the submitted directory."
            )
        arguments = self._arguments()
        environment = self._environment(code, program, channels)
        process = Process(code / program, arguments, environment, code, self._record_output)
        ending = self._wait_for(process)
        exit_code = process.wait()
        process.kill()
        if ending == "Completed" and exit_code != 0:
            raise JobFailedError(
                f"AlgorithmError: ExecuteUserScriptError:\nExitCode {exit_code}\n"
                f'ErrorMessage "{self._last_error()}"\n'
                f'Command "python {" ".join([program, *arguments])}", exit code: {exit_code}'
            )
        return ending

    def _wait_for(self, process: Process) -> str:
        """Wait for the script, and stop it on request or after MaxRuntimeInSeconds. Return the secondary status."""
        begun = time.monotonic()
        longest = self._job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        try:
            while process.alive:
                self._pause(_POLL_SECONDS)
                stopped, too_long = self._job.stop_requested.is_set(), time.monotonic() - begun > longest
                if stopped or too_long:
                    process.terminate()
                    with contextlib.suppress(TimeoutError):
                        process.wait(_STOP_SECONDS)
                    return "Stopped" if stopped else "MaxRuntimeExceeded"
        finally:
            if process.alive:
                process.kill()
        return "Completed"

    def _fetch_code(self, artifacts: Artifacts) -> Path:
        submitted = str(_decoded(self._hyperparameters.get("sagemaker_submit_directory", "")))
        code = self._directory / "code"
        try:
            if submitted.startswith("s3://"):
                if self._isolated:
                    raise ArtifactError(f"A container in network isolation cannot access {submitted}.")
                archive = artifacts.download(submitted, self._directory / "sourcedir.tar.gz")
            else:
                archive = self._directory / PurePosixPath(submitted).relative_to(_OPT_ML)
            unpack(archive, code)
        except (ArtifactError, ValueError) as error:
            raise JobFailedError(f"AlgorithmError: The code of the training job could not be read: {error}") from error
        if (code / "requirements.txt").exists():
            self._log.write("requirements.txt is not installed: scripts run in the Python environment of the project.")
        return code

    def _code_of_model_trainer(self, channels: dict[str, Path]) -> tuple[str, Path]:
        """Return the program and its directory: the entry script in the channel `code`.

        https://github.com/aws/sagemaker-python-sdk/blob/master/sagemaker-train/src/sagemaker/train/model_trainer.py
        writes sourcecode.json and the script that starts basic_script_driver.py. No other driver is supported here.
        """
        try:
            described = json.loads((channels["sm_drivers"] / "sourcecode.json").read_text())
            program, code = str(described["entry_script"]), channels["code"]
            archive = code / PurePosixPath(described.get("source_dir") or "").name
            if archive.name.endswith(".tar.gz"):
                unpack(archive, code)
        except (ArtifactError, KeyError, OSError, ValueError) as error:
            raise JobFailedError(
                f"AlgorithmError: The code of the training job could not be read: {error!r}"
            ) from error
        return program, code

    def _own_hyperparameters(self) -> dict[str, Any]:
        return {
            name: _decoded(value)
            for name, value in sorted(self._hyperparameters.items())
            if not name.startswith(("sagemaker_", "_tuning_"))
        }

    def _arguments(self) -> list[str]:
        arguments = []
        for name, value in self._own_hyperparameters().items():
            arguments.append(f"-{name}" if len(name) == 1 else f"--{name}")
            arguments.append(value if isinstance(value, str) else json.dumps(value))
        return arguments

    def _environment(self, code: Path, program: str, channels: dict[str, Path]) -> dict[str, str]:
        own = self._own_hyperparameters()
        resources = self._job.request.get("ResourceConfig", {})
        return {
            **({} if self._isolated else execution_roles.environment(self._job.role_arn)),
            **self._job.request.get("Environment", {}),
            "PYTHONPATH": str(code),
            "TRAINING_JOB_NAME": self._job.name,
            "TRAINING_JOB_ARN": self._job.arn,
            "SM_MODEL_DIR": str(self._model_dir),
            "SM_OUTPUT_DIR": str(self._directory / "output"),
            "SM_OUTPUT_DATA_DIR": str(self._data_dir),
            "SM_INPUT_DIR": str(self._directory / "input"),
            "SM_CHANNELS": json.dumps(sorted(channels)),
            **{f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()},
            "SM_HPS": json.dumps(own),
            **{f"SM_HP_{name.upper()}": str(value) for name, value in own.items()},
            "SM_USER_ENTRY_POINT": program,
            "SM_USER_ARGS": json.dumps(self._arguments()),
            "SM_MODULE_DIR": str(code),
            "SM_NUM_GPUS": "0",
            "SM_NUM_CPUS": str(os.cpu_count() or 1),
            "SM_CURRENT_HOST": "algo-1",
            "SM_HOSTS": '["algo-1"]',
            "SM_CURRENT_INSTANCE_TYPE": resources.get("InstanceType", ""),
            "SM_RESOURCE_CONFIG": json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}),
        }

    def _record_output(self, *lines: str) -> None:
        self._lines = [*self._lines, *lines][-_LINES_KEPT:]
        self._log.write(*lines)

    def _last_error(self) -> str:
        """Return the content of the script's failure file or, without one, the end of its output."""
        failure = self._directory / "output" / "failure"
        if failure.is_file():
            return failure.read_text(errors="replace")[:800]
        written = [line for line in self._lines if line.strip()]
        return "\n".join(written[-3:])[-800:]

    def _upload(self, artifacts: Artifacts) -> None:
        """Upload the model and the output directory, encrypted with the key of OutputDataConfig or the default key.

        "If you don't provide a KMS key ID, SageMaker uses the default KMS key for Amazon S3 for your role's account"
        (API reference, OutputDataConfig, KmsKeyId): the AWS managed key aws/s3, whatever the bucket's own default is.
        """
        key_id = self._job.request["OutputDataConfig"].get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms"} | ({"SSEKMSKeyId": key_id} if key_id else {})
        try:
            for directory, name in ((self._model_dir, "model"), (self._data_dir, "output")):
                if not any(directory.iterdir()):
                    continue
                if self._job.compressed:
                    archive = pack(directory, self._directory / f"{name}.tar.gz")
                    artifacts.upload(f"{self._job.output_prefix}/{name}.tar.gz", archive, **encryption)
                    continue
                for path in sorted(path for path in directory.rglob("*") if path.is_file()):
                    target = f"{self._job.output_prefix}/{name}/{path.relative_to(directory).as_posix()}"
                    artifacts.upload(target, path, **encryption)
        except ArtifactError as error:
            raise JobFailedError(f"ClientError: Artifact upload failed: {error}") from error


def _decoded(value: str) -> Any:
    """Return a hyperparameter's value, which SageMaker's SDK encodes as JSON and other clients do not."""
    try:
        return json.loads(value)
    except ValueError:
        return value
