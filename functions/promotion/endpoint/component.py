"""The inference component of an application: its requests, its deployment and its rollback, one step per call.

Promotions create and update the component's own endpoint too, whose config has instances but no model. SageMaker shows
neither the requested specification of an update nor who requested it. So a step waits until nothing changes, and the
model of the component then decides. `target.describe` is what the steps read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, as_transient, meaning, message
from promotion.endpoint import rollback, scalable_targets
from promotion.endpoint.model import tag_list
from promotion.endpoint.sagemaker import describe_endpoint_config
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.state import BUSY, RollbackStep
from promotion.endpoint.target import Target, describe
from promotion.errors import EndpointBusyError, PromotionRefusedError
from promotion.naming import VARIANT
from promotion.record import PromotionRecord

COPIES = "CopyCount"
"""The key of `InferenceComponent` in the settings for the number of copies."""

SHARED_ENDPOINT = ("EndpointName", "VariantName")
"""The keys for the endpoint that several applications share; all other keys are of the specification."""

# Members of the description of an endpoint config that say nothing about its content.
_OF_THE_CONFIG_ITSELF = {"CreationTime", "EndpointConfigArn", "EndpointConfigName", "ResponseMetadata"}
# SageMaker adds to the description of a specification what it read from the model.
_OF_THE_MODEL = {"Container"}


def specification(component: dict[str, Any], model_name: str) -> dict[str, Any]:
    """Return the Specification of CreateInferenceComponent for `component`, the value of the settings."""
    of_specification = {key: value for key, value in component.items() if key not in (COPIES, *SHARED_ENDPOINT)}
    return {"ModelName": model_name, **of_specification}


def before(target: Target, previous: str | None, live: PromotionRecord | None) -> dict[str, Any]:
    """Return what the journal holds of a target: the endpoint config and the specification to restore, if they exist.

    `previous` is the deployment to restore. If someone else has deployed another one, it is that of the `live` record.
    Raise PromotionRefusedError if the component has specifications that a rollback could not restore.
    """
    found: dict[str, Any] = {"endpoint_config": ""}
    if target.endpoint:
        modified = str(target.endpoint["LastModifiedTime"])
        found = {"endpoint_config": target.endpoint["EndpointConfigName"], "endpoint_modified": modified}
    if target.component is None:
        return found
    described = target.component.get("Specification") or {}
    if "ModelName" not in described:
        raise PromotionRefusedError(
            f"The inference component {target.component_name} has no model, or specifications for several instance "
            "types, which a rollback could not restore. Delete the component, then start the promotion again."
        )
    if previous != described["ModelName"] and live and live.get("component"):
        return found | {"specification": specification(live["component"], live["model_name"])}
    kept = {member: value for member, value in described.items() if member not in _OF_THE_MODEL}
    return found | {"specification": kept}


def deploy(sagemaker: Any, target: Target, record: PromotionRecord, tags: dict[str, str]) -> None:
    """Start the deployment of the component of `record` once its endpoint is ready.

    Raise EndpointBusyError while the endpoint or the component is changing, also if this call has started the change
    of the endpoint; PromotionRefusedError if someone else has changed one of them or AWS denies a request.
    """
    name, config, was = record["endpoint"], record["endpoint_config_name"], record["previous_component"]
    with _translated(name):
        if "EndpointName" not in record["component"]:
            _make_endpoint_ready(sagemaker, target, name, config, was, tags)
        elif target.endpoint is None or target.endpoint["EndpointStatus"] != "InService":
            raise EndpointBusyError(f"The shared endpoint {record['component']['EndpointName']} is not InService.")
        _deploy(sagemaker, target, record, tags)


def _make_endpoint_ready(
    sagemaker: Any, target: Target, name: str, config: str, was: dict[str, Any], tags: dict[str, str]
) -> None:
    previous = was["endpoint_config"]
    if target.endpoint is None:
        if previous:
            raise PromotionRefusedError(f"Someone deleted the endpoint {name} during this promotion.")
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tag_list(tags))
        raise EndpointBusyError(f"The endpoint {name} is being created. Its inference component is created after it.")
    current, status = target.endpoint["EndpointConfigName"], target.endpoint["EndpointStatus"]
    if status in BUSY:
        raise EndpointBusyError(f"The endpoint {name} is {status}.")
    if status != "InService":
        reason = target.endpoint.get("FailureReason") or "SageMaker gave no reason."
        raise PromotionRefusedError(f"The endpoint {name} is {status}: {reason}")
    if current not in (config, previous):
        raise PromotionRefusedError(
            f"Someone else changed the endpoint {name} to {current} during this promotion. That change was not "
            "overwritten. To replace it, start the promotion again."
        )
    if _content(sagemaker, current) != _content(sagemaker, config):
        # Only an update that SageMaker has rolled back since the journal was written leaves a new reason.
        if (reason := target.endpoint.get("FailureReason")) and str(target.endpoint["LastModifiedTime"]) != was[
            "endpoint_modified"
        ]:
            raise PromotionRefusedError(f"SageMaker rolled back the endpoint {name} to {current}: {reason}")
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
        raise EndpointBusyError(f"The endpoint {name} is being updated. Its inference component is updated after it.")


def _content(sagemaker: Any, config: str) -> dict[str, Any] | None:
    """Return what an endpoint config has apart from its name, or None if it does not exist."""
    found = describe_endpoint_config(sagemaker, config)
    return found and {member: value for member, value in found.items() if member not in _OF_THE_CONFIG_ITSELF}


def _deploy(sagemaker: Any, target: Target, record: PromotionRecord, tags: dict[str, str]) -> None:
    name, wanted, model = record["endpoint"], record["component"], record["model_name"]
    copies = {"CopyCount": wanted[COPIES]}
    if target.component is None:
        sagemaker.create_inference_component(
            InferenceComponentName=name,
            EndpointName=target.host,
            VariantName=wanted.get("VariantName", VARIANT),
            Specification=specification(wanted, model),
            RuntimeConfig=copies,
            Tags=tag_list(tags),
        )
        return
    status, current = target.component["InferenceComponentStatus"], (target.description or {})["EndpointConfigName"]
    if status in BUSY:
        raise EndpointBusyError(f"The inference component {name} is {status}.")
    previous = record["previous_component"].get("specification", {}).get("ModelName")
    if current not in (model, previous):
        raise PromotionRefusedError(
            f"Someone else changed the inference component {name} to the model {current} during this promotion. That "
            "change was not overwritten. To replace it, start the promotion again."
        )
    if current == model and status == "InService":
        return
    deployment_config = record.get("deployment_config")
    # A component that was scaled out keeps its copies.
    is_smaller = target.component["RuntimeConfig"]["DesiredCopyCount"] < wanted[COPIES]
    sagemaker.update_inference_component(
        InferenceComponentName=name,
        Specification=specification(wanted, model),
        **({"RuntimeConfig": copies} if is_smaller else {}),
        **({"DeploymentConfig": deployment_config} if deployment_config else {}),
    )


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate the errors of SageMaker; one may mean that an earlier call, whose response was lost, was accepted."""
    try:
        yield
    except ClientError as error:
        match meaning(error):
            case Meaning.BUSY | Meaning.ALREADY_EXISTS:
                raise EndpointBusyError(f"The inference component {name} is changing. {message(error)}") from error
            case Meaning.NOT_FOUND | Meaning.TRANSIENT:
                # A new model or endpoint config may not be visible yet.
                text = f"The inference component {name} was not changed. {message(error)}"
                raise as_transient(error, text) from error
            case known:
                if known is not Meaning.DENIED and error.response["Error"]["Code"] != "ResourceLimitExceeded":
                    raise
                raise PromotionRefusedError(
                    f"AWS refused to change the inference component {name}. {message(error)}"
                ) from error


