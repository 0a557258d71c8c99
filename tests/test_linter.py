"""The project violates no rule of the linter, and each rule detects a violation."""

import re
from typing import Any, NamedTuple

import pytest

from tests.linter import DEFINITION, RULES, TEMPLATE, Project, findings

PROJECT = Project.read()


class Edit(NamedTuple):
    """A replacement of a string, within a named block of a file or anywhere in it."""

    file: str
    block: str
    old: str
    new: str = ""

    def apply(self, project: Project) -> Project:
        text = project.texts[self.file]
        start, end = self._span(text) if self.block else (0, len(text))
        assert self.old in text[start:end], self
        edited = text[:start] + text[start:end].replace(self.old, self.new, 1) + text[end:]
        return Project({**project.texts, self.file: edited})

    def _span(self, text: str) -> tuple[int, int]:
        """Return the span of a block: the line with its name and the lines that are indented further."""
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
    """Return catch rules in place of `${CatchAnyError}`."""
    return f"[{{ErrorEquals: [{errors}], Output: {output}, Next: {follower}}}]"


def violation(rule: str, place: str, *edits: Edit) -> Any:
    """Return the parameters of a test: after `edits`, `rule` and no other has a finding, which names `place`."""
    return pytest.param(rule, place, edits, id=f"{rule}-{place}")


CATCH = "${CatchAnyError}"
RETRY = "${RetryTransientErrors}"
BOUNDARY = "      PermissionsBoundary: !If [HasPermissionsBoundary, !Ref PermissionsBoundary, !Ref AWS::NoValue]\n"
LOG_KEY = "      KmsKeyId: !If [HasLogKey, !Ref LogKeyArn, !Ref AWS::NoValue]\n"
RETRY_ONCE = "      - ErrorEquals:\n          - States.ALL\n        MaxAttempts: 1\n"
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
    violation("task_without_time_out", "Create model", state("Create model", "    TimeoutSeconds: 120\n")),
    violation("task_without_time_out", "Copy batch", state("Copy batch", "          TimeoutSeconds: 960\n")),
    violation(
        "task_without_time_out", "Copy images", state("Copy images", "TimeoutSeconds: 960", "TimeoutSeconds: 90000")
    ),
    violation(
        "state_machine_without_time_out",
        "The state machine",
        Edit(DEFINITION, "", "TimeoutSeconds: ${PromotionTimeoutSeconds}\n"),
        resource("PromotionStateMachine", "        PromotionTimeoutSeconds: !Ref PromotionTimeoutSeconds\n"),
    ),
    violation("choice_without_default", "Deployed?", state("Deployed?", "    Default: Record deployment failure\n")),
    violation(
        "fail_state_without_cause",
        "Promotion failed",
        state("Promotion failed", "    Cause: '{% $failure.reason %}'\n"),
    ),
    violation("task_without_retry", "Apply autoscaling", state("Apply autoscaling", "Retry:", "Retries:")),
    violation("uncaught_error", "Create model", state("Create model", CATCH, catch("States.Timeout"))),
    violation("uncaught_error", "Copy artifacts", state("Copy artifacts", CATCH, catch("States.Timeout"))),
    violation(
        "states_all_not_alone_and_last",
        "Create model",
        state("Create model", CATCH, catch("States.ALL, States.Timeout")),
    ),
    violation(
        "states_all_not_alone_and_last",
        "Publish failure",
        state(
            "Publish failure",
            "    Retry: ${RetryAnyError}\n",
            f"    Retry:\n{RETRY_ONCE}      - ${{AnyErrorRetrier}}\n",
        ),
    ),
    violation("catch_that_discards_the_error", "Create model", state("Create model", CATCH, catch(output="null"))),
    violation(
        "catch_that_discards_the_error",
        "Publish promotion",
        state("Publish promotion", '$states.errorOutput.Error & ": " & $states.errorOutput.Cause', '"something"'),
    ),
    violation(
        "catch_that_discards_the_error",
        "Request approval",
        state("Request approval", CATCH, catch(follower="Publish rejection")),
    ),
    violation("unassigned_variable", "Previewed", state("Previewed", "$preview", "$previews")),
    violation("unassigned_variable", "Copy batch", state("Copy batch", "$plan.manifest", "$plans.manifest")),
    violation(
        "unassigned_variable",
        "Lock held?",
        state("Resolve candidate", "          lock_held: false\n"),
    ),
    violation("endless_loop", "Check endpoint", state("Deployed?", " and $millis() < $deployment_ends")),
    violation("endless_loop", "Check endpoint", state("Deployed?", "and $millis()", "or $millis()")),
    violation(
        "endless_loop",
        "Roll back endpoint",
        state("Record deployment failure", "${RollbackDeadline}", "'{% ${DeploymentTimeoutSeconds} * 1000 %}'"),
    ),
    violation(
        "endless_loop",
        "Acquire endpoint lock",
        state(
            "Acquire endpoint lock", "    Assign:\n", "    Assign:\n      lock_wait_ends: '{% $millis() + 1000 %}'\n"
        ),
    ),
    violation(
        "loop_without_wait",
        "Check endpoint",
        state("Deployed?", "Next: Wait for deployment", "Next: Check endpoint"),
    ),
    violation(
        "unlimited_retry",
        "Copy ",
        resource("PromotionStateMachine", ' "MaxAttempts": 30, "BackoffRate"', ' "BackoffRate"'),
    ),
    violation(
        "unlimited_retry",
        "Create model",
        state("Create model", RETRY, "[{ErrorEquals: ${TransientErrors}, IntervalSeconds: 2, MaxAttempts: 20}]"),
    ),
    violation(
        "retry_of_permanent_error",
        "Create model",
        state("Create model", RETRY, "[{ErrorEquals: [InvalidRequestError], MaxAttempts: 6, ${RetryDelays}}]"),
    ),
    violation(
        "retry_of_permanent_error",
        "Apply autoscaling",
        state(
            "Apply autoscaling",
            "Retry: ${RetryChange}\n",
            f"Retry:\n      - ${{TransientErrorRetrier}}\n{RETRY_ONCE}",
        ),
    ),
    violation(
        "retry_of_permanent_error",
        "Release endpoint lock",
        state(
            "Release endpoint lock",
            "${RetryUnlessConditionFailed}",
            "[{ErrorEquals: [DynamoDB.RequestLimitExceeded], MaxAttempts: 0}, ${AnyErrorRetrier}]",
        ),
    ),
    violation("unused_task_token", "Create model", state("Create model", ":invoke", ":invoke.waitForTaskToken")),
]

