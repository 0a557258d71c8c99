import json
import re
from pathlib import Path
from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.source.request import SOURCES, Ignore, Promote, Recover, TellRejection, is_preview, read

ROOT = Path(__file__).parents[3]
UPSTREAM, OWN, STRANGER = "111111111111", "222222222222", "999999999999"
REGION = "eu-west-1"
APPROVAL = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
DIGEST = "ab" * 32
EXECUTION = f"arn:aws:states:eu-west-1:{OWN}:execution:model-promotion-qa:first"

TRAINING_JOB = ("aws.sagemaker", "SageMaker Training Job State Change")
TUNING_JOB = ("aws.sagemaker", "SageMaker HyperParameter Tuning Job State Change")
MODEL_PACKAGE = ("aws.sagemaker", "SageMaker Model Package State Change")
PROMOTION = ("model-promotion", "Model Promotion Succeeded")
PACKAGE = f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model-package/reviews/3"
EXECUTION_ENDED = ("aws.states", "Step Functions Execution Status Change")
APPROVAL_ENDED = ("aws.ssm", "EC2 Automation Execution Status-change Notification")


def event(kind: tuple[Any, Any], account: Any, detail: Any, region: Any = REGION) -> dict[str, Any]:
    kinds = {"source": kind[0], "detail-type": kind[1]}
    return {"version": "0", **kinds, "account": account, "region": region, "detail": detail}


def refusal(given: Any) -> str:
    with pytest.raises(InvalidRequestError) as error:
        read(given, UPSTREAM, OWN, REGION)
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"training_job": "reviews-1"}, Promote("training_job", "reviews-1")),
        ({"model": "reviews-1"}, Promote("model", "reviews-1")),
        ({"model": "A"}, Promote("model", "A")),
        ({"model": "m" * 63}, Promote("model", "m" * 63)),
        ({"model": "m", "application": "reviews"}, Promote("model", "m", application="reviews")),
        (
            {"model": "m", "application": "reviews", "approval": APPROVAL, "digest": DIGEST},
            Promote("model", "m", application="reviews", approval=APPROVAL, digest=DIGEST),
        ),
        (
            {"training_job": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:training-job/reviews-1"},
            Promote("training_job", "reviews-1"),
        ),
        ({"model": f"arn:aws-cn:sagemaker:eu-west-1:{UPSTREAM}:model/reviews-1"}, Promote("model", "reviews-1")),
        ({"tuning_job": "t" * 32}, Promote("tuning_job", "t" * 32)),
        (
            {"tuning_job": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:hyper-parameter-tuning-job/tuning"},
            Promote("tuning_job", "tuning"),
        ),
        ({"model_package": PACKAGE}, Promote("model_package", PACKAGE)),
        ({"model_package": PACKAGE.removesuffix("/3")}, Promote("model_package", PACKAGE.removesuffix("/3"))),
    ],
)
def test_a_source_is_promoted_by_its_name_or_its_arn(given: dict[str, str], asked: Promote) -> None:
    assert read(given, UPSTREAM, OWN, REGION) == asked


def test_an_input_by_hand_is_no_event() -> None:
    asked = read({"model": "m"}, UPSTREAM, OWN, REGION)

    assert isinstance(asked, Promote)
    assert not asked.by_event


