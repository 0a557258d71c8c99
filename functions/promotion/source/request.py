"""What an execution was started with: one EventBridge event or one small input by hand, read into what is asked for."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from promotion.aws.input_checks import kind_of, matching, optional, quoted, text_of
from promotion.errors import InvalidRequestError
from promotion.naming import application_name

OWN_SOURCE = "model-promotion"
SUCCEEDED = "Model Promotion Succeeded"
_EXECUTION_ENDED = "Step Functions Execution Status Change"

# botocore's sagemaker model: TrainingJobName, ModelName.
_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_TUNING_JOB_NAME = re.compile(r"(?=.{1,32}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
# One of a group with its version, or one of its own.
_PACKAGE_ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]{1,25}:\d{12}:model-package/(?=[^/]{1,63}(/|\Z))[a-zA-Z0-9](-*[a-zA-Z0-9])*"
    r"(/[0-9]{1,9})?"
)


_EXECUTION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

SOURCES = {
    "training_job": "training-job",
    "tuning_job": "hyper-parameter-tuning-job",
    "model": "model",
    "model_package": "model-package",
}
"""The kinds of source by their key in an input by hand, and what their ARN calls them."""

# What may stand beside a source, and beside what else an operator can ask for.
_KEYS_OF_A_SOURCE = {"application", "approval", "digest"}
_FURTHER_KEYS: dict[str, set[str]] = {"recover": set(), "rollback": {"to"}}

_WHAT_TO_START_WITH = (
    'Start the promotion with {"training_job": "<name>"}, {"tuning_job": "<name>"}, {"model": "<name>"} or '
    '{"model_package": "<ARN>"}, with "application" where the source has no tag model-promotion:application, or with '
    'an event as EventBridge delivers it. With "preview": true nothing is changed.'
)


@dataclasses.dataclass(frozen=True)
class Promote:
    """Bring this source into the stage. `approval` is the id of the runbook's execution that lets it in."""

    kind: str
    name: str
    application: str | None = None
    approval: str | None = None
    digest: str | None = None
    by_event: bool = False


@dataclasses.dataclass(frozen=True)
class Recover:
    """Put right what an execution left behind that cannot do so itself.

    `executions` are the ARNs of the dead: of a recovery that died itself also those that it was to recover. By hand it
    is the `endpoint` that is named.
    """

    executions: tuple[str, ...]
    endpoint: str | None
    reason: str


@dataclasses.dataclass(frozen=True)
class RollBack:
    """Bring an endpoint back to the last good promotion before the live one, or to that of the model `to`."""

    endpoint: str
    to: str | None


@dataclasses.dataclass(frozen=True)
class TellRejection:
    """The approval runbook's execution ended without letting its candidate in."""

    approval: str
    status: str


@dataclasses.dataclass(frozen=True)
class Ignore:
    """Nothing is asked for, and why."""

    reason: str


Request = Promote | Recover | RollBack | TellRejection | Ignore


def read(given: Any, upstream_account: str, own_account: str, region: str) -> Request:
    """Read what an execution was started with.

    `given` is the execution's input: an EventBridge event (with `detail-type`) or an input by hand; either with
    "preview", which changes nothing of how it is read. Raises InvalidRequestError, with what to do, for anything else
    and for whatever comes from another account or another region than `region`.
    """
    if not isinstance(given, dict):
        raise InvalidRequestError(f"The input is {kind_of(given)}, not an object. {_WHAT_TO_START_WITH}")
    asked_for = {key: value for key, value in given.items() if key != "preview"}
    if "detail-type" in asked_for:
        asked = _read_event(asked_for, upstream_account, own_account, region)
    else:
        asked = _read_manual(asked_for, upstream_account, region)
    if is_preview(given) and isinstance(asked, Recover | TellRejection):
        raise InvalidRequestError('Only a promotion and a rollback have a preview. Take "preview" out.')
    return asked


def is_preview(given: dict[str, Any]) -> bool:
    """Whether an execution that was started with `given` is only to say what it would do."""
    preview = given.get("preview", False)
    if not isinstance(preview, bool):
        raise InvalidRequestError(f'"preview" is {kind_of(preview)}, not true or false.')
    return preview


