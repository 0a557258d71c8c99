"""The requests that create a model and an endpoint config of a candidate."""

from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from promotion.endpoint.config import create_endpoint_config_request
from promotion.endpoint.model import create_model_request
from promotion.source.candidate import Candidate

ROLE = "arn:aws:iam::222222222222:role/model-promotion/qa/serving/Serving"
VPC = {"Subnets": ["subnet-qa"], "SecurityGroupIds": ["sg-qa"]}
CONTAINER = {"Image": "image", "ModelDataUrl": "s3://stage/models/m.tar.gz", "Environment": {"THREADS": "2"}}
CANDIDATE = Candidate(
    application="reviews",
    source={"kind": "training_job", "name": "reviews-1", "arn": "arn:aws:sagemaker:eu-west-1:1:training-job/reviews-1"},
    created_at="2026-01-02T03:04:05.678Z",
    containers=[CONTAINER],
    tags={"team": "search"},
)
INSTANCES = {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}


def model_request(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "candidate": CANDIDATE,
        "containers": [CONTAINER],
        "stage": "qa",
        "model": {},
        "role_arn": ROLE,
        "tags": {"team": "search"},
    }
    return create_model_request(**given | changes)


def config_request(
    endpoint_config: dict[str, Any] = INSTANCES, model_name: str = "reviews-qa-20260102-0304-0a1b2c3d"
) -> dict[str, Any]:
    return create_endpoint_config_request(
        CANDIDATE, model_name, stage="qa", endpoint_config=endpoint_config, tags={"team": "search"}
    )


def accepted_by(operation: str, request: dict[str, Any]) -> bool:
    service = botocore.session.get_session().get_service_model("sagemaker")
    return not ParamValidator().validate(request, service.operation_model(operation).input_shape).has_errors()
