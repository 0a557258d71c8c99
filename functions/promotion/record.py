"""The promotion record: the data of one promotion, from its start to the history.

The state machine keeps it in the variable `promotion` and passes it to functions under that name. The promotion table
stores it as JSON, and it is the detail of the events that a stage publishes. Each key exists as soon as the first state
has written it.

Each key is annotated with its meaning, the states that write it, and its readers: states (their expressions, or the
functions that they call), modules of the functions, and rules of template.yaml that match it. A
test compares writers and readers with the definition, the template and the code; docs/architecture.md lists them.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict


class WrittenBy(str):
    """The states that write a key, separated by commas."""

    __slots__ = ()


class ReadBy(str):
    """The readers of a key, separated by commas."""

    __slots__ = ()


NEARLY_EVERY_STATE = ReadBy("nearly every state")


class PromotionRecord(TypedDict, total=False):
    """One promotion, successful or not. Old records may lack keys that were added later."""

    execution: Annotated[
        str,
        "The ARN of the promotion's execution",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "history.rollback, history.records, schedules.watch_promotions, Resolve images, history.agreement, "
            "endpoint.registry, messages.message, messages.overview"
        ),
    ]
    started_at: Annotated[
        str,
        "The start time of that execution (ISO 8601)",
        WrittenBy("Resolve candidate"),
        ReadBy("history.rollback, messages.overview"),
    ]
    started_by: Annotated[
        str,
        "The person who started it with a runbook, according to Systems Manager; empty without a runbook",
        WrittenBy("Resolve candidate"),
        ReadBy("messages.message"),
    ]
    stage: Annotated[
        str,
        "The name of the stage",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "PromotedUpstream, ReportOutcome, Prepare promotion record, Resolve candidate, Inspect endpoint, "
            "history.approval, history.approval_requests, endpoint.registry, messages.message"
        ),
    ]
    application: Annotated[
        str,
        "The name of the application",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "Preview promotion, Update endpoint, Remove superseded models, Publish failure, Publish rejection, "
            "history.approval_requests, plan.preview, Prepare promotion record, Inspect endpoint, Publish refusal, "
            "Run smoke test, history.approval, history.verification, history.events, notifications.notify_operators, "
            "messages.message, messages.overview, Copy batch, Copy images, Create model, Create endpoint config"
        ),
    ]
    endpoint: Annotated[
        str,
        "The name of the endpoint, `application`-`stage`",
        WrittenBy("Resolve candidate"),
        NEARLY_EVERY_STATE,
    ]
    source_kind: Annotated[
        str,
        "The kind of source: training_job, tuning_job, automl_job, model, model_package or rollback",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "Inspect endpoint, history.approval_requests, plan.preview, ForwardPromotions, PromotedUpstream, Prepare "
            "promotion record, Resolve images, history.rollback, source.promoted, history.approval, "
            "history.agreement, history.events, messages.message, messages.overview"
        ),
    ]
    source_name: Annotated[
        str,
        "The name of the source; for a rollback, the execution of the promotion to roll back to",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "Inspect endpoint, Publish failure, history.approval_requests, plan.preview, schedules.watch_promotions, "
            "history.rollback, history.approval, history.events"
        ),
    ]
    original_source_kind: Annotated[
        str,
        "The kind of the source that a rollback restores; only in the record of a rollback",
        WrittenBy("Resolve candidate"),
        ReadBy("Inspect endpoint, history.rollback"),
    ]
    original_source_name: Annotated[
        str,
        "The name of that source",
        WrittenBy("Resolve candidate"),
        ReadBy("Inspect endpoint, history.rollback"),
    ]
    replaced_source_arn: Annotated[
        str,
        "The ARN of the trained or registered source that a rollback replaces; only in the record of a rollback",
        WrittenBy("Resolve candidate"),
    ]
    source_arn: Annotated[
        str,
        "The ARN of the trained or registered source, the same in every stage",
        WrittenBy("Resolve candidate"),
        ReadBy("plan.preview, messages.message, history.rollback, endpoint.registry"),
    ]
    created_at: Annotated[
        str,
        "The time when the candidate was trained or registered (ISO 8601), the same in every stage",
        WrittenBy("Resolve candidate"),
        ReadBy(
            "Preview promotion, Request approval, Inspect endpoint, endpoint.state, history.approval_requests, "
            "history.rollback, plan.preview"
        ),
    ]
    tested_upstream: Annotated[
        dict[str, Any],
        "The report of the upstream stage about its promotion of the model: the name of the stage, the end of the "
        "promotion, its smoke test, and the last rollback from the same digest; only for a model of an upstream stage",
        WrittenBy("Resolve candidate"),
        ReadBy("messages.message"),
    ]
    rolled_back_at: Annotated[
        str,
        "The time of the last rollback of the endpoint from the same digest (ISO 8601); empty if there was none",
        WrittenBy("Inspect endpoint, Request approval"),
        ReadBy("messages.message"),
    ]
    by_event: Annotated[
        bool,
        "Whether an event started the promotion instead of an operator",
        WrittenBy("Resolve candidate"),
        ReadBy("Check quality gate, Request approval, Inspect endpoint, endpoint.state, plan.preview"),
    ]
    approval: Annotated[
        str,
        "The ID of the approval runbook's execution; empty without an approval",
        WrittenBy("Resolve candidate, Request approval"),
        ReadBy(
            "Preview promotion, Approval required?, Inspect endpoint, Prepare promotion record, history.approval, "
            "history.agreement, messages.message"
        ),
    ]
    approved_by: Annotated[
        str,
        "The approvers, according to Systems Manager; empty without an approval",
        WrittenBy("Resolve candidate"),
        ReadBy("Prepare promotion record, messages.message, messages.overview"),
    ]
    approval_comment: Annotated[
        str,
        "The comments of the approvers",
        WrittenBy("Resolve candidate"),
        ReadBy("messages.message"),
    ]
    digest: Annotated[
        str,
        "The SHA-256 digest of the candidate",
        WrittenBy("Resolve candidate, Plan copy"),
        ReadBy(
            "Check quality gate, Request approval, Inspect endpoint, history.approval_requests, history.retention, "
            "history.rollback, plan.preview, history.approval, history.verification, messages.message, "
            "endpoint.registry"
        ),
    ]
    deployment_digest: Annotated[
        str,
        "The SHA-256 digest of everything that decides what the endpoint serves; an approval covers only this digest",
        WrittenBy("Plan copy"),
        ReadBy("history.approval, history.approval_requests, endpoint.state"),
    ]
    model_digest: Annotated[
        str,
        "The digest of the model in this stage, with the image and environment of the settings",
        WrittenBy("Plan copy, Resolve images"),
    ]
    digest_without_images: Annotated[
        str,
        "The same digest without images, completed when the images are resolved",
        WrittenBy("Plan copy"),
        ReadBy("Resolve images"),
    ]
    smoke_test: Annotated[
        str,
        "The S3 URI of the smoke test's suite, or skip",
        WrittenBy("Plan copy"),
        ReadBy(
            "Run smoke test, Prepare promotion record, Resolve images, endpoint.state, history.approval_requests, "
            "messages.message"
        ),
    ]
    metrics: Annotated[
        dict[str, float],
        "The candidate's metrics by name",
        WrittenBy("Plan copy"),
        ReadBy(
            "Check quality gate, Inspect endpoint, plan.preview, source.quality_gate, messages.message, "
            "messages.overview"
        ),
    ]
    not_pinned: Annotated[
        list[str],
        "The places in the environment whose weights or addresses the digest does not pin",
        WrittenBy("Plan copy"),
        ReadBy("history.approval_requests, plan.preview, messages.message"),
    ]
    deployment_config: Annotated[
        dict[str, Any],
        "The DeploymentConfig of the settings; empty without one",
        WrittenBy("Plan copy"),
        ReadBy("Inspect endpoint, Create alarms, Update endpoint, Check endpoint, endpoint.component"),
    ]
    tags: Annotated[
        dict[str, str],
        "The tags of the candidate and of the settings, which the endpoint and its config have",
        WrittenBy("Plan copy, Inspect endpoint"),
        ReadBy("Update endpoint, endpoint.state, endpoint.tagging"),
    ]
    quality_gate: Annotated[
        list[dict[str, Any]],
        "Each rule of the quality gate with the compared values and its result",
        WrittenBy("Check quality gate, Inspect endpoint"),
        ReadBy("Preview promotion, Inspect endpoint, plan.preview, messages.message"),
    ]
    objects: Annotated[
        int,
        "The number of objects of the model's artifacts",
        WrittenBy("Copy artifacts"),
    ]
    bytes: Annotated[
        int,
        "The size of those objects in bytes",
        WrittenBy("Copy artifacts"),
    ]
    manifest: Annotated[
        str,
        "The key of the copy's manifest in the artifact bucket",
        WrittenBy("Copy artifacts"),
    ]
    verified_by: Annotated[
        str,
        "The verification of the copies, for example by CRC64NVME",
        WrittenBy("Copy artifacts"),
    ]
    model_name: Annotated[
        str,
        "The name of the SageMaker model",
        WrittenBy("Create model"),
        ReadBy(
            "Preview promotion, Request approval, Resolve images, Record smoke test failure, Publish promotion, "
            "endpoint.component, endpoint.state, history.retention, history.rollback, plan.preview, "
            "source.quality_gate, source.request, Prepare promotion record, history.verification, history.agreement, "
            "messages.message, messages.overview, endpoint.registry, notifications.register_model"
        ),
    ]
    endpoint_config_name: Annotated[
        str,
        "The name of the endpoint config; with a component, also that of its model",
        WrittenBy("Create endpoint config"),
        ReadBy(
            "Preview promotion, Inspect endpoint, Create alarms, Update endpoint, Check endpoint, history.lock, "
            "endpoint.component, endpoint.state, history.retention, history.rollback, Apply autoscaling, Run smoke "
            "test, history.verification, plan.preview, history.agreement, notifications.notify_operators"
        ),
    ]
    previous_endpoint_config_name: Annotated[
        str,
        "The endpoint config to roll back to; empty for a new endpoint",
        WrittenBy("Inspect endpoint"),
        ReadBy(
            "Create alarms, Update endpoint, Check endpoint, Publish failure, history.lock, history.retention, "
            "history.agreement"
        ),
    ]
    component: Annotated[
        dict[str, Any],
        "InferenceComponent of the settings; empty for an endpoint that hosts its model itself",
        WrittenBy("Plan copy"),
        ReadBy(
            "Preview promotion, Inspect endpoint, Update endpoint, Apply autoscaling, Roll back endpoint, "
            "endpoint.component, endpoint.target"
        ),
    ]
    previous_component: Annotated[
        dict[str, Any],
        "The config of the endpoint, and the specification of the component to roll back to",
        WrittenBy("Inspect endpoint"),
        ReadBy("endpoint.component, history.retention"),
    ]
    changing: Annotated[
        bool,
        "Whether the promotion may have updated the endpoint, so that a failure rolls it back",
        WrittenBy("Inspect endpoint, Prepare promotion record"),
        ReadBy("Roll back endpoint, Publish failure, history.rollback"),
    ]
    baking_seconds: Annotated[
        int,
        "The total wait time of the deployment in seconds, without the start of instances",
        WrittenBy("Inspect endpoint"),
        ReadBy(
            "Update endpoint, Wait for deployment, Record deployment failure, Record smoke test failure, Capture "
            "failure, Take over endpoint lock, Wait for rollback, history.lock"
        ),
    ]
    images: Annotated[
        list[str],
        "The images of the endpoint with their digests",
        WrittenBy("Resolve images"),
    ]
    smoke_test_invocations: Annotated[
        int,
        "The number of invocations in the smoke test",
        WrittenBy("Run smoke test"),
        ReadBy("messages.message"),
    ]
    smoke_test_errors: Annotated[
        int,
        "The number of invocations that failed or were too slow",
        WrittenBy("Run smoke test"),
        ReadBy("messages.message"),
    ]
    smoke_test_p95_latency_ms: Annotated[
        int,
        "The p95 latency of the invocations in milliseconds",
        WrittenBy("Run smoke test"),
        ReadBy("messages.message, messages.overview"),
    ]
    register_into: Annotated[
        str,
        "The model package group of this account in which the model is registered, according to the settings; or empty",
        WrittenBy("Plan copy"),
        ReadBy("endpoint.registry"),
    ]
    status: Annotated[
        str,
        "The result of the promotion: Succeeded, Failed, RollbackFailed or Rejected",
        WrittenBy(
            "Prepare promotion record, Prepare failure record, Publish failure, Publish rejection, Publish refusal"
        ),
        ReadBy(
            "Publish failure, history.retention, history.rollback, history.agreement, notifications.notify_operators,"
            " messages.overview"
        ),
    ]
    reason: Annotated[
        str,
        "The reason for a failure or rejection",
        WrittenBy(
            "Prepare promotion record, Prepare failure record, Publish failure, Publish rejection, Publish refusal"
        ),
        ReadBy("messages.overview"),
    ]
    error: Annotated[
        str,
        "The name of the error; only in the event of a failure",
        WrittenBy("Publish failure, Prepare failure record"),
    ]
    summary: Annotated[
        str,
        "The text of the email about the promotion; only in events",
        WrittenBy("Publish failure, Publish rejection, Prepare promotion record, Publish refusal, Request approval"),
        ReadBy("messages.message"),
    ]
    approve_until: Annotated[
        str,
        "The end of the time to approve (ISO 8601); only in the event of an approval request",
        WrittenBy("Request approval"),
        ReadBy("messages.message"),
    ]
    ended_at: Annotated[
        str,
        "The end time (ISO 8601)",
        WrittenBy("Prepare promotion record, Prepare failure record, Publish rejection, Publish refusal"),
        ReadBy(
            "Record promotion, Record failure, history.rollback, history.agreement, notifications.notify_operators, "
            "messages.message, messages.overview"
        ),
    ]
