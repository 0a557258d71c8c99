import json
import re
from pathlib import Path
from typing import Any

import pytest

from promotion.errors import InvalidRequestError
from promotion.source.request import (
    Ignore,
    Promote,
    PublishRejection,
    Recover,
    RollBack,
    automation,
    concerns_only_its_author,
    is_preview,
    read,
)
from promotion.source.source_names import SOURCES

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
    ("given", "expected"),
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
        ({"automl_job": "a" * 32}, Promote("automl_job", "a" * 32)),
        ({"automl_job": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:automl-job/a"}, Promote("automl_job", "a")),
        (
            {"tuning_job": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:hyper-parameter-tuning-job/tuning"},
            Promote("tuning_job", "tuning"),
        ),
        ({"model_package": PACKAGE}, Promote("model_package", PACKAGE)),
        ({"model_package": PACKAGE.removesuffix("/3")}, Promote("model_package", PACKAGE.removesuffix("/3"))),
    ],
)
def test_a_source_is_promoted_by_its_name_or_its_arn(given: dict[str, str], expected: Promote) -> None:
    assert read(given, UPSTREAM, OWN, REGION) == expected


def test_a_manual_input_is_not_an_event() -> None:
    request = read({"model": "m"}, UPSTREAM, OWN, REGION)

    assert isinstance(request, Promote)
    assert not request.by_event


def test_the_form_of_a_runbook_may_have_empty_fields() -> None:
    given = {"model": "m", "application": "", "automation": APPROVAL}

    assert read(given, UPSTREAM, OWN, REGION) == Promote("model", "m")
    assert read({"rollback": "e", "to": "", "automation": APPROVAL}, UPSTREAM, OWN, REGION) == RollBack("e", None)
    assert automation(given) == APPROVAL
    assert automation({"detail-type": "event", "automation": APPROVAL}) is None


def test_an_endpoint_is_recovered_by_its_name() -> None:
    request = read({"recover": "reviews-qa"}, UPSTREAM, OWN, REGION)

    assert request == Recover(executions=(), endpoint="reviews-qa", reason="An operator requested the recovery.")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "The input is null, not a JSON object"),
        ("reviews-1", "The input is a string, not a JSON object"),
        ("", "The input is an empty string, not a JSON object"),
        (["reviews-1"], "The input is a list, not a JSON object"),
        (7, "The input is a number, not a JSON object"),
        (True, "The input is true or false, not a JSON object"),
        ({}, "The input names no source"),
        ({"application": "reviews"}, "The input names no source"),
        ({"approval": APPROVAL, "digest": DIGEST}, "The input names no source"),
        ({"trainingjob": "reviews-1"}, 'The input has the unknown key "trainingjob" (did you mean "training_job"?)'),
        (
            {"model": "m", "Application": "reviews"},
            'The input has the unknown key "Application" (did you mean "application"?)',
        ),
        ({"model": "m", "Preview": True}, 'The input has the unknown key "Preview" (did you mean "preview"?)'),
        ({"colour": "m"}, 'The input has the unknown key "colour". '),
        ({"model": "m", "training_job": "t"}, 'The input has both "training_job" and "model"'),
        ({"model": "m", "recover": "e"}, 'The input has both "model" and "recover"'),
        ({"model": None}, '"model" is null, not a name'),
        ({"model": ""}, '"model" is an empty string, not a name'),
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
def test_an_invalid_manual_input_is_refused_with_the_valid_ones(given: Any, what: str) -> None:
    message = refusal(given)

    assert what in message
    assert 'Start the promotion with {"training_job": "<name>"}, {"tuning_job": "<name>"}, {"automl_job"' in message


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
def test_an_invalid_sagemaker_name_is_refused(key: str, name: str) -> None:
    message = refusal({key: name})

    assert message.startswith(f'The input\'s "{key}" is "')
    assert "which is not a" in message


def test_an_arn_with_an_invalid_name_is_refused() -> None:
    message = refusal({"model": f"arn:aws:sagemaker:eu-west-1:{UPSTREAM}:model/m/1"})

    assert message == 'The input\'s "model" is "m/1", which is not a SageMaker name.'


def test_a_source_in_another_account_is_refused_with_the_upstream_account() -> None:
    message = refusal({"model": f"arn:aws:sagemaker:eu-west-1:{STRANGER}:model/m"})

    assert f'"model" is in account "{STRANGER}"' in message
    assert f"only from account {UPSTREAM}" in message
    assert "Promote the model into that account first, or specify a source in it." in message


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("training_job", "training-job/x"),
        ("tuning_job", "hyper-parameter-tuning-job/x"),
        ("automl_job", "automl-job/x"),
        ("model", "model/x"),
        ("model_package", "model-package/x/1"),
    ],
)
def test_a_source_in_another_region_is_refused(key: str, resource: str) -> None:
    message = refusal({key: f"arn:aws:sagemaker:us-east-1:{UPSTREAM}:{resource}"})

    assert message == (
        f'The input\'s "{key}" is in the region "us-east-1", but this stage promotes models only in eu-west-1. '
        "Specify a source in eu-west-1."
    )


