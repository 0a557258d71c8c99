"""Every verb of the command model-promotion on the embedded AWS."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from command import executions
from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import Queue
from tests.support import command
from tests.support.approvals import automation_ended, waiting_approval
from tests.support.command import Printed
from tests.support.model_server import container
from tests.support.people import Person
from tests.support.settings import register
from tests.support.world import PRODUCTION, QA, Lab, Stage

ROOT = Path(__file__).parents[2]
APPLICATION = "commanded"
SUITE = {"cases": [{"name": "answers", "body": {}, "expect": "label == 'first'", "maximum_latency_ms": 30000}]}


# The names in the examples of docs/command.md.
JOB, MODEL = "reviews-2026-11-22-09-30-00", "reviews-production-20261115-1412-9f8e7d6c"


def documented() -> dict[str, list[list[str]]]:
    """Return the arguments of each documented command by its verb, in the order of the page."""
    page = (ROOT / "docs/command.md").read_text().split("\n## Verbs\n")[1].split("\n## JSON")[0]
    found: dict[str, list[list[str]]] = {}
    for line in re.findall(r"(?m)^    model-promotion (.*)$", page):
        verb, *arguments = shlex.split(line)
        found.setdefault(verb, []).append(arguments)
    return found


@dataclasses.dataclass
class Story:
    """An operator who tries every command of the documentation, and what the command printed."""

    aws: EmbeddedAws
    directory: Path
    jobs: list[str] = dataclasses.field(default_factory=list)
    tried: dict[str, list[Printed]] = dataclasses.field(default_factory=dict)
    queues: dict[str, Queue] = dataclasses.field(default_factory=dict)

    def run(self, profile: str, *arguments: str) -> Printed:
        return command.run(self.aws, profile, *arguments)

    def try_next(self, profile: str, verb: str, *more: str, **replaced: str) -> Printed:
        """Run the next documented command of a verb, with the names of this story instead of the documented ones."""
        tried = self.tried.setdefault(verb, [])
        arguments = documented()[verb][len(tried)]
        names = {"reviews": APPLICATION, "reviews-qa": f"{APPLICATION}-qa", **replaced}
        names["smoke-test.json"] = str(self.directory / "smoke-test.json")
        printed = self.run(profile, verb, *(names.get(argument, argument) for argument in arguments), *more)
        tried.append(printed)
        return printed


def subscribe(stage: Stage, name: str) -> Queue:
    """Subscribe a queue to the application's events with the documented pattern, and to its approval requests."""
    page = (ROOT / "docs/events.md").read_text()
    (found,) = re.findall(r"<!-- pattern -->\n```json\n(.*?)```", page, re.DOTALL)
    pattern = json.loads(found)
    assert pattern["detail"] == {"stage": ["production"], "application": ["reviews"]}
    pattern["detail"] = {"stage": [stage.name], "application": [APPLICATION]}
    pattern["detail-type"].append("Model Promotion Approval Requested")
    queue, rule = Queue(name, stage.account), {"Name": name, "EventBusName": stage.stack}
    stage.client("events").put_rule(**rule, EventPattern=json.dumps(pattern))
    stage.client("events").put_targets(Rule=name, EventBusName=stage.stack, Targets=[{"Id": "queue", "Arn": queue.arn}])
    return queue


@pytest.fixture(scope="module", autouse=True)
def _impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(executions, "PAUSE_SECONDS", 0.2)
        yield


