"""The keys of the promotion record that say what a promotion did to the endpoint, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from promotion.record.annotations import ReadBy, WrittenBy


class DeploymentKeys(TypedDict, total=False):
    """The resources on the endpoint, those before, the results of the smoke test, and the outcome."""

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