@pytest.mark.parametrize("key", ["approval", "digest"])
@pytest.mark.parametrize("value", ["x", "AB" * 32, f"{APPROVAL} ", "ab" * 33, APPROVAL.upper(), "\n"])
def test_an_approval_and_a_digest_must_match_their_format(key: str, value: str) -> None:
    message = refusal({"model": "m", key: value})

    assert message.startswith(f'The input\'s "{key}" is ')
    assert {"approval": "the ID of an Automation execution", "digest": "64 hexadecimal digits"}[key] in message


def test_an_invalid_name_appears_in_one_short_line_of_ascii() -> None:
    message = refusal({"model": 'x\x1b[31m\r\n{"level": "INFO"}\u202e' + "🚀" * 1000})

    assert re.fullmatch(r"[ -~]{1,250}", message)


def test_a_completed_training_job_is_promoted_by_its_event() -> None:
    given = event(TRAINING_JOB, UPSTREAM, {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"})

    assert read(given, UPSTREAM, OWN, REGION) == Promote("training_job", "reviews-1", by_event=True)


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopping", "Stopped", "Deleting", "COMPLETED", None])
def test_a_training_job_that_is_not_completed_is_ignored(status: str | None) -> None:
    request = read(
        event(TRAINING_JOB, UPSTREAM, {"TrainingJobName": "reviews-1", "TrainingJobStatus": status}),
        UPSTREAM,
        OWN,
        REGION,
    )

    assert isinstance(request, Ignore)
    assert "not Completed" in request.reason


def test_a_completed_tuning_job_is_promoted_by_its_event() -> None:
    detail = {"HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobStatus": "Completed"}

    assert read(event(TUNING_JOB, UPSTREAM, detail), UPSTREAM, OWN, REGION) == Promote(
        "tuning_job", "tuning", by_event=True
    )


@pytest.mark.parametrize("status", ["InProgress", "Failed", "Stopped", "COMPLETED", None])
def test_a_tuning_job_that_is_not_completed_is_ignored(status: str | None) -> None:
    detail = {"HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobStatus": status}

    assert isinstance(read(event(TUNING_JOB, UPSTREAM, detail), UPSTREAM, OWN, REGION), Ignore)


def test_an_approved_package_is_promoted_by_its_event() -> None:
    detail = {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved", "ModelPackageGroupName": "reviews"}

    assert read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION) == Promote(
        "model_package", PACKAGE, by_event=True
    )


@pytest.mark.parametrize(
    ("updated", "by_life_cycle"),
    [
        ([], False),
        (["ModelApprovalStatus", "ApprovalDescription"], False),
        (["ModelPackageStatus"], False),
        (["ModelLifeCycle", "ModelApprovalStatus"], False),
        (["ModelLifeCycle"], True),
    ],
)
def test_an_event_of_a_package_is_about_its_approval_or_its_life_cycle(updated: list[str], by_life_cycle: bool) -> None:
    detail = {
        "ModelPackageArn": PACKAGE,
        "ModelApprovalStatus": "Approved",
        "UpdatedModelPackageFields": updated,
    }

    assert read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION) == Promote(
        "model_package", PACKAGE, by_event=True, by_life_cycle=by_life_cycle
    )


@pytest.mark.parametrize("updated", [["ModelCard"], ["CustomerMetadataProperties", "ApprovalDescription"], [1]])
def test_an_event_of_a_package_about_something_else_is_ignored(updated: list[Any]) -> None:
    detail = {
        "ModelPackageArn": PACKAGE,
        "ModelApprovalStatus": "Approved",
        "UpdatedModelPackageFields": updated,
    }

    ignored = read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION)

    assert isinstance(ignored, Ignore)
    assert f'"{", ".join(map(str, updated))}", not an approval' in ignored.reason


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval", "APPROVED", None])
def test_a_package_that_is_not_approved_is_ignored(status: str | None) -> None:
    detail = {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": status}

    assert isinstance(read(event(MODEL_PACKAGE, UPSTREAM, detail), UPSTREAM, OWN, REGION), Ignore)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("tuning_job", "t" * 33),
        ("automl_job", "a" * 33),
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
def test_an_invalid_name_of_a_tuning_job_or_a_package_is_refused(key: str, name: str) -> None:
    assert refusal({key: name}).startswith(f'The input\'s "{key}" is ')


@pytest.mark.parametrize("name", ["reviews-1", PACKAGE, PACKAGE.removesuffix("/3")])
def test_the_approval_accepts_every_source_name(name: str) -> None:
    pattern = re.search(r"SourceName:(?:.*\n){3}?.*allowedPattern: (\S+)", (ROOT / "template.yaml").read_text())

    assert pattern
    assert re.search(pattern[1], name)
    assert not re.search(pattern[1], name + '"')


def test_the_approval_accepts_every_kind_of_source() -> None:
    assert f"allowedValues: [{', '.join(SOURCES)}]" in (ROOT / "template.yaml").read_text()


def test_a_promotion_upstream_promotes_its_model_here() -> None:
    given = event(PROMOTION, UPSTREAM, {"model_name": "reviews-qa-20260102-0304-0a1b2c3d", "digest": DIGEST})

    assert read(given, UPSTREAM, OWN, REGION) == Promote("model", "reviews-qa-20260102-0304-0a1b2c3d", by_event=True)


def test_an_approval_upstream_is_not_valid_here() -> None:
    given = event(PROMOTION, UPSTREAM, {"model_name": "m", "approval": APPROVAL, "approved_by": "boss"})

    request = read(given, UPSTREAM, OWN, REGION)

    assert isinstance(request, Promote)
    assert request.approval is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cause": "States.Runtime: too large"}, "States.Runtime: too large"),
        ({"error": "States.Timeout"}, "States.Timeout"),
        ({"cause": "the cause", "error": "the error"}, "the cause"),
        ({"cause": None, "error": None}, "no cause"),
        ({}, "no cause"),
        ({"cause": "x" * 10_000}, "x" * 500),
    ],
)
def test_a_failed_execution_is_recovered_with_its_cause_as_the_reason(more: dict[str, Any], why: str) -> None:
    detail = {"executionArn": EXECUTION, "name": "first", "status": "TIMED_OUT", **more}

    request = read(event(EXECUTION_ENDED, OWN, detail), UPSTREAM, OWN, REGION)

    assert request == Recover(
        (EXECUTION,), endpoint=None, reason=f"The execution first ended with the status TIMED_OUT ({why})."
    )


