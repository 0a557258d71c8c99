"""The rules of our own find nothing in what is deployed and in the tests, and each of them bites."""

import re
from typing import Any, NamedTuple

import pytest

from tests.linter import DEFINITION, RULES, TEMPLATE, Project, findings

PROJECT = Project.read()


class Edit(NamedTuple):
    """A text put in the place of another one, within a named block of a file or anywhere in it."""

    file: str
    block: str
    old: str
    new: str = ""

    def made_in(self, project: Project) -> Project:
        text = project.texts[self.file]
        start, end = self._span(text) if self.block else (0, len(text))
        assert self.old in text[start:end], self
        edited = text[:start] + text[start:end].replace(self.old, self.new, 1) + text[end:]
        return Project({**project.texts, self.file: edited})

    def _span(self, text: str) -> tuple[int, int]:
        """The lines of a block: its name, and all that are further in."""
        found = re.search(rf"(?m)^( *){re.escape(self.block)}:\n(?:(?:\1 .*)?\n)*", text)
        assert found, self
        return found.span()


def state(name: str, old: str, new: str = "") -> Edit:
    return Edit(DEFINITION, name, old, new)


def resource(name: str, old: str, new: str = "") -> Edit:
    return Edit(TEMPLATE, name, old, new)


def upstream(name: str, old: str, new: str = "") -> Edit:
    return Edit("upstream.yaml", name, old, new)


def catch(
    errors: str = "States.ALL", output: str = "'{% $states.errorOutput %}'", follower: str = "Capture failure"
) -> str:
    """Return a catch rule as the definition could have it in place of `${CatchAnyError}`."""
    return f"- {{ErrorEquals: [{errors}], Output: {output}, Next: {follower}}}"


def bite(rule: str, place: str, *edits: Edit) -> Any:
    """After these edits that rule finds something, at that place."""
    return pytest.param(rule, place, edits, id=f"{rule}-{place}")


CATCH = "- ${CatchAnyError}"
RETRY = "- ${RetryTransientErrors}"
ONCE_MORE = "      - ErrorEquals:\n          - States.ALL\n        MaxAttempts: 1\n"
HANDLER = "      Handler: steps.create_model.handler\n"
SCHEDULE = """\
      Events:
        Daily:
          Type: Schedule
          Properties:
            Schedule: rate(1 day)
            DeadLetterConfig:
              Arn: !GetAtt DeadLetters.Arn
"""
SOURCE_ACCOUNT = "            Condition: {StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}\n"

