"""The people who train hear what became of their models: marks on their sources, and filtered notifications."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.approvals import signal, waiting_approval
from tests.support.mail import mail
from tests.support.outcomes import BUS, STACK, Subscriber, marked, marks, put, reported, reporting_role
from tests.support.settings import register
from tests.support.sources import approve, run_auto_ml, tags, training_request
from tests.support.waiting import wait_until
from tests.support.world import DEV, IMAGE, PRODUCTION, QA, TRYING, Lab, Stage, physical_id, role_of
from upstream.receive_outcomes import KEY

ARN = f"arn:aws:sagemaker:{accounts.REGION}:{DEV}"


@pytest.fixture(scope="module", autouse=True)
def reports(stacks: EmbeddedAws) -> Iterator[None]:
    with reported(Stage("qa", QA), Stage("production", PRODUCTION)):
        yield


def train(lab: Lab, application: str, label: str, **options: Any) -> str:
    """Return the ARN of a completed training job."""
    return f"{ARN}:training-job/{lab.train(application, label, **options)}"


def changed(lab: Lab, arn: str, before: str) -> str:
    """Wait until the mark of QA has changed, and return it."""

    def look() -> str | None:
        mark = marks(lab, arn)["qa"]
        return mark if mark != before else None

    return wait_until(look, f"another outcome on {arn}")


def name_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def version(lab: Lab, application: str, **members: Any) -> str:
    """Return the ARN of an approved version in the model registry."""
    sagemaker, suite = lab.client("sagemaker"), lab.suite(application, "label == 'registered'")
    of_group = [{"Key": key, "Value": value} for key, value in tags(application, suite).items()]
    sagemaker.create_model_package_group(ModelPackageGroupName=application, Tags=of_group)
    url = lab.upload(f"{application}/model.tar.gz", lab.artifact("registered"))
    containers = {"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]}
    created = sagemaker.create_model_package(
        ModelPackageGroupName=application, InferenceSpecification=containers, **members
    )
    approve(lab, created["ModelPackageArn"])
    return str(created["ModelPackageArn"])


def of_event(detail: dict[str, Any], stage: str, account: str, application: str, **changed: Any) -> dict[str, Any]:
    """Return the detail of an event of a stage about a source."""
    machine = f"arn:aws:states:{accounts.REGION}:{account}:execution:model-promotion-{stage}:one"
    known = {"stage": stage, "application": application, "execution": machine, "source_kind": "training_job"}
    return {**known, "summary": f"{application}: forged.", **detail, **changed}


def dead_letters(lab: Lab, text: str) -> str:
    """Wait for a message that contains `text` in the dead-letter queue of the training account, and return it."""
    url = physical_id(DEV, STACK, "DeadLetters")

    def look() -> str | None:
        found = lab.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        bodies = [str(each["Body"]) for each in found.get("Messages", [])]
        return next((body for body in bodies if text in body), None)

    return wait_until(look, f"{text} in the dead-letter queue")


def test_a_promoted_job_is_marked_and_only_the_subscribers_of_its_application_are_notified(
    lab: Lab, qa: Stage, application: str, name: str
) -> None:
    register(qa, f"{application}-other")
    subscriber = Subscriber(lab, f"{name}-queue", application, "qa")

    other = train(lab, f"{application}-other", "good")
    marked(lab, other, "qa", "promoted")
    job = train(lab, application, "good")
    mark = marked(lab, job, "qa", "promoted")

    [told] = subscriber.received(1)
    record = json.loads(qa.history(application)[0]["promotion"])
    assert mark == f"promoted {record['ended_at']}"
    assert (told["application"], told["stage"], told["outcome"]) == (application, "qa", "promoted")
    assert told["facts"]["Source"] == job
    assert told["facts"]["Model"] == record["model_name"]
    assert told["facts"]["Execution"] == record["execution"]
    assert "is live on endpoint" in told["summary"]


def test_a_failed_and_a_repeated_promotion_leave_the_last_outcome_and_its_reason(
    lab: Lab, qa: Stage, application: str, name: str
) -> None:
    subscriber = Subscriber(lab, f"{name}-queue", application, "qa")
    job = train(lab, application, "bad", expect="label == 'good'")
    failed = marked(lab, job, "qa", "promotion failed")
    [told] = subscriber.received(1)
    assert told["outcome"] == "promotion failed"
    assert "cases[0]: expect returned false" in told["facts"]["Reason"]

    qa.promote({"training_job": name_of(job)})

    again = changed(lab, job, failed)
    assert again.startswith("promotion failed")
    assert again > failed


def test_production_reports_its_rejection_to_the_account_that_trained_the_model(
    lab: Lab, qa: Stage, production: Stage, application: str, name: str
) -> None:
    subscriber = Subscriber(lab, f"{name}-queue", application, "qa", "production")
    job = train(lab, application, "good")
    waiting = waiting_approval(production, application)["AutomationExecutionId"]

    signal(production, waiting, "Reject", "not before Monday")

    marked(lab, job, "production", "promotion rejected")
    assert marks(lab, job)["qa"].startswith("promoted")
    told = subscriber.received(2)
    assert [(each["stage"], each["outcome"]) for each in told] == [
        ("qa", "promoted"),
        ("production", "promotion rejected"),
    ]
    assert "not before Monday" in told[1]["facts"]["Reason"]


def test_a_rollback_marks_the_job_that_it_replaces_and_the_one_that_is_live_again(
    lab: Lab, qa: Stage, application: str, name: str
) -> None:
    first, second = (train(lab, application, label) for label in ("first", "second"))
    marked(lab, second, "qa", "promoted")
    before = marks(lab, first)["qa"]
    subscriber = Subscriber(lab, f"{name}-queue", application, "qa")

    assert qa.promote({"rollback": f"{application}-qa"}).status == "SUCCEEDED"

    marked(lab, second, "qa", "rolled back")
    assert changed(lab, first, before) > before
    [told] = subscriber.received(1)
    assert told["outcome"] == "rolled back"
    assert (told["facts"]["Replaced"], told["facts"]["Source"]) == (second, first)


def test_a_version_in_the_registry_has_the_outcome_as_metadata_and_as_its_life_cycle(
    lab: Lab, qa: Stage, application: str
) -> None:
    package = version(lab, application)

    marked(lab, package, "qa", "promoted")

    described = lab.client("sagemaker").describe_model_package(ModelPackageName=package)
    record = json.loads(qa.history(application)[0]["promotion"])
    assert described["ModelLifeCycle"] == {
        "Stage": "qa",
        "StageStatus": "Promoted",
        "StageDescription": f"Model Promotion: {record['summary']}",
    }
    assert described["ModelApprovalStatus"] == "Approved"
    # The event of the update starts no promotion.
    assert qa.execution_of(package, 1).states[-1] == "Not for promotion"


def test_a_life_cycle_that_people_use_stays_as_it_is(lab: Lab, qa: Stage, application: str) -> None:
    theirs = {"Stage": "Staging", "StageStatus": "Approved", "StageDescription": "Reviewed on Monday"}
    package = version(lab, application, ModelLifeCycle=theirs)

    marked(lab, package, "qa", "promoted")

    assert lab.client("sagemaker").describe_model_package(ModelPackageName=package)["ModelLifeCycle"] == theirs


def test_a_second_delivery_and_an_older_outcome_change_nothing_and_notify_nobody(
    lab: Lab, qa: Stage, application: str, name: str
) -> None:
    subscriber = Subscriber(lab, f"{name}-queue", application, "qa")
    job = train(lab, application, "good")
    mark = marked(lab, job, "qa", "promoted")
    record = json.loads(qa.history(application)[0]["promotion"])

    put(reporting_role(qa), record)
    put(reporting_role(qa), record | {"ended_at": "2026-01-01T00:00:00.000Z"}, "Model Promotion Failed")
    later = record | {"ended_at": "2100-01-01T00:00:00.000Z", "reason": "newer"}
    put(reporting_role(qa), later, "Model Promotion Failed")

    marked(lab, job, "qa", "promotion failed")
    assert [each["outcome"] for each in subscriber.received(2)] == ["promoted", "promotion failed"]
    # A stage cannot report a time to come, which would outlast every later outcome.
    assert mark < marks(lab, job)["qa"].replace("promotion failed", "promoted") < "promoted 2100"


def test_a_misspelled_tag_is_reported_to_people_and_an_ordinary_job_to_nobody(
    lab: Lab, qa: Stage, stacks: EmbeddedAws, application: str
) -> None:
    ordinary = lab.train(application, "ordinary", tagged=False)
    job = train(lab, application, "good", tagged=False)
    misspelled = {"Key": "model-promotion:aplication", "Value": application}
    lab.client("sagemaker").add_tags(ResourceArn=job, Tags=[misspelled])

    execution = qa.promote(
        {
            "detail-type": "SageMaker Training Job State Change",
            "source": "aws.sagemaker",
            "account": DEV,
            "region": accounts.REGION,
            "detail": {"TrainingJobName": name_of(job), "TrainingJobStatus": "Completed"},
        }
    )

    why = 'It has the unknown tag "model-promotion:aplication" (did you mean "model-promotion:application"?).'
    assert execution.states[-2:] == ["Publish refusal", "Not for promotion"]
    assert why in execution.output["reason"]
    marked(lab, job, "qa", "promotion rejected")
    told = mail(stacks, name_of(job), why)
    assert "[qa] Not for promotion. Nothing was changed." in told
    assert qa.execution_of(ordinary).states[-1] == "Not for promotion"
    assert "Publish refusal" not in qa.execution_of(ordinary).states
    assert marks(lab, f"{ARN}:training-job/{ordinary}") == {}


def forgeries(application: str, job: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Return what a compromised QA stage could report, and the reason why it is refused."""
    own = of_event({"source_arn": job}, "qa", QA, application)
    return {
        "another stage": (of_event({"source_arn": job}, "production", QA, application), "is not that of the stage"),
        "an execution of others": (own | {"execution": own["execution"].replace("-qa", "-production")}, "is not one"),
        "a source of its own account": (own | {"source_arn": job.replace(DEV, QA)}, f"is not one of account {DEV}"),
        "a replaced source of others": (own | {"replaced_source_arn": job.replace(DEV, QA)}, "is not one of account"),
        "no source at all": (own | {"source_arn": f"{ARN}:endpoint/{application}"}, "is not one of account"),
        "a hostile name": (own | {"application": "reviews\nSubject: x"}, "is not a name"),
        "a list": (own | {"summary": ["x"]}, "is not a string"),
    }