def test_an_approval_runbook_that_ended_without_an_approval_is_published() -> None:
    request = read(event(APPROVAL_ENDED, OWN, {"ExecutionId": APPROVAL, "Status": "Rejected"}), UPSTREAM, OWN, REGION)

    assert request == PublishRejection(approval=APPROVAL)


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
def test_an_event_from_an_unexpected_account_is_refused(kind: tuple[str, str], account: Any, right: str) -> None:
    message = refusal(event(kind, account, DETAILS[kind]))

    assert kind[1] in message
    assert f"this stage accepts it only from account {right}" in message


@pytest.mark.parametrize("region", ["us-east-1", "", None, ["eu-west-1"], {"region": "eu-west-1"}])
@pytest.mark.parametrize("kind", list(DETAILS))
def test_an_event_from_another_region_is_refused(kind: tuple[str, str], region: Any) -> None:
    account = OWN if kind in (EXECUTION_ENDED, APPROVAL_ENDED) else UPSTREAM

    message = refusal(event(kind, account, DETAILS[kind], region))

    assert f'The event "{kind[1]}" is from the region ' in message
    assert "this stage accepts it only from eu-west-1" in message


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
    ],
)
@pytest.mark.parametrize("value", [None, "", 7, ["x"], {"x": "y"}])
def test_an_event_without_a_valid_required_member_is_refused_with_its_key(
    kind: tuple[str, str], key: str, value: Any
) -> None:
    account = OWN if kind in (EXECUTION_ENDED, APPROVAL_ENDED) else UPSTREAM

    message = refusal(event(kind, account, {**DETAILS[kind], key: value}))

    assert message.startswith(f"The member {key} of the event's detail is ")
    assert message.endswith(", not a string.")


@pytest.mark.parametrize(
    ("kind", "key"), [(TRAINING_JOB, "TrainingJobName"), (PROMOTION, "model_name"), (APPROVAL_ENDED, "ExecutionId")]
)
def test_an_event_with_an_invalid_name_is_refused(kind: tuple[str, str], key: str) -> None:
    account = UPSTREAM if kind in (TRAINING_JOB, PROMOTION) else OWN

    message = refusal(event(kind, account, {**DETAILS[kind], key: '{% "x" %}'}))

    assert message.startswith(f"The event's {key} is ")


