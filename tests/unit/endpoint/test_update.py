"""The update of an endpoint with changes by others, lost responses and errors."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint.update import create_endpoint, update_endpoint
from promotion.errors import EndpointBusyError, PromotionRefusedError, TransientError
from tests.support.s3_faults import already_exists, client_error, not_found
from tests.support.sagemaker import BUSY, NEW, OLD, SageMaker


class NoTargets:
    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"ScalableTargets": []}]


def update(sagemaker: SageMaker, deployment_config: dict[str, Any] | None = None) -> None:
    update_endpoint(
        sagemaker,
        NoTargets(),
        "reviews-qa",
        previous=OLD,
        endpoint_config=NEW,
        deployment_config=deployment_config,
    )


def test_an_endpoint_is_updated_with_its_guardrails() -> None:
    sagemaker = SageMaker()
    guardrails: dict[str, Any] = {"AutoRollbackConfiguration": {"Alarms": []}}

    update(sagemaker, guardrails)
    update(sagemaker)

    request = {"EndpointName": "reviews-qa", "EndpointConfigName": NEW, "RetainAllVariantProperties": False}
    assert sagemaker.requests == [request | {"DeploymentConfig": guardrails}, request]


@pytest.mark.parametrize(("desired", "retained"), [(1, False), (2, False), (5, True)])
def test_an_endpoint_that_was_scaled_out_keeps_its_size(desired: int, retained: bool) -> None:
    variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": desired}]
    sagemaker = SageMaker(counts={OLD: 1, NEW: 2}, ProductionVariants=variants)

    update(sagemaker)

    assert sagemaker.requests[0]["RetainAllVariantProperties"] is retained


def test_an_endpoint_that_someone_else_has_changed_is_not_updated() -> None:
    sagemaker = SageMaker("another")

    with pytest.raises(PromotionRefusedError, match=f"Someone else changed the endpoint reviews-qa from {OLD} to an"):
        update(sagemaker)

    assert sagemaker.requests == []


def test_a_config_that_is_not_visible_yet_is_a_transient_error() -> None:
    sagemaker = SageMaker(counts={OLD: 1})

    with pytest.raises(TransientError, match=f"The endpoint config {NEW} is not visible in SageMaker yet"):
        update(sagemaker)

    assert sagemaker.requests == []


def test_an_endpoint_whose_config_was_deleted_is_not_updated() -> None:
    sagemaker = SageMaker(counts={NEW: 1})

    with pytest.raises(
        PromotionRefusedError, match=f"The endpoint config {OLD}, which is live on the endpoint reviews-qa"
    ):
        update(sagemaker)

    assert sagemaker.requests == []


def test_an_update_in_progress_is_not_started_again() -> None:
    sagemaker = SageMaker(status="Updating", PendingDeploymentSummary={"EndpointConfigName": NEW})

    update(sagemaker)

    assert sagemaker.requests == []


def test_an_update_by_someone_else_makes_the_endpoint_busy() -> None:
    pending = {"EndpointConfigName": "another"}

    with pytest.raises(EndpointBusyError, match="Someone else is changing the endpoint reviews-qa"):
        update(SageMaker(status="Updating", PendingDeploymentSummary=pending))
    with pytest.raises(EndpointBusyError, match="Someone else is changing the endpoint reviews-qa"):
        update(SageMaker(refusal=BUSY))


def test_an_error_after_a_lost_response_is_accepted() -> None:
    update(SageMaker(NEW, refusal=BUSY))
    create_endpoint(SageMaker(NEW, refusal=already_exists("endpoint", "reviews-qa")), "reviews-qa", NEW, {})


def test_a_new_endpoint_is_created_with_its_tags() -> None:
    sagemaker = SageMaker(None)

    create_endpoint(sagemaker, "reviews-qa", NEW, {"a": "b"})

    tags = [{"Key": "a", "Value": "b"}]
    assert sagemaker.requests == [{"EndpointName": "reviews-qa", "EndpointConfigName": NEW, "Tags": tags}]


def test_an_existing_endpoint_with_another_config_is_busy() -> None:
    sagemaker = SageMaker("another", refusal=already_exists("endpoint", "reviews-qa"))

    with pytest.raises(EndpointBusyError, match="its config another"):
        create_endpoint(sagemaker, "reviews-qa", NEW, {})


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (not_found("endpoint-configuration", NEW), TransientError),
        (client_error("ThrottlingException"), TransientError),
        (client_error("AccessDeniedException"), PromotionRefusedError),
        (client_error("ResourceLimitExceeded"), PromotionRefusedError),
        (client_error("ValidationException", "something new"), ClientError),
    ],
)
def test_other_errors_are_retried_refused_or_raised_unchanged(refusal: ClientError, error: type[Exception]) -> None:
    with pytest.raises(error):
        update(SageMaker(refusal=refusal))