FLOW = [
    bite("task_without_time_out", "Create model", state("Create model", "    TimeoutSeconds: 120\n")),
    bite("task_without_time_out", "Copy batch", state("Copy batch", "          TimeoutSeconds: 960\n")),
    bite("task_without_time_out", "Copy images", state("Copy images", "TimeoutSeconds: 960", "TimeoutSeconds: 90000")),
    bite(
        "machine_without_time_out",
        "The state machine",
        Edit(DEFINITION, "", "TimeoutSeconds: ${PromotionTimeoutSeconds}\n"),
        resource("PromotionStateMachine", "        PromotionTimeoutSeconds: !Ref PromotionTimeoutSeconds\n"),
    ),
    bite("choice_without_default", "Deployed?", state("Deployed?", "    Default: Record deployment failure\n")),
    bite("end_without_a_cause", "Promotion failed", state("Promotion failed", "    Cause: '{% $failure.reason %}'\n")),
    bite("task_without_retry", "Apply autoscaling", state("Apply autoscaling", "Retry:", "Retries:")),
    bite("failure_nobody_catches", "Create model", state("Create model", CATCH, catch("States.Timeout"))),
    bite("failure_nobody_catches", "Copy artifacts", state("Copy artifacts", CATCH, catch("States.Timeout"))),
    bite(
        "all_errors_not_alone_and_last",
        "Create model",
        state("Create model", CATCH, catch("States.ALL, States.Timeout")),
    ),
    bite(
        "all_errors_not_alone_and_last",
        "Publish failure",
        state("Publish failure", "    Retry:\n", f"    Retry:\n{ONCE_MORE}"),
    ),
    bite("catch_that_loses_the_error", "Create model", state("Create model", CATCH, catch(output="null"))),
    bite(
        "catch_that_loses_the_error",
        "Publish promotion",
        state("Publish promotion", '$states.errorOutput.Error & ": " & $states.errorOutput.Cause', '"something"'),
    ),
    bite(
        "catch_that_loses_the_error",
        "Request approval",
        state("Request approval", CATCH, catch(follower="Publish rejection")),
    ),
    bite("variable_nobody_writes", "Previewed", state("Previewed", "$preview", "$previews")),
    bite("variable_nobody_writes", "Copy batch", state("Copy batch", "$plan.manifest", "$plans.manifest")),
    bite(
        "variable_nobody_writes",
        "Lock held?",
        state("Resolve candidate", "          lock_held: false\n"),
    ),
    bite("endless_loop", "Check endpoint", state("Deployed?", " and $millis() < $deployment_ends")),
    bite("endless_loop", "Check endpoint", state("Deployed?", "and $millis()", "or $millis()")),
    bite(
        "endless_loop",
        "Roll back endpoint",
        state("Record deployment failure", "${RollbackDeadline}", "'{% ${DeploymentTimeoutSeconds} * 1000 %}'"),
    ),
    bite(
        "endless_loop",
        "Acquire endpoint lock",
        state(
            "Acquire endpoint lock", "    Assign:\n", "    Assign:\n      lock_wait_ends: '{% $millis() + 1000 %}'\n"
        ),
    ),
    bite(
        "loop_that_does_not_wait",
        "Check endpoint",
        state("Deployed?", "Next: Wait for deployment", "Next: Check endpoint"),
    ),
    bite("retry_without_end", "Copy ", resource("PromotionStateMachine", ' "MaxAttempts": 30,')),
    bite(
        "retry_without_end",
        "Create model",
        state("Create model", RETRY, "- {ErrorEquals: ${TransientErrors}, IntervalSeconds: 2, MaxAttempts: 20}"),
    ),
    bite(
        "retry_of_what_stays_wrong",
        "Create model",
        state("Create model", RETRY, "- {ErrorEquals: [InvalidRequestError], MaxAttempts: 6, ${RetryDelays}}"),
    ),
    bite(
        "retry_of_what_stays_wrong",
        "Apply autoscaling",
        state("Apply autoscaling", "    Catch:\n", f"{ONCE_MORE}    Catch:\n"),
    ),
    bite(
        "retry_of_what_stays_wrong",
        "Release endpoint lock",
        state(
            "Release endpoint lock",
            "- ${NoRetryIfConditionFailed}",
            "- {ErrorEquals: [DynamoDB.RequestLimitExceeded], MaxAttempts: 0}",
        ),
    ),
    bite("token_nobody_gets", "Create model", state("Create model", ":invoke", ":invoke.waitForTaskToken")),
]

RECORD = "Record promotion"
UNTOUCHED = "Release endpoint lock"

