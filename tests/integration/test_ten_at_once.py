"""Ten concurrent candidates of one application: one promotion at a time, and the newest stays live."""

import datetime
import itertools
import json
import time

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support.settings import configure
from tests.support.world import Lab, Stage


def test_ten_concurrent_candidates_end_with_the_newest_live(
    stacks: EmbeddedAws, lab: Lab, qa: Stage, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.1)
    suite = {"cases": [{"name": "answers", "body": {}, "expect": "label != ''"}]}
    configure(qa, application, SmokeTest=suite)
    models = [make_model(lab, application, number) for number in range(10)]

    arns = [qa.start({"model": model, "application": application}) for model in reversed(models)]
    ended = [qa.ended(arn) for arn in arns]

    # None is lost: each is live for a time, or says that it was overtaken.
    assert {execution.status for execution in ended} == {"SUCCEEDED"}, [execution.cause for execution in ended]
    promoted = [execution for execution in ended if execution.states[-1] == "Promoted"]
    overtaken = [execution for execution in ended if execution.states[-1] == "Rejected"]
    assert len(promoted) + len(overtaken) == 10
    assert all("newer than this candidate" in execution.output["reason"] for execution in overtaken)
    # The newest is live, and nothing is held.
    assert qa.answer(application) == {"label": "c9"}
    assert json.loads((qa.live(application) or {})["promotion"])["source_name"] == models[9]
    assert qa.running(application) == []
    # One at a time, each newer than the one before.
    history = qa.history(application)
    assert [record["status"] for record in history] == ["Succeeded"] * len(promoted)
    assert [record["source_name"] for record in history] == sorted(record["source_name"] for record in history)
    held = sorted(held_by(qa, execution.arn) for execution in promoted)
    assert all(ended <= begun for (_, ended), (begun, _) in itertools.pairwise(held)), held


def make_model(lab: Lab, application: str, number: int) -> str:
    name = f"{application}-{number}"
    lab.create_model(name, ModelDataUrl=lab.upload(f"{name}/model.tar.gz", lab.artifact(f"c{number}")))
    time.sleep(0.01)  # SageMaker tells times to the millisecond
    return name


def held_by(qa: Stage, arn: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Return a time after a promotion acquired the lock, and one before it released it, by its history."""
    pages = qa.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    entered = {e["stateEnteredEventDetails"]["name"]: e["timestamp"] for e in events if "stateEnteredEventDetails" in e}
    return (entered["Inspect endpoint"], entered["Record promotion"])