@pytest.mark.parametrize("forgery", forgeries("reviews", f"{ARN}:training-job/x"))
def test_a_compromised_stage_reports_only_on_itself_and_on_sources_of_the_training_account(
    lab: Lab, qa: Stage, name: str, forgery: str
) -> None:
    job = train(lab, name, "good", tagged=False)
    detail, why = forgeries(name, job)[forgery]

    put(reporting_role(qa), detail | {"model_name": f"model-of-{name}"})

    refused = dead_letters(lab, f"model-of-{name}")
    assert "RefusedError" in refused
    assert why in refused
    assert marks(lab, job) == {}


def test_a_compromised_stage_sends_no_links_and_reaches_no_other_tag(lab: Lab, qa: Stage, name: str) -> None:
    subscriber = Subscriber(lab, f"{name}-queue", name, "qa")
    job = train(lab, name, "good", tagged=False)
    hostile = {"source_arn": job, "summary": "Log in:\nhttps://example.com/now", "reason": "see HTTP://example.com"}

    put(reporting_role(qa), of_event(hostile, "qa", QA, name, ended_at="2026-01-01T00:00:00Z"))

    [told] = subscriber.received(1)
    assert told["summary"] == "Log in: example.com/now"
    assert told["facts"]["Reason"] == "see example.com"
    marked(lab, job, "qa", "promoted")
    found = {tag["Key"]: tag["Value"] for tag in lab.client("sagemaker").list_tags(ResourceArn=job)["Tags"]}
    assert found.keys() == {"team", "model-promotion:outcome-in-qa"}