RECORD = "Record promotion"
RELEASE = "Release endpoint lock"

CALLS = [
    violation("unknown_integration", RECORD, state(RECORD, "transactWriteItems", "transactWriteItem")),
    violation("unknown_integration", RECORD, state(RECORD, "transactWriteItems", "TransactWriteItems")),
    violation("unknown_integration", RECORD, state(RECORD, "aws-sdk:dynamodb", "aws-sdk:dynamo")),
    violation("unknown_integration", "Publish failure", state("Publish failure", "putEvents", "putEvent")),
    violation("unknown_integration", "Publish failure", state("Publish failure", "events:put", "aws-sdk:events:put")),
    violation("invalid_argument", RELEASE, state(RELEASE, "ConditionExpression:", "ConditionExpresion:")),
    violation("invalid_argument", RELEASE, state(RELEASE, "      TableName: ${PromotionTableName}\n")),
    violation("invalid_argument", RELEASE, state(RELEASE, "${LockKey}", "{kind: {Text: lock}}")),
    violation("invalid_argument", RECORD, state(RECORD, "ClientRequestToken:", "ClientRequestTokens:")),
    violation(
        "invalid_argument",
        "Publish rejection",
        state("Publish rejection", "        - Source", "          Source"),
    ),
    violation(
        "undefined_substitution",
        "${AccountId}",
        resource("PromotionStateMachine", "        AccountId: !Ref AWS::AccountId\n"),
    ),
    violation(
        "undefined_substitution",
        "${Region}",
        resource("PromotionStateMachine", '"States.ALL"], "Output"', '"States.ALL"], "Comment": "${Region}", "Output"'),
    ),
    violation(
        "unused_substitution",
        "${Region}",
        resource("PromotionStateMachine", "        Stage:", "        Region: !Ref AWS::Region\n        Stage:"),
    ),
    violation(
        "function_that_outlasts_its_task",
        "Create model",
        resource("CreateModelFunction", HANDLER, f"{HANDLER}      Timeout: 120\n"),
    ),
    violation(
        "unread_payload_field",
        "Create model",
        state(
            "Create model",
            "        request: '{% $plan.model %}'\n",
            "        request: '{% $plan.model %}'\n        table: ${PromotionTableName}\n",
        ),
    ),
    violation(
        "log_lines_without_their_subject",
        "Copy images",
        state("Copy images", "        execution: '{% $states.context.Execution.Id %}'\n"),
    ),
    violation(
        "log_lines_without_their_subject",
        "Create model",
        state("Create model", "        application: '{% $promotion.application %}'\n"),
    ),
    violation(
        "missing_payload_field",
        "Request approval",
        state("Request approval", "        approval_policy: ${ApprovalPolicy}\n"),
    ),
    violation(
        "event_passed_to_another_module",
        "functions/steps/create_model.py",
        Edit("functions/steps/create_model.py", "", 'name = request["ModelName"]', "name = event"),
    ),
    violation(
        "missing_result_field", "Request approval", state("Request approval", "Payload.outcome", "Payload.result")
    ),
    violation("missing_result_field", "Deployed?", state("Deployed?", "$progress.verdict", "$progress.judgment")),
]