def test_an_endpoint_is_recovered_by_its_name() -> None:
    asked = read({"recover": "reviews-qa"}, UPSTREAM, OWN, REGION)

    assert asked == Recover(executions=(), endpoint="reviews-qa", reason="An operator asked for the recovery.")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "The input is nothing, not an object"),
        ("reviews-1", "The input is text, not an object"),
        ("", "The input is an empty text, not an object"),
        (["reviews-1"], "The input is a list, not an object"),
        (7, "The input is a number, not an object"),
        (True, "The input is true or false, not an object"),
        ({}, "The input names no source"),
        ({"application": "reviews"}, "The input names no source"),
        ({"approval": APPROVAL, "digest": DIGEST}, "The input names no source"),
        ({"trainingjob": "reviews-1"}, 'The input has the unknown key "trainingjob"'),
        ({"model": "m", "Application": "reviews"}, 'The input has the unknown key "Application"'),
        ({"model": "m", "training_job": "t"}, 'The input names two sources, "training_job" and "model"'),
        ({"model": "m", "recover": "e"}, 'The input names two sources, "model" and "recover"'),
        ({"model": None}, '"model" is nothing, not a name'),
        ({"model": ""}, '"model" is an empty text, not a name'),
        ({"model": ["m"]}, '"model" is a list, not a name'),
        ({"model": {"name": "m"}}, '"model" is an object, not a name'),
        ({"model": 7}, '"model" is a number, not a name'),
        ({"model": "m", "application": 1.5}, '"application" is a number, not a name'),
        (
            {"model": f"arn:aws:s3:eu-west-1:{UPSTREAM}:model/m"},
            "which is not the ARN of a SageMaker model",
        ),
        (
            {"model": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:training-job/m"},
            "which is not the ARN of a SageMaker model",
        ),
        (
            {"training_job": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:hyper-parameter-tuning-job/m"},
            "which is not the ARN of a SageMaker training-job",
        ),
        ({"model": "arn:aws:sagemaker"}, "which is not the ARN of a SageMaker model"),
    ],
)
def test_an_input_by_hand_that_names_no_source_is_refused_with_what_to_give(given: Any, what: str) -> None:
    message = refusal(given)

    assert what in message
    assert 'Start the promotion with {"training_job": "<name>"}, {"tuning_job": "<name>"}, {"model"' in message


@pytest.mark.parametrize(
    "name",
    [
        "-m",
        "m-",
        "m_1",
        "m 1",
        "m.1",
        "m/1",
        "modèle",
        "🚀",
        "m" * 64,
        "m\n",
        "m\x00",
        'm","approval":"x',
        "{% $states.context.Execution.Id %}",
        "$.name",
        "${jndi:x}",
    ],
)
@pytest.mark.parametrize("key", ["training_job", "model", "recover"])
def test_what_sagemaker_would_not_take_as_a_name_is_refused(key: str, name: str) -> None:
    message = refusal({key: name})

    assert message.startswith(f'"{key}" is "')
    assert "which is not a" in message


def test_an_arn_with_a_bad_name_is_refused() -> None:
    message = refusal({"model": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model/m/1"})

    assert message == '"model" is "m/1", which is not a SageMaker name.'


def test_a_source_in_another_account_is_refused_with_the_account_models_are_taken_from() -> None:
    message = refusal({"model": f"arn:aws:sagemaker:eu-west-1:{STRANGER}:model/m"})

    assert f'"model" is in account "{STRANGER}"' in message
    assert f"from account {UPSTREAM} alone" in message
    assert "Promote it there first, or name one of that account." in message


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("training_job", "training-job/x"),
        ("tuning_job", "hyper-parameter-tuning-job/x"),
        ("model", "model/x"),
        ("model_package", "model-package/x/1"),
    ],
)
def test_a_source_in_another_region_is_not_taken_for_one_of_the_same_name_here(key: str, resource: str) -> None:
    message = refusal({key: f"arn:aws:sagemaker:us-east-1:{UPSTREAM}:{resource}"})

    assert message == (
        f'"{key}" is in the region "us-east-1", but this stage takes models of eu-west-1 alone. Name one of that '
        "region."
    )


@pytest.mark.parametrize("key", ["approval", "digest"])
@pytest.mark.parametrize("value", ["x", "AB" * 32, f"{APPROVAL} ", "ab" * 33, APPROVAL.upper(), "\n"])
def test_an_approval_and_a_digest_have_their_form(key: str, value: str) -> None:
    message = refusal({"model": "m", key: value})

    assert message.startswith(f'"{key}" is ')
    assert {"approval": "the id of an Automation execution", "digest": "64 hexadecimal digits"}[key] in message


def test_a_bad_name_is_told_in_one_short_line_of_ascii_whatever_is_in_it() -> None:
    message = refusal({"model": 'x\x1b[31m\r\n{"level": "INFO"}\u202e' + "🚀" * 1000})

    assert re.fullmatch(r"[ -~]{1,250}", message)


