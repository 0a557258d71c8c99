"""The background monitor finds each wrong ending that is put into the world by hand, and reports it once."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.mail import mail
from tests.support.monitor import Alarm, invoke_watch, look, quiet_alarm
from tests.support.others import config_of, serve
from tests.support.waiting import wait_until
from tests.support.world import Lab, Stage

DIFFERS = "endpoint and record differ"


def settle_others(stage: Stage, application: str) -> None:
    """Forget the endpoints that other tests left with differences, as operators do with retired applications."""
    for endpoint in invoke_watch(stage)["differing"]:
        if endpoint != f"{application}-{stage.name}":
            for kind in ("live", "autoscaling", "lock"):
                delete(stage, kind, endpoint)


def delete(stage: Stage, kind: str, key: str) -> None:
    stage.client("dynamodb").delete_item(TableName=stage.table, Key={"kind": {"S": kind}, "key": {"S": key}})


def put(stage: Stage, kind: str, key: str, **attributes: str) -> None:
    item = {name: {"S": value} for name, value in ({"kind": kind, "key": key} | attributes).items()}
    stage.client("dynamodb").put_item(TableName=stage.table, Item=item)


def mails(aws: EmbeddedAws, application: str) -> int:
    return (aws.directory / "notifications.log").read_text().count(f"{application}: {DIFFERS}")


def quiet(aws: EmbeddedAws, stage: Stage, application: str) -> Alarm:
    """Return the alarm, which is not in ALARM."""
    settle_others(stage, application)
    invoke_watch(stage)
    return quiet_alarm(aws, stage, "DifferingEndpoints")


def test_an_update_by_someone_else_is_reported_once_and_raises_an_alarm_until_the_endpoint_agrees(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    first = qa.execution_of(lab.train(application, "first")).output
    second = qa.execution_of(lab.train(application, "second")).output
    alarm = quiet(stacks, qa, application)
    assert alarm.state() != "ALARM"

    serve(qa, application, first["endpoint_config_name"])
    look(qa)
    alarm.wait_for_mail()
    invoke_watch(qa)

    told = mail(stacks, f"[qa] {application}: {DIFFERS}")
    assert f"The endpoint {application}-qa serves the endpoint config {first['endpoint_config_name']}" in told
    assert f"but {second['endpoint_config_name']} of the model {second['model_name']} is on record as live" in told
    assert second["execution"] in told
    assert alarm.state() == "ALARM"
    assert mails(stacks, application) == 1

    serve(qa, application, second["endpoint_config_name"])
    look(qa)
    alarm.wait_for("OK")
    assert mails(stacks, application) == 1


def test_each_wrong_ending_is_found(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str, subtests: pytest.Subtests
) -> None:
    endpoint, sagemaker = f"{application}-qa", qa.client("sagemaker")
    good = qa.execution_of(lab.train(application, "good")).output
    assert qa.execution_of(lab.train(application, "bad", expect="label == 'good'")).error == "SmokeTestFailed"
    bad = qa.history(application)[-1]["endpoint_config_name"]
    live = qa.client("dynamodb").get_item(TableName=qa.table, Key=key("live", endpoint))["Item"]
    dead = good["execution"].replace("-qa:", "-qa:dead-")
    journal = {"execution": dead, "promotion": json.dumps(good), "acquired_at": "2026-01-01T00:00:00+00:00"}

    def restore_live() -> None:
        qa.client("dynamodb").put_item(TableName=qa.table, Item=live)

    def put_live(**changes: Any) -> None:
        put(qa, "live", endpoint, execution=good["execution"], promotion=json.dumps(good | changes))

    def recreate() -> None:
        tags = [{"Key": "model-promotion:application", "Value": application}]
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=good["endpoint_config_name"], Tags=tags)
        wait_until(lambda: qa.instances(application), "the endpoint")

    def remove() -> None:
        sagemaker.delete_endpoint(EndpointName=endpoint)
        wait_until(lambda: True if qa.endpoint(application) is None else None, "the deletion")

    def use_approval() -> None:
        put(qa, "used-approval", f"{application}-approval", execution=dead)
        put_live(approval=f"{application}-approval")

    def abandon() -> None:
        put(qa, "lock", endpoint, **journal)
        number = {":n": {"N": "6"}}
        update = {"UpdateExpression": "SET recoveries = :n", "ExpressionAttributeValues": number}
        qa.client("dynamodb").update_item(TableName=qa.table, Key=key("lock", endpoint), **update)

    wrong: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "did not pass its promotion": (
            lambda: serve(qa, application, bad),
            lambda: serve(qa, application, good["endpoint_config_name"]),
        ),
        "someone else updated the endpoint": (
            lambda: serve(qa, application, copy_of(qa, application)),
            lambda: serve(qa, application, good["endpoint_config_name"]),
        ),
        "has no live record": (lambda: delete(qa, "live", endpoint), restore_live),
        "the last successful promotion in the history is that of": (lambda: put_live(execution=dead), restore_live),
        "An approval is valid once": (use_approval, restore_live),
        "Its recovery was abandoned": (abandon, lambda: delete(qa, "lock", endpoint)),
        "does not exist, but the model": (remove, recreate),
    }
    for number, (text, (break_it, repair)) in enumerate(wrong.items()):
        with subtests.test(text):
            assert endpoint not in invoke_watch(qa)["differing"]
            break_it()
            try:
                assert text in invoke_watch(qa)["differing"][endpoint]
                assert endpoint in invoke_watch(qa)["differing"]
                assert mail(stacks, f"[qa] {application}: {DIFFERS}", text)
                assert mails(stacks, application) == number + 1
            finally:
                repair()
    assert endpoint not in invoke_watch(qa)["differing"]
    assert config_of(qa, application) == good["endpoint_config_name"]


def key(kind: str, name: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "key": {"S": name}}


def copy_of(stage: Stage, application: str) -> str:
    """Create a copy of the endpoint's config under another name, as someone else, and return its name."""
    sagemaker, name = stage.client("sagemaker"), f"{application}-copy"
    config = sagemaker.describe_endpoint_config(EndpointConfigName=config_of(stage, application))
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=config["ProductionVariants"])
    return name


def test_an_endpoint_of_a_first_promotion_that_failed_is_found(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    assert qa.execution_of(lab.train(application, "bad", expect="label == 'good'")).error == "SmokeTestFailed"
    assert f"{application}-qa" not in invoke_watch(qa)["differing"]
    failed = qa.history(application)[-1]["endpoint_config_name"]

    qa.client("sagemaker").create_endpoint(EndpointName=f"{application}-qa", EndpointConfigName=failed)
    wait_until(lambda: qa.instances(application), "the endpoint")

    assert "but no promotion is on record as live" in invoke_watch(qa)["differing"][f"{application}-qa"]
    assert "did not pass its promotion" in mail(stacks, f"{application}: {DIFFERS}")


def test_neither_a_promotion_nor_its_rollback_is_a_difference(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    found: list[Any] = []
    qa.execution_of(lab.train(application, "good"))
    job = lab.train(application, "bad", expect="label == 'good'")

    def end() -> bool | None:
        found.append(invoke_watch(qa)["differing"].get(f"{application}-qa"))
        arns = qa.executions_with(job)
        statuses = [qa.client("stepfunctions").describe_execution(executionArn=arn)["status"] for arn in arns]
        return "FAILED" in statuses or None

    wait_until(end, "the end of the promotion")

    found.append(invoke_watch(qa)["differing"].get(f"{application}-qa"))
    assert set(found) == {None}
    assert len(found) > 2
    assert mails(stacks, application) == 0