@pytest.mark.parametrize("detail", [None, "text", ["x"], 7])
def test_an_event_whose_detail_is_not_an_object_is_refused(detail: Any) -> None:
    message = refusal(event(TRAINING_JOB, UPSTREAM, detail))

    assert re.fullmatch("The event's detail is .*, not an object.", message)


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
def test_an_event_of_another_kind_is_ignored(kind: tuple[Any, Any]) -> None:
    request = read(event(kind, UPSTREAM, DETAILS[TRAINING_JOB]), UPSTREAM, OWN, REGION)

    assert isinstance(request, Ignore)
    assert request.reason.startswith("The event ")
    assert request.reason.endswith(" does not start a promotion.")


@pytest.mark.parametrize("kind", [(["aws.sagemaker"], TRAINING_JOB[1]), (TRAINING_JOB[0], {"x": 1}), ([], [])])
def test_an_event_whose_kind_is_not_a_string_is_ignored(kind: tuple[Any, Any]) -> None:
    request = read(event(kind, UPSTREAM, DETAILS[TRAINING_JOB]), UPSTREAM, OWN, REGION)

    assert isinstance(request, Ignore)


def test_the_end_of_a_recovery_recovers_all_its_executions() -> None:
    first = execution_ended("first", json.dumps({"training_job": "x"}))
    second = execution_ended("second", json.dumps(first))
    third = execution_ended("third", json.dumps(second))

    request = read(third, UPSTREAM, OWN, REGION)

    assert isinstance(request, Recover)
    assert [arn.rsplit(":", 1)[-1] for arn in request.executions] == ["third", "second", "first"]
    assert request.endpoint is None
    assert request.reason.startswith("The execution third ended with the status FAILED")


def test_the_end_of_a_manual_recovery_recovers_its_endpoint() -> None:
    request = read(execution_ended("first", '{"recover": "reviews-qa"}'), UPSTREAM, OWN, REGION)

    assert isinstance(request, Recover)
    assert (len(request.executions), request.endpoint) == (1, "reviews-qa")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "not JSON",
        "[]",
        '{"detail-type": "another"}',
        '{"model": "x"}',
        '{"recover": 5}',
        json.dumps(event(EXECUTION_ENDED, OWN, {})),
    ],
)
def test_any_other_input_of_the_failed_execution_is_ignored(given: str | None) -> None:
    request = read(execution_ended("first", given), UPSTREAM, OWN, REGION)

    assert isinstance(request, Recover)
    assert (len(request.executions), request.endpoint) == (1, None)


def execution_ended(name: str, given: str | None) -> dict[str, Any]:
    arn = f"{EXECUTION.rsplit(':', 1)[0]}:{name}"
    detail = {"executionArn": arn, "name": name, "status": "FAILED", "input": given, "error": "x", "cause": "y"}
    return event(EXECUTION_ENDED, OWN, detail)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    "given",
    [{"training_job": "reviews-1"}, {"rollback": "reviews-qa", "to": "reviews-1"}, {"model": "m", "application": "a"}],
)
def test_a_preview_does_not_change_the_request(given: dict[str, Any], preview: bool) -> None:
    previewed = given | {"preview": preview}

    assert read(previewed, UPSTREAM, OWN, REGION) == read(given, UPSTREAM, OWN, REGION)
    assert is_preview(previewed) is preview


def test_an_event_can_have_a_preview() -> None:
    completed = {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"}
    given = event(TRAINING_JOB, UPSTREAM, completed)

    assert read(given | {"preview": True}, UPSTREAM, OWN, REGION) == Promote("training_job", "reviews-1", by_event=True)


@pytest.mark.parametrize("preview", ["true", 1, None, {}])
def test_a_preview_must_be_true_or_false(preview: Any) -> None:
    message = refusal({"training_job": "reviews-1", "preview": preview})

    assert '"preview" is ' in message
    assert "not true or false" in message


def test_a_recovery_has_no_preview() -> None:
    assert "Only a promotion and a rollback have a preview" in refusal({"recover": "reviews-qa", "preview": True})
    assert isinstance(read({"recover": "reviews-qa", "preview": False}, UPSTREAM, OWN, REGION), Recover)


@pytest.mark.parametrize(
    ("given", "concerns"),
    [
        ({"training_job": "reviews-1"}, True),
        ({"trainig_job": "reviews-1"}, True),
        (["reviews-1"], True),
        ({"rollback": "reviews-qa", "preview": "yes"}, True),
        ({"model": "reviews-1", "approval": "00000000-0000-4000-8000-000000000000"}, False),
        ({"training_job": "reviews-1", "preview": True}, False),
        ({"detail-type": "SageMaker Training Job State Change"}, False),
    ],
    ids=["source", "misspelled", "list", "no-preview", "approved", "preview", "event"],
)
def test_an_invalid_manual_input_concerns_only_its_author(given: Any, concerns: bool) -> None:
    assert concerns_only_its_author(given) is concerns
