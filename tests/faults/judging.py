"""Run a promotion with a fault, and check that it either succeeded or was rolled back with a notification."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from promotion.history import agreement
from promotion.history.agreement import Facts
from promotion.history.table import PromotionTable
from tests.faults.changes import Applied, Change
from tests.faults.world import Trial
from tests.support.monitor import invoke_watch

# The slowest trial: seven failed attempts of a task, the rollback, and the same again by the recovery.
PATIENCE_SECONDS = 180.0
# After this time, no execution starts while the fault lasts.
_START_SECONDS = 40.0

# The outcomes of docs/faults.md.
PROMOTED = "promoted"
RESTORED = "restored automatically"
RESTORED_MANUALLY = "restored by a manual recovery"
NOT_PUBLISHED = "promoted, event not published"
NOT_STARTED = "not started, event in a dead-letter queue"
CHANGED = "changed by someone else, reported"
_BROKEN = "broken"

# If one of these calls fails permanently, only an alarm notifies the operators.
_NOTIFICATION_CALLS = {("events", "PutEvents"), ("sns", "Publish"), ("kms", "GenerateDataKey")}


@dataclasses.dataclass
class Result:
    """The outcome of a trial, its errors, and the number of calls that the fault hit."""

    outcome: str
    errors: list[str]
    hits: int


@dataclasses.dataclass
class _Effects:
    """The executions, notifications and dead letters of a trial since it started."""

    trial: Trial
    started: datetime.datetime
    log_length: int

    def executions(self) -> dict[str, str]:
        """Return the status of each execution for the application, by ARN."""
        return self.trial.stage.newest_with(self.trial.application, self.started)

    def is_notified(self) -> bool:
        log = self.trial.world.notifications.read_text()[self.log_length :]
        emails = log.split("\n2")  # each begins with its time
        return any(self.trial.application in email and f"[{self.trial.stage.name}] " in email for email in emails)

    def dead_letters(self) -> list[str]:
        return [letter for letter in self.trial.world.dead_letters() if self.trial.application in letter]


def run(trial: Trial, call: Call | None = None, kind: Kind | Change | None = None) -> Result:
    """Start a promotion with a fault or a change by someone else, and check the final state.

    When nothing runs, the fault is removed and the change is reverted as far as it prevents a recovery.
    """
    with trial.isolated():
        log = trial.world.notifications
        effects = _Effects(trial, datetime.datetime.now(datetime.UTC), len(log.read_text()) if log.exists() else 0)
        hits, applied = 0, None
        if call and isinstance(kind, Change):
            applied = Applied(trial, kind)
            with faults.preceded(call, applied.apply) as preceded:
                applied.calls = preceded.calls
                trial.start()
                ended = _wait_until_idle(effects, PATIENCE_SECONDS)
            applied.revert()
            applied.settle()
            hits = int(applied.is_applied)
        elif call and isinstance(kind, Kind):
            with faults.injected(call, kind) as injected:
                trial.start()
                ended = _wait_until_idle(effects, _START_SECONDS)
                hits = injected.hits
            # Without the permanent fault, an execution may start now.
            ended = _wait_until_idle(effects, PATIENCE_SECONDS) if kind.lasts or not ended else ended
        else:
            trial.start()
            ended = _wait_until_idle(effects, PATIENCE_SECONDS)
        is_locked = bool(trial.stage.running(trial.application))
        if is_locked:
            # A permanent fault can prevent every recovery. A manual one then releases the lock.
            trial.stage.start({"recover": f"{trial.application}-{trial.stage.name}"})
            ended = _wait_until_idle(effects, PATIENCE_SECONDS) and ended
        errors = [] if ended else [f"the trial did not end within {PATIENCE_SECONDS:.0f} s"]
        outcome, more = _judge(effects, call, applied if applied and applied.is_applied else None)
        if applied and not applied.restore():
            trial.world.discard(trial.application)
    return Result(RESTORED_MANUALLY if is_locked and outcome == RESTORED else outcome, errors + more, hits)


def _judge(effects: _Effects, call: Call | None, applied: Applied | None) -> tuple[str, list[str]]:
    """Return the outcome of a trial and its errors."""
    trial = effects.trial
    differences = _differences(trial)
    client = trial.stage.client("stepfunctions")
    new = [client.describe_execution(executionArn=arn) for arn in effects.executions()]
    outputs = [json.loads(each.get("output", "null")) or {} for each in new]
    has_succeeded = any(each.get("status") == "Succeeded" for each in outputs)
    errors = [*_debris(trial), *_failures_without_reason(new)]
    if not effects.is_notified() and not (call and (call.service, call.operation) in _NOTIFICATION_CALLS) and new:
        errors.append("no notification was sent")
    if differences and applied and applied.change.replaces and _are_of_endpoint(trial):
        if has_succeeded and applied.was_visible_before_the_record():
            errors.append("a model is on record as live although someone else had visibly changed the endpoint")
        if not _reported(trial):
            errors.append("the monitor does not report the change")
        return CHANGED, errors
    errors += differences
    endpoint = trial.stage.endpoint(trial.application)
    if endpoint and endpoint["EndpointStatus"] != "InService":
        return _BROKEN, [*errors, f"the endpoint is {endpoint['EndpointStatus']}"]
    label = trial.stage.answer(trial.application)["label"] if endpoint else None
    if trial.targets and not applied:
        expected = trial.targets[label == trial.after]
        if (found := trial.stage.scaling(trial.application)["targets"]) != expected:
            errors.append(f"the scalable targets are {found} instead of {expected}")
    if label == trial.after and label != trial.before:
        if trial.must_fail:
            errors.append("a model that failed its smoke test is live")
        if trial.stage.live(trial.application) is None:
            errors.append("the new model is live without a record")
        return PROMOTED if has_succeeded else NOT_PUBLISHED, errors
    if label != trial.before:
        return _BROKEN, [*errors, f"the endpoint returns {label!r}, neither {trial.before!r} nor {trial.after!r}"]
    if has_succeeded and not (applied and applied.change.replaces):
        errors.append("an execution succeeded but promoted nothing")
    if not new and effects.dead_letters():
        return NOT_STARTED, errors
    # An approval that is canceled is a rejection, or it stops the promotion that it has started, which is recovered.
    is_rejected = applied is not None and any(each.get("outcome") == "rejected" for each in outputs)
    is_stopped = applied is not None and any(each["status"] == "ABORTED" for each in new)
    if not is_rejected and not is_stopped and not any(each["status"] == "FAILED" for each in new):
        errors.append(f"no execution failed: {[each['status'] for each in new]}")
    return RESTORED, errors


def _facts(trial: Trial) -> Facts:
    """Return the facts about the trial's endpoint; no promotion is running."""
    stage = trial.stage
    table = PromotionTable(stage.client("dynamodb"), stage.table)
    clients = stage.client("sagemaker"), stage.client("stepfunctions")
    facts = agreement.read(table, *clients, f"{trial.application}-{stage.name}")
    assert facts
    return facts


