"""The API of training jobs, which run the submitted script.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

from __future__ import annotations

import uuid
from typing import Any

from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, listing
from embedded_aws.services.sagemaker.training.jobs import TrainingJob
from embedded_aws.services.sagemaker.training.run import TrainingRun

patches = Patches("5.2.5")
_background: Background
_host: Host


class EndedError(Exception):
    """The embedded AWS stops during a job."""


def install(host: Host) -> None:
    """Apply the patches, and end the jobs with the host."""
    global _host, _background
    _host = host
    _background = Background("training")
    host.exits.callback(_background.end)
    patches.apply()


def start(call: Call, tuning_job_arn: str | None = None) -> TrainingJob:
    """Start a training job, which may belong to a tuning job.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
    """
    request = call.request
    name = request["TrainingJobName"]
    arn = call.arn("training-job", name)
    if name.lower() in call.backend.training_jobs:
        raise ApiError(
            "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({arn})",
        )
    _check(call)
    job = TrainingJob(call.account, call.region, arn, request, tuning_job_arn)
    call.backend.training_jobs[name.lower()] = job
    job.move("Starting")
    run = TrainingRun(job, _host.directory / "training" / uuid.uuid4().hex[:12], _pause)
    _background.run(_unless_ended, run)
    return job


def _unless_ended(run: TrainingRun) -> None:
    try:
        run.run(_host.pace.training_start)
    except EndedError:
        return


def _pause(seconds: float) -> None:
    if not _background.pause(seconds):
        raise EndedError


def _check(call: Call) -> None:
    role_arn = call.request["RoleArn"]
    if accounts.account_of(role_arn) != call.account:
        raise ApiError("AccessDeniedException", "Cross-account pass role is not allowed.")
    try:
        execution_roles.assert_trust(role_arn)
    except execution_roles.RoleError as error:
        raise invalid(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'{execution_roles.SERVICE}' to assume the role."
        ) from error
    algorithm = call.request.get("AlgorithmSpecification", {})
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise invalid("You must provide either TrainingImage or AlgorithmName in AlgorithmSpecification, and not both.")


def _create_training_job(call: Call) -> dict[str, Any]:
    return {"TrainingJobArn": start(call).arn}


def _describe_training_job(call: Call) -> dict[str, Any]:
    return _find(call).describe()


def _list_training_jobs(call: Call) -> dict[str, Any]:
    return listing(call, "TrainingJobSummaries", call.backend.training_jobs.values(), ascending=True)


def _stop_training_job(call: Call) -> None:
    job = _find(call)
    if job.status != "InProgress":
        raise invalid(f"The request was rejected because the training job is in status {job.status}.")
    job.move("Stopping", "Stopping")
    job.stop_requested.set()


def _find(call: Call) -> TrainingJob:
    job: TrainingJob | None = call.backend.training_jobs.get(call.request["TrainingJobName"].lower())
    if job is None:
        raise invalid("Requested resource not found.")
    return job


implement(
    patches,
    {
        "CreateTrainingJob": _create_training_job,
        "DescribeTrainingJob": _describe_training_job,
        "ListTrainingJobs": _list_training_jobs,
    },
    "moto completes every job immediately, without running its script.",
)
implement(patches, {"StopTrainingJob": _stop_training_job}, "moto lacks it.", adds=True)
