"""A training job: its status, its description and its events.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
"""

from __future__ import annotations

import copy
import re
import struct
import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from embedded_aws.services.events import api as events
from embedded_aws.services.sagemaker.operations import now

# The message of each secondary status: API_SecondaryStatusTransition.html.
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
# The members of the request that the event contains.
_IN_EVENT = (
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
)


class TrainingJob:
    """A training job, or one of a tuning job with `tuning_job_arn`."""

    def __init__(
        self, account: str, region: str, arn: str, request: dict[str, Any], tuning_job_arn: str | None = None
    ) -> None:
        self.account = account
        self.region = region
        self.arn = arn
        self.request = copy.deepcopy(request)
        self.tags: list[dict[str, str]] = self.request.pop("Tags", [])
        self.training_job_name = self.name = str(request["TrainingJobName"])
        self.role_arn: str = request["RoleArn"]
        self.tuning_job_arn = tuning_job_arn
        self.creation_time = self.last_modified_time = now()
        self.training_job_status = "InProgress"
        self.secondary_status = ""
        self.failure_reason: str | None = None
        self.stop_requested = threading.Event()
        self._started: datetime | None = None
        self._ended: datetime | None = None
        self._transitions: list[dict[str, Any]] = []
        self._metrics: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    @property
    def status(self) -> str:
        """Return the TrainingJobStatus."""
        return self.training_job_status

    @property
    def output_prefix(self) -> str:
        """Return the S3 URI of the job's output, without a slash at the end."""
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    @property
    def compressed(self) -> bool:
        """Return whether the output is a tar.gz file rather than single objects."""
        return bool(self.request["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP")

    @property
    def model_artifacts(self) -> str:
        """Return the S3ModelArtifacts."""
        return f"{self.output_prefix}/model.tar.gz" if self.compressed else f"{self.output_prefix}/model/"

    def move(self, secondary_status: str, status: str = "InProgress", failure_reason: str | None = None) -> None:
        """Change the status and the secondary status, and emit an event. A job that is Stopping only ends."""
        time = now()
        with self._lock:
            if self.training_job_status == "Stopping" and status == "InProgress":
                return
            if self._transitions:
                self._transitions[-1]["EndTime"] = time
            transition = {"Status": secondary_status, "StartTime": time, "StatusMessage": _MESSAGES[secondary_status]}
            self.secondary_status, self.training_job_status = secondary_status, status
            self.failure_reason = failure_reason[:1024] if failure_reason else None
            self.last_modified_time = time
            if secondary_status == "Downloading":
                self._started = time
            if status in ("Completed", "Failed", "Stopped"):
                self._ended = transition["EndTime"] = time
            self._transitions.append(transition)
            detail = self._event_detail()
        events.emit(
            self.account,
            "aws.sagemaker",
            "SageMaker Training Job State Change",
            detail,
            [self.arn],
            region=self.region,
        )

    def measure(self, lines: Iterable[str]) -> None:
        """Store the last value of each metric in the log that the job's MetricDefinitions match."""
        values = {}
        for definition in self.request["AlgorithmSpecification"].get("MetricDefinitions", []):
            for line in lines:
                if match := re.search(definition["Regex"], line):
                    try:
                        values[definition["Name"]] = float(match[1] if match.re.groups else match[0])
                    except ValueError:
                        continue
        time = now()
        self._metrics = [
            {"MetricName": name, "Value": _single_precision(value), "Timestamp": time} for name, value in values.items()
        ]

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeTrainingJob."""
        with self._lock:
            description = {
                **self.request,
                "OutputDataConfig": self._output_data_config(),
                "TrainingJobArn": self.arn,
                "TuningJobArn": self.tuning_job_arn,
                "ModelArtifacts": {"S3ModelArtifacts": self.model_artifacts},
                "TrainingJobStatus": self.training_job_status,
                "SecondaryStatus": self.secondary_status,
                "FailureReason": self.failure_reason,
                "CreationTime": self.creation_time,
                "TrainingStartTime": self._started,
                "TrainingEndTime": self._ended,
                "LastModifiedTime": self.last_modified_time,
                "SecondaryStatusTransitions": copy.deepcopy(self._transitions),
                "FinalMetricDataList": self._metrics or None,
            }
            for member in (
                "EnableNetworkIsolation",
                "EnableInterContainerTrafficEncryption",
                "EnableManagedSpotTraining",
            ):
                description.setdefault(member, False)
            if self._started and self._ended:
                seconds = max(1, round((self._ended - self._started).total_seconds()))
                description |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
            return {name: value for name, value in description.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """Return the entry of the job in ListTrainingJobs."""
        summary = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.creation_time,
            "TrainingEndTime": self._ended,
            "LastModifiedTime": self.last_modified_time,
            "TrainingJobStatus": self.training_job_status,
            "SecondaryStatus": self.secondary_status,
        }
        return {name: value for name, value in summary.items() if value is not None}

    def gen_response_object(self) -> dict[str, Any]:
        """Return the job for moto's Search."""
        return self.describe()

    def _output_data_config(self) -> dict[str, Any]:
        """Return the OutputDataConfig of responses and events, whose key is an empty string if the job has none.

        The example in https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        return {"KmsKeyId": "", **self.request["OutputDataConfig"]}

    def _event_detail(self) -> dict[str, Any]:
        """Return the event's detail: statuses as in the API, times as strings of epoch milliseconds, tags as a map.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        times = {
            "CreationTime": self.creation_time,
            "TrainingStartTime": self._started,
            "TrainingEndTime": self._ended,
            "LastModifiedTime": self.last_modified_time,
        }
        return {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.training_job_status,
            "SecondaryStatus": self.secondary_status,
            **({"FailureReason": self.failure_reason} if self.failure_reason else {}),
            **{member: self.request.get(member, {}) for member in _IN_EVENT},
            "OutputDataConfig": self._output_data_config(),
            **{name: _epoch_milliseconds(time) for name, time in times.items() if time},
            "SecondaryStatusTransitions": [
                {
                    name: _epoch_milliseconds(value) if isinstance(value, datetime) else value
                    for name, value in transition.items()
                }
                for transition in self._transitions
            ],
            "Tags": {tag["Key"]: tag["Value"] for tag in self.tags},
        }


def _single_precision(value: float) -> float:
    """Return a metric's value as a 32-bit float (API_MetricData.html): 0.9 becomes 0.8999999761581421."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _epoch_milliseconds(time: datetime) -> str:
    return str(round(time.timestamp() * 1000))
