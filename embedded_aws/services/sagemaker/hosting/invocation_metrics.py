"""The invocation metrics of endpoints, from which alarms of deployments are evaluated.

"Amazon SageMaker AI metrics in Amazon CloudWatch" (monitoring-cloudwatch.html) and, for asynchronous endpoints,
"Alarms and logs for tracking metrics from asynchronous endpoints" (async-inference-monitor.html). These pages do not
mention streamed responses, which therefore report none. The metrics also exist with the dimension EndpointConfigName,
so that an alarm can watch only the new fleet of a deployment: "CloudWatch publishes the metrics with the dimension
EndpointConfigName:{New-Ep-Config} after the new fleet starts receiving traffic, and these metrics last even after the
deployment is complete" (deployment-guardrails-configuration.html). That they exist for the first fleet of an endpoint,
too, is assumed.
"""

from __future__ import annotations

from embedded_aws.services.cloudwatch import metrics
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint
from embedded_aws.services.sagemaker.hosting.fleet import Variant

Dimensions = list[dict[str, str]]

_MICROSECONDS = 1_000_000


def of_variant(endpoint: Endpoint, variant: Variant) -> list[Dimensions]:
    """Return the sets of dimensions of a variant's metrics."""
    names = _dimensions(EndpointName=endpoint.name, VariantName=variant.name)
    return [names, [*names, *_dimensions(EndpointConfigName=variant.config_name)]]


def of_component(name: str) -> Dimensions:
    """Return the dimension of an inference component's metrics."""
    return _dimensions(InferenceComponentName=name)


def report(
    endpoint: Endpoint, dimensions: list[Dimensions], status: int, model_seconds: float, overhead_seconds: float
) -> None:
    """Put the metrics of an invocation to which a model responded with an HTTP status, 0 if it did not respond."""
    # "For each 5xx response, 1 is sent; otherwise, 0 is sent."
    values = {
        "Invocation4XXErrors": (float(400 <= status < 500), "None"),
        "Invocation5XXErrors": (float(status >= 500), "None"),
        "ModelLatency": (model_seconds * _MICROSECONDS, "Microseconds"),
    }
    if "AsyncInferenceConfig" not in endpoint.config:
        values["Invocations"] = (1.0, "None")
        # It includes "4XX/5XX status codes, low-level socket errors, malformed HTTP responses, and request timeouts".
        values["InvocationModelErrors"] = (float(not 200 <= status < 300), "None")
        values["OverheadLatency"] = (overhead_seconds * _MICROSECONDS, "Microseconds")
    data = [
        {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": each}
        for name, (value, unit) in values.items()
        for each in dimensions
    ]
    metrics.put(endpoint.account, endpoint.region, "AWS/SageMaker", data)


def report_no_capacity(endpoint: Endpoint, component: str) -> None:
    """Put the metric of an invocation of an inference component that has no copy to serve it.

    "Scale an endpoint to zero instances" (endpoint-auto-scaling-zero-instances.html) evaluates it by component.
    """
    datum = {"MetricName": "NoCapacityInvocationFailures", "Value": 1.0, "Unit": "None"}
    metrics.put(endpoint.account, endpoint.region, "AWS/SageMaker", [datum | {"Dimensions": of_component(component)}])


def _dimensions(**values: str) -> Dimensions:
    return [{"Name": name, "Value": value} for name, value in values.items()]