def _read_manual(given: dict[str, Any], upstream_account: str, region: str) -> Request:
    known = {*SOURCES, *_FURTHER_KEYS, *_KEYS_OF_A_SOURCE}.union(*_FURTHER_KEYS.values())
    unknown = sorted(set(given) - known)
    if unknown:
        raise InvalidRequestError(f"The input has the unknown key {quoted(unknown[0])}. {_WHAT_TO_START_WITH}")
    for key, value in given.items():
        if not isinstance(value, str) or not value:
            raise InvalidRequestError(f'"{key}" is {kind_of(value)}, not a name. {_WHAT_TO_START_WITH}')
    asked = [key for key in (*SOURCES, *_FURTHER_KEYS) if key in given]
    if not asked:
        raise InvalidRequestError(f"The input names no source. {_WHAT_TO_START_WITH}")
    if len(asked) > 1:
        raise InvalidRequestError(
            f'The input names two sources, "{asked[0]}" and "{asked[1]}"; a promotion has one. {_WHAT_TO_START_WITH}'
        )
    misplaced = sorted(set(given) - {asked[0]} - _FURTHER_KEYS.get(asked[0], _KEYS_OF_A_SOURCE))
    if misplaced:
        raise InvalidRequestError(f'"{misplaced[0]}" does not go together with "{asked[0]}". {_WHAT_TO_START_WITH}')
    if asked[0] == "recover":
        endpoint = matching(_NAME, given["recover"], '"recover"', "an endpoint's name")
        return Recover(executions=(), endpoint=endpoint, reason="An operator asked for the recovery.")
    if asked[0] == "rollback":
        endpoint = matching(_NAME, given["rollback"], '"rollback"', "an endpoint's name")
        return RollBack(endpoint, optional(_NAME, given, "to", "the name of a model that was live on it"))
    return Promote(
        kind=asked[0],
        name=_source_name(asked[0], given[asked[0]], upstream_account, region),
        application=application_name(given["application"]) if "application" in given else None,
        approval=optional(_EXECUTION_ID, given, "approval", "the id of an Automation execution"),
        digest=optional(_DIGEST, given, "digest", "64 hexadecimal digits"),
    )


def _source_name(kind: str, text: str, upstream_account: str, region: str) -> str:
    """The bare name of a source that is given by name or ARN; of a model package the ARN, which is its only name."""
    what = f'"{kind}"'
    if not text.startswith("arn:") and kind == "tuning_job":
        return matching(_TUNING_JOB_NAME, text, what, "a tuning job's name: up to 32 letters, digits and hyphens")
    if not text.startswith("arn:") and kind != "model_package":
        return matching(_NAME, text, what, "a SageMaker name: up to 63 letters, digits and hyphens")
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[2] != "sagemaker" or not parts[5].startswith(f"{SOURCES[kind]}/"):
        raise InvalidRequestError(
            f'"{kind}" is {quoted(text)}, which is not the ARN of a SageMaker {SOURCES[kind]}. {_WHAT_TO_START_WITH}'
        )
    if parts[4] != upstream_account:
        raise InvalidRequestError(
            f'"{kind}" is in account {quoted(parts[4])}, but this stage takes models from account '
            f"{upstream_account} alone. Promote it there first, or name one of that account."
        )
    if parts[3] != region:
        raise InvalidRequestError(
            f'"{kind}" is in the region {quoted(parts[3])}, but this stage takes models of {region} alone. Name '
            "one of that region."
        )
    if kind == "model_package":
        return matching(_PACKAGE_ARN, text, what, "the ARN of a model package")
    name = parts[5].split("/", 1)[1]
    return matching(_TUNING_JOB_NAME if kind == "tuning_job" else _NAME, name, what, "a SageMaker name")