def test_only_the_reporting_roles_put_events_on_the_bus_of_the_training_account(
    qa: Stage, production: Stage, application: str
) -> None:
    detail = of_event({}, "qa", QA, application)
    others = [
        qa.client("events"),
        production.client("events"),
        clients.client_as_role(
            "events",
            role_of(QA, "model-promotion-qa", "StartRole"),
            TRYING,
            clients.ServiceCall(
                "events.amazonaws.com",
                f"arn:aws:events:{accounts.REGION}:{QA}:rule/model-promotion-qa/any",
            ),
        ),
    ]
    for events in others:
        with pytest.raises(ClientError, match="AccessDenied"):
            put(events, detail)
    for stage in (qa, production):
        with pytest.raises(ClientError, match="AccessDenied"):
            put(reporting_role(stage), detail, Source="com.example")


def test_the_function_can_neither_approve_a_package_nor_change_other_tags(lab: Lab, application: str) -> None:
    package, job = version(lab, application), train(lab, application, "good", tagged=False)
    role = role_of(DEV, STACK, "ReceiveOutcomesRole")
    function = f"arn:aws:lambda:{accounts.REGION}:{DEV}:function:{physical_id(DEV, STACK, 'ReceiveOutcomesFunction')}"
    sagemaker = clients.client_as_role("sagemaker", role, TRYING, clients.ServiceCall("lambda.amazonaws.com", function))
    refused: list[tuple[str, dict[str, Any]]] = [
        ("update_model_package", {"ModelPackageArn": package, "ModelApprovalStatus": "Rejected"}),
        ("update_model_package", {"ModelPackageArn": package, "CustomerMetadataPropertiesToRemove": ["x"]}),
        ("add_tags", {"ResourceArn": job, "Tags": [{"Key": "model-promotion:application", "Value": "other"}]}),
        ("add_tags", {"ResourceArn": f"{ARN}:endpoint/x", "Tags": [{"Key": f"{KEY}qa", "Value": "promoted x"}]}),
        ("delete_tags", {"ResourceArn": job, "TagKeys": ["team"]}),
    ]
    for operation, request in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(sagemaker, operation)(**request)