def rollback_step(target: Target, record: PromotionRecord) -> RollbackStep:
    """Return the next step of the rollback of a component and its endpoint: first the component, then the endpoint.

    The step "delete" or "update" is one of the component if the component has to change, otherwise of the endpoint.
    Only what the promotion has changed is rolled back.
    """
    name, was = record["endpoint"], record["previous_component"]
    former, model = was.get("specification"), record["model_name"]
    if target.endpoint is None:
        if not was["endpoint_config"]:
            return RollbackStep("rolled_back")
        return RollbackStep("failed", f"Someone deleted the endpoint {name} during the promotion. {_AGAIN}")
    if target.endpoint["EndpointStatus"] in BUSY:
        return RollbackStep("wait", f"The endpoint {name} is {target.endpoint['EndpointStatus']}.")
    if target.component is None:
        if former is not None:
            return RollbackStep("failed", f"Someone deleted the inference component {name}. {_AGAIN}")
        return _of_endpoint(target, record)
    status, current = target.component["InferenceComponentStatus"], (target.description or {})["EndpointConfigName"]
    if status in BUSY:
        return RollbackStep("wait", f"The inference component {name} is {status}.")
    if former is not None and current == former["ModelName"]:
        if status != "InService":
            reason = target.component.get("FailureReason") or "SageMaker gave no reason."
            return RollbackStep("failed", f"The inference component {name} is {status} with {current}: {reason}")
        return _of_endpoint(target, record)
    if current == model:
        return RollbackStep("update" if former else "delete")
    return RollbackStep(
        "failed",
        f"Someone else changed the inference component {name} to the model {current} during the promotion. That change "
        "was not rolled back.",
    )


