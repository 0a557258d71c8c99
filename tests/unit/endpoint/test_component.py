"""The deployment and the rollback of an inference component, step by step, whatever others do meanwhile."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint import component
from promotion.endpoint.scalable_targets import Change
from promotion.endpoint.target import Target, describe
from promotion.errors import EndpointBusyError, PromotionRefusedError, TransientError
from promotion.record import PromotionRecord
from tests.support.s3_faults import client_error, not_found

NAME, OLD, NEW, OTHER = "reviews-qa", "reviews-qa-old", "reviews-qa-new", "of-someone-else"
NEEDS = {"ComputeResourceRequirements": {"MinMemoryRequiredInMb": 128}}
FORMER = {"ModelName": OLD, **NEEDS}
WANTED = {**NEEDS, "CopyCount": 2}
HOST = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large"}
CONFIGS = {OLD: HOST, NEW: HOST, "larger": HOST | {"InstanceType": "ml.m5.xlarge"}}


def record(deployment_config: dict[str, Any] | None = None) -> PromotionRecord:
    """Return the record of an update from OLD to NEW."""
    return PromotionRecord(
        endpoint=NAME,
        model_name=NEW,
        endpoint_config_name=NEW,
        previous_endpoint_config_name=OLD,
        component=WANTED,
        previous_component={"endpoint_config": OLD, "specification": FORMER},
        deployment_config=deployment_config or {},
    )


FIRST = record() | PromotionRecord(previous_component={"endpoint_config": ""}, previous_endpoint_config_name="")
ONLY_COMPONENT = FIRST | PromotionRecord(previous_component={"endpoint_config": OLD})


class SageMaker:
    """An endpoint and its component, and the changes that were requested."""

    def __init__(
        self,
        model: str | None = OLD,
        status: str = "InService",
        config: str | None = OLD,
        endpoint_status: str = "InService",
        copies: int = 1,
        refusal: ClientError | None = None,
    ) -> None:
        self.endpoint = config and {
            "EndpointName": NAME,
            "EndpointArn": "arn:endpoint",
            "EndpointConfigName": config,
            "EndpointStatus": endpoint_status,
            "LastModifiedTime": "before",
        }
        self.component = model and {
            "InferenceComponentStatus": status,
            "Specification": {"ModelName": model, "Container": {"DeployedImage": {}}, **NEEDS},
            "RuntimeConfig": {"DesiredCopyCount": copies},
        }
        self.refusal = refusal
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def describe_endpoint(self, **_: Any) -> Any:
        if not self.endpoint:
            raise not_found("endpoint", NAME)
        return self.endpoint

    def describe_inference_component(self, **_: Any) -> Any:
        if not self.component:
            raise not_found("inference component", NAME)
        return self.component

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - the name in boto3
        return {"EndpointConfigName": EndpointConfigName, "ProductionVariants": [CONFIGS[EndpointConfigName]]}

    def __getattr__(self, operation: str) -> Any:
        def request(**given: Any) -> None:
            self.requests.append((operation, given))
            if self.refusal:
                raise self.refusal

        return request


class Scaling:
    """An Application Auto Scaling without targets."""

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"ScalableTargets": []}]


def target_of(sagemaker: SageMaker, promotion: PromotionRecord | None = None) -> Target:
    return describe(sagemaker, promotion or record())


def deployed(sagemaker: SageMaker, promotion: PromotionRecord | None = None) -> list[tuple[str, dict[str, Any]]]:
    component.deploy(sagemaker, target_of(sagemaker), promotion or record(), {"application": "reviews"})
    return sagemaker.requests


def test_a_target_presents_its_component_as_an_endpoint_with_the_name_of_its_model() -> None:
    description = target_of(SageMaker()).description
    assert description is not None
    assert (description["EndpointConfigName"], description["EndpointStatus"]) == (OLD, "InService")
    assert target_of(SageMaker(status="Updating")).description["EndpointStatus"] == "Updating"  # type: ignore[index]
    changing = target_of(SageMaker(endpoint_status="SystemUpdating")).description
    assert changing is not None
    assert changing["EndpointStatus"] == "SystemUpdating"
    assert target_of(SageMaker(model=None)).description is None
    assert target_of(SageMaker(config=None)).description is None
    assert describe(SageMaker(), PromotionRecord(endpoint=NAME)).description == SageMaker().endpoint


def test_the_first_deployment_creates_the_endpoint_and_then_the_component() -> None:
    nothing, created = SageMaker(None, config=None), SageMaker(None, config=NEW)

    with pytest.raises(EndpointBusyError, match="is being created"):
        deployed(nothing, FIRST)
    [(operation, request)] = deployed(created, FIRST)

    assert [name for name, _ in nothing.requests] == ["create_endpoint"]
    assert operation == "create_inference_component"
    assert request["Specification"] == {"ModelName": NEW, **NEEDS}
    assert (request["EndpointName"], request["VariantName"]) == (NAME, "AllTraffic")
    assert request["RuntimeConfig"] == {"CopyCount": 2}


SHARED = {"EndpointName": "gpus-qa", "VariantName": "Gpu"}


def test_a_promotion_changes_only_its_component_on_a_shared_endpoint() -> None:
    first = FIRST | PromotionRecord(component=WANTED | SHARED)
    sagemaker = SageMaker(None, config="of-operators")
    assert sagemaker.endpoint
    sagemaker.endpoint["EndpointName"] = "gpus-qa"

    [(_, request)] = deployed(sagemaker, first)
    sagemaker.requests.clear()
    change = Change([], [], None, NEW)
    step = component.take_step(sagemaker, Scaling(), target_of(sagemaker, first), first, change)

    assert (request["EndpointName"], request["VariantName"]) == ("gpus-qa", "Gpu")
    assert (request["InferenceComponentName"], request["Specification"]) == (NAME, {"ModelName": NEW, **NEEDS})
    assert (step.step, sagemaker.requests) == ("rolled_back", [])
    with pytest.raises(EndpointBusyError, match="gpus-qa is not InService"):
        deployed(SageMaker(None, config="of-operators", endpoint_status="Updating"), first)


@pytest.mark.parametrize(("copies", "runtime"), [(1, {"CopyCount": 2}), (0, {"CopyCount": 2}), (2, None), (5, None)])
def test_an_update_keeps_the_copies_of_a_component_that_was_scaled_out(copies: int, runtime: Any) -> None:
    [(operation, request)] = deployed(SageMaker(copies=copies))

    assert operation == "update_inference_component"
    assert request["Specification"] == {"ModelName": NEW, **NEEDS}
    assert request.get("RuntimeConfig") == runtime
    assert "DeploymentConfig" not in request


def test_an_update_is_guarded_by_the_deployment_config() -> None:
    policy: dict[str, Any] = {"RollingUpdatePolicy": {}}

    [(_, request)] = deployed(SageMaker(), record(deployment_config=policy))

    assert request["DeploymentConfig"] == policy


def test_the_endpoint_is_updated_first_if_the_content_of_its_config_changes() -> None:
    sagemaker = SageMaker(config="larger")
    larger = record() | PromotionRecord(previous_component={"endpoint_config": "larger", "specification": FORMER})

    with pytest.raises(EndpointBusyError, match="is being updated"):
        deployed(sagemaker, larger)

    assert sagemaker.requests == [("update_endpoint", {"EndpointName": NAME, "EndpointConfigName": NEW})]


@pytest.mark.parametrize(("modified", "error"), [("before", EndpointBusyError), ("since", PromotionRefusedError)])
def test_an_update_of_the_endpoint_that_sagemaker_rolled_back_is_not_repeated(
    modified: str, error: type[Exception]
) -> None:
    sagemaker = SageMaker(config="larger")
    assert sagemaker.endpoint
    sagemaker.endpoint |= {"FailureReason": "no capacity", "LastModifiedTime": modified}
    was = {"endpoint_config": "larger", "endpoint_modified": "before", "specification": FORMER}

    with pytest.raises(error, match=r"no capacity|is being updated"):
        deployed(sagemaker, record() | PromotionRecord(previous_component=was))

    assert bool(sagemaker.requests) == (error is EndpointBusyError)


@pytest.mark.parametrize(
    "sagemaker",
    [SageMaker(status="Updating"), SageMaker(status="Creating"), SageMaker(endpoint_status="Updating")],
)
def test_nothing_is_changed_while_something_changes(sagemaker: SageMaker) -> None:
    with pytest.raises(EndpointBusyError):
        deployed(sagemaker)
    assert sagemaker.requests == []


def test_a_deployment_that_was_accepted_is_not_started_again() -> None:
    assert deployed(SageMaker(NEW)) == []


@pytest.mark.parametrize(
    ("sagemaker", "reason"),
    [
        (SageMaker(OTHER), "Someone else changed the inference component"),
        (SageMaker(config="larger"), "Someone else changed the endpoint"),
        (SageMaker(config=None), "Someone deleted the endpoint"),
        (SageMaker(endpoint_status="Failed"), "is Failed"),
        (SageMaker(refusal=client_error("AccessDeniedException")), "AWS refused"),
        (SageMaker(refusal=client_error("ResourceLimitExceeded")), "AWS refused"),
    ],
)
def test_the_change_of_someone_else_is_not_overwritten(sagemaker: SageMaker, reason: str) -> None:
    with pytest.raises(PromotionRefusedError, match=reason):
        deployed(sagemaker)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (client_error("ValidationException", "Cannot update in-progress inference component x."), EndpointBusyError),
        (not_found("model", NEW), TransientError),
        (client_error("ThrottlingException"), TransientError),
    ],
)
def test_an_error_of_sagemaker_is_translated(refusal: ClientError, error: type[Exception]) -> None:
    with pytest.raises(error):
        deployed(SageMaker(refusal=refusal))


def test_the_journal_holds_what_a_rollback_restores() -> None:
    found = target_of(SageMaker())
    theirs = target_of(SageMaker(NEW))
    live = record() | PromotionRecord(model_name=OLD)

    of_endpoint = {"endpoint_config": OLD, "endpoint_modified": "before"}
    assert component.before(found, OLD, None) == of_endpoint | {"specification": FORMER}
    # Someone else has deployed the candidate: the live record is restored.
    assert component.before(theirs, OLD, live)["specification"] == FORMER
    assert component.before(target_of(SageMaker(None)), None, None) == of_endpoint
    assert component.before(target_of(SageMaker(None, config=None)), None, None) == {"endpoint_config": ""}
    found.component.pop("Specification")  # type: ignore[union-attr]
    with pytest.raises(PromotionRefusedError, match="which a rollback could not restore"):
        component.before(found, OLD, None)


GONE = {"config": None, "model": None}


@pytest.mark.parametrize(
    ("promotion", "state", "step", "request_"),
    [
        (record(), {}, "rolled_back", None),
        (record(), {"model": NEW}, "update", "update_inference_component"),
        (record(), {"model": NEW, "status": "Failed"}, "update", "update_inference_component"),
        (record(), {"model": NEW, "config": NEW}, "update", "update_inference_component"),
        (record(), {"config": NEW}, "update", "update_endpoint"),
        (record(), {"status": "Updating"}, "wait", None),
        (record(), {"endpoint_status": "Updating"}, "wait", None),
        (record(), {"model": OTHER}, "failed", None),
        (record(), {"config": OTHER}, "failed", None),
        (record(), {"status": "Failed"}, "failed", None),
        (record(), {"model": None}, "failed", None),
        (record(), GONE, "failed", None),
        (FIRST, GONE, "rolled_back", None),
        (FIRST, {"model": NEW, "config": NEW}, "delete", "delete_inference_component"),
        (FIRST, {"model": None, "config": NEW}, "delete", "delete_endpoint"),
        (FIRST, {"model": None, "config": OTHER}, "failed", None),
        (ONLY_COMPONENT, {"model": NEW}, "delete", "delete_inference_component"),
        (ONLY_COMPONENT, {"model": None}, "rolled_back", None),
    ],
)
def test_a_rollback_restores_the_component_and_then_the_endpoint(
    promotion: PromotionRecord, state: dict[str, Any], step: str, request_: str | None
) -> None:
    sagemaker = SageMaker(**state)
    change = Change([], [], promotion["previous_endpoint_config_name"] or None, NEW)

    taken = component.take_step(sagemaker, Scaling(), target_of(sagemaker), promotion, change)

    assert taken.step == step
    assert [name for name, _ in sagemaker.requests] == ([request_] if request_ else [])
    if request_ == "update_inference_component":
        assert sagemaker.requests[0][1] == {"InferenceComponentName": NAME, "Specification": FORMER}
    if request_ == "update_endpoint":
        assert sagemaker.requests[0][1] == {"EndpointName": NAME, "EndpointConfigName": OLD}


@pytest.mark.parametrize(
    ("refusal", "step"),
    [
        (client_error("ValidationException", "Cannot update in-progress inference component x."), "wait"),
        (not_found("model", OLD), "failed"),
    ],
)
def test_a_rollback_goes_on_after_a_refusal(refusal: ClientError, step: str) -> None:
    sagemaker = SageMaker(NEW, refusal=refusal)
    change = Change([], [], OLD, NEW)

    assert component.take_step(sagemaker, Scaling(), target_of(sagemaker), record(), change).step == step


@pytest.mark.parametrize("gone", ["component", "endpoint"])
def test_a_repeated_deletion_of_what_is_gone_is_not_taken_for_a_missing_permission(gone: str) -> None:
    """The tag that permits the deletion is gone, too, when the SDK repeats a call whose response was lost."""
    sagemaker = SageMaker(NEW if gone == "component" else None, config=NEW)
    found = target_of(sagemaker)
    setattr(sagemaker, gone, None)
    sagemaker.refusal = client_error("AccessDeniedException")

    taken = component.take_step(sagemaker, Scaling(), found, FIRST, Change([], [], None, NEW))

    assert [name.startswith("delete_") for name, _ in sagemaker.requests] == [True]
    assert taken.step == "wait"
    assert "no longer exists" in taken.reason


def test_a_rollback_that_is_denied_can_be_continued_by_a_recovery() -> None:
    sagemaker = SageMaker(NEW, refusal=client_error("AccessDeniedException"))

    with pytest.raises(ClientError):
        component.take_step(sagemaker, Scaling(), target_of(sagemaker), record(), Change([], [], OLD, NEW))