def test_a_completed_training_job_is_promoted_by_its_event() -> None:
    given = event(TRAINING_JOB, UPSTREAM, {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"})

    assert read(given, UPSTREAM, OWN, REGION) == Promote("training_job", "reviews-1", by_event=True)


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopping", "Stopped", "Deleting", "COMPLETED", None])
def test_a_training_job_that_is_not_completed_is_ignored(status: str | None) -> None:
    asked = read(
        event(TRAINING_JOB, UPSTREAM, {"TrainingJobName": "reviews-1", "TrainingJobStatus": status}),
        UPSTREAM,
        OWN,
        REGION,
    )

    assert isinstance(asked, Ignore)
    assert "not Completed" in asked.reason


def test_a_completed_tuning_job_is_promoted_by_its_event() -> None:
    detail = {"HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobStatus": "Completed"}

    assert read(event(TUNING_JOB, UPSTREAM, detail), UPSTREAM, OWN, REGION) == Promote(
        "tuning_job", "tuning", by_event=True
    )


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopped", "COMPLETED", None])
def test_a_tuning_job_that_is_not_completed_is_ignored(status: str | None) -> None:
    detail = {"HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobStatus": status}

    assert isinstance(read(event(TUNING_JOB, UPSTREAM, detail), UPSTREAM, OWN, REGION), Ignore)


def test_the_package_that_an_approval_names_is_promoted_by_its_event() -> None:
    detail = {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved", "ModelPackageGroupName": "reviews"}

    assert read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION) == Promote(
        "model_package", PACKAGE, by_event=True
    )


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval", "APPROVED", None])
def test_a_package_that_is_not_approved_is_ignored(status: str | None) -> None:
    detail = {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": status}

    assert isinstance(read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION), Ignore)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("tuning_job", "t" * 33),
        ("tuning_job", f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:hyper-parameter-tuning-job/{'t' * 33}"),
        ("model_package", "reviews"),
        ("model_package", "reviews/3"),
        ("model_package", PACKAGE + "/4"),
        ("model_package", PACKAGE + "\n"),
        ("model_package", PACKAGE.replace("reviews", 'x","approval":"y')),
        ("model_package", PACKAGE.replace("reviews", "r" * 64)),
        ("model_package", PACKAGE.replace("model-package/", "model-package-group/")),
        ("model_package", PACKAGE.replace("eu-west-1", "{% 1 %}")),
        ("model_package", PACKAGE.replace(UPSTREAM, STRANGER)),
    ],
)
def test_a_name_that_no_tuning_job_and_no_package_can_have_is_refused(key: str, name: str) -> None:
    assert refusal({key: name}).startswith(f'"{key}" is ')


@pytest.mark.parametrize("name", ["reviews-1", PACKAGE, PACKAGE.removesuffix("/3")])
def test_every_name_of_a_source_comes_back_from_the_approval_as_it_was(name: str) -> None:
    pattern = re.search(r"SourceName:(?:.*\n){3}?.*allowedPattern: (\S+)", (ROOT / "template.yaml").read_text())

    assert pattern
    assert re.search(pattern[1], name)
    assert not re.search(pattern[1], name + '"')


def test_every_kind_of_source_comes_back_from_the_approval() -> None:
    assert f"allowedValues: [{', '.join(SOURCES)}]" in (ROOT / "template.yaml").read_text()


def test_what_was_promoted_upstream_is_promoted_here_as_the_model_it_is_there() -> None:
    given = event(PROMOTION, UPSTREAM, {"model_name": "reviews-qa-20260102-0304-0a1b2c3d", "digest": DIGEST})

    assert read(given, UPSTREAM, OWN, REGION) == Promote("model", "reviews-qa-20260102-0304-0a1b2c3d", by_event=True)


def test_an_approval_given_upstream_is_none_here() -> None:
    given = event(PROMOTION, UPSTREAM, {"model_name": "m", "approval": APPROVAL, "approved_by": "boss"})

    asked = read(given, UPSTREAM, OWN, REGION)

    assert isinstance(asked, Promote)
    assert asked.approval is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cause": "States.Runtime: too large"}, "States.Runtime: too large"),
        ({"error": "States.Timeout"}, "States.Timeout"),
        ({"cause": "the cause", "error": "the error"}, "the cause"),
        ({"cause": None, "error": None}, "no cause was given"),
        ({}, "no cause was given"),
        ({"cause": "x" * 10_000}, "x" * 500),
    ],
)
def test_an_execution_that_ended_badly_is_recovered_with_its_cause_as_the_reason(
    more: dict[str, Any], why: str
) -> None:
    detail = {"executionArn": EXECUTION, "name": "first", "status": "TIMED_OUT", **more}

    asked = read(event(EXECUTION_ENDED, OWN, detail), UPSTREAM, OWN, REGION)

    assert asked == Recover((EXECUTION,), endpoint=None, reason=f"The execution first ended TIMED_OUT ({why}).")


