"""A SageMaker in memory with one endpoint, for tests of single modules."""

from typing import Any

from botocore.exceptions import ClientError

from tests.support.s3_faults import client_error, not_found

OLD, NEW = "reviews-qa-old", "reviews-qa-new"
BUSY = client_error("ValidationException", "Cannot update in-progress endpoint x.")


class SageMaker:
    """An endpoint, configs with these instance counts, and what is refused."""

    def __init__(
        self,
        config: str | None = OLD,
        status: str = "InService",
        refusal: ClientError | None = None,
        counts: dict[str, int] | None = None,
        **more: Any,
    ) -> None:
        variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
        found = {"EndpointName": "reviews-qa", "EndpointConfigName": config, "EndpointStatus": status}
        self.endpoint = found | {"ProductionVariants": variants} | more if config else None
        self.counts = {OLD: 1, NEW: 1} if counts is None else counts
        self.refusal = refusal
        self.requests: list[dict[str, Any]] = []

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        if self.endpoint is None:
            raise not_found("endpoint", EndpointName)
        return self.endpoint

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        if EndpointConfigName not in self.counts:
            raise not_found("endpoint-configuration", EndpointConfigName)
        count = self.counts[EndpointConfigName]
        return {"ProductionVariants": [{"VariantName": "AllTraffic", "InitialInstanceCount": count}]}

    def update_endpoint(self, **request: Any) -> None:
        self.requests.append(request)
        if self.refusal:
            raise self.refusal

    create_endpoint = update_endpoint
