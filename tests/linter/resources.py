"""Rules for the resources, parameters and conditions of the templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.linter.project import TEMPLATES, Project, listed, objects, texts
from tests.linter.rules import rule

# Event sources that invoke a function synchronously, or that Lambda polls (SAM developer guide, "EventSource").
_SYNCHRONOUS = {
    "Api",
    "HttpApi",
    "SQS",
    "Kinesis",
    "DynamoDB",
    "MSK",
    "MQ",
    "SelfManagedKafka",
    "DocumentDB",
    "Cognito",
}
# Event sources that EventBridge delivers.
_DELIVERED = {"EventBridgeRule", "CloudWatchEvent", "Schedule", "ScheduleV2"}

_HARD_CODED = {
    "a partition": r"\barn:aws(-[a-z]+)*:",
    "a region": r"\b(af|ap|ca|cn|eu|il|me|mx|sa|us)(-gov)?-(central|(north|south)?(east|west)?)-[1-9]\b",
    "an account number": r"(?<!\d)\d{12}(?!\d)",
}


@rule
def state_machine_without_log(project: Project) -> Iterator[str]:
    place, machine = project.state_machine()
    logging = machine.get("Logging", {})
    if logging.get("Level") != "ALL" or not logging.get("Destinations"):
        yield f"{place}: does not log every event (Level ALL)."


@rule
def state_machine_without_tracing(project: Project) -> Iterator[str]:
    place, machine = project.state_machine()
    if machine.get("Tracing", {}).get("Enabled") is not True:
        yield f"{place}: is not traced."


@rule
def unencrypted_queue_or_topic(project: Project) -> Iterator[str]:
    for place, queue, _ in project.resources("AWS::SQS::Queue"):
        if not queue.get("SqsManagedSseEnabled") and not queue.get("KmsMasterKeyId"):
            yield f"{place}: is not encrypted."
    for place, topic, _ in project.resources("AWS::SNS::Topic"):
        if not topic.get("KmsMasterKeyId"):
            yield f"{place}: is not encrypted."


@rule
def unprotected_table(project: Project) -> Iterator[str]:
    for place, table, _ in project.resources("AWS::DynamoDB::Table"):
        if not table.get("SSESpecification", {}).get("SSEEnabled"):
            yield f"{place}: is not encrypted with a KMS key."
        if not table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
            yield f"{place}: has no point-in-time recovery."


@rule
def unprotected_bucket(project: Project) -> Iterator[str]:
    for place, bucket, _ in project.resources("AWS::S3::Bucket"):
        settings = list(objects(bucket))
        algorithms = [one["SSEAlgorithm"] for one in settings if "SSEAlgorithm" in one]
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        if not algorithms or any(not algorithm.startswith("aws:kms") for algorithm in algorithms):
            yield f"{place}: is not encrypted with a KMS key."
        if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{place}: has no versioning."
        if not all(blocked.get(block) is True for block in blocks):
            yield f"{place}: does not block all public access."
        if [one["ObjectOwnership"] for one in settings if "ObjectOwnership" in one] != ["BucketOwnerEnforced"]:
            yield f"{place}: accepts access control lists (no BucketOwnerEnforced)."


@rule
def bucket_without_tls(project: Project) -> Iterator[str]:
    denied = [
        policy["Bucket"]
        for _, policy, _ in project.resources("AWS::S3::BucketPolicy")
        for statement in objects(policy)
        if statement.get("Effect") == "Deny"
        and statement.get("Principal") == "*"
        and statement.get("Action") == "s3:*"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    ]
    own = [{"Ref": logical_id} for _, _, logical_id in project.resources("AWS::S3::Bucket")]
    for place, _, logical_id in project.resources("AWS::S3::Bucket"):
        if {"Ref": logical_id} not in denied:
            yield f"{place}: has no policy that denies requests without TLS."
    for place, policy, _ in project.resources("AWS::S3::BucketPolicy"):
        # Another stack owns the bucket; only the grants in this statement must require TLS.
        for statement in [] if policy["Bucket"] in own else policy["PolicyDocument"]["Statement"]:
            if statement["Condition"].get("Bool") != {"aws:SecureTransport": "true"}:
                yield f"{place}: {statement['Sid']} grants access without TLS."


@rule
def target_without_dead_letter_queue(project: Project) -> Iterator[str]:
    for place, target in _targets(project):
        if not target.get("DeadLetterConfig") and not target.get("RedrivePolicy"):
            yield f"{place}: has no dead-letter queue, so undelivered events are lost."


def _targets(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the targets that EventBridge or SNS delivers to, except email, which has no dead-letter queue."""
    for place, properties, _ in project.resources():
        for name, event in properties.get("Events", {}).items():
            if event["Type"] in _DELIVERED:
                yield f"{place}, event {name}", event["Properties"]
    for place, rule_, _ in project.resources("AWS::Events::Rule"):
        for target in rule_.get("Targets", []):
            yield f"{place}, target {target['Id']}", target
    for place, schedule, _ in project.resources("AWS::Scheduler::Schedule"):
        yield place, schedule["Target"]
    for place, subscription, _ in project.resources("AWS::SNS::Subscription"):
        if not subscription["Protocol"].startswith("email"):
            yield place, subscription