def test_an_approval_that_ended_without_letting_anything_in_is_told() -> None:
    asked = read(event(APPROVAL_ENDED, OWN, {"ExecutionId": APPROVAL, "Status": "Rejected"}), UPSTREAM, OWN, REGION)

    assert asked == TellRejection(approval=APPROVAL, status="Rejected")


DETAILS: dict[tuple[str, str], dict[str, Any]] = {
    TRAINING_JOB: {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"},
    TUNING_JOB: {"HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobStatus": "Completed"},
    MODEL_PACKAGE: {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved"},
    PROMOTION: {"model_name": "m"},
    EXECUTION_ENDED: {"executionArn": EXECUTION, "name": "first", "status": "ABORTED"},
    APPROVAL_ENDED: {"ExecutionId": APPROVAL, "Status": "Rejected"},
}


@pytest.mark.parametrize(
    ("kind", "account", "right"),
    [
        (TRAINING_JOB, OWN, UPSTREAM),
        (TRAINING_JOB, STRANGER, UPSTREAM),
        (TUNING_JOB, STRANGER, UPSTREAM),
        (MODEL_PACKAGE, STRANGER, UPSTREAM),
        (PROMOTION, OWN, UPSTREAM),
        (EXECUTION_ENDED, UPSTREAM, OWN),
        (APPROVAL_ENDED, UPSTREAM, OWN),
        (APPROVAL_ENDED, None, OWN),
        (EXECUTION_ENDED, [OWN], OWN),
    ],
)
def test_an_event_from_another_account_than_its_own_is_refused(kind: tuple[str, str], account: Any, right: str) -> None:
    message = refusal(event(kind, account, DETAILS[kind]))

    assert kind[1] in message
    assert f"this stage takes it from account {right} alone" in message


@pytest.mark.parametrize("region", ["us-east-1", "", None, ["eu-west-1"], {"region": "eu-west-1"}])
@pytest.mark.parametrize("kind", list(DETAILS))
def test_an_event_from_another_region_is_refused(kind: tuple[str, str], region: Any) -> None:
    account = OWN if kind in (EXECUTION_ENDED, APPROVAL_ENDED) else UPSTREAM

    message = refusal(event(kind, account, DETAILS[kind], region))

    assert f'The event "{kind[1]}" is from the region ' in message
    assert "this stage takes it from eu-west-1 alone" in message


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (TRAINING_JOB, "TrainingJobName"),
        (TUNING_JOB, "HyperParameterTuningJobName"),
        (MODEL_PACKAGE, "ModelPackageArn"),
        (PROMOTION, "model_name"),
        (EXECUTION_ENDED, "executionArn"),
        (EXECUTION_ENDED, "name"),
        (EXECUTION_ENDED, "status"),
        (APPROVAL_ENDED, "ExecutionId"),
        (APPROVAL_ENDED, "Status"),
    ],
)
@pytest.mark.parametrize("value", [None, "", 7, ["x"], {"x": "y"}])
def test_an_event_that_lacks_what_it_is_about_is_refused_with_the_key(
    kind: tuple[str, str], key: str, value: Any
) -> None:
    account = OWN if kind in (EXECUTION_ENDED, APPROVAL_ENDED) else UPSTREAM

    message = refusal(event(kind, account, {**DETAILS[kind], key: value}))

    assert message.startswith("The event's detail has ")
    assert f"as {key}, not a text" in message


@pytest.mark.parametrize(
    ("kind", "key"), [(TRAINING_JOB, "TrainingJobName"), (PROMOTION, "model_name"), (APPROVAL_ENDED, "ExecutionId")]
)
def test_an_event_about_an_impossible_name_is_refused(kind: tuple[str, str], key: str) -> None:
    account = UPSTREAM if kind in (TRAINING_JOB, PROMOTION) else OWN

    message = refusal(event(kind, account, {**DETAILS[kind], key: '{% "x" %}'}))

    assert message.startswith(f"{key} is ")


@pytest.mark.parametrize("detail", [None, "text", ["x"], 7])
def test_an_event_without_an_object_as_its_detail_is_refused(detail: Any) -> None:
    assert "as its detail, not an object" in refusal(event(TRAINING_JOB, UPSTREAM, detail))


