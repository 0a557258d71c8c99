"""The keys of the promotion record that say what is promoted, why, and by whom."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from promotion.record.annotations import NEARLY_EVERY_STATE, ReadBy, WrittenBy


class CandidateKeys(TypedDict, total=False):
    """The execution, the candidate, its approval, its smoke test and its copies."""

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
