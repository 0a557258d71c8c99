"""The request of an execution, read from its input: an EventBridge event or a small manual input."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from promotion.aws.input_checks import did_you_mean, kind_of, matching, optional, quoted, string_member
from promotion.errors import InvalidRequestError
from promotion.naming import application_name
from promotion.source.source_names import NAME, SHORT_NAME, SOURCES, VALID_INPUT, source_name

OWN_SOURCE = "model-promotion"
SUCCEEDED = "Model Promotion Succeeded"
APPROVAL_ENDED = "EC2 Automation Execution Status-change Notification"
_EXECUTION_ENDED = "Step Functions Execution Status Change"

_EXECUTION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

# The additional keys of a source and of the other manual requests.
_KEYS_OF_A_SOURCE = {"application", "approval", "automation", "digest"}
_FURTHER_KEYS: dict[str, set[str]] = {"recover": {"automation"}, "rollback": {"automation", "to"}}


@dataclasses.dataclass(frozen=True)
class Promote:
    """Promote a source into the stage; `approval` is the ID of the runbook execution that approved it.

    `by_life_cycle` means that the event of a model package reports only a change of its ModelLifeCycle.
    """

    kind: str
    name: str
    application: str | None = None
    approval: str | None = None
    digest: str | None = None
    by_event: bool = False
    by_life_cycle: bool = False


@dataclasses.dataclass(frozen=True)
class Recover:
    """Recover what a failed execution left behind.

    `executions` are the ARNs of the failed executions, including those that a failed recovery was to recover. A manual
    request names the `endpoint` instead.
    """

    executions: tuple[str, ...]
    endpoint: str | None
    reason: str


@dataclasses.dataclass(frozen=True)
class RollBack:
    """Roll back an endpoint to the last successful promotion before the live one, or to that of the model `to`."""

    endpoint: str
    to: str | None


@dataclasses.dataclass(frozen=True)
class PublishRejection:
    """Publish the rejection of a candidate whose approval runbook ended without an approval."""

    approval: str


@dataclasses.dataclass(frozen=True)
class Ignore:
    """Do nothing, for a reason."""

    reason: str


Request = Promote | Recover | RollBack | PublishRejection | Ignore


def read(given: Any, upstream_account: str, own_account: str, region: str) -> Request:
    """Read the request from an execution's input.

    `given` is an EventBridge event (with `detail-type`) or a manual input; "preview" is optional in both and does not
    affect the request. Raise InvalidRequestError, with an instruction, for any other input and for an event or a source
    of another account or another region than `region`.
    """
    if not isinstance(given, dict):
        raise InvalidRequestError(f"The input is {kind_of(given)}, not a JSON object. {VALID_INPUT}")
    members = {key: value for key, value in given.items() if key != "preview"}
    if "detail-type" in members:
        request = _read_event(members, upstream_account, own_account, region)
    else:
        request = _read_manual(members, upstream_account, region)
    if is_preview(given) and isinstance(request, Recover | PublishRejection):
        raise InvalidRequestError('Only a promotion and a rollback have a preview. Remove the key "preview".')
    return request


def concerns_only_its_author(given: Any) -> bool:
    """Return whether an invalid input concerns only the person who started the execution with it.

    Others wait for the result of an event or of an approved promotion. A preview reports its errors itself.
    """
    return not isinstance(given, dict) or not ({"detail-type", "approval"} & set(given) or given.get("preview") is True)


def is_preview(given: dict[str, Any]) -> bool:
    """Return whether the input requests only a preview; raise InvalidRequestError if "preview" is not a boolean."""
    preview = given.get("preview", False)
    if not isinstance(preview, bool):
        raise InvalidRequestError(f'The input\'s "preview" is {kind_of(preview)}, not true or false.')
    return preview


def automation(given: Any) -> str | None:
    """Return the ID of the Automation execution of the runbook that a person has started, if the input names one."""
    if not isinstance(given, dict) or "detail-type" in given:
        return None
    return optional(_EXECUTION_ID, given, "automation", "the ID of an Automation execution")


def _read_manual(given: dict[str, Any], upstream_account: str, region: str) -> Request:
    if "automation" in given:
        # The form of a runbook passes fields that are not filled in as empty strings.
        given = {key: value for key, value in given.items() if value != ""}
    known = {*SOURCES, *_FURTHER_KEYS, *_KEYS_OF_A_SOURCE}.union(*_FURTHER_KEYS.values())
    unknown = sorted(set(given) - known)
    if unknown:
        suggestion = did_you_mean(unknown[0], {*known, "preview"})
        raise InvalidRequestError(f"The input has the unknown key {quoted(unknown[0])}{suggestion}. {VALID_INPUT}")
    for key, value in given.items():
        if not isinstance(value, str) or not value:
            raise InvalidRequestError(f'The input\'s "{key}" is {kind_of(value)}, not a name. {VALID_INPUT}')
    kinds = [key for key in (*SOURCES, *_FURTHER_KEYS) if key in given]
    if not kinds:
        raise InvalidRequestError(f"The input names no source. {VALID_INPUT}")
    if len(kinds) > 1:
        raise InvalidRequestError(
            f'The input has both "{kinds[0]}" and "{kinds[1]}", but only one of them is valid. {VALID_INPUT}'
        )
    misplaced = sorted(set(given) - {kinds[0]} - _FURTHER_KEYS.get(kinds[0], _KEYS_OF_A_SOURCE))
    if misplaced:
        raise InvalidRequestError(f'The key "{misplaced[0]}" is not valid with the key "{kinds[0]}". {VALID_INPUT}')
    if kinds[0] == "recover":
        endpoint = matching(NAME, given["recover"], 'The input\'s "recover"', "an endpoint name")
        return Recover(executions=(), endpoint=endpoint, reason="An operator requested the recovery.")
    if kinds[0] == "rollback":
        endpoint = matching(NAME, given["rollback"], 'The input\'s "rollback"', "an endpoint name")
        return RollBack(endpoint, optional(NAME, given, "to", "a model name"))
    return Promote(
        kind=kinds[0],
        name=source_name(kinds[0], given[kinds[0]], upstream_account, region),
        application=application_name(given["application"]) if "application" in given else None,
        approval=optional(_EXECUTION_ID, given, "approval", "the ID of an Automation execution"),
        digest=optional(_DIGEST, given, "digest", "64 hexadecimal digits"),
    )


def _read_event(event: dict[str, Any], upstream_account: str, own_account: str, region: str) -> Request:
    detail = event.get("detail")
    if not isinstance(detail, dict):
        raise InvalidRequestError(f"The event's detail is {kind_of(detail)}, not an object.")
    readers: dict[tuple[str, str], tuple[Callable[..., Request], str]] = {
        ("aws.sagemaker", "SageMaker Training Job State Change"): (_read_training_job_event, upstream_account),
        ("aws.sagemaker", "SageMaker HyperParameter Tuning Job State Change"): (
            _read_tuning_job_event,
            upstream_account,
        ),
        ("aws.sagemaker", "SageMaker Model Package State Change"): (_read_model_package_event, upstream_account),
        (OWN_SOURCE, SUCCEEDED): (_read_promotion_event, upstream_account),
        ("aws.states", _EXECUTION_ENDED): (_read_execution_event, own_account),
        ("aws.ssm", APPROVAL_ENDED): (_read_approval_event, own_account),
    }
    source, detail_type = event.get("source"), event["detail-type"]
    kind = next((known for known in readers if known == (source, detail_type)), None)
    if kind is None:
        return Ignore(f"The event {quoted(detail_type)} from {quoted(source)} does not start a promotion.")
    reader, account = readers[kind]
    if event.get("account") != account:
        raise InvalidRequestError(
            f"The event {quoted(detail_type)} is from account {quoted(event.get('account'))}, but this stage accepts "
            f"it only from account {account}."
        )
    if event.get("region") != region:
        raise InvalidRequestError(
            f"The event {quoted(detail_type)} is from the region {quoted(event.get('region'))}, but this stage accepts "
            f"it only from {region}."
        )
    return reader(detail, account, region)


def _read_training_job_event(detail: dict[str, Any], *_: str) -> Request:
    if detail.get("TrainingJobStatus") != "Completed":
        return Ignore(f"The event's training job is {quoted(detail.get('TrainingJobStatus'))}, not Completed.")
    name = string_member(detail, "TrainingJobName")
    return Promote(
        "training_job", matching(NAME, name, "The event's TrainingJobName", "a SageMaker name"), by_event=True
    )


def _read_tuning_job_event(detail: dict[str, Any], *_: str) -> Request:
    if detail.get("HyperParameterTuningJobStatus") != "Completed":
        return Ignore(
            f"The event's tuning job is {quoted(detail.get('HyperParameterTuningJobStatus'))}, not Completed."
        )
    name = string_member(detail, "HyperParameterTuningJobName")
    matching(SHORT_NAME, name, "The event's HyperParameterTuningJobName", "a tuning job name")
    return Promote("tuning_job", name, by_event=True)


def _read_model_package_event(detail: dict[str, Any], account: str, region: str) -> Request:
    """Read the package of the event, not the latest one of its group.

    Every update emits an event with the current approval status. The event lists the updated members, if there are any.
    """
    updated = detail.get("UpdatedModelPackageFields") or []
    if not isinstance(updated, list):
        raise InvalidRequestError(f"The event's UpdatedModelPackageFields is {kind_of(updated)}, not a list.")
    is_approval = not updated or bool({"ModelApprovalStatus", "ModelPackageStatus"} & set(map(str, updated)))
    if not is_approval and "ModelLifeCycle" not in updated:
        return Ignore(
            f"The event reports an update of {quoted(', '.join(map(str, updated)))}, not an approval of the model "
            "package."
        )
    if is_approval and "ModelLifeCycle" not in updated and detail.get("ModelApprovalStatus") != "Approved":
        status = quoted(detail.get("ModelApprovalStatus"))
        return Ignore(f"The event's model package has the approval status {status}, not Approved.")
    arn = string_member(detail, "ModelPackageArn")
    name = source_name("model_package", arn, account, region)
    return Promote("model_package", name, by_event=True, by_life_cycle=not is_approval)


def _read_promotion_event(detail: dict[str, Any], *_: str) -> Request:
    name = matching(NAME, string_member(detail, "model_name"), "The event's model_name", "a SageMaker name")
    return Promote("model", name, by_event=True)


def _read_execution_event(detail: dict[str, Any], *_: str) -> Recover:
    status = string_member(detail, "status")
    causes = [detail[key] for key in ("cause", "error") if isinstance(detail.get(key), str) and detail[key]]
    cause = (causes or ["no cause"])[0][:500]
    earlier = _recovery_in(detail.get("input"))
    return Recover(
        executions=(string_member(detail, "executionArn"), *(earlier.executions if earlier else ())),
        endpoint=earlier.endpoint if earlier else None,
        reason=f"The execution {string_member(detail, 'name')} ended with the status {status} ({cause}).",
    )


def _recovery_in(given: Any) -> Recover | None:
    """Return the recovery in the failed execution's input, which the event contains as a string, or None."""
    try:
        failed_input = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(failed_input, dict):
        return None
    try:
        if failed_input.get("detail-type") == _EXECUTION_ENDED and isinstance(failed_input.get("detail"), dict):
            return _read_execution_event(failed_input["detail"])
        recovery = _read_manual(failed_input, "", "") if "recover" in failed_input else None
    except InvalidRequestError:
        return None
    return recovery if isinstance(recovery, Recover) else None


def _read_approval_event(detail: dict[str, Any], *_: str) -> Request:
    execution = string_member(detail, "ExecutionId")
    identifier = matching(_EXECUTION_ID, execution, "The event's ExecutionId", "the ID of an Automation execution")
    return PublishRejection(approval=identifier)
