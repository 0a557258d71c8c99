"""Inputs of an execution: events, manual inputs, and the approvals that they claim."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from promotion import naming
from promotion.errors import PromotionRefusedError
from promotion.history import approval
from promotion.plan import settings
from promotion.source import request
from promotion.source.request import Ignore
from tests.hostile_inputs.trial import OWN, REGION, STRANGER, UPSTREAM, Hostile, Reader
from tests.support.s3_faults import client_error

QUARTER_MEBIBYTE = 256 * 1024


def read(given: Any) -> request.Request:
    return request.read(given, UPSTREAM, OWN, REGION)


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": [value]}
    return value


def event(**changes: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Training Job State Change",
        "account": UPSTREAM,
        "region": REGION,
        "detail": {"TrainingJobName": "reviews-1", "TrainingJobStatus": "Completed"},
        **changes,
    }


def package_event(arn: Any, **more: Any) -> dict[str, Any]:
    detail = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", **more}
    return event(**{"detail-type": "SageMaker Model Package State Change", "detail": detail})


def execution_ended(**detail: Any) -> dict[str, Any]:
    whole = {"executionArn": "arn:aws:states:x", "name": "first", "status": "FAILED", **detail}
    kind = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change"}
    return event(**kind, account=OWN, detail=whole)


def events() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "event")
    for what, given, says in (
        ("of another account", event(account=STRANGER), f'is from account "{STRANGER}"'),
        ("of this stage's own account", event(account=OWN), f'is from account "{OWN}"'),
        ("without an account", event(account=None), "is from account null"),
        ("whose account is a number", event(account=111111111111), "is from account 111111111111"),
        ("whose account is nested 1,000 levels deep", event(account=deep(500)), "is from account an object"),
        ("of another region", event(region="us-east-1"), 'is from the region "us-east-1"'),
        ("without a region", event(region=None), "is from the region null"),
        ("without a detail", event(detail=None), "detail is null"),
        ("whose detail is a list", event(detail=[]), "detail is a list"),
        (
            "of a package whose updated fields are a string",
            package_event("x", UpdatedModelPackageFields="ModelApprovalStatus"),
            "UpdatedModelPackageFields is a string, not a list",
        ),
        (
            "that names no job",
            event(detail={"TrainingJobStatus": "Completed"}),
            "TrainingJobName of the event's detail is null",
        ),
        (
            "whose job is a number",
            event(detail={"TrainingJobStatus": "Completed", "TrainingJobName": 7}),
            "TrainingJobName of the event's detail is a number",
        ),
        (
            "whose job is 256 KiB",
            event(detail={"TrainingJobStatus": "Completed", "TrainingJobName": "x" * QUARTER_MEBIBYTE}),
            "TrainingJobName is",
        ),
        (
            "whose job is JSON that closes a string",
            event(detail={"TrainingJobStatus": "Completed", "TrainingJobName": '"},"Next":"Promoted"'}),
            "TrainingJobName is",
        ),
        (
            "of a package in another account",
            package_event(f"arn:aws:sagemaker:{REGION}:{STRANGER}:model-package/reviews/3"),
            f'"model_package" is in account "{STRANGER}"',
        ),
        (
            "of a package in another region",
            package_event(f"arn:aws:sagemaker:us-east-1:{UPSTREAM}:model-package/reviews/3"),
            '"model_package" is in the region "us-east-1"',
        ),
        (
            "of a group of packages",
            package_event(f"arn:aws:sagemaker:{REGION}:{UPSTREAM}:model-package-group/reviews"),
            '"model_package" is',
        ),
        (
            "of a package that is an object",
            package_event({"arn": "x"}),
            "ModelPackageArn of the event's detail is an object",
        ),
        (
            "of an execution without an ARN",
            execution_ended(executionArn=""),
            "executionArn of the event's detail is an empty string",
        ),
    ):
        yield hostile(what, functools.partial(read, given), says)
    for what, given in (
        ("of a custom source that claims SageMaker's kind", event(source="custom.sagemaker")),
        ("whose source is an object", event(source={"aws": "sagemaker"})),
        ("whose kind is nested 10,000 levels deep", event(**{"detail-type": deep(5_000)})),
        ("of a job that failed", event(detail={"TrainingJobStatus": "Failed", "TrainingJobName": "x"})),
        ("whose status is nested 10,000 levels deep", event(detail={"TrainingJobStatus": deep(5_000)})),
    ):
        yield hostile(what, functools.partial(read, given), "ignored with a reason", None, is_ignored)
    for what, given in (
        ("of an execution whose cause is nested 10,000 levels deep", execution_ended(cause=deep(5_000))),
        ("of an execution whose input is nested 100,000 levels deep", execution_ended(input="[" * 100_000)),
        ("of an execution whose cause is 256 KiB", execution_ended(cause="x" * QUARTER_MEBIBYTE)),
    ):
        yield hostile(what, functools.partial(read, given), "the cause is truncated", None, is_short)


def is_ignored(found: Any) -> bool:
    return isinstance(found, Ignore) and found.reason.isprintable() and len(found.reason) < 300


def is_short(found: Any) -> bool:
    return isinstance(found, request.Recover) and len(found.reason) < 700


def manual() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "manual input")
    job = "reviews-1"
    for what, given, says in (
        ("nothing at all", {}, "names no source"),
        ("null", None, "is null, not a JSON object"),
        ("a list", [], "is a list, not a JSON object"),
        ("a number", 7, "is a number, not a JSON object"),
        ("a string", "training_job", "is a string, not a JSON object"),
        ("an unknown key", {"training_job": job, "force": "yes"}, 'unknown key "force"'),
        ("a misspelled key", {"trainingJob": job}, 'unknown key "trainingJob" (did you mean "training_job"?)'),
        ("a key of 256 KiB", {"k" * QUARTER_MEBIBYTE: job}, "unknown key"),
        ("a key of a terminal's escape codes", {"\x1b[31m": job}, r'unknown key "\u001b[31m"'),
        (
            "an address to call back, inside of the cloud",
            {"training_job": job, "callback_url": "http://169.254.169.254/latest/meta-data/"},
            'unknown key "callback_url"',
        ),
        (
            "an address to notify on this host",
            {"training_job": job, "notify": "http://localhost:8080"},
            'unknown key "notify"',
        ),
        ("two sources", {"training_job": job, "model": "m"}, "has both"),
        (
            "a rollback with an approval",
            {"rollback": "reviews-qa", "approval": "x"},
            '"approval" is not valid with the key "rollback"',
        ),
        ("a preview that is a string", {"training_job": job, "preview": "yes"}, '"preview" is a string'),
        ("a preview that is 1", {"training_job": job, "preview": 1}, '"preview" is a number'),
        ("a preview of a recovery", {"recover": "reviews-qa", "preview": True}, '"preview"'),
        ("a source nested 1,000 levels deep", {"training_job": deep(500)}, '"training_job" is an object'),
        ("a source that is true", {"training_job": True}, '"training_job" is true or false'),
        ("a source that is NaN", {"training_job": float("nan")}, '"training_job" is a number'),
        ("an empty source", {"training_job": ""}, '"training_job" is an empty string'),
        ("a source of 256 KiB", {"training_job": "x" * QUARTER_MEBIBYTE}, '"training_job" is'),
        (
            "a job's ARN of another account",
            {"training_job": f"arn:aws:sagemaker:{REGION}:{STRANGER}:training-job/x"},
            f'"training_job" is in account "{STRANGER}"',
        ),
        (
            "a job's ARN of another region",
            {"training_job": f"arn:aws:sagemaker:us-east-1:{UPSTREAM}:training-job/x"},
            '"training_job" is in the region "us-east-1"',
        ),
        (
            "a job's ARN where a model's belongs",
            {"model": f"arn:aws:sagemaker:{REGION}:{UPSTREAM}:training-job/x"},
            '"model" is',
        ),
        ("an ARN of another service", {"model": f"arn:aws:s3:{REGION}:{UPSTREAM}:model/x"}, '"model" is'),
        ("a package by its name", {"model_package": "reviews"}, '"model_package" is'),
        (
            "a package of version ../3",
            {"model_package": f"arn:aws:sagemaker:{REGION}:{UPSTREAM}:model-package/reviews/../3"},
            '"model_package" is',
        ),
        ("a tuning job's name of 33 characters", {"tuning_job": "t" * 33}, '"tuning_job" is'),
        ("an invalid approval", {"model": "m", "approval": "yes"}, '"approval" is "yes"'),
        ("a digest of 63 digits", {"model": "m", "digest": "a" * 63}, '"digest" is'),
    ):
        yield hostile(what, functools.partial(read, given), says)


# Invalid names for SageMaker resources.
NAMES = {
    "empty": "",
    "of 64 characters": "a" * 64,
    "with an underscore": "re_views",
    "that begins with a hyphen": "-reviews",
    "that ends in a hyphen": "reviews-",
    "with a space": "re views",
    "with a slash": "re/views",
    "with ..": "../reviews",
    "with a letter that looks like another": "revi\u0435ws",
    "in wide letters": "\uff52eviews",
    "with an emoji": "reviews😀",
    "with U+202E, which turns what follows around": "re\u202eview",
    "with a null": "re\x00views",
    "with a line break": "reviews\n",
    "with half of a surrogate pair": "re\ud800views",
    "of escape codes": "\x1b[31mred",
    "that is a JSONata expression": "{% $states.context %}",
    "that is a JSONPath": "$.input",
    "that is a substitution": "${AWS::AccountId}",
    "that is a dynamic reference": "{{resolve:ssm:/x}}",
    "that is markup": "<script>alert(1)</script>",
    "that ends a query": "reviews'; --",
    "that is *": "*",
}


def names() -> Iterator[Hostile]:
    for what, name in NAMES.items():
        for key in ("training_job", "rollback"):
            yield Hostile("name", f"a {key} {what}", functools.partial(read, {key: name}), f'"{key}" is ')
    applications = NAMES | {
        "in upper case, which SageMaker takes for the same": "Reviews",
        "with two hyphens": "a--b",
        "of 41 characters": "a" * 41,
        "with a version of Parameter Store": "reviews:3",
        "of somebody else's parameters": "aws/service",
    }
    for what, name in applications.items():
        act = functools.partial(naming.application_name, name)
        yield Hostile("name", f"an application {what}", act, 'The key "application" of the input is')
    for what, name in (("with ..", "../aws"), ("with a version", "reviews:3"), ("of AWS's", "aws/reference")):
        act = functools.partial(settings.parameter_name, "qa", name)
        yield Hostile("name", f"a parameter {what}", act, 'The key "application" of the input is')
    long_stage = functools.partial(naming.endpoint_name, "a" * 40, "s" * 23)
    yield Hostile("name", "an endpoint of 64 characters by a long stage", long_stage, "has 64 characters")
    digests = ("0" * 64, "1" * 64)

    def long_names() -> set[str]:
        return {naming.resource_name("a" * 40, "s" * 20, "2026-01-02T03:04:05Z", digest) for digest in digests}

    how = "shortened to 63 characters, and different for each content"
    yield Hostile(
        "name",
        "a model whose name would have 83 characters",
        long_names,
        how,
        None,
        lambda found: len(found) == 2 and all(len(name) <= 63 for name in found),
    )


IDENTIFIER, RUNBOOK, DIGEST = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "model-promotion-production", "ab" * 32
ROLE, OPERATOR = "RequestApprovalFunctionRole", "arn:aws:iam::333333333333:user/operator"
POLICY = approval.Policy(required=True, runbook=RUNBOOK, approvers=("operator",), minimum=1, requester=ROLE, seconds=60)
CANDIDATE = {"Application": "reviews", "SourceKind": "model", "SourceName": "reviews-qa-1", "Digest": DIGEST}
MARKUP = '<script>alert(1)</script> \x1b[31m {"status": "Succeeded"} {% $states %} $.detail'


def automation(**changes: Any) -> dict[str, Any]:
    """Build the response of GetAutomationExecution while the runbook starts the approved promotion."""
    return {
        "AutomationExecutionId": IDENTIFIER,
        "DocumentName": RUNBOOK,
        "AutomationExecutionStatus": "InProgress",
        "ExecutedBy": f"arn:aws:sts::333333333333:assumed-role/{ROLE}/function",
        "Parameters": parameters(),
        "StepExecutions": [step()],
    } | changes


def parameters(**changes: Any) -> dict[str, Any]:
    return {name: [value] for name, value in (CANDIDATE | changes).items()}


def decided(**changes: str) -> str:
    return json.dumps({"Approver": OPERATOR, "Decision": "Approve", "Comment": "b"} | changes)


def step(status: str = "Success", decision: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "StepName": "Approve",
        "Action": "aws:approve",
        "StepStatus": status,
        "Inputs": {"Approvers": '["operator"]', "MinRequiredApprovals": "1"},
        "Outputs": {"ApproverDecisions": [decision or decided()]},
    } | changes


def granted(execution: Any) -> approval.Decision:
    found = approval.read(Reader(get_automation_execution={"AutomationExecution": execution}), IDENTIFIER)
    return approval.granted_decision(found, POLICY, CANDIDATE)


def approvals() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "approval")
    for what, execution, says in (
        (
            "of another runbook",
            automation(DocumentName="AWS-RestartEC2Instance"),
            "is an execution of the runbook AWS-Restart",
        ),
        (
            "that was used before",
            automation(AutomationExecutionStatus="Success"),
            "has the status Success. An approval is valid once",
        ),
        (
            "that timed out",
            automation(AutomationExecutionStatus="TimedOut"),
            "has the status TimedOut. An approval is valid once",
        ),
        (
            "that is pending",
            automation(StepExecutions=[step("Waiting")]),
            "was not granted: its step Approve has the status Waiting",
        ),
        (
            "that was rejected",
            automation(StepExecutions=[step("Failed")]),
            "was not granted: its step Approve has the status Failed",
        ),
        ("without its step", automation(StepExecutions=[]), "was not granted"),
        ("with a step without a name", automation(StepExecutions=[{"StepStatus": "Success"}]), "was not granted"),
        ("of another candidate", automation(Parameters=parameters(SourceName="other")), "is for the SourceName other"),
        ("of another kind", automation(Parameters=parameters(SourceKind="training_job")), "is for the SourceKind"),
        ("of another digest", automation(Parameters=parameters(Digest="cd" * 32)), "is for the Digest cd"),
        ("of another application", automation(Parameters=parameters(Application="victim")), "Application victim"),
        ("without parameters", automation(Parameters={}), "is for the Application None"),
        (
            "that someone else requested",
            automation(ExecutedBy="arn:aws:iam::333333333333:user/mallory"),
            f"was started by arn:aws:iam::333333333333:user/mallory, not by the role {ROLE}",
        ),
        (
            "whose step is not an approval",
            automation(StepExecutions=[step(Action="aws:sleep")]),
            "has the action aws:sleep, not aws:approve",
        ),
        (
            "of other approvers",
            automation(StepExecutions=[step(Inputs={"Approvers": '["mallory"]', "MinRequiredApprovals": "1"})]),
            'its Approvers are ["mallory"], not ["operator"]',
        ),
        (
            "of no approver",
            automation(StepExecutions=[step(Outputs={})]),
            "was approved by nobody, not by 1 of operator",
        ),
        (
            "with a decision 100,000 levels deep",
            automation(StepExecutions=[step(decision="[" * 100_000)]),
            "is unknown, not Approve",
        ),
    ):
        yield hostile(what, functools.partial(granted, execution), says)
    odd: list[tuple[str, Any, str]] = [
        ("with an empty description", {}, "AutomationExecutionId is missing"),
        ("without a runbook", automation(DocumentName=None), "DocumentName is null"),
        ("with a status that is a number", automation(AutomationExecutionStatus=7), "AutomationExecutionStatus is 7"),
        ("with parameters that are a list", automation(Parameters=["x"]), "Parameters is a list"),
        ("with steps that are strings", automation(StepExecutions=["Approve"]), "StepExecutions[0] is 'Approve'"),
        ("that is a string", "yes", "it is 'yes'"),
    ]
    for what, execution, says in odd:
        yield hostile(what, functools.partial(granted, execution), says, PromotionRefusedError)

    def unknown() -> Any:
        missing = client_error("AutomationExecutionNotFoundException", "not found", "GetAutomationExecution")
        return approval.read(Reader(get_automation_execution=missing), IDENTIFIER)

    yield hostile("that does not exist", unknown, f"There is no approval {IDENTIFIER}")
    for what, comment, holds in (
        ("markup, escape codes and expressions", MARKUP, lambda found: found.comment == MARKUP),
        ("of 1 MB", "x" * 10**6, lambda found: len(found.comment) == 1_000),
    ):
        said = step(decision=decided(Comment=comment))
        act = functools.partial(granted, automation(StepExecutions=[said]))
        yield hostile(f"with a comment {what}", act, "a string of up to 1,000 characters", None, holds)


def every() -> Iterator[Hostile]:
    yield from events()
    yield from manual()
    yield from names()
    yield from approvals()
