"""Rollback of an endpoint to its previous config and scalable targets, one step per call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.endpoint import autoscaling, retained, scalable_targets, state, tagging
from promotion.endpoint.sagemaker import describe_endpoint
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.state import RollbackStep
from promotion.errors import PromotionRefusedError


def take_step(sagemaker: Any, scaling: Any, endpoint: str, change: Change) -> RollbackStep:
    """Take the next step of the rollback of `endpoint` from its new config to the previous one and its targets.

    The previous config is None if the promotion created the endpoint. Raises PromotionRefusedError or ClientError if
    AWS denies a request, because a recovery can continue once the permission is granted.
    """
    requested, previous = change.config, change.previous_config
    description = describe_endpoint(sagemaker, endpoint)
    step = state.rollback_step(description, requested, previous)

    def take() -> RollbackStep:
        match step.step:
            case "update" if description and previous:
                _update(sagemaker, scaling, description, previous)
            case "delete":
                scalable_targets.deregister_unknown(scaling, endpoint, description, change.previous)
                sagemaker.delete_endpoint(EndpointName=endpoint)
            case "rolled_back":
                if description is None:
                    scalable_targets.deregister_unknown(scaling, endpoint, description, change.previous)
                return with_targets_and_tags(sagemaker, scaling, description, description, change)
            case "failed":
                more = scalable_targets.restore_missing(scaling, sagemaker, endpoint, description, change)
                return dataclasses.replace(step, reason=step.reason + more)
        return step

    goal = f"the endpoint config {previous}" if previous else "its state before the promotion"
    return taken(take, step, f"endpoint {endpoint}", goal, lambda: describe_endpoint(sagemaker, endpoint) is not None)


def taken(
    take: Callable[[], RollbackStep], step: RollbackStep, what: str, goal: str, exists: Callable[[], bool]
) -> RollbackStep:
    """Return what `take` returns when it takes `step`, or what an error of AWS means for it.

    `what` is the resource, and `goal` what it is rolled back to; `exists` returns whether the resource still does.
    """
    try:
        return take()
    except PromotionRefusedError as error:
        if isinstance(error.__cause__, ClientError) and meaning(error.__cause__) is Meaning.DENIED:
            raise
        return RollbackStep("failed", str(error))
    except ClientError as error:
        match meaning(error):
            case Meaning.BUSY:
                return RollbackStep("wait", f"The {what} is being updated.")
            case Meaning.NOT_FOUND if step.step == "delete":
                return RollbackStep("wait", f"The {what} no longer exists.")
            case Meaning.DENIED if step.step == "delete" and not exists():
                # The SDK repeated a deletion whose response was lost. What does not exist has no tags that permit it.
                return RollbackStep("wait", f"The {what} no longer exists.")
            case Meaning.NOT_FOUND:
                return RollbackStep("failed", f"The {what} could not be rolled back to {goal}. {message(error)}")
            case _:
                # After a permission was granted or a quota was raised, the recovery can continue.
                raise


def _update(sagemaker: Any, scaling: Any, description: dict[str, Any], previous: str) -> None:
    """Update the endpoint all at once, without guardrails, because the live config has just failed."""
    endpoint = description["EndpointName"]
    scalable_targets.deregister_blocking(scaling, sagemaker, endpoint, description, previous)
    sagemaker.update_endpoint(
        EndpointName=endpoint,
        EndpointConfigName=previous,
        **retained.properties(sagemaker, description, previous),
    )


def with_targets_and_tags(
    sagemaker: Any,
    scaling: Any,
    description: dict[str, Any] | None,
    endpoint: dict[str, Any] | None,
    change: Change,
) -> RollbackStep:
    """Restore the targets of what is deployed as before, which the next step verifies, and the tags of its endpoint.

    `description` is that of an endpoint or of a component (of `target`), and `endpoint` the DescribeEndpoint response.
    Each is None if it does not exist.
    """
    if description:
        actual = scalable_targets.read(scaling, description["EndpointName"], description)
        targets = scalable_targets.to_restore(sagemaker, actual, change)
        if not autoscaling.are_equivalent(actual, targets):
            scalable_targets.apply(scaling, actual, targets)
            return RollbackStep("wait", f"The autoscaling of {description['EndpointName']} is being restored.")
    if endpoint and change.tags:
        tagging.restore(sagemaker, endpoint["EndpointArn"], change.tags)
    return RollbackStep("rolled_back")