def _read_event(event: dict[str, Any], upstream_account: str, own_account: str, region: str) -> Request:
    detail = event.get("detail")
    if not isinstance(detail, dict):
        raise InvalidRequestError(f"The event has {kind_of(detail)} as its detail, not an object.")
    readers: dict[tuple[str, str], tuple[Callable[..., Request], str]] = {
        ("aws.sagemaker", "SageMaker Training Job State Change"): (_read_training_job_event, upstream_account),
        ("aws.sagemaker", "SageMaker HyperParameter Tuning Job State Change"): (
            _read_tuning_job_event,
            upstream_account,
        ),
        ("aws.sagemaker", "SageMaker Model Package State Change"): (_read_model_package_event, upstream_account),
        (OWN_SOURCE, SUCCEEDED): (_read_promotion_event, upstream_account),
        ("aws.states", _EXECUTION_ENDED): (_read_execution_event, own_account),
        ("aws.ssm", "EC2 Automation Execution Status-change Notification"): (_read_approval_event, own_account),
    }
    source, detail_type = event.get("source"), event["detail-type"]
    kind = next((known for known in readers if known == (source, detail_type)), None)
    if kind is None:
        return Ignore(f"No promotion starts with the event {quoted(detail_type)} from {quoted(source)}.")
    reader, account = readers[kind]
    if event.get("account") != account:
        raise InvalidRequestError(
            f"The event {quoted(detail_type)} is from account {quoted(event.get('account'))}; this stage "
            f"takes it from account {account} alone."
        )
    if event.get("region") != region:
        raise InvalidRequestError(
            f"The event {quoted(detail_type)} is from the region {quoted(event.get('region'))}; this stage takes it "
            f"from {region} alone."
        )
    return reader(detail, account, region)


def _read_training_job_event(detail: dict[str, Any], *_: str) -> Request:
    if detail.get("TrainingJobStatus") != "Completed":
        return Ignore(f"The training job is {quoted(detail.get('TrainingJobStatus'))}, not Completed.")
    name = text_of(detail, "TrainingJobName")
    return Promote("training_job", matching(_NAME, name, "TrainingJobName", "a SageMaker name"), by_event=True)


def _read_tuning_job_event(detail: dict[str, Any], *_: str) -> Request:
    if detail.get("HyperParameterTuningJobStatus") != "Completed":
        return Ignore(f"The tuning job is {quoted(detail.get('HyperParameterTuningJobStatus'))}, not Completed.")
    name = text_of(detail, "HyperParameterTuningJobName")
    matching(_TUNING_JOB_NAME, name, "HyperParameterTuningJobName", "a tuning job's name")
    return Promote("tuning_job", name, by_event=True)


def _read_model_package_event(detail: dict[str, Any], account: str, region: str) -> Request:
    """The package that the event names, and no other one of its group, however new that may be."""
    if detail.get("ModelApprovalStatus") != "Approved":
        return Ignore(f"The model package is {quoted(detail.get('ModelApprovalStatus'))}, not Approved.")
    arn = text_of(detail, "ModelPackageArn")
    return Promote("model_package", _source_name("model_package", arn, account, region), by_event=True)


def _read_promotion_event(detail: dict[str, Any], *_: str) -> Request:
    name = matching(_NAME, text_of(detail, "model_name"), "model_name", "a SageMaker name")
    return Promote("model", name, by_event=True)


def _read_execution_event(detail: dict[str, Any], *_: str) -> Recover:
    status = text_of(detail, "status")
    causes = [detail[key] for key in ("cause", "error") if isinstance(detail.get(key), str) and detail[key]]
    cause = (causes or ["no cause was given"])[0][:500]
    before = _recovery_in(detail.get("input"))
    return Recover(
        executions=(text_of(detail, "executionArn"), *(before.executions if before else ())),
        endpoint=before.endpoint if before else None,
        reason=f"The execution {text_of(detail, 'name')} ended {status} ({cause}).",
    )


def _recovery_in(given: Any) -> Recover | None:
    """The recovery that the dead execution was started for, if it was; the event has its input as a text."""
    try:
        started_with = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(started_with, dict):
        return None
    try:
        if started_with.get("detail-type") == _EXECUTION_ENDED and isinstance(started_with.get("detail"), dict):
            return _read_execution_event(started_with["detail"])
        recovery = _read_manual(started_with, "", "") if "recover" in started_with else None
    except InvalidRequestError:
        return None
    return recovery if isinstance(recovery, Recover) else None


def _read_approval_event(detail: dict[str, Any], *_: str) -> Request:
    identifier = matching(_EXECUTION_ID, text_of(detail, "ExecutionId"), "ExecutionId", "an Automation execution's id")
    return TellRejection(approval=identifier, status=text_of(detail, "Status"))
