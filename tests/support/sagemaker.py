"""A fake SageMaker client with one endpoint, for unit tests."""

from typing import Any

from botocore.exceptions import ClientError

from tests.support.s3_faults import client_error, not_found

OLD, NEW = "reviews-qa-old", "reviews-qa-new"
BUSY = client_error("ValidationException", "Cannot update in-progress endpoint x.")


class SageMaker:
    """An endpoint, endpoint configs by instance count, and the error of update requests."""

    def __init__(
        self,
        config: str | None = OLD,
        status: str = "InService",
        refusal: ClientError | None = None,
        counts: dict[str, int] | None = None,
        **more: Any,
    ) -> None:
        variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
        description = {"EndpointName": "reviews-qa", "EndpointConfigName": config, "EndpointStatus": status}
        self.endpoint = description | {"ProductionVariants": variants} | more if config else None
        self.counts = {OLD: 1, NEW: 1} if counts is None else counts
        self.refusal = refusal
        self.requests: list[dict[str, Any]] = []

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - the name in boto3
        if self.endpoint is None:
            raise not_found("endpoint", EndpointName)
        return self.endpoint

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        if EndpointConfigName not in self.counts:
            raise not_found("endpoint-configuration", EndpointConfigName)
        count = self.counts[EndpointConfigName]
        return {
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "reviews", "InitialInstanceCount": count}]
        }

    def update_endpoint(self, **request: Any) -> None:
        self.requests.append(request)
        if self.refusal:
            raise self.refusal

    create_endpoint = update_endpoint
