"""Run a promotion with a fault in it, and judge how it ended: proven on the new model, or as it was and told so."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import time
from collections.abc import Iterator

from botocore.exceptions import ClientError

from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from tests.faults.scenarios import Trial

# Of the slowest: a task that is tried seven times in vain, the way back, and the same again by the recovery.
PATIENCE_SECONDS = 180.0
# After that nothing starts any more while the fault lasts.
_START_SECONDS = 40.0

# Who is told is told by these words; where one of these calls fails for good, an alarm is all that is left.
_TELLING = ("is live on", "Model Promotion Failed", "Model Promotion Rejected", "People are needed")
_ANNOUNCEMENTS = {("events", "PutEvents"), ("sns", "Publish"), ("kms", "GenerateDataKey")}


@dataclasses.dataclass
class Result:
    """How a trial ended, in a word or two, and what is wrong with that; `hits` is how often the fault came."""

    ended: str
    wrong: list[str]
    hits: int


@dataclasses.dataclass
class _Course:
    """What a trial has left behind since it began."""

    trial: Trial
    began: datetime.datetime
    notified: int

    def executions(self) -> dict[str, str]:
        """The status of those that are about the application, by ARN."""
        return self.trial.stage.newest_with(self.trial.application, self.began)

    def told(self) -> bool:
        log = self.trial.world.notifications.read_text()[self.notified :]
        lines = log.split("\n2")  # each begins with its time
        return any(self.trial.application in line and any(words in line for words in _TELLING) for line in lines)

    def dead_letters(self) -> list[str]:
        return [letter for letter in self.trial.world.dead_letters() if self.trial.application in letter]


def run(trial: Trial, call: Call | None = None, kind: Kind | None = None) -> Result:
    """Start a promotion, let the fault come, lift it once all that runs has ended, and look at what is left."""
    with trial.alone():
        log = trial.world.notifications
        course = _Course(trial, datetime.datetime.now(datetime.UTC), len(log.read_text()) if log.exists() else 0)
        hits = 0
        if call and kind:
            with faults.injected(call, kind) as injected:
                trial.start()
                ended = _quiet(course, _START_SECONDS)
                hits = injected.hits
            # What a lasting fault has kept from starting is started now, if it is ever.
            ended = _quiet(course, PATIENCE_SECONDS) if kind.lasts or not ended else ended
        else:
            trial.start()
            ended = _quiet(course, PATIENCE_SECONDS)
        by_hand = bool(trial.stage.running(trial.application))
        if by_hand:
            # What a lasting fault left held is free once it is over, by the recovery or by hand.
            trial.stage.start({"recover": f"{trial.application}-{trial.stage.name}"})
            ended = _quiet(course, PATIENCE_SECONDS) and ended
        wrong = [] if ended else [f"it did not come to an end in {PATIENCE_SECONDS:.0f} s"]
        outcome, more = _judge(course, call)
    return Result(outcome + (", recovered by hand" if by_hand else ""), wrong + more, hits)


def _judge(course: _Course, call: Call | None) -> tuple[str, list[str]]:
    trial = course.trial
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
    client = stage.client("stepfunctions")
    new = [client.describe_execution(executionArn=arn) for arn in course.executions()]
    succeeded = [each for each in new if json.loads(each.get("output", "{}")).get("status") == "Succeeded"]
    failed = [each for each in new if each["status"] == "FAILED"]
    if not course.told() and not (call and (call.service, call.operation) in _ANNOUNCEMENTS) and new:
        wrong.append("nobody was told")
    if label == trial.after and label != trial.before:
        if trial.fails_by_itself:
            wrong.append("a model that failed its smoke test serves")
        return "promoted" if succeeded else "promoted, failed to say so", wrong
    if label != trial.before:
        return "broken", [*wrong, f"it answers {label!r}, which is neither {trial.before!r} nor {trial.after!r}"]
    if succeeded:
        wrong.append("an execution succeeded that promoted nothing")
    if not new and course.dead_letters():
        return "undelivered", wrong
    if not failed:
        wrong.append(f"nothing failed, of {[each['status'] for each in new]}")
    for each in failed:
        if len(each.get("cause", "")) < 20:
            wrong.append(f"a failure does not say why: {each.get('error')}: {each.get('cause')!r}")
    return "as before", wrong


def _debris(trial: Trial) -> Iterator[str]:
    """What must not be left: a held endpoint, half a copy, and what nobody owns."""
    stage, sagemaker, application = trial.stage, trial.stage.client("sagemaker"), trial.application
    if stage.running(application):
        yield "the endpoint is still held"
    for each in stage.client("s3").list_multipart_uploads(Bucket=stage.bucket).get("Uploads", []):
        if application in each["Key"]:
            yield f"an upload of {each['Key']} is unfinished"
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "NameContains": application, "MaxResults": 5}
    made = [each["ModelArn"] for each in sagemaker.list_models(**newest | {"SortBy": "CreationTime"})["Models"]]
    made += [each["EndpointConfigArn"] for each in sagemaker.list_endpoint_configs(**newest)["EndpointConfigs"]]
    for arn in made:
        tags = {tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        if "model-promotion:execution" not in tags:
            yield f"{arn} belongs to nobody"


def _quiet(course: _Course, starts_within: float) -> bool:
    """Wait until something was started and nothing is under way any more; whether that came in time."""
    began = time.monotonic()
    calm = 0
    while (waited := time.monotonic() - began) < PATIENCE_SECONDS:
        with contextlib.suppress(ClientError):  # the operator tries it again
            course.trial.tick()
        executions = course.executions()
        busy = "RUNNING" in executions.values() or course.trial.is_busy()
        if not executions and (waited > starts_within or course.dead_letters()):
            return bool(course.dead_letters())
        calm = calm + 1 if executions and not busy else 0
        if calm == 3:
            return True
        time.sleep(0.5)
    return False