def test_a_stack_without_the_parameter_has_no_part_of_it(qa: Stage, lab: Lab) -> None:
    resources = qa.client("cloudformation").list_stack_resources(StackName="model-promotion-upstream-of-production")

    names = {each["LogicalResourceId"] for each in resources["StackResourceSummaries"]}
    assert "ReaderRole" in names
    assert not [name for name in names if "Outcome" in name]
    assert BUS.endswith("model-promotion-upstream-of-qa")


@pytest.mark.parametrize("kind", ["model", "model-package", "automl-job", "hyper-parameter-tuning-job"])
def test_a_source_of_any_kind_is_marked(lab: Lab, qa: Stage, name: str, kind: str) -> None:
    source = create(lab, kind, name)

    put(reporting_role(qa), of_event({"source_arn": source}, "qa", QA, name, ended_at="2026-01-01T00:00:00Z"))

    assert marked(lab, source, "qa", "promoted") == "promoted 2026-01-01T00:00:00.000Z"


def create(lab: Lab, kind: str, name: str) -> str:
    """Create a source that is no training job, and return its ARN."""
    sagemaker, url = lab.client("sagemaker"), lab.upload(f"{name}/model.tar.gz", lab.artifact("x"))
    if kind == "model":
        lab.create_model(name, ModelDataUrl=url)
    elif kind == "model-package":
        containers = {"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]}
        sagemaker.create_model_package(ModelPackageName=name, InferenceSpecification=containers)
    elif kind == "automl-job":
        return f"{ARN}:{kind}/{run_auto_ml(lab, {}, [lab.artifact('x')])}"
    else:
        name = f"t-{name[:24]}"
        sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig={
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
                "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "r", "MinValue": "0", "MaxValue": "1"}]},
            },
            TrainingJobDefinition=training_request({})
            | {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"}},
        )
    return f"{ARN}:{kind}/{name}"
