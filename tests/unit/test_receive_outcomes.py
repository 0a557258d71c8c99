"""The function of upstream.yaml: what it believes, and what it marks."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from docs import inline_code
from upstream import receive_outcomes
from upstream.receive_outcomes import Mark, RefusedError, Report, read

STAGES = ["222222222222=qa", "333333333333=production"]
TOPIC = "arn:aws:sns:eu-west-1:111111111111:model-promotion-upstream-of-qa"
JOB = "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-2"
EARLIER = "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-1"
PACKAGE = "arn:aws:sagemaker:eu-west-1:111111111111:model-package/reviews/3"
AT = datetime.datetime(2026, 11, 22, 9, 58, 40, 268000, datetime.UTC)
MARK = Mark(JOB, "qa", "promoted", AT)
# The largest template that CloudFormation takes without a bucket (API_CreateStack, TemplateBody).
MOST_BYTES = 51_200


def report(kind: str = "Succeeded", **detail: Any) -> Report:
    known = {
        "stage": "qa",
        "application": "reviews",
        "execution": "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:one",
        "source_kind": "training_job",
        "source_arn": JOB,
        "summary": "reviews: promoted.",
        "ended_at": "2026-11-22T09:58:40.268Z",
    }
    event = {"detail-type": f"Model Promotion {kind}", "account": "222222222222", "time": "2026-11-22T09:58:41Z"}
    return read({**event, "detail": {**known, **detail}}, STAGES, TOPIC)


def test_the_template_contains_the_code_and_can_be_deployed_without_a_bucket() -> None:
    template = inline_code.TEMPLATE.read_text()

    assert inline_code.with_code(template) == template, "run `make docs`"
    assert inline_code.CODE.read_text().replace("\n\n", "\n").splitlines()[-1].strip() in template
    assert len(template.encode()) < MOST_BYTES


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("Succeeded", "promoted"), ("Failed", "promotion failed"), ("Rejected", "promotion rejected")],
)
def test_the_source_is_marked_with_the_outcome(kind: str, outcome: str) -> None:
    assert report(kind).marks == [Mark(JOB, "qa", outcome, AT)]
    assert report(kind).marks[0].value == f"{outcome} 2026-11-22T09:58:40.268Z"


def test_a_rollback_marks_both_sources_and_a_failed_one_neither() -> None:
    rollback = {"source_kind": "rollback", "source_arn": EARLIER, "replaced_source_arn": JOB}

    succeeded, failed = report(**rollback), report("Failed", **rollback)

    assert succeeded.marks == [Mark(JOB, "qa", "rolled back", AT), Mark(EARLIER, "qa", "promoted", AT)]
    assert (succeeded.outcome, failed.outcome) == ("rolled back", "promotion failed")
    assert failed.marks == []


def test_a_rollback_to_an_earlier_config_of_the_same_source_leaves_it_promoted() -> None:
    same = report(source_kind="rollback", replaced_source_arn=JOB)

    assert same.marks == [Mark(JOB, "qa", "promoted", AT)]


def test_an_early_failure_without_a_source_is_only_notified() -> None:
    early = report("Failed", application="unknown", source_arn="", source_name="http://reviews-2")

    assert early.marks == []
    assert early.facts["Source"] == "reviews-2"


def test_an_event_without_an_end_has_its_own_time() -> None:
    assert report("Failed", ended_at="").marks[0].value == "promotion failed 2026-11-22T09:58:41.000Z"


@pytest.mark.parametrize(
    ("detail", "why"),
    [
        ({"stage": "production"}, "not that of the stage"),
        ({"stage": "qa,333333333333=production"}, "not that of the stage"),
        ({"application": "Reviews"}, "not a name"),
        ({"execution": "arn:aws:states:eu-west-1:222222222222:execution:other:one"}, "not one of the stage"),
        ({"source_arn": JOB.replace("111111111111", "222222222222")}, "not one of account 111111111111"),
        ({"source_arn": JOB.replace("eu-west-1", "eu-west-2")}, "not one of account"),
        ({"source_arn": f"{JOB}\n"}, "not one of account"),
        ({"replaced_source_arn": "arn:aws:sagemaker:eu-west-1:111111111111:endpoint/reviews"}, "not one of account"),
        ({"reason": {"a": 1}}, "not a string"),
    ],
)
def test_a_stage_is_not_believed_about_others(detail: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        report(**detail)


@pytest.mark.parametrize(
    ("present", "is_news"),
    [
        (None, True),
        ("", True),
        ("something of a person", True),
        ("promoted 2026-11-22", True),
        ("promoted 2026-11-22T09:58:40.267Z", True),
        ("promoted 2026-11-22T09:58:40.268Z", False),
        ("promotion failed 2026-11-22T09:59:00.000Z", False),
    ],
)
def test_only_a_newer_outcome_replaces_a_mark(present: str | None, is_news: bool) -> None:
    assert MARK.is_news(present) is is_news


def test_the_notification_has_words_a_form_for_machines_and_attributes_for_filters() -> None:
    request = report(model_name="reviews-qa-1", summary="a " * 2000).notification(TOPIC)

    forms = json.loads(request["Message"])
    assert request["Subject"] == "[qa] reviews: promoted"
    assert f"Source:    {JOB}" in forms["default"]
    assert json.loads(forms["sqs"])["facts"]["Model"] == "reviews-qa-1"
    assert {name: each["StringValue"] for name, each in request["MessageAttributes"].items()} == {
        "application": "reviews",
        "stage": "qa",
        "outcome": "promoted",
    }


class Registry:
    """SageMaker with one model package, or without it."""

    def __init__(self, package: dict[str, Any] | None) -> None:
        self._package = package
        self.updates: list[dict[str, Any]] = []

    def describe_model_package(self, **_: str) -> dict[str, Any]:
        if self._package is None:
            raise ClientError({"Error": {"Message": f"ModelPackage {PACKAGE} does not exist."}}, "DescribeModelPackage")
        return self._package

    def update_model_package(self, **request: Any) -> None:
        self.describe_model_package()
        self.updates.append(request)


@pytest.mark.parametrize(
    ("life_cycle", "is_written"),
    [
        (None, True),
        ({"Stage": "qa", "StageStatus": "PromotionFailed", "StageDescription": "Model Promotion: failed"}, True),
        ({"Stage": "qa", "StageStatus": "Approved"}, False),
        ({"Stage": "qa", "StageStatus": "Approved", "StageDescription": "by me"}, False),
    ],
)
def test_the_life_cycle_of_a_package_is_written_unless_people_use_it(life_cycle: Any, is_written: bool) -> None:
    registry = Registry({"ModelLifeCycle": life_cycle} if life_cycle else {})
    mark = Mark(PACKAGE, "qa", "rolled back", AT)

    assert receive_outcomes._set(registry, mark, "x" * 2000)

    [update] = registry.updates
    assert update["CustomerMetadataProperties"] == {mark.key: mark.value}
    assert ("ModelLifeCycle" in update) is is_written
    if is_written:
        assert update["ModelLifeCycle"]["StageStatus"] == "RolledBack"
        assert len(update["ModelLifeCycle"]["StageDescription"]) == 1024


def test_a_package_that_no_longer_exists_is_not_marked() -> None:
    mark = Mark(PACKAGE, "qa", "rolled back", AT)

    assert receive_outcomes._present(Registry(None), mark) is None
    assert not receive_outcomes._set(Registry(None), mark, "rolled back")
