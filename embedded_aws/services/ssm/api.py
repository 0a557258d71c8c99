"""The API of Systems Manager Automation, of which moto implements only documents.

The requests and their limits are those of the API reference and of botocore's service model of `ssm`.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from typing import Any

from botocore.exceptions import ClientError
from moto.core.responses import ActionResult, EmptyResult
from moto.ssm.exceptions import InvalidDocumentContent, SSMException, ValidationException
from moto.ssm.models import Document, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from embedded_aws.iam import clients
from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.services.ssm import runbook
from embedded_aws.services.ssm.concurrency import Concurrency, QueueFullError
from embedded_aws.services.ssm.execution import Execution, SignalError, StepExecution, service_call
from embedded_aws.services.ssm.runbook import Runbook

_MOST_PARAMETERS = 200
_MOST_VALUES = 50
_LONGEST_VALUE = 512
_LONGEST_KEY = 50
_PAGE = 50
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/.+")

_MISSING = "moto does not implement Automation."

patches = Patches("5.2.5")
_init_document_in_moto = Document.__init__
_concurrency: Concurrency
_executions: dict[str, Execution] = {}
_tokens: dict[tuple[str, str, str], tuple[Any, str]] = {}
_tags: dict[str, dict[str, str]] = {}


def install(host: Host) -> None:
    """Install Automation and discard all executions."""
    global _concurrency
    background = Background("automation")
    _concurrency = Concurrency(background, host.quotas)
    host.exits.callback(background.end)
    _executions.clear()
    _tokens.clear()
    _tags.clear()
    patches.apply()


@patches.replaces(Document, "__init__", "moto accepts invalid runbooks.")
def _init_document(document: Document, *arguments: Any, **options: Any) -> None:
    """Refuse an invalid runbook, as CreateDocument and UpdateDocument do."""
    _init_document_in_moto(document, *arguments, **options)
    if document.document_type == "Automation":
        try:
            runbook.parse(document.content_json, is_json=document.document_format == "JSON")
        except runbook.InvalidRunbookError as error:
            raise InvalidDocumentContent(str(error)) from None


def tags_of(execution_id: str) -> dict[str, str]:
    """Return the tags of an automation, none if it does not exist."""
    return _tags.get(execution_id, {})


@patches.replaces(SimpleSystemManagerResponse, "start_automation_execution", _MISSING, adds=True)
def _start_automation_execution(handler: SimpleSystemManagerResponse) -> ActionResult:
    parameters = handler._get_param("Parameters") or {}
    _check_parameters(parameters)
    document, definition = _find_runbook(handler)
    token = handler._get_param("ClientToken")
    request = (document.name, document.document_version, parameters)
    if token and (earlier := _tokens.get((handler.current_account, handler.region, token))):
        if earlier[0] != request:
            raise SSMException("IdempotentParameterMismatch", "The client token was used with other parameters.")
        return ActionResult({"AutomationExecutionId": earlier[1]})
    try:
        arguments = definition.arguments(parameters)
    except runbook.InvalidParametersError as error:
        raise _invalid_parameters(str(error)) from None
    execution = Execution(
        definition,
        (document.name, document.document_version),
        parameters,
        arguments,
        handler.current_account,
        handler.region,
        handler.access_key,
        _assume_role(handler, definition, arguments),
    )
    try:
        _concurrency.start(execution)
    except QueueFullError:
        raise SSMException(
            "AutomationExecutionLimitExceededException",
            "The number of simultaneously running Automation executions exceeded the allowable limit.",
        ) from None
    _executions[execution.id] = execution
    _tags[execution.id] = {tag["Key"]: tag["Value"] for tag in handler._get_param("Tags") or []}
    if token:
        _tokens[handler.current_account, handler.region, token] = (request, execution.id)
    return ActionResult({"AutomationExecutionId": execution.id})


@patches.replaces(SimpleSystemManagerResponse, "get_automation_execution", _MISSING, adds=True)
def _get_automation_execution(handler: SimpleSystemManagerResponse) -> ActionResult:
    execution = _find(handler)
    return ActionResult(
        {
            "AutomationExecution": {
                **_summary(execution),
                "StepExecutions": [_step(step) for step in execution.steps.values()],
                "StepExecutionsTruncated": False,
                "Parameters": execution.parameters,
            }
        }
    )


@patches.replaces(SimpleSystemManagerResponse, "describe_automation_executions", _MISSING, adds=True)
def _describe_automation_executions(handler: SimpleSystemManagerResponse) -> ActionResult:
    """Return executions, the newest first."""
    filters = handler._get_param("Filters") or []
    matching = [
        execution
        for execution in list(_executions.values())
        if (execution.account, execution.region) == (handler.current_account, handler.region)
        and all(_passes(_execution_facts(execution), each) for each in filters)
    ]
    page, token = _page(handler, sorted(matching, key=lambda execution: execution.started, reverse=True))
    summaries = [_summary(execution) | {"AutomationType": "Local"} for execution in page]
    return ActionResult({"AutomationExecutionMetadataList": summaries, **token})


@patches.replaces(SimpleSystemManagerResponse, "describe_automation_step_executions", _MISSING, adds=True)
def _describe_automation_step_executions(handler: SimpleSystemManagerResponse) -> ActionResult:
    execution = _find(handler)
    filters = handler._get_param("Filters") or []
    steps = [step for step in execution.steps.values() if all(_passes(_step_facts(step), each) for each in filters)]
    if handler._get_param("ReverseOrder"):
        steps.reverse()
    page, token = _page(handler, steps)
    return ActionResult({"StepExecutions": [_step(step) for step in page], **token})


@patches.replaces(SimpleSystemManagerResponse, "send_automation_signal", _MISSING, adds=True)
def _send_automation_signal(handler: SimpleSystemManagerResponse) -> EmptyResult:
    execution = _find(handler)
    payload = handler._get_param("Payload") or {}
    _check_parameters(payload)
    signal = handler._get_param("SignalType")
    if signal not in ("Approve", "Reject"):
        raise _invalid_signal(f"The execution {execution.id} does not accept the signal {signal}.")
    try:
        execution.decide(clients.caller(handler.access_key), signal, " ".join(payload.get("Comment", [])))
    except SignalError as error:
        raise _invalid_signal(str(error)) from None
    return EmptyResult()


@patches.replaces(SimpleSystemManagerResponse, "stop_automation_execution", _MISSING, adds=True)
def _stop_automation_execution(handler: SimpleSystemManagerResponse) -> EmptyResult:
    execution = _find(handler)
    try:
        execution.stop(handler._get_param("Type") or "Cancel")
    except SignalError as error:
        raise SSMException("InvalidAutomationStatusUpdateException", str(error)) from None
    _concurrency.stop(execution)
    return EmptyResult()


def _find_runbook(handler: SimpleSystemManagerResponse) -> tuple[Document, Runbook]:
    name = handler._get_param("DocumentName").split(":document/")[-1]
    version = handler._get_param("DocumentVersion") or "$DEFAULT"
    documents = ssm_backends[handler.current_account][handler.region]._documents.get(name)
    if documents is None or documents.get_default_version().document_type != "Automation":
        raise SSMException(
            "AutomationDefinitionNotFoundException", f"An Automation runbook with the name {name} couldn't be found."
        )
    document = documents.find("" if version == "$DEFAULT" else version, strict=False)
    if document is None:
        raise SSMException(
            "AutomationDefinitionVersionNotFoundException",
            f"An Automation runbook with the name {name} and the version {version} couldn't be found.",
        )
    return document, runbook.parse(document.content_json)


def _find(handler: SimpleSystemManagerResponse) -> Execution:
    execution = _executions.get(handler._get_param("AutomationExecutionId"))
    if execution is None or (execution.account, execution.region) != (handler.current_account, handler.region):
        raise SSMException(
            "AutomationExecutionNotFoundException",
            "There is no automation execution information for the requested automation execution ID.",
        )
    return execution


def _assume_role(handler: SimpleSystemManagerResponse, definition: Runbook, arguments: dict[str, list[str]]) -> str:
    """Return the assume role; refuse an invalid one as in "Automation execution failed to start"."""
    role = runbook.resolve(
        definition.assume_role, lambda name: runbook.typed(arguments[name], definition.parameters[name])
    )
    if role and not _ROLE.fullmatch(role):
        raise _invalid_parameters("The format of the supplied assume role ARN is invalid.")
    if role:
        try:
            # The execution does not exist yet, so its ID is arbitrary.
            call = service_call(handler.current_account, handler.region, str(uuid.uuid4()))
            clients.role_credentials(role, "Automation", call)
        except ClientError as error:
            raise _invalid_parameters(f"The defined assume role is unable to be assumed. {error}") from error
    return str(role)


def _check_parameters(parameters: dict[str, list[str]]) -> None:
    """Raise ValidationException for a value that violates the limits of AutomationParameterMap."""
    if len(parameters) > _MOST_PARAMETERS:
        raise ValidationException(f"The request must not have more than {_MOST_PARAMETERS} parameters.")
    for name, values in parameters.items():
        if not 1 <= len(name) <= _LONGEST_KEY or len(values) > _MOST_VALUES:
            raise ValidationException(f"The name of the parameter {name} is too long, or it has too many values.")
        for value in values:
            if not 1 <= len(value) <= _LONGEST_VALUE:
                raise ValidationException(
                    f"1 validation error detected: Value at 'parameters' failed to satisfy constraint: Map value must "
                    f"satisfy constraint: [Member must have length between 1 and {_LONGEST_VALUE}], not {len(value)} "
                    f"as {name} has"
                )


def _invalid_parameters(message: str) -> SSMException:
    return SSMException("InvalidAutomationExecutionParametersException", message)


def _invalid_signal(message: str) -> SSMException:
    return SSMException("InvalidAutomationSignalException", message)


def _summary(execution: Execution) -> dict[str, Any]:
    current = execution.current
    return _known(
        {
            "AutomationExecutionId": execution.id,
            "DocumentName": execution.document_name,
            "DocumentVersion": execution.document_version,
            "AutomationExecutionStatus": execution.status,
            "ExecutionStartTime": execution.started,
            "ExecutionEndTime": execution.ended,
            "ExecutedBy": execution.executed_by,
            "Mode": "Auto",
            "Outputs": execution.outputs,
            "FailureMessage": execution.failure or None,
            "CurrentStepName": current and current.step.name,
            "CurrentAction": current and current.step.action,
        }
    )


def _step(execution: StepExecution) -> dict[str, Any]:
    step = execution.step
    return _known(
        {
            "StepExecutionId": execution.id,
            "StepName": step.name,
            "Action": step.action,
            "StepStatus": execution.status,
            "TimeoutSeconds": None if step.timeout_seconds is None else int(step.timeout_seconds),
            "OnFailure": step.on_failure,
            "MaxAttempts": step.max_attempts,
            "IsEnd": step.is_end,
            "IsCritical": step.is_critical,
            "NextStep": step.next_step or None,
            "ExecutionStartTime": execution.started,
            "ExecutionEndTime": execution.ended,
            "Inputs": {name: json.dumps(value) for name, value in execution.inputs.items()},
            "Outputs": execution.outputs,
            "FailureMessage": execution.failure or None,
        }
    )


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _execution_facts(execution: Execution) -> dict[str, Any]:
    return {
        "DocumentNamePrefix": execution.document_name,
        "ExecutionStatus": execution.status,
        "ExecutionId": execution.id,
        "CurrentAction": execution.current and execution.current.step.action,
        "StartTimeBefore": execution.started,
        "StartTimeAfter": execution.started,
        "AutomationType": "Local",
    }


def _step_facts(step: StepExecution) -> dict[str, Any]:
    return {
        "StepName": step.step.name,
        "StepExecutionStatus": step.status,
        "StepExecutionId": step.id,
        "Action": step.step.action,
        "StartTimeBefore": step.started,
        "StartTimeAfter": step.started,
    }


def _passes(facts: dict[str, Any], condition: dict[str, Any]) -> bool:
    """Return whether an item matches one of the Filters of a Describe operation."""
    key, values = condition["Key"], condition["Values"]
    if key not in facts:
        raise SSMException("InvalidFilterKey", f"{key} is not a filter key.")
    fact = facts[key]
    if not key.startswith("StartTime"):
        return any(fact.startswith(value) if key.endswith("Prefix") else fact == value for value in values)
    try:
        (bound,) = (datetime.datetime.fromisoformat(value) for value in values)
    except ValueError:
        raise SSMException("InvalidFilterValue", f"{key} must be one time, such as 2024-05-06T07:08:09Z.") from None
    return fact is not None and bool(fact < bound if key == "StartTimeBefore" else fact > bound)


def _page(handler: SimpleSystemManagerResponse, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
    start = handler._get_param("NextToken") or "0"
    if not start.isdecimal():
        raise SSMException("InvalidNextToken", "The specified token isn't valid.")
    end = int(start) + int(handler._get_param("MaxResults") or _PAGE)
    return items[int(start) : end], {"NextToken": str(end)} if end < len(items) else {}