@pytest.fixture(scope="module")
def story(stacks: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Promote two models into QA, and roll back; in production, approve the first and reject the second."""
    lab, qa, production = Lab(), Stage("qa", QA), Stage("production", PRODUCTION)
    one = Story(stacks, tmp_path_factory.mktemp("command"))
    for stage in (qa, production):
        register(stage, APPLICATION)
        one.queues[stage.name] = subscribe(stage, one.directory.name)
    for label in ("first", "second", "bad"):
        # Its event promotes nothing, since it has no tag of an application.
        one.jobs.append(lab.train(APPLICATION, label, tagged=False))
        arn = lab.client("sagemaker").describe_training_job(TrainingJobName=one.jobs[-1])["TrainingJobArn"]
        tag = {"Key": "model-promotion:smoke-test", "Value": lab.suite(APPLICATION, f"label == '{label}'")}
        if label == "bad":
            tag["Value"] = lab.suite(APPLICATION, "label == 'good'")
        lab.client("sagemaker").add_tags(ResourceArn=arn, Tags=[tag])

    assert one.try_next("qa", "promote", "--json", **{JOB: one.jobs[0]}).code == 0
    approval = waiting_approval(production, APPLICATION)["AutomationExecutionId"]
    one.try_next("production", "status", "--json")
    one.try_next("production", "approve", "--yes", "--json")
    assert automation_ended(production, approval) == "Success"
    again = one.run("qa", "promote", "training-job", one.jobs[1], "--application", APPLICATION)
    one.tried["promote again"] = [again]
    waiting_approval(production, APPLICATION)
    one.try_next("production", "reject", "--yes")
    failing = one.run("qa", "promote", "training-job", one.jobs[2], "--application", APPLICATION)
    one.tried["promote a bad model"] = [failing]
    one.try_next("qa", "preview", "--json", **{JOB: one.jobs[1]})
    one.try_next("qa", "preview")
    one.try_next("qa", "undo", "--yes", "--json")
    return one


def test_promote_waits_and_prints_the_result(story: Story) -> None:
    as_json, as_text = story.tried["promote"][0], story.tried["promote again"][0]

    assert list(as_json.json) == ["stage", "execution", "result", "succeeded", "reason", "error", "output"]
    assert (as_json.json["result"], as_json.json["succeeded"], as_json.json["stage"]) == ("Promoted", True, "qa")
    assert as_json.json["output"]["application"] == APPLICATION
    assert story.jobs[0] in as_json.json["execution"]
    assert as_json.error == ""
    assert as_text.code == 0
    assert "  Run smoke test\n" in as_text.error
    assert re.match(rf"Promoted\. {APPLICATION}: promoted\. Model {APPLICATION}-qa-", as_text.out)
    assert "Execution: https://eu-west-1.console.aws.amazon.com/states/home" in as_text.out


def test_promote_of_a_bad_model_ends_with_1_and_the_reason(story: Story) -> None:
    (failed,) = story.tried["promote a bad model"]

    assert failed.code == 1
    assert failed.out.startswith("Promotion failed (SmokeTestFailed). The smoke test of model ")


def test_a_subscriber_gets_the_events_of_its_application_as_their_schema_says(story: Story) -> None:
    """The examples in events/ have the same keys as these events."""
    paths = [ROOT / "events/promotion-succeeded.json", *(ROOT / "events/published").iterdir()]
    examples = [json.loads(path.read_text()) for path in paths]
    schema = json.loads((ROOT / "docs/schemas/events.schema.json").read_text())

    events = [json.loads(body) for queue in story.queues.values() for body in queue.bodies(4)]

    for event in events:
        jsonschema.validate(event, schema)
    kinds = [event["detail-type"].removeprefix("Model Promotion ") for event in events]
    assert sorted(kinds) == ["Approval Requested"] * 2 + ["Failed", "Rejected"] + ["Succeeded"] * 4
    # The record of a rollback has further keys.
    keys = [
        (each["detail-type"], set(each["detail"])) for each in events if "original_source_kind" not in each["detail"]
    ]
    for example in examples:
        if "Differs" not in example["detail-type"]:
            example_keys = set(example["detail"])
            others = [found ^ example_keys for kind, found in keys if kind == example["detail-type"]]
            assert set() in others, (example["detail-type"], min(others, key=len))


def test_promote_can_only_start_the_execution(story: Story) -> None:
    printed = story.try_next("qa", "promote", "--json")

    assert printed.code == 0
    assert list(printed.json) == ["stage", "execution"]
    assert Stage("qa", QA).ended(printed.json["execution"]).error == "InvalidInputError"


def test_a_pending_approval_is_in_the_status_and_is_approved(story: Story) -> None:
    (pending, *_), (approved,) = story.tried["status"], story.tried["approve"]
    (item,) = [each for each in pending.json["applications"] if each["application"] == APPLICATION]
    live = story.run("production", "live", APPLICATION, "--json").json["live"][0]

    assert approved.code == 0, approved.error
    assert approved.json == {
        "stage": "production",
        "application": APPLICATION,
        "id": item["approvals"][0]["id"],
        "decision": "approved",
        "source_name": item["approvals"][0]["source_name"],
    }
    assert item["model_name"] is None
    assert live["approval"] == item["approvals"][0]["id"]
    assert live["approval_comment"] == "Accuracy 0.93, agreed with the team"


def test_a_rejected_promotion_changes_nothing(story: Story) -> None:
    (rejected,) = story.tried["reject"]
    history = story.run("production", "history", APPLICATION, "--json").json

    assert rejected.code == 0, rejected.error
    assert re.search(rf"Source +model {APPLICATION}-qa-", rejected.out)
    assert rejected.out.endswith("\nRejected.\n")
    assert [record["status"] for record in history["promotions"]] == ["Succeeded"]


def test_live_history_and_status_print_tables(story: Story) -> None:
    live, history, status = story.try_next("qa", "live"), story.try_next("qa", "history"), story.run("qa", "status")

    as_json = story.try_next("qa", "live")

    assert (live.code, history.code, status.code) == (0, 0, 0)
    assert as_json.json["live"][0]["model_name"] in live.out
    assert live.out.splitlines()[0].startswith("APPLICATION ")
    assert re.search(rf"(?m)^{APPLICATION} .* rollback to {story.jobs[0]}$", live.out)
    lines = history.out.splitlines()
    assert lines[0].split() == ["ENDED", "RESULT", "MODEL", "SOURCE", "REASON"]
    sources = [f"rollback to {story.jobs[0]}", *story.jobs[::-1]]
    assert [source in line for source, line in zip(sources, lines[1:], strict=True)] == [True] * 4
    assert [line.split()[2] for line in lines[1:]] == ["Succeeded", "Failed", "Succeeded", "Succeeded"]
    assert status.out.startswith("Stage qa: ")
    assert re.search(rf"(?m)^{APPLICATION} +{APPLICATION}-qa-\d{{8}}-\d{{4}}-\w{{8}} .* InService", status.out)


def test_the_json_of_live_history_and_status_has_the_documented_keys(story: Story) -> None:
    live, history, status = (
        story.run("qa", verb, APPLICATION, "--json").json for verb in ("live", "history", "status")
    )

    assert list(live) == ["stage", "live"]
    assert live["live"][0]["original_source_name"] == story.jobs[0]
    assert list(history) == ["stage", "application", "promotions"]
    assert history["promotions"][0]["execution"] == live["live"][0]["execution"]
    assert list(status) == ["stage", "applications", "running", "alarms"]
    (item,) = status["applications"]
    assert item | {"live_since": None} == {
        "application": APPLICATION,
        "endpoint": f"{APPLICATION}-qa",
        "endpoint_status": "InService",
        "model_name": live["live"][0]["model_name"],
        "source_name": live["live"][0]["source_name"],
        "live_since": None,
        "promotion": None,
        "approvals": [],
        "problem": None,
    }


def test_status_repeats_until_it_is_interrupted(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)

    printed = story.try_next("qa", "status", "--interval", "7", "--json")

    assert printed.code == 0
    assert pauses == [7, 7]
    assert [json.loads(line)["stage"] for line in printed.out.splitlines()] == ["qa", "qa"]


def test_preview_reports_a_rollback_or_a_promotion(story: Story) -> None:
    promotion, rollback = story.tried["preview"]

    assert rollback.code == 0, rollback
    assert rollback.out.startswith("## Would be promoted\n\n- The endpoint")
    assert "\n- Nothing would be copied.\n" in rollback.out
    assert (promotion.code, promotion.json["output"]["would_be"]) == (0, "already_live")


def test_undo_rolls_back_to_the_earlier_model(story: Story) -> None:
    output = story.tried["undo"][0].json["output"]

    without_confirmation = story.run("qa", "undo", APPLICATION)
    of_the_live_model = story.try_next("qa", "undo", "--yes", **{MODEL: output["model_name"]})

    assert output["source_kind"] == "rollback"
    assert Stage("qa", QA).answer(APPLICATION) == {"label": "first"}
    assert (without_confirmation.code, without_confirmation.out) == (2, "")
    assert "Add --yes" in without_confirmation.error
    assert of_the_live_model.code == 1
    assert of_the_live_model.out.startswith(f"Invalid input (InvalidInputError). The model {output['model_name']} is")


def test_check_tests_a_file_a_container_and_an_endpoint(story: Story) -> None:
    file = story.directory / "smoke-test.json"
    file.write_text(json.dumps(SUITE).replace("first", "positive"))

    valid = story.try_next("qa", "check")
    with container() as address:
        passed = story.try_next("qa", "check", **{"http://localhost:8080": address})
    failed = story.try_next("qa", "check")
    file.write_text(json.dumps(SUITE))
    served = story.run("qa", "check", str(file), "--endpoint", f"{APPLICATION}-qa", "--json")
    missing = story.run("qa", "check", str(file), "--endpoint", "there-is-none")

    assert (valid.code, valid.out) == (0, f"{file} is valid: 1 case, 1 invocation.\n")
    assert passed.code == 0, passed.out
    assert failed.code == 1
    assert "Failed. 1 of 1 responses were wrong." in failed.out
    assert 'returned false for the response \'{"label": "first"}\'' in failed.out
    assert "execution history" not in failed.out
    assert list(served.json) == ["file", "cases", "invocations", "verdict"]
    assert served.json["verdict"]["passed"] is True
    assert (missing.code, "does not exist" in missing.error) == (2, True)


def test_every_documented_command_is_tried() -> None:
    """Each verb has a section, and the tests of this file try so many commands of it."""
    tried = {"check": 3, "status": 2, "preview": 2, "promote": 2, "approve": 1, "reject": 1, "undo": 2, "history": 1}

    assert {verb: len(commands) for verb, commands in documented().items()} == tried | {"live": 2}


def test_a_viewer_sees_everything(story: Story, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    production = Stage("production", PRODUCTION)
    act_as(Person(production, f"{name}-viewer", "viewer"), production, story, monkeypatch)

    for verb in (["status"], ["live"], ["history", APPLICATION], ["live", APPLICATION]):
        printed = story.run("", *verb, "--region", "eu-west-1")
        assert printed.code == 0, printed.error
    assert story.run("", "undo", APPLICATION, "--yes", "--region", "eu-west-1").code == 3


def act_as(person: Person, stage: Stage, story: Story, patched: pytest.MonkeyPatch) -> None:
    """Run the command with a session of a person."""
    session = stage.client("sts").assume_role(RoleArn=person.role_arn, RoleSessionName="person")["Credentials"]
    patched.setenv("AWS_ENDPOINT_URL", story.aws.endpoint_url)
    patched.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    patched.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    patched.setenv("AWS_SESSION_TOKEN", session["SessionToken"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["history", "comanded"], 2, f'has promoted no application comanded (did you mean "{APPLICATION}"?)'),
        (["status", "--stage", "qaa"], 2, 'no stage qaa in eu-west-1 with these credentials (did you mean "qa"?)'),
        (["approve", APPLICATION, "--yes"], 2, f"No approval of {APPLICATION} is pending in the stage qa."),
        (["promote", "training-job", "there-is-none"], 1, "does not exist in account 111111111111"),
        (["promote", "model", "x", "--application", "Reviews"], 2, '--application is "Reviews", which is not a name'),
        (["preview", "model", "x", "--to", "y"], 2, "--to is only for a rollback"),
        (["status", "--profile", "nobody"], 2, "nobody"),
        (["status", "--profile", "dev"], 2, "There is no stage of Model Promotion in eu-west-1"),
    ],
)
def test_a_mistake_ends_with_instructions(story: Story, arguments: list[str], code: int, message: str) -> None:
    printed = story.run("" if "--profile" in arguments else "qa", *arguments)

    assert printed.code == code
    assert message in printed.out + printed.error


def test_a_missing_permission_is_explained(story: Story, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    qa = Stage("qa", QA)
    act_as(Person(qa, f"{name}-stranger"), qa, story, monkeypatch)

    printed = story.run("", "status", "--region", "eu-west-1")

    assert printed.code == 3
    assert "You have no permission for ListStateMachines" in printed.error