@rule
def function_without_dead_letter_queue(project: Project) -> Iterator[str]:
    """Lambda retries an asynchronous invocation twice and then drops its event."""
    delivered = [arn for _, target in _targets(project) for arn in (target.get("Arn"), target.get("Endpoint"))]
    for place, function, logical_id in project.resources("AWS::Serverless::Function"):
        events = {event["Type"] for event in function.get("Events", {}).values()} - _SYNCHRONOUS
        is_asynchronous = events or {"Fn::GetAtt": [logical_id, "Arn"]} in delivered
        has_queue = function.get("DeadLetterQueue") or any("OnFailure" in one for one in objects(function))
        if is_asynchronous and not has_queue:
            yield f"{place}: is invoked asynchronously and has no dead-letter queue."


@rule
def dead_letter_queue_without_alarm(project: Project) -> Iterator[str]:
    for path in TEMPLATES:
        resources = project.template(path)["Resources"]
        alarms = [
            resource["Properties"] for resource in resources.values() if resource["Type"] == "AWS::CloudWatch::Alarm"
        ]
        watched = [
            dimension["Value"]
            for alarm in alarms
            for metric in objects(alarm)
            if metric.get("MetricName") == "ApproximateNumberOfMessagesVisible"
            for dimension in metric["Dimensions"]
        ]
        for queue in sorted(_dead_letter_queues(resources)):
            if {"Fn::GetAtt": [queue, "QueueName"]} not in watched:
                yield f"{queue} of {path}: has no alarm for messages in it."


def _dead_letter_queues(resources: dict[str, Any]) -> set[str]:
    named = ("DeadLetterConfig", "DeadLetterQueue", "RedrivePolicy", "OnFailure")
    found = [one[name] for one in objects(resources) for name in named if name in one]
    arns = [arn for value in found for one in objects(value) for arn in one.get("Fn::GetAtt", [])[:1]]
    return {name for name in arns if resources.get(name, {}).get("Type") == "AWS::SQS::Queue"}


@rule
def alarm_without_action(project: Project) -> Iterator[str]:
    for place, alarm, _ in project.resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        if not alarm.get("AlarmActions") or alarm.get("ActionsEnabled", True) is not True:
            yield f"{place}: has no action."


@rule
def log_without_retention(project: Project) -> Iterator[str]:
    """Without a log group of the template, Lambda creates one that never expires."""
    groups = []
    for place, group, logical_id in project.resources("AWS::Logs::LogGroup"):
        groups.append({"Ref": logical_id})
        if not group.get("RetentionInDays"):
            yield f"{place}: never expires."
    for place, _, logical_id in project.resources("AWS::Serverless::Function"):
        if project.function(logical_id).get("LoggingConfig", {}).get("LogGroup") not in groups:
            yield f"{place}: writes to a log group outside the template, which never expires."


@rule
def role_without_permissions_boundary(project: Project) -> Iterator[str]:
    """An organization can require a boundary of every role."""
    boundary = {"Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    for place, role, _ in project.resources("AWS::IAM::Role"):
        if role.get("PermissionsBoundary") != boundary:
            yield f"{place}: does not have the parameter PermissionsBoundary."
    for place, _, logical_id in project.resources("AWS::Serverless::Function"):
        if project.function(logical_id).get("PermissionsBoundary") != boundary:
            yield f"{place}: its role does not have the parameter PermissionsBoundary."


@rule
def log_without_the_key(project: Project) -> Iterator[str]:
    for place, group, _ in project.resources("AWS::Logs::LogGroup"):
        if group.get("KmsKeyId") != {"Fn::If": ["HasLogKey", {"Ref": "LogKeyArn"}, {"Ref": "AWS::NoValue"}]}:
            yield f"{place}: does not have the parameter LogKeyArn."


@rule
def hard_coded_value(project: Project) -> Iterator[str]:
    places: list[tuple[str, Any]] = list(project.states())
    for path in TEMPLATES:
        for section in ("Globals", "Conditions", "Resources", "Outputs"):
            places += [(f"{name} of {path}", found) for name, found in project.template(path).get(section, {}).items()]
    for place, value in places:
        for text in texts(value):
            for kind, pattern in _HARD_CODED.items():
                if re.search(pattern, text):
                    yield f"{place}: contains {kind} in {text}."


@rule
def unused_parameter(project: Project) -> Iterator[str]:
    for path in TEMPLATES:
        document = project.template(path)
        rest = {section: value for section, value in document.items() if section != "Parameters"}
        used = {one["Ref"] for one in objects(rest) if "Ref" in one}
        for one in objects(rest):
            used |= {
                name for text in texts(listed(one.get("Fn::Sub", []))) for name in re.findall(r"\$\{(\w+)\}", text)
            }
        for name in document.get("Parameters", {}).keys() - used:
            yield f"{path}: the parameter {name} is not used."


@rule
def unused_condition(project: Project) -> Iterator[str]:
    for path in TEMPLATES:
        document = project.template(path)
        used = {one["Condition"] for one in objects(document) if isinstance(one.get("Condition"), str)}
        used |= {one["Fn::If"][0] for one in objects(document) if "Fn::If" in one}
        for name in document.get("Conditions", {}).keys() - used:
            yield f"{path}: the condition {name} is not used."
