"""An operator rolls an endpoint back to an earlier promotion, and forward again."""

import json
from typing import Any

from tests.support.approvals import signal, waiting_approval
from tests.support.settings import register
from tests.support.world import Lab, Stage


def test_a_rollback_and_a_rollback_of_the_rollback(lab: Lab, qa: Stage, production: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "first"))
    second = qa.execution_of(lab.train(application, "second")).output

    back = qa.promote({"rollback": f"{application}-qa"})
    assert back.status == "SUCCEEDED", back.cause
    assert "Run smoke test" in back.states
    assert qa.answer(application) == {"label": "first"}

    forth = qa.promote({"rollback": f"{application}-qa"})
    assert forth.status == "SUCCEEDED", forth.cause
    assert qa.answer(application) == {"label": "second"}
    live = qa.live(application)
    assert live is not None
    assert live["model_name"] == second["model_name"]
    assert [p["source_kind"] for p in qa.history(application)] == [
        "training_job",
        "training_job",
        "rollback",
        "rollback",
    ]
    assert len(production.executions_with(second["model_name"])) == 1


def test_a_duplicate_event_does_not_revert_a_rollback(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "first"))
    second = qa.execution_of(lab.train(application, "second"))
    event = json.loads(qa.client("stepfunctions").describe_execution(executionArn=second.arn)["input"])
    assert qa.promote({"rollback": f"{application}-qa"}).status == "SUCCEEDED"

    again = qa.promote(event)

    assert again.states[-1] == "Not deployed again"
    assert qa.answer(application) == {"label": "first"}
    assert qa.running(application) == []


def test_a_rollback_in_production_needs_no_new_approval(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    for label in ("first", "second"):
        promoted = qa.execution_of(lab.train(application, label)).output
        waiting = waiting_approval(production, application)["AutomationExecutionId"]
        signal(production, waiting, "Approve", f"{label} is fine")
        assert production.execution_of(waiting).status == "SUCCEEDED", promoted

    back = production.promote({"rollback": f"{application}-production"})

    assert back.status == "SUCCEEDED", back.cause
    assert production.answer(application) == {"label": "first"}
    live = production.live(application)
    assert live is not None
    assert live["approval_comment"] == "first is fine"


def test_a_forged_record_rolls_back_to_nothing(lab: Lab, qa: Stage, application: str) -> None:
    other = f"{application}-other"
    register(qa, other)
    qa.execution_of(lab.train(other, "theirs"))
    for label in ("first", "second"):
        qa.execution_of(lab.train(application, label))
    theirs, first = json.loads(qa.history(other)[0]["promotion"]), json.loads(qa.history(application)[0]["promotion"])
    before = qa.endpoint(application), qa.live(application)
    names = ("model_name", "endpoint_config_name")
    forgeries = {
        "the other application's record": theirs,
        "its resources": first | {name: theirs[name] for name in names},
        "another digest": first | {"digest": theirs["digest"]},
    }

    for forgery, record in forgeries.items():
        forge(qa, application, record)

        failed = qa.promote({"rollback": f"{application}-qa", "to": record["model_name"]})

        assert failed.error == "PromotionRefusedError", (forgery, failed.cause)
        assert "differs from its resources" in (failed.cause or ""), forgery
    assert (qa.endpoint(application), qa.live(application)) == before
    assert qa.answer(application) == {"label": "second"}
    assert qa.running(application) == []


def forge(stage: Stage, application: str, record: dict[str, Any]) -> None:
    """Write a record of an earlier promotion, as anyone can who may write the promotion table."""
    item = {"kind": f"history#{application}-{stage.name}", "key": "9999-01-01T00:00:00Z#forged"}
    item["promotion"] = json.dumps(record)
    typed = {name: {"S": value} for name, value in item.items()}
    stage.client("dynamodb").put_item(TableName=stage.table, Item=typed)


def test_a_rollback_without_a_target_is_refused(lab: Lab, qa: Stage, application: str) -> None:
    qa.execution_of(lab.train(application, "first"))

    never = qa.promote({"rollback": f"{application}-unknown"})
    only_one = qa.promote({"rollback": f"{application}-qa"})

    assert never.error == only_one.error == "InvalidInputError"
    assert f'did you mean "{application}-qa"' in (never.cause or "")
    assert qa.answer(application) == {"label": "first"}
