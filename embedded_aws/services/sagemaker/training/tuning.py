"""SageMaker tuning jobs: training jobs with values from the ranges of the hyperparameters, and the best of them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateHyperParameterTuningJob.html. For reproducible
results, values are distributed evenly over their ranges with every strategy.
"""

from __future__ import annotations

import copy
import hashlib
import math
from datetime import datetime
from typing import Any

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.events import api as events
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, listing, now
from embedded_aws.services.sagemaker.training import api as training
from embedded_aws.services.sagemaker.training.jobs import TrainingJob

_POLL_SECONDS = 0.1
_DEFAULT_JOBS = 3
_ENDED = ("Completed", "Failed", "Stopped")
patches = Patches("5.2.5")
_background: Background

# The members of the definition that are copied to a training job.
_IN_JOB = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
)


class TuningJob:
    """A hyperparameter tuning job."""

    def __init__(self, call: Call, arn: str) -> None:
        self.call, self.arn = call, arn
        self.request = copy.deepcopy(call.request)
        self.tags: list[dict[str, str]] = self.request.pop("Tags", [])
        self.name = str(call.request["HyperParameterTuningJobName"])
        self.creation_time = self.last_modified_time = now()
        self.ended: datetime | None = None
        self.status = "InProgress"
        self.failure_reason: str | None = None
        self.jobs: list[TrainingJob] = []

    @property
    def definition(self) -> dict[str, Any]:
        """Return the TrainingJobDefinition."""
        definition: dict[str, Any] = self.request["TrainingJobDefinition"]
        return definition

    @property
    def objective(self) -> dict[str, str]:
        """Return the HyperParameterTuningJobObjective, which may be empty."""
        return dict(self.request["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {}))

    def move(self, status: str, failure_reason: str | None = None) -> None:
        """Change the status and emit an event."""
        self.last_modified_time = now()
        self.status, self.failure_reason = status, failure_reason
        if status in _ENDED:
            self.ended = self.last_modified_time
        self._emit_event()

    def best(self) -> TrainingJob | None:
        """Return the completed training job with the best objective, or None."""
        done = [job for job in self.jobs if job.status == "Completed" and self._value(job) is not None]
        done.sort(key=lambda job: self._value(job) or 0.0, reverse=self.objective.get("Type") == "Maximize")
        return done[0] if done else None

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeHyperParameterTuningJob."""
        best = self.best()
        description = {
            **copy.deepcopy(self.request),
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobStatus": self.status,
            "CreationTime": self.creation_time,
            "HyperParameterTuningEndTime": self.ended,
            "LastModifiedTime": self.last_modified_time,
            "FailureReason": self.failure_reason,
            "BestTrainingJob": self.job_summary(best) if best else None,
            **self._counters(),
        }
        return {member: value for member, value in description.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """Return the entry of the job in ListHyperParameterTuningJobs."""
        config = self.request["HyperParameterTuningJobConfig"]
        summary = {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobStatus": self.status,
            "Strategy": config["Strategy"],
            "CreationTime": self.creation_time,
            "HyperParameterTuningEndTime": self.ended,
            "LastModifiedTime": self.last_modified_time,
            "ResourceLimits": config["ResourceLimits"],
            **self._counters(),
        }
        return {member: value for member, value in summary.items() if value is not None}

    def job_summary(self, job: TrainingJob) -> dict[str, Any]:
        """Return the HyperParameterTrainingJobSummary of a training job."""
        ranges = self.request["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
        tuned = {each["Name"] for kind in ranges.values() for each in kind}
        value = self._value(job)
        metric = {"MetricName": self.objective.get("MetricName"), "Value": value, "Type": self.objective.get("Type")}
        description = job.describe()
        summary = {
            **{name: description.get(name) for name in ("TrainingStartTime", "TrainingEndTime", "FailureReason")},
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": job.creation_time,
            "TrainingJobStatus": job.status,
            "TunedHyperParameters": {k: v for k, v in job.request["HyperParameters"].items() if k in tuned},
            "FinalHyperParameterTuningJobObjectiveMetric": metric if value is not None else None,
            "ObjectiveStatus": self._objective_status(job),
        }
        return {member: value for member, value in summary.items() if value is not None}

    def _value(self, job: TrainingJob) -> float | None:
        metrics = job.describe().get("FinalMetricDataList", [])
        values = [metric["Value"] for metric in metrics if metric["MetricName"] == self.objective.get("MetricName")]
        return float(values[0]) if values else None

    def _objective_status(self, job: TrainingJob) -> str:
        if job.status not in _ENDED:
            return "Pending"
        return "Succeeded" if self._value(job) is not None else "Failed"

    def _counters(self) -> dict[str, Any]:
        statuses = [job.status for job in self.jobs]
        objectives = [self._objective_status(job) for job in self.jobs]

        return {
            "TrainingJobStatusCounters": {
                "Completed": statuses.count("Completed"),
                "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
                "RetryableError": 0,
                "NonRetryableError": statuses.count("Failed"),
                "Stopped": statuses.count("Stopped"),
            },
            "ObjectiveStatusCounters": {
                status: objectives.count(status) for status in ("Succeeded", "Pending", "Failed")
            },
        }

    def _emit_event(self) -> None:
        """Emit the job's event, which does not contain the best training job.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        detail = {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobArn": self.arn,
            "TrainingJobDefinition": self.definition,
            "HyperParameterTuningJobStatus": self.status,
            "CreationTime": str(round(self.creation_time.timestamp() * 1000)),
            "LastModifiedTime": str(round(self.last_modified_time.timestamp() * 1000)),
            **self._counters(),
            "Tags": {tag["Key"]: tag["Value"] for tag in self.tags},
        }
        events.emit(
            self.call.account,
            "aws.sagemaker",
            "SageMaker HyperParameter Tuning Job State Change",
            detail,
            [self.arn],
            region=self.call.region,
        )


def install(host: Host) -> None:
    """Apply the patches, and end the jobs with the host."""
    global _background
    _background = Background("tuning")
    host.exits.callback(_background.end)
    patches.apply()


def _create(call: Call) -> dict[str, Any]:
    name = call.request["HyperParameterTuningJobName"]
    arn = call.arn("hyper-parameter-tuning-job", name)
    if name.lower() in call.backend.hyper_parameter_tuning_jobs:
        raise ApiError("ResourceInUse", f"A tuning job with the name {name} already exists ({arn}).")
    if "TrainingJobDefinition" not in call.request:
        raise invalid("TrainingJobDefinition is required: the embedded AWS does not support TrainingJobDefinitions.")
    job = TuningJob(call, arn)
    call.backend.hyper_parameter_tuning_jobs[name.lower()] = job
    job.move("InProgress")
    _background.run(_run, job)
    return {"HyperParameterTuningJobArn": arn}


def _run(job: TuningJob) -> None:
    limits = job.request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    count = limits.get("MaxNumberOfTrainingJobs", _DEFAULT_JOBS)
    started = 0
    try:
        while True:
            running = [one for one in job.jobs if one.status not in _ENDED]
            if not running and (started == count or job.status == "Stopping"):
                break
            if started < count and len(running) < limits["MaxParallelTrainingJobs"] and job.status == "InProgress":
                job.jobs.append(training.start(_training_call(job, started, count), job.arn))
                started += 1
            elif not _background.pause(_POLL_SECONDS):
                return
    except ApiError as error:
        job.move("Failed", str(error))
        return
    if job.status == "Stopping":
        job.move("Stopped")
    elif any(one.status == "Completed" for one in job.jobs):
        job.move("Completed")
    else:
        job.move("Failed", "No training job succeeded. See the failure reasons of the training jobs.")


def _training_call(job: TuningJob, number: int, count: int) -> Call:
    """Return the CreateTrainingJob call of the `number`th of `count` jobs, which has the tuning job's tags."""
    definition = job.definition
    suffix = hashlib.sha256(f"{job.arn}#{number}".encode()).hexdigest()[:8]
    values = sampled(job.request["HyperParameterTuningJobConfig"].get("ParameterRanges", {}), number, count)
    objective = {"_tuning_objective_metric": job.objective["MetricName"]} if job.objective else {}
    # The resources of a tuning job can be named as those of its training jobs, or chosen by SageMaker from a list.
    resources = definition.get("HyperParameterTuningResourceConfig", {})
    chosen = (resources.get("InstanceConfigs") or [{}])[0]
    resource_config = {
        member: (chosen | resources)[member]
        for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
        if member in chosen | resources
    }
    request = {
        "ResourceConfig": resource_config,
        "TrainingJobName": f"{job.name}-{number + 1:03d}-{suffix}",
        "AlgorithmSpecification": definition["AlgorithmSpecification"],
        "HyperParameters": {**objective, **definition.get("StaticHyperParameters", {}), **values},
        **{member: definition[member] for member in _IN_JOB if member in definition},
        "Tags": job.tags,
    }
    return Call(job.call.account, job.call.region, request)


def sampled(ranges: dict[str, Any], number: int, count: int) -> dict[str, str]:
    """Return the hyperparameters of the `number`th of `count` jobs, distributed evenly over their ranges."""
    part = (number + 0.5) / count
    values = {}
    for each in ranges.get("CategoricalParameterRanges", []):
        values[each["Name"]] = each["Values"][number % len(each["Values"])]
    for kind, is_integer in (("IntegerParameterRanges", True), ("ContinuousParameterRanges", False)):
        for each in ranges.get(kind, []):
            low, high = float(each["MinValue"]), float(each["MaxValue"])
            if each.get("ScalingType") == "Logarithmic" and low > 0:
                value = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
            else:
                value = low + part * (high - low)
            values[each["Name"]] = str(round(value)) if is_integer else repr(value)
    return values


def _list(call: Call) -> dict[str, Any]:
    jobs = call.backend.hyper_parameter_tuning_jobs.values()
    return listing(call, "HyperParameterTuningJobSummaries", jobs)


class _Summarized:
    """A training job in the list of its tuning job."""

    def __init__(self, tuning: TuningJob, job: TrainingJob) -> None:
        self.name, self.status = job.name, job.status
        self.creation_time, self.last_modified_time = job.creation_time, job.last_modified_time
        self.summary = lambda: tuning.job_summary(job)


def _list_training_jobs(call: Call) -> dict[str, Any]:
    tuning = _find(call)
    return listing(call, "TrainingJobSummaries", [_Summarized(tuning, job) for job in tuning.jobs], ascending=True)


def _stop(call: Call) -> None:
    job = _find(call)
    if job.status != "InProgress":
        raise invalid(f"The request was rejected because the tuning job is in status {job.status}.")
    job.move("Stopping")
    for one in job.jobs:
        if one.status == "InProgress":
            one.move("Stopping", "Stopping")
            one.stop_requested.set()


def _find(call: Call) -> TuningJob:
    jobs: dict[str, Any] = call.backend.hyper_parameter_tuning_jobs
    job: TuningJob | None = jobs.get(call.request["HyperParameterTuningJobName"].lower())
    if job is None:
        raise ApiError("ResourceNotFound", "Requested resource not found.")
    return job


implement(
    patches,
    {
        "CreateHyperParameterTuningJob": _create,
        "DescribeHyperParameterTuningJob": lambda call: _find(call).describe(),
        "ListHyperParameterTuningJobs": _list,
    },
    "moto completes every tuning job immediately, without any training.",
)
implement(
    patches,
    {"ListTrainingJobsForHyperParameterTuningJob": _list_training_jobs, "StopHyperParameterTuningJob": _stop},
    "moto lacks it.",
    adds=True,
)