def _differences(trial: Trial) -> list[str]:
    """Return the differences that are left after a run of the background monitor, which repairs some of them."""
    if agreement.differences(_facts(trial)):
        _reported(trial)
    return agreement.differences(_facts(trial))


def _are_of_endpoint(trial: Trial) -> bool:
    """Return whether only the endpoint differs: with the config on record, or without a record, there is agreement."""
    facts = _facts(trial)
    live = facts.live
    config = live["endpoint_config_name"] if live else ""
    description = {"EndpointConfigName": config, "EndpointStatus": "InService"} if live else None
    return agreement.differences(dataclasses.replace(facts, description=description)) == []


def _reported(trial: Trial) -> bool:
    """Run the background monitor, and return whether it reports a difference of the trial's endpoint."""
    found = invoke_watch(trial.stage)
    return f"{trial.application}-{trial.stage.name}" in found.get("differing", {})


def _failures_without_reason(executions: list[dict[str, Any]]) -> Iterator[str]:
    for each in executions:
        if each["status"] == "FAILED" and len(each.get("cause", "")) < 20:
            yield f"a failure has no reason: {each.get('error')}: {each.get('cause')!r}"


def _debris(trial: Trial) -> Iterator[str]:
    """Yield what must not remain: a lock, an unfinished upload, and a resource without its execution."""
    stage, sagemaker, application = trial.stage, trial.stage.client("sagemaker"), trial.application
    if stage.running(application):
        yield "the endpoint is still locked"
    for each in stage.client("s3").list_multipart_uploads(Bucket=stage.bucket).get("Uploads", []):
        if application in each["Key"]:
            yield f"the upload of {each['Key']} is unfinished"
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "NameContains": application, "MaxResults": 5}
    created = [each["ModelArn"] for each in sagemaker.list_models(**newest | {"SortBy": "CreationTime"})["Models"]]
    created += [each["EndpointConfigArn"] for each in sagemaker.list_endpoint_configs(**newest)["EndpointConfigs"]]
    for arn in created:
        tags = {tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        if "model-promotion:execution" not in tags:
            yield f"{arn} does not have the tag of an execution"


def _wait_until_idle(effects: _Effects, start_seconds: float) -> bool:
    """Wait until an execution has started and all have ended; return whether that happened in time."""
    started = time.monotonic()
    idle_checks = 0
    while (waited := time.monotonic() - started) < PATIENCE_SECONDS:
        with contextlib.suppress(ClientError):  # the operator retries
            effects.trial.tick()
        executions = effects.executions()
        is_busy = "RUNNING" in executions.values() or bool(effects.trial.approvals())
        if not executions and (waited > start_seconds or effects.dead_letters()):
            return bool(effects.dead_letters())
        idle_checks = idle_checks + 1 if executions and not is_busy else 0
        if idle_checks == 3:
            return True
        time.sleep(0.5)
    return False