@pytest.mark.parametrize(
    "kind",
    [
        ("aws.sagemaker", "SageMaker Model State Change"),
        ("model-promotion", "Model Promotion Failed"),
        ("custom.sagemaker", "SageMaker Training Job State Change"),
        ("aws.s3", "Object Created"),
        (None, "SageMaker Training Job State Change"),
        (None, None),
    ],
)
def test_an_event_that_starts_no_promotion_is_ignored(kind: tuple[Any, Any]) -> None:
    asked = read(event(kind, UPSTREAM, DETAILS[TRAINING_JOB]), UPSTREAM, OWN, REGION)

    assert isinstance(asked, Ignore)
    assert asked.reason.startswith("No promotion starts with the event ")


@pytest.mark.parametrize("kind", [(["aws.sagemaker"], TRAINING_JOB[1]), (TRAINING_JOB[0], {"x": 1}), ([], [])])
def test_an_event_whose_kind_is_no_text_is_ignored(kind: tuple[Any, Any]) -> None:
    asked = read(event(kind, UPSTREAM, DETAILS[TRAINING_JOB]), UPSTREAM, OWN, REGION)

    assert isinstance(asked, Ignore)


def test_the_end_of_a_recovery_names_all_that_are_still_to_be_recovered() -> None:
    first = execution_ended("first", json.dumps({"training_job": "x"}))
    second = execution_ended("second", json.dumps(first))
    third = execution_ended("third", json.dumps(second))

    asked = read(third, UPSTREAM, OWN, REGION)

    assert isinstance(asked, Recover)
    assert [arn.rsplit(":", 1)[-1] for arn in asked.executions] == ["third", "second", "first"]
    assert asked.endpoint is None
    assert asked.reason.startswith("The execution third ended FAILED")


def test_the_end_of_a_recovery_by_hand_names_its_endpoint() -> None:
    asked = read(execution_ended("first", '{"recover": "reviews-qa"}'), UPSTREAM, OWN, REGION)

    assert isinstance(asked, Recover)
    assert (len(asked.executions), asked.endpoint) == (1, "reviews-qa")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "no JSON",
        "[]",
        '{"detail-type": "another"}',
        '{"model": "x"}',
        '{"recover": 5}',
        json.dumps(event(EXECUTION_ENDED, OWN, {})),
    ],
)
def test_whatever_else_the_dead_execution_was_started_with_says_nothing(given: str | None) -> None:
    asked = read(execution_ended("first", given), UPSTREAM, OWN, REGION)

    assert isinstance(asked, Recover)
    assert (len(asked.executions), asked.endpoint) == (1, None)


def execution_ended(name: str, given: str | None) -> dict[str, Any]:
    arn = f"{EXECUTION.rsplit(':', 1)[0]}:{name}"
    detail = {"executionArn": arn, "name": name, "status": "FAILED", "input": given, "error": "x", "cause": "y"}
    return event(EXECUTION_ENDED, OWN, detail)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    "given",
    [{"training_job": "reviews-1"}, {"rollback": "reviews-qa", "to": "reviews-1"}, {"model": "m", "application": "a"}],
)
def test_a_preview_asks_for_the_same(given: dict[str, Any], preview: bool) -> None:
    asked = given | {"preview": preview}

    assert read(asked, UPSTREAM, OWN, REGION) == read(given, UPSTREAM, OWN, REGION)
    assert is_preview(asked) is preview


def test_an_event_can_be_previewed_as_well() -> None:
    completed = {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"}
    given = event(TRAINING_JOB, UPSTREAM, completed)

    assert read(given | {"preview": True}, UPSTREAM, OWN, REGION) == Promote("training_job", "reviews-1", by_event=True)


@pytest.mark.parametrize("preview", ["true", 1, None, {}])
def test_a_preview_is_true_or_false(preview: Any) -> None:
    message = refusal({"training_job": "reviews-1", "preview": preview})

    assert '"preview" is ' in message
    assert "not true or false" in message


def test_a_recovery_has_no_preview() -> None:
    assert "Only a promotion and a rollback have a preview" in refusal({"recover": "reviews-qa", "preview": True})
    assert isinstance(read({"recover": "reviews-qa", "preview": False}, UPSTREAM, OWN, REGION), Recover)