CALLS = [
    bite("unknown_integration", RECORD, state(RECORD, "transactWriteItems", "transactWriteItem")),
    bite("unknown_integration", RECORD, state(RECORD, "transactWriteItems", "TransactWriteItems")),
    bite("unknown_integration", RECORD, state(RECORD, "aws-sdk:dynamodb", "aws-sdk:dynamo")),
    bite("unknown_integration", "Publish failure", state("Publish failure", "putEvents", "putEvent")),
    bite("unknown_integration", "Publish failure", state("Publish failure", "events:put", "aws-sdk:events:put")),
    bite("argument_that_does_not_fit", UNTOUCHED, state(UNTOUCHED, "ConditionExpression:", "ConditionExpresion:")),
    bite("argument_that_does_not_fit", UNTOUCHED, state(UNTOUCHED, "      TableName: ${PromotionTable}\n")),
    bite("argument_that_does_not_fit", UNTOUCHED, state(UNTOUCHED, "${LockKey}", "{kind: {Text: running}}")),
    bite("argument_that_does_not_fit", RECORD, state(RECORD, "Key: ${LockKey}", "Keys: ${LockKey}")),
    bite(
        "argument_that_does_not_fit",
        "Publish rejection",
        state("Publish rejection", "        - Source", "          Source"),
    ),
    bite(
        "substitution_nobody_supplies",
        "${AccountId}",
        resource("PromotionStateMachine", "        AccountId: !Ref AWS::AccountId\n"),
    ),
    bite(
        "substitution_nobody_supplies",
        "${Region}",
        resource("PromotionStateMachine", '"States.ALL"], "Output"', '"States.ALL"], "Comment": "${Region}", "Output"'),
    ),
    bite(
        "substitution_nobody_uses",
        "${Region}",
        resource("PromotionStateMachine", "        Stage:", "        Region: !Ref AWS::Region\n        Stage:"),
    ),
    bite(
        "function_that_outlasts_its_task",
        "Create model",
        resource("CreateModelFunction", HANDLER, f"{HANDLER}      Timeout: 120\n"),
    ),
    bite(
        "payload_nobody_reads",
        "Create model",
        state(
            "Create model",
            "        request: '{% $plan.model %}'\n",
            "        request: '{% $plan.model %}'\n        table: ${PromotionTable}\n",
        ),
    ),
    bite("payload_nobody_writes", "Request approval", state("Request approval", "        runbook: ${RunbookName}\n")),
    bite(
        "event_that_goes_out_of_sight",
        "functions/steps/create_model.py",
        Edit("functions/steps/create_model.py", "", 'name = request["ModelName"]', "name = event"),
    ),
    bite("answer_nobody_gives", "Request approval", state("Request approval", "Payload.outcome", "Payload.result")),
    bite("answer_nobody_gives", "Deployed?", state("Deployed?", "$progress.verdict", "$progress.judgement")),
]

ACCESS = [
    bite(
        "open_to_all",
        "DeadLettersPolicy of template.yaml",
        resource("DeadLettersPolicy", "Principal: {Service: events.amazonaws.com}", "Principal: '*'"),
    ),
    bite(
        "open_to_all",
        "ArtifactBucketPolicy of upstream.yaml",
        upstream("ArtifactBucketPolicy", "!Sub arn:${AWS::Partition}:iam::${DownstreamAccountId}:root", "'*'"),
    ),
    bite(
        "service_for_anybody",
        "NotificationsPolicy of template.yaml",
        resource("NotificationsPolicy", SOURCE_ACCOUNT),
    ),
    bite(
        "service_for_anybody",
        "ForwardingRole of upstream.yaml",
        upstream(
            "ForwardingRole",
            "StringEquals:\n                aws:SourceAccount: !Ref AWS::AccountId\n              ArnLike:",
            "ArnLikeIfExists:",
        ),
    ),
    bite(
        "condition_that_never_holds",
        "NotificationsPolicy of template.yaml",
        resource(
            "NotificationsPolicy", "!Ref Notifications\n          -", f"!Ref Notifications\n{SOURCE_ACCOUNT}          -"
        ),
    ),
    bite(
        "star_action",
        "CheckQualityGateFunction of template.yaml",
        resource("CheckQualityGateFunction", "dynamodb:GetItem", "dynamodb:Get*"),
    ),
    bite(
        "star_action",
        "CheckQualityGateFunction of template.yaml",
        resource("CheckQualityGateFunction", "Action: dynamodb:GetItem", "NotAction: dynamodb:PutItem"),
    ),
    bite(
        "star_action", "StageKey of template.yaml", resource("StageKey", "[kms:GenerateDataKey, kms:Decrypt]", "kms:*")
    ),
    bite(
        "star_action",
        "FindSupersededResources of template.yaml",
        resource("FindSupersededResources", "sagemaker:DescribeModelPackage", "sagemaker:Describe*"),
    ),
    bite(
        "star_resource_without_reason",
        "CheckEndpointFunction of template.yaml",
        resource("CheckEndpointFunction", " # composite alarms require permission for all alarms (API_DescribeAlarms)"),
    ),
    bite(
        "star_resource_without_reason",
        "ReadEndpointState of template.yaml",
        resource(
            "ReadEndpointState",
            "            # Application Auto Scaling supports no resources for its Describe actions.\n",
        ),
    ),
    bite(
        "role_passed_to_anybody",
        "CreateModelFunction of template.yaml",
        resource("CreateModelFunction", "!GetAtt SageMakerRole.Arn", "!Sub arn:${AWS::Partition}:iam::*:role/*"),
    ),
    bite(
        "role_passed_to_anybody",
        "CreateModelFunction of template.yaml",
        resource("CreateModelFunction", "iam:PassedToService", "aws:PrincipalTag/service"),
    ),
    bite(
        "role_passed_to_anybody",
        "ScaleEndpoints of template.yaml",
        resource("ScaleEndpoints", "sagemaker:UpdateEndpointWeightsAndCapacities", "iam:PassRole"),
    ),
]