_AGAIN = "Start a promotion, which creates it again."


def _of_endpoint(target: Target, record: PromotionRecord) -> RollbackStep:
    """Return the next step once the component is as it was before."""
    if "EndpointName" in record["component"]:
        return RollbackStep("rolled_back")  # a promotion does not change a shared endpoint
    endpoint, previous = target.endpoint or {}, record["previous_component"]["endpoint_config"]
    current = endpoint["EndpointConfigName"]
    if current == previous:
        return RollbackStep("rolled_back")
    if current == record["endpoint_config_name"]:
        return RollbackStep("update" if previous else "delete")
    return RollbackStep(
        "failed",
        f"Someone else changed the endpoint {record['endpoint']} to {current} during the promotion. That change was "
        "not rolled back.",
    )


def take_step(sagemaker: Any, scaling: Any, target: Target, record: PromotionRecord, change: Change) -> RollbackStep:
    """Take the next step of the rollback of a component, its endpoint, their autoscaling and tags, and return it.

    Raise PromotionRefusedError or ClientError as `rollback.take_step`.
    """
    name, was = record["endpoint"], record["previous_component"]
    step, former = rollback_step(target, record), was.get("specification")
    is_restored = former is None if target.component is None else _model_of(target) == (former or {}).get("ModelName")
    is_of_endpoint = target.component is None or is_restored

    def take() -> RollbackStep:
        match step.step:
            case "update" if is_of_endpoint:
                sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=was["endpoint_config"])
            case "update":
                sagemaker.update_inference_component(InferenceComponentName=name, Specification=former)
            case "delete" if is_of_endpoint:
                sagemaker.delete_endpoint(EndpointName=name)
            case "delete":
                scalable_targets.deregister_unknown(scaling, name, target.description, change.previous)
                sagemaker.delete_inference_component(InferenceComponentName=name)
            case "rolled_back":
                return rollback.with_targets_and_tags(sagemaker, scaling, target.description, target.endpoint, change)
        return step

    def exists() -> bool:
        now = describe(sagemaker, record)
        return (now.endpoint if is_of_endpoint else now.component) is not None

    what = f"endpoint {name}" if is_of_endpoint else f"inference component {name}"
    return rollback.taken(take, step, what, "its state before the promotion", exists)


def _model_of(target: Target) -> str | None:
    return ((target.component or {}).get("Specification") or {}).get("ModelName")
