"""Run a promotion with a fault in it, and judge how it ended: proven on the new model, or as it was and told so."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import Any

from local import faults
from local.faults import Call, Kind
from tests.faults.scenarios import Trial

# Of the slowest: a task that is tried seven times in vain, the way back, and the same again by the recovery.
PATIENCE_SECONDS = 180.0


@dataclasses.dataclass
class Result:
    """How a trial ended, in a word or two, and what is wrong with that; `hits` is how often the fault came."""

    ended: str
    wrong: list[str]
    hits: int


def run(trial: Trial, call: Call | None = None, kind: Kind | None = None) -> Result:
    """Start a promotion, let the fault come, lift it once all that runs has ended, and look at what is left."""
    known = set(_executions(trial))
    hits = 0
    if call and kind:
        with faults.injected(call, kind) as injected:
            trial.start()
            ended = _quiet(trial, known)
            hits = injected.hits
    else:
        trial.start()
        ended = _quiet(trial, known)
    # What a lasting fault left held is free once it is over, by the recovery or by hand.
    by_hand = bool(trial.stage.running(trial.application))
    if by_hand:
        known_then = set(_executions(trial))
        trial.stage.start({"recover": f"{trial.application}-{trial.stage.name}"})
        ended = _quiet(trial, known_then) and ended
    new = {arn: each for arn, each in _executions(trial).items() if arn not in known}
    wrong = [] if ended else [f"it did not come to an end in {PATIENCE_SECONDS:.0f} s"]
    outcome, more = _judge(trial, new, call)
    return Result(outcome + (", recovered by hand" if by_hand else ""), wrong + more, hits)


def _judge(trial: Trial, new: dict[str, dict[str, Any]], call: Call | None) -> tuple[str, list[str]]:
    stage, application = trial.stage, trial.application
    endpoint, live = stage.endpoint(application), stage.live(application)
    if endpoint and endpoint["EndpointStatus"] != "InService":
        return "broken", [f"the endpoint is {endpoint['EndpointStatus']}"]
    label = stage.answer(application)["label"] if endpoint else None
    wrong = [*_debris(trial)]
    if endpoint and live and endpoint["EndpointConfigName"] != live["endpoint_config_name"]:
        wrong.append(f"{endpoint['EndpointConfigName']} serves, but {live['endpoint_config_name']} is on record")
    if bool(endpoint) is not bool(live):
        wrong.append(f"the endpoint is {'there' if endpoint else 'gone'}, but the record is not")
    succeeded = [each for each in new.values() if '"status":"Succeeded"' in each.get("output", "").replace(" ", "")]
    failed = [each for each in new.values() if each["status"] == "FAILED"]
    if label == trial.after and label != trial.before:
        if trial.fails_by_itself:
            wrong.append("a model that failed its smoke test serves")
        return "promoted" if succeeded else "promoted, failed to say so", wrong
    if label != trial.before:
        return "broken", [*wrong, f"it answers {label!r}, which is neither {trial.before!r} nor {trial.after!r}"]
    if succeeded:
        wrong.append("an execution succeeded that promoted nothing")
    if not failed:
        wrong.append(f"nothing failed, of {[each['status'] for each in new.values()]}")
    for each in failed:
        if len(each.get("cause", "")) < 20:
            wrong.append(f"a failure does not say why: {each.get('error')}: {each.get('cause')!r}")
    return "as before", wrong


def _debris(trial: Trial) -> list[str]:
    stage, found = trial.stage, []
    if stage.running(trial.application):
        found.append("the endpoint is still held")
    uploads = stage.client("s3").list_multipart_uploads(Bucket=stage.bucket).get("Uploads", [])
    found += [f"an upload of {each['Key']} is unfinished" for each in uploads if trial.application in each["Key"]]
    return found


def _executions(trial: Trial) -> dict[str, dict[str, Any]]:
    """By ARN: the executions of the trial's stage that are about its application."""
    client = trial.stage.client("stepfunctions")
    return {arn: client.describe_execution(executionArn=arn) for arn in trial.stage.executions_with(trial.application)}


def _quiet(trial: Trial, known: set[str]) -> bool:
    """Wait until something was started and nothing is under way any more; whether that came in time."""
    ends = time.monotonic() + PATIENCE_SECONDS
    calm = 0
    while time.monotonic() < ends:
        with contextlib.suppress(Exception):
            trial.tick()
        executions = _executions(trial)
        busy = any(each["status"] == "RUNNING" for each in executions.values()) or _automations(trial)
        calm = calm + 1 if set(executions) - known and not busy else 0
        if calm == 6:
            return True
        time.sleep(0.3)
    return False


def _automations(trial: Trial) -> bool:
    ssm = trial.stage.client("ssm")
    return any(
        ssm.get_automation_execution(AutomationExecutionId=item["automation"])["AutomationExecution"][
            "AutomationExecutionStatus"
        ]
        in ("Waiting", "InProgress", "Pending")
        for item in trial.stage.items("approval")
        if item["key"].startswith(f"{trial.application}-") and item["automation"]
    )