ACCESS = [
    violation(
        "public_access",
        "DeadLettersPolicy of template.yaml",
        resource("DeadLettersPolicy", "Principal: {Service: events.amazonaws.com}", "Principal: '*'"),
    ),
    violation(
        "public_access",
        "ArtifactBucketPolicy of upstream.yaml",
        upstream("ArtifactBucketPolicy", "!Sub arn:${AWS::Partition}:iam::${DownstreamAccountId}:root", "'*'"),
    ),
    violation(
        "service_without_source_condition",
        "NotificationsPolicy of template.yaml",
        resource("NotificationsPolicy", SOURCE_ACCOUNT),
    ),
    violation(
        "service_without_source_condition",
        "ForwardingRole of upstream.yaml",
        upstream(
            "ForwardingRole",
            "StringEquals:\n                aws:SourceAccount: !Ref AWS::AccountId\n              ArnLike:",
            "ArnLikeIfExists:",
        ),
    ),
    violation(
        "source_condition_that_never_matches",
        "NotificationsPolicy of template.yaml",
        resource("NotificationsPolicy", "cloudwatch.amazonaws.com", "events.amazonaws.com"),
    ),
    violation(
        "wildcard_action",
        "CheckQualityGateFunction of template.yaml",
        resource("CheckQualityGateFunction", "dynamodb:GetItem", "dynamodb:Get*"),
    ),
    violation(
        "wildcard_action",
        "CheckQualityGateFunction of template.yaml",
        resource("CheckQualityGateFunction", "Action: dynamodb:GetItem", "NotAction: dynamodb:PutItem"),
    ),
    violation(
        "wildcard_action",
        "StageKey of template.yaml",
        resource("StageKey", "[kms:GenerateDataKey, kms:Decrypt]", "kms:*"),
    ),
    violation(
        "wildcard_action",
        "FindSupersededResources of template.yaml",
        resource("FindSupersededResources", "sagemaker:DescribeModelPackage", "sagemaker:Describe*"),
    ),
    violation(
        "wildcard_resource_without_reason",
        "CheckEndpointFunction of template.yaml",
        resource("CheckEndpointFunction", " # composite alarms require permission for all alarms (API_DescribeAlarms)"),
    ),
    violation(
        "wildcard_resource_without_reason",
        "ReadEndpointState of template.yaml",
        resource(
            "ReadEndpointState",
            "            # Application Auto Scaling supports no resources for its Describe actions.\n",
        ),
    ),
    violation(
        "items_without_kinds",
        "CheckQualityGateFunction of template.yaml",
        resource("CheckQualityGateFunction", "'Null': {dynamodb:LeadingKeys: 'false'}, "),
    ),
    violation(
        "items_without_kinds",
        "PromotionRole of template.yaml",
        resource("PromotionRole", "[lock, live, 'history#*']", "['*']"),
    ),
    violation(
        "unrestricted_pass_role",
        "CreateModelFunction of template.yaml",
        resource("CreateModelFunction", "/${Stage}/serving/*", "/*"),
    ),
    violation(
        "unrestricted_pass_role",
        "CreateModelFunction of template.yaml",
        resource("CreateModelFunction", "iam:PassedToService", "aws:PrincipalTag/service"),
    ),
    violation(
        "unrestricted_pass_role",
        "ScaleEndpoints of template.yaml",
        resource("ScaleEndpoints", "sagemaker:UpdateEndpointWeightsAndCapacities", "iam:PassRole"),
    ),
]

