"""The promotion of a model into the upstream stage, as the state machine of that stage reports it.

A principal of the upstream account can create a model, set its tags and publish an event. It cannot make an execution
of that stage's state machine end with the record of a promotion. So the record is read from the execution that a tag of
the model names, and nothing else about the promotion is believed.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable
from typing import Any

from promotion.aws import responses, strict_json
from promotion.aws.aws_errors import none_if_not_found
from promotion.aws.input_checks import kind_of, quoted
from promotion.aws.strict_json import is_number
from promotion.errors import EndpointBusyError, PromotionRefusedError
from promotion.source.model_metrics import is_name
from promotion.source.tags import DIGEST_TAG, EXECUTION_TAG

_DAYS = 90
"""How long Step Functions keeps an execution ("Quotas", Execution history retention time)."""


@dataclasses.dataclass(frozen=True)
class PromotedUpstream:
    """What the upstream stage has recorded about the promotion of a model; `images` are those that its endpoint ran.

    `report` is for the people who decide, and nothing else depends on it: the name of the `stage`, and the members of
    its record in `_CHECKS_OF_THE_REPORT`. It is None if they are not all valid, as in an earlier version of the stage.
    """

    application: str
    source_arn: str
    created_at: str
    smoke_test: str
    metrics: dict[str, float]
    images: list[str]
    report: dict[str, Any] | None

    @property
    def smoke_test_uri(self) -> str | None:
        """Return the URI of the smoke test, or None if it was skipped."""
        return self.smoke_test if self.smoke_test.startswith("s3://") else None

    def image_digest(self, container: int) -> str | None:
        """Return the digest of a container's image, or None if the endpoint did not report one."""
        image = self.images[container] if container < len(self.images) else ""
        digest = image.partition("@")[2]
        return digest if re.fullmatch("sha256:[0-9a-f]{64}", digest) else None


def read(stepfunctions: Any, state_machine: str, model: dict[str, Any], tags: dict[str, str]) -> PromotedUpstream:
    """Return the promotion of a model; `stepfunctions` has the permissions of the reader role.

    `state_machine` is the ARN of the upstream stage's state machine, `model` the response of DescribeModel. Raise
    PromotionRefusedError unless an execution of it has promoted this model, and EndpointBusyError while it is running.
    """
    name, execution = model["ModelName"], tags.get(EXECUTION_TAG, "")
    stage = state_machine.rpartition(":")[2]
    again = f"Promote it into the upstream stage again ({stage}), then start this promotion again."
    if not re.fullmatch(
        re.escape(state_machine.replace(":stateMachine:", ":execution:")) + ":[a-zA-Z0-9_-]{1,80}", execution
    ):
        raise PromotionRefusedError(
            f"The model {name} was not promoted by {stage}: its tag {EXECUTION_TAG} does not name an execution of "
            f"{stage}. {again}"
        )
    found = none_if_not_found(stepfunctions.describe_execution, executionArn=execution)
    if found is None:
        raise PromotionRefusedError(
            f"The execution {execution}, which promoted the model {name} according to its tag, does not exist. Step "
            f"Functions keeps executions for {_DAYS} days. {again}"
        )
    answer = responses.checked("stepfunctions", "DescribeExecution", found, f"the execution {execution}", ("status",))
    if answer["status"] == "RUNNING":
        raise EndpointBusyError(
            f"The execution {execution}, which promotes the model {name}, is still running. Start this promotion again "
            "when that execution has ended."
        )
    if answer["status"] != "SUCCEEDED":
        raise PromotionRefusedError(
            f"The model {name} was not promoted by {stage}: the execution {execution} has the status "
            f"{answer['status']}. {again}"
        )
    record = _record(answer.get("output"))
    expected = {
        "status": "Succeeded",
        "model_name": name,
        "execution": execution,
        "digest": tags.get(DIGEST_TAG, ""),
    }
    for key, value in expected.items():
        if record.get(key) != value:
            raise PromotionRefusedError(
                f"The model {name} was not promoted by {stage}: the {key} in the output of the execution {execution} "
                f"is {quoted(record.get(key))}, which is not that of this model. {again}"
            )
    if record.get("source_kind") == "rollback":
        raise PromotionRefusedError(
            f"The execution {execution} was a rollback, which applies only to its own stage. {again}"
        )
    if "stopDate" not in answer or model["CreationTime"] > answer["stopDate"]:
        raise PromotionRefusedError(
            f"The model {name} was created after the execution {execution} had promoted it, so it is another model of "
            f"that name. Find out who created it. {again}"
        )
    return _promotion(record, stage, execution)


def _record(output: Any) -> dict[str, Any]:
    """Return the promotion record in the output of an execution, or an empty one."""
    try:
        record = strict_json.read(output)
    except (TypeError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _promotion(record: dict[str, Any], stage: str, execution: str) -> PromotedUpstream:
    """Return the record's members; raise PromotionRefusedError for one of another type."""
    fields: dict[str, Any] = {name: record.get(name) for name in _CHECKS}
    for name, value in fields.items():
        if not _CHECKS[name](value):
            raise PromotionRefusedError(
                f"The {name} in the output of the execution {execution} is {kind_of(value)}, which is not valid. "
                "Deploy the same version of Model Promotion in both stages, and promote the model again."
            )
    reported = {name: record.get(name) for name in _CHECKS_OF_THE_REPORT}
    is_valid = all(_CHECKS_OF_THE_REPORT[name](value) for name, value in reported.items())
    report = {"stage": stage.removeprefix("model-promotion-"), **reported} if is_valid else None
    return PromotedUpstream(**fields, report=report)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    """Return whether `value` is a time in UTC as the record has it."""
    try:
        return isinstance(value, str) and value.endswith("Z") and bool(datetime.datetime.fromisoformat(value).tzinfo)
    except ValueError:
        return False


def _is_count(value: Any) -> bool:
    return is_number(value) and 0 <= value < 10**9


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "application": _is_text,
    "source_arn": _is_text,
    "created_at": _is_time,
    "smoke_test": _is_text,
    "metrics": lambda value: isinstance(value, dict) and all(is_name(k) and is_number(v) for k, v in value.items()),
    "images": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
}
_CHECKS_OF_THE_REPORT: dict[str, Callable[[Any], bool]] = {
    "ended_at": _is_time,
    "smoke_test_invocations": _is_count,
    "smoke_test_errors": _is_count,
    "smoke_test_p95_latency_ms": _is_count,
    "rolled_back_at": lambda value: value == "" or _is_time(value),
}