BUCKET = "ArtifactBucket of template.yaml"

RESOURCES = [
    bite(
        "machine_without_log", "PromotionStateMachine", resource("PromotionStateMachine", "Level: ALL", "Level: ERROR")
    ),
    bite(
        "machine_without_tracing",
        "PromotionStateMachine",
        resource("PromotionStateMachine", "Enabled: true", "Enabled: false"),
    ),
    bite(
        "queue_or_topic_not_encrypted",
        "DeadLetters of upstream.yaml",
        upstream("DeadLetters", "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false"),
    ),
    bite(
        "queue_or_topic_not_encrypted",
        "Notifications of template.yaml",
        resource("Notifications", "      KmsMasterKeyId: !GetAtt StageKey.Arn\n"),
    ),
    bite(
        "table_that_can_be_lost",
        "PromotionTable of template.yaml",
        resource("PromotionTable", "SSEEnabled: true", "SSEEnabled: false"),
    ),
    bite(
        "table_that_can_be_lost",
        "PromotionTable of template.yaml",
        resource("PromotionTable", "RecoveryEnabled: true", "RecoveryEnabled: false"),
    ),
    bite("bucket_that_is_not_closed", BUCKET, resource("ArtifactBucket", "aws:kms", "AES256")),
    bite(
        "bucket_that_is_not_closed",
        BUCKET,
        resource(
            "ArtifactBucket",
            "VersioningConfiguration: {Status: Enabled}",
            "VersioningConfiguration: {Status: Suspended}",
        ),
    ),
    bite(
        "bucket_that_is_not_closed",
        BUCKET,
        resource("ArtifactBucket", "IgnorePublicAcls: true", "IgnorePublicAcls: false"),
    ),
    bite("bucket_that_is_not_closed", BUCKET, resource("ArtifactBucket", "BucketOwnerEnforced", "ObjectWriter")),
    bite(
        "bucket_without_encrypted_transport",
        BUCKET,
        resource("ArtifactBucketPolicy", "aws:SecureTransport", "aws:ViaAWSService"),
    ),
    bite(
        "bucket_without_encrypted_transport",
        "ArtifactBucketPolicy of upstream.yaml",
        upstream("ArtifactBucketPolicy", "aws:SecureTransport: 'true'", "aws:SecureTransport: 'false'"),
    ),
    bite(
        "target_without_dead_letters",
        "NotifySuccess of template.yaml",
        resource("NotifySuccess", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    bite(
        "target_without_dead_letters",
        "ApprovalEnded of template.yaml",
        resource("ApprovalEnded", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    bite(
        "target_without_dead_letters",
        "ForwardTraining of upstream.yaml",
        upstream("ForwardTraining", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    bite(
        "target_without_dead_letters",
        "EmailSubscription",
        resource("EmailSubscription", "Protocol: email", "Protocol: https"),
    ),
    bite(
        "function_without_dead_letters",
        "CreateModelFunction",
        resource("CreateModelFunction", HANDLER, HANDLER + SCHEDULE),
    ),
    bite(
        "function_without_dead_letters",
        "CreateModelFunction",
        resource("NotifySuccess", "Arn: !Ref Notifications", "Arn: !GetAtt CreateModelFunction.Arn"),
    ),
    bite(
        "dead_letters_nobody_watches",
        "DeadLetters of template.yaml",
        resource("UndeliveredEvents", "!GetAtt DeadLetters.QueueName", "other"),
    ),
    bite(
        "dead_letters_nobody_watches",
        "DeadLetters of upstream.yaml",
        upstream("UndeliveredEvents", "OfMessagesVisible", "OfMessagesNotVisible"),
    ),
    bite("alarm_nobody_hears", "FailedRetention", resource("FailedRetention", "[!Ref Notifications]", "[]")),
    bite(
        "log_without_retention",
        "StateMachineLogs",
        resource("StateMachineLogs", "      RetentionInDays: !Ref LogRetentionDays\n"),
    ),
    bite(
        "log_without_retention",
        "CreateModelFunction",
        resource("CreateModelFunction", HANDLER, f"{HANDLER}      LoggingConfig:\n        LogGroup: other\n"),
    ),
    bite("hard_coded", "Create model: has a partition", state("Create model", "${Partition}", "aws")),
    bite(
        "hard_coded",
        "ReaderRole of upstream.yaml: has a partition",
        upstream("ReaderRole", "${AWS::Partition}", "aws-cn"),
    ),
    bite(
        "hard_coded",
        "RollBackEndpointFunction of template.yaml: has a region",
        resource("RollBackEndpointFunction", "${AWS::Region}", "eu-west-1"),
    ),
    bite(
        "hard_coded",
        "UpdateEndpoints of template.yaml: has a region",
        resource("UpdateEndpoints", "${AWS::Region}", "eu-west-1"),
    ),
    bite(
        "hard_coded",
        "ForwardingRole of upstream.yaml: has an account number",
        upstream("ForwardingRole", "!Ref AWS::AccountId", "'111111111111'"),
    ),
    bite("unused_parameter", "Colour", resource("Parameters", "  Stage:\n", "  Colour:\n    Type: String\n  Stage:\n")),
    bite(
        "unused_condition",
        "IsBlue",
        upstream(
            "Conditions",
            "  HasNotificationEmail:",
            "  IsBlue: !Equals [!Ref DownstreamStage, blue]\n  HasNotificationEmail:",
        ),
    ),
]

STEP = "tests/unit/test_step.py"
IMPORTS = [
    bite("import_of_a_test_module", f"{STEP}: imports from {module}", Edit(STEP, "", "import pytest\n", f"{line}\n"))
    for module, line in [
        ("tests.unit.test_naming", "from tests.unit.test_naming import TIME"),
        ("tests.unit.test_naming", "from tests.unit import test_naming"),
        ("tests.unit.aws.test_clients", "import tests.unit.aws.test_clients"),
        ("tests.unit.conftest", "from tests.unit.conftest import moto"),
    ]
]

BITES = [*FLOW, *CALLS, *ACCESS, *RESOURCES, *IMPORTS]


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(rule: str) -> None:
    assert list(RULES[rule](PROJECT)) == []


@pytest.mark.parametrize(("rule", "place", "edits"), BITES)
def test_a_rule_bites_and_no_other(rule: str, place: str, edits: tuple[Edit, ...]) -> None:
    project = PROJECT
    for edit in edits:
        project = edit.made_in(project)

    found = findings(project)

    assert list(found) == [rule]
    assert all(place in sentence for sentence in found[rule]), found


def test_every_rule_is_shown_to_bite() -> None:
    assert {param.values[0] for param in BITES} == set(RULES)