BUCKET = "ArtifactBucket of template.yaml"

RESOURCES = [
    violation(
        "state_machine_without_log",
        "PromotionStateMachine",
        resource("PromotionStateMachine", "Level: ALL", "Level: ERROR"),
    ),
    violation(
        "state_machine_without_tracing",
        "PromotionStateMachine",
        resource("PromotionStateMachine", "Enabled: true", "Enabled: false"),
    ),
    violation(
        "unencrypted_queue_or_topic",
        "DeadLetters of upstream.yaml",
        upstream("DeadLetters", "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false"),
    ),
    violation(
        "unencrypted_queue_or_topic",
        "Notifications of template.yaml",
        resource("Notifications", "      KmsMasterKeyId: !GetAtt StageKey.Arn\n"),
    ),
    violation(
        "unprotected_table",
        "PromotionTable of template.yaml",
        resource("PromotionTable", "SSEEnabled: true", "SSEEnabled: false"),
    ),
    violation(
        "unprotected_table",
        "PromotionTable of template.yaml",
        resource("PromotionTable", "RecoveryEnabled: true", "RecoveryEnabled: false"),
    ),
    violation("unprotected_bucket", BUCKET, resource("ArtifactBucket", "aws:kms", "AES256")),
    violation(
        "unprotected_bucket",
        BUCKET,
        resource(
            "ArtifactBucket",
            "VersioningConfiguration: {Status: Enabled}",
            "VersioningConfiguration: {Status: Suspended}",
        ),
    ),
    violation(
        "unprotected_bucket",
        BUCKET,
        resource("ArtifactBucket", "IgnorePublicAcls: true", "IgnorePublicAcls: false"),
    ),
    violation("unprotected_bucket", BUCKET, resource("ArtifactBucket", "BucketOwnerEnforced", "ObjectWriter")),
    violation(
        "bucket_without_tls",
        BUCKET,
        resource("ArtifactBucketPolicy", "aws:SecureTransport", "aws:ViaAWSService"),
    ),
    violation(
        "bucket_without_tls",
        "ArtifactBucketPolicy of upstream.yaml",
        upstream("ArtifactBucketPolicy", "aws:SecureTransport: 'true'", "aws:SecureTransport: 'false'"),
    ),
    violation(
        "target_without_dead_letter_queue",
        "NotifyOperatorsFunction of template.yaml",
        resource("NotifyOperatorsFunction", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    violation(
        "target_without_dead_letter_queue",
        "ApprovalEnded of template.yaml",
        resource("ApprovalEnded", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    violation(
        "target_without_dead_letter_queue",
        "ForwardTraining of upstream.yaml",
        upstream("ForwardTraining", "DeadLetterConfig:", "RetryPolicy:"),
    ),
    violation(
        "target_without_dead_letter_queue",
        "EmailSubscription",
        resource("EmailSubscription", "Protocol: email", "Protocol: https"),
    ),
    violation(
        "function_without_dead_letter_queue",
        "CreateModelFunction",
        resource("CreateModelFunction", HANDLER, HANDLER + SCHEDULE),
    ),
    violation(
        "function_without_dead_letter_queue",
        "CreateModelFunction",
        resource("ApprovalEnded", "Arn: !Ref PromotionStateMachine", "Arn: !GetAtt CreateModelFunction.Arn"),
    ),
    violation(
        "dead_letter_queue_without_alarm",
        "DeadLetters of template.yaml",
        resource("UndeliveredEvents", "!GetAtt DeadLetters.QueueName", "other"),
    ),
    violation(
        "dead_letter_queue_without_alarm",
        "DeadLetters of upstream.yaml",
        upstream("UndeliveredEvents", "OfMessagesVisible", "OfMessagesNotVisible"),
    ),
    violation("alarm_without_action", "FailedRetention", resource("FailedRetention", "[!Ref Notifications]", "[]")),
    violation(
        "log_without_retention",
        "StateMachineLogs",
        resource("StateMachineLogs", "      RetentionInDays: !Ref LogRetentionDays\n"),
    ),
    violation(
        "log_without_retention",
        "CreateModelFunction",
        resource("CreateModelFunction", HANDLER, f"{HANDLER}      LoggingConfig:\n        LogGroup: other\n"),
    ),
    violation("log_without_the_key", "FunctionLogs", resource("FunctionLogs", LOG_KEY)),
    violation("role_without_permissions_boundary", "StartRole of template.yaml", resource("StartRole", BOUNDARY)),
    violation("role_without_permissions_boundary", "ReaderRole of upstream.yaml", upstream("ReaderRole", BOUNDARY)),
    violation(
        "role_without_permissions_boundary",
        "CreateModelFunction",
        resource("CreateModelFunction", HANDLER, f"{HANDLER}      PermissionsBoundary: !Ref AWS::NoValue\n"),
    ),
    violation("hard_coded_value", "Create model: contains a partition", state("Create model", "${Partition}", "aws")),
    violation(
        "hard_coded_value",
        "ReaderRole of upstream.yaml: contains a partition",
        upstream("ReaderRole", "${AWS::Partition}", "aws-cn"),
    ),
    violation(
        "hard_coded_value",
        "RollBackEndpointFunction of template.yaml: contains a region",
        resource("RollBackEndpointFunction", "${AWS::Region}", "eu-west-1"),
    ),
    violation(
        "hard_coded_value",
        "UpdateEndpoints of template.yaml: contains a region",
        resource("UpdateEndpoints", "${AWS::Region}", "eu-west-1"),
    ),
    violation(
        "hard_coded_value",
        "ForwardingRole of upstream.yaml: contains an account number",
        upstream("ForwardingRole", "!Ref AWS::AccountId", "'111111111111'"),
    ),
    violation(
        "unused_parameter", "Color", resource("Parameters", "  Stage:\n", "  Color:\n    Type: String\n  Stage:\n")
    ),
    violation(
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
    violation(
        "import_of_a_test_module", f"{STEP}: imports from {module}", Edit(STEP, "", "import pytest\n", f"{line}\n")
    )
    for module, line in [
        ("tests.unit.test_naming", "from tests.unit.test_naming import TIME"),
        ("tests.unit.test_naming", "from tests.unit import test_naming"),
        ("tests.unit.aws.test_clients", "import tests.unit.aws.test_clients"),
        ("tests.unit.conftest", "from tests.unit.conftest import moto"),
    ]
]

VIOLATIONS = [*FLOW, *CALLS, *ACCESS, *RESOURCES, *IMPORTS]


@pytest.mark.parametrize("rule", RULES)
def test_the_project_does_not_violate_the_rule(rule: str) -> None:
    assert list(RULES[rule](PROJECT)) == []


@pytest.mark.parametrize(("rule", "place", "edits"), VIOLATIONS)
def test_only_the_violated_rule_has_a_finding(rule: str, place: str, edits: tuple[Edit, ...]) -> None:
    project = PROJECT
    for edit in edits:
        project = edit.apply(project)

    found = findings(project)

    assert list(found) == [rule]
    assert all(place in sentence for sentence in found[rule]), found


def test_every_rule_has_a_violation() -> None:
    assert {param.values[0] for param in VIOLATIONS} == set(RULES)
