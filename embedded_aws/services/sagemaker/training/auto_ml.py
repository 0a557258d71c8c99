"""SageMaker AutoML jobs, without a search for models.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateAutoMLJobV2.html. The embedded AWS has none of AWS's
algorithms, so the artifacts of the best candidate must exist when the job starts: the objects `model.tar.gz` under
`<S3OutputPath>/<job>/<number>/`, one for each inference container. Without them, the job fails. AWS documents no event
for these jobs, and none is emitted.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from embedded_aws.kernel import accounts
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts
from embedded_aws.services.sagemaker.operations import Call, implement, invalid, now

_POLL_SECONDS = 0.1
# The images and the environment of a tabular job's candidate with three containers. The first one transforms the data,
# the last one the labels.
_REGISTRY = "141502667606.dkr.ecr.{region}.amazonaws.com"
_TRANSFORM, _ALGORITHM = "sagemaker-sklearn-automl:2.5-1-cpu-py3", "sagemaker-xgboost:1.7-1-cpu-py3"
_SUBMITTED = {"SAGEMAKER_PROGRAM": "sagemaker_serve", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/sagemaker_serve.py"}
_OBJECTIVE = "F1"
_VALUE = 0.9
patches = Patches("5.2.5")
_background: Background


class AutoMLJob:
    """An AutoML job."""

    def __init__(self, call: Call, arn: str) -> None:
        self.call, self.arn = call, arn
        self.request = copy.deepcopy(call.request)
        self.tags: list[dict[str, str]] = self.request.pop("Tags", [])
        self.name = str(call.request["AutoMLJobName"])
        self.creation_time = self.last_modified_time = now()
        self.ended: datetime | None = None
        self.status = "InProgress"
        self.failure_reason: str | None = None
        self.containers: list[dict[str, Any]] = []

    def end(self, status: str, failure_reason: str | None = None) -> None:
        """End the job."""
        self.ended = self.last_modified_time = now()
        self.status, self.failure_reason = status, failure_reason

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeAutoMLJobV2."""
        request = copy.deepcopy(self.request)
        kind = next(iter(request["AutoMLProblemTypeConfig"]))
        request.setdefault("AutoMLJobObjective", {"MetricName": _OBJECTIVE})
        description = {
            **request,
            "AutoMLJobArn": self.arn,
            "AutoMLProblemTypeConfigName": kind.removesuffix("JobConfig"),
            "CreationTime": self.creation_time,
            "EndTime": self.ended,
            "LastModifiedTime": self.last_modified_time,
            "FailureReason": self.failure_reason,
            "BestCandidate": self._candidate(request["AutoMLJobObjective"]["MetricName"]) if self.containers else None,
            "AutoMLJobStatus": self.status,
            "AutoMLJobSecondaryStatus": self.status if self.ended else "Starting",
        }
        return {member: value for member, value in description.items() if value is not None}

    def _candidate(self, objective: str) -> dict[str, Any]:
        return {
            "CandidateName": f"{self.name}-001",
            "FinalAutoMLJobObjectiveMetric": {"Type": "Maximize", "MetricName": objective, "Value": _VALUE},
            "ObjectiveStatus": "Succeeded",
            "CandidateSteps": [],
            "CandidateStatus": "Completed",
            "InferenceContainers": copy.deepcopy(self.containers),
            "CreationTime": self.creation_time,
            "EndTime": self.ended,
            "LastModifiedTime": self.last_modified_time,
            "CandidateProperties": {
                "CandidateMetrics": [{"MetricName": objective, "Value": _VALUE, "Set": "Validation"}],
            },
        }


def install(host: Host) -> None:
    """Apply the patches, and end the jobs with the host."""
    global _background
    _background = Background("automl")
    host.exits.callback(_background.end)
    patches.apply()


def _create(call: Call) -> dict[str, Any]:
    name, role_arn = call.request["AutoMLJobName"], call.request["RoleArn"]
    arn = call.arn("automl-job", name)
    if accounts.account_of(role_arn) != call.account:
        raise ApiError("AccessDeniedException", "Cross-account pass role is not allowed.")
    try:
        execution_roles.assert_trust(role_arn)
    except execution_roles.RoleError as error:
        raise invalid(f"Could not assume role {role_arn}.") from error
    if name in call.backend.auto_ml_jobs:
        raise ApiError("ResourceInUse", f"An AutoML job with the name {name} already exists ({arn}).")
    job = AutoMLJob(call, arn)
    call.backend.auto_ml_jobs[name] = job
    _background.run(_run, job)
    return {"AutoMLJobArn": arn}


def _run(job: AutoMLJob) -> None:
    if not _background.pause(_POLL_SECONDS):
        return
    uris = _artifacts(job)
    if not uris:
        job.end(
            "Failed", "There are no artifacts of a candidate that the role can read. The embedded AWS searches none."
        )
        return
    registry = _REGISTRY.format(region=job.call.region)
    for number, uri in enumerate(uris):
        is_algorithm = number == min(1, len(uris) - 1)
        environment = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label"} if is_algorithm else _SUBMITTED
        image = f"{registry}/{_ALGORITHM if is_algorithm else _TRANSFORM}"
        job.containers.append({"Image": image, "ModelDataUrl": uri, "Environment": dict(environment)})
    job.end("Completed")


def _artifacts(job: AutoMLJob) -> list[str]:
    """Return the URIs of the artifacts that the role of the job can read."""
    output = job.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    found: list[str] = []
    try:
        artifacts = Artifacts(job.request["RoleArn"])
        while True:
            uri = f"{output}/{job.name}/{len(found)}/model.tar.gz"
            artifacts.assert_object(uri)
            found.append(uri)
    except ArtifactError:
        return found


def _find(call: Call) -> AutoMLJob:
    job: AutoMLJob | None = call.backend.auto_ml_jobs.get(call.request["AutoMLJobName"])
    if job is None:
        raise ApiError("ResourceNotFound", "Requested resource not found.")
    return job


implement(
    patches,
    {"CreateAutoMLJobV2": _create, "DescribeAutoMLJobV2": lambda call: _find(call).describe()},
    "moto completes every job with a best candidate of other containers.",
)
