"""An endpoint: its status, its description, its events, and the fleet that serves a request.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
"""

from __future__ import annotations

import copy
import random
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from embedded_aws.services.events import api as events
from embedded_aws.services.sagemaker.hosting.fleet import Fleet, Variant
from embedded_aws.services.sagemaker.operations import now

# The statuses in which it can be neither updated nor deleted.
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# The statuses in which it serves. UpdateRollbackFailed serves with a mix of the old and the new config.
_SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")
# The members of a config that DescribeEndpoint returns unchanged.
_UNCHANGED = ("AsyncInferenceConfig", "ExplainerConfig", "MetricsConfig")


class Endpoint:
    """An endpoint. `lock` protects its state; only its methods change status and fleets."""

    def __init__(self, account: str, region: str, name: str, arn: str, tags: list[dict[str, str]]) -> None:
        self.account = account
        self.region = region
        self.endpoint_name = self.name = name
        self.arn = arn
        self.tags = tags
        self.creation_time = self.last_modified_time = now()
        self.endpoint_status = ""
        self.failure_reason: str | None = None
        self.config: dict[str, Any] = {}
        self.last_deployment_config: dict[str, Any] | None = None
        self.change_pending = False  # a change has started that the status does not show yet
        self.lock = threading.RLock()
        self.fleet: Fleet | None = None
        self.variants: list[dict[str, Any]] = []
        self._pending: dict[str, Any] | None = None
        self._candidate: Fleet | None = None
        self._candidate_share = 0.0

    @property
    def status(self) -> str:
        """Return the EndpointStatus."""
        return self.endpoint_status

    @property
    def busy(self) -> bool:
        """Return whether the endpoint can be neither updated nor deleted."""
        return self.change_pending or self.endpoint_status in BUSY

    def move(self, status: str, failure_reason: str | None = None) -> None:
        """Change the status and emit an event."""
        with self.lock:
            self.change_pending = False
            self.endpoint_status = status
            self.failure_reason = failure_reason[:1024] if failure_reason else None
            self.last_modified_time = now()
            detail = self._event_detail()
        events.emit(
            self.account, "aws.sagemaker", "SageMaker Endpoint State Change", detail, [self.arn], region=self.region
        )

    def begin_deployment(self, config: dict[str, Any], variants: list[dict[str, Any]]) -> None:
        """Set the PendingDeploymentSummary."""
        pending = [
            {
                **variant,
                "CurrentWeight": 0.0,
                "CurrentInstanceCount": 0,
                "VariantStatus": [{"Status": "Creating", "StartTime": now()}],
            }
            for variant in variants
        ]
        with self.lock:
            self._pending = {
                "EndpointConfigName": config["EndpointConfigName"],
                "ProductionVariants": pending,
                "StartTime": now(),
            }

    def route(self, candidate: Fleet, share: float, status: str, message: str = "") -> None:
        """Route a share of the traffic to the fleet of the deployment."""
        with self.lock:
            self._candidate, self._candidate_share = candidate, share
            for variant in (self._pending or {}).get("ProductionVariants", []):
                variant["CurrentWeight"] = variant.get("DesiredWeight", 0.0)
                variant["CurrentInstanceCount"] = round(share * variant.get("DesiredInstanceCount", 0))
                variant.update(candidate.images_of(variant["VariantName"]))
                variant["VariantStatus"] = [{"Status": status, "StatusMessage": message, "StartTime": now()}]

    def end_deployment(self, fleet: Fleet | None = None, variants: list[dict[str, Any]] | None = None) -> list[Fleet]:
        """End a deployment with a new fleet or with the previous one, and return the fleets to stop."""
        with self.lock:
            leaving = [self._candidate]
            if fleet:
                leaving = [other for other in (self.fleet, self._candidate) if other is not fleet]
                self.fleet, self.config = fleet, fleet.config
                self.variants = [
                    {**variant, **fleet.images_of(variant["VariantName"])}
                    for variant in (self.variants if variants is None else variants)
                ]
            self._candidate, self._candidate_share, self._pending = None, 0.0, None
            return [other for other in leaving if other]

    def keep_both_fleets(self) -> None:
        """End a deployment with both fleets in service, each with its share of the traffic."""
        with self.lock:
            self._pending = None

    @contextmanager
    def variant(self, target: str = "") -> Iterator[Variant | None]:
        """Yield the variant that serves a request, or None if the endpoint does not serve or has no such variant."""
        with ExitStack() as use:
            with self.lock:
                fleet = self._candidate if random.random() < self._candidate_share else self.fleet  # noqa: S311
                variant = fleet.variants.get(target or self._by_weight()) if fleet and self.serves else None
                if fleet and variant:
                    use.enter_context(fleet.in_use())
            yield variant

    @property
    def hosts_components(self) -> bool:
        """Return whether it hosts inference components: the variants of its config have no models."""
        return any("ModelName" not in variant for variant in self.config["ProductionVariants"])

    @property
    def serves(self) -> bool:
        """Return whether the endpoint serves requests."""
        return self.fleet is not None and self.endpoint_status in _SERVING

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeEndpoint."""
        with self.lock:
            description = {
                "EndpointName": self.name,
                "EndpointArn": self.arn,
                "EndpointConfigName": self.config["EndpointConfigName"],
                "EndpointStatus": self.endpoint_status,
                "FailureReason": self.failure_reason,
                "CreationTime": self.creation_time,
                "LastModifiedTime": self.last_modified_time,
                "LastDeploymentConfig": self.last_deployment_config,
                "PendingDeploymentSummary": self._pending,
                **{name: self.config.get(name) for name in _UNCHANGED},
            }
            shadows = {variant["VariantName"] for variant in self.config.get("ShadowProductionVariants", [])}
            if self.fleet:
                description["ProductionVariants"] = [v for v in self.variants if v["VariantName"] not in shadows]
                if shadows:
                    description["ShadowProductionVariants"] = [v for v in self.variants if v["VariantName"] in shadows]
            if capture := self.config.get("DataCaptureConfig"):
                enabled = capture.get("EnableCapture", True)
                description["DataCaptureConfig"] = {
                    "EnableCapture": enabled,
                    "CaptureStatus": "Started" if enabled else "Stopped",
                    "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                    "DestinationS3Uri": capture["DestinationS3Uri"],
                    "KmsKeyId": capture.get("KmsKeyId", ""),
                }
            return copy.deepcopy({name: value for name, value in description.items() if value is not None})

    def summary(self) -> dict[str, Any]:
        """Return the entry of the endpoint in ListEndpoints."""
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
            "EndpointStatus": self.endpoint_status,
        }

    def gen_response_object(self) -> dict[str, Any]:
        """Return the endpoint for moto's Search."""
        return self.describe()

    def _by_weight(self) -> str:
        shadows = {variant["VariantName"] for variant in self.config.get("ShadowProductionVariants", [])}
        serving = [variant for variant in self.variants if variant["VariantName"] not in shadows]
        if not serving:
            return ""
        weights = [variant["CurrentWeight"] for variant in serving]
        if not any(weights):
            return str(serving[0]["VariantName"])
        return str(random.choices(serving, weights)[0]["VariantName"])  # noqa: S311 - not used for secrets

    def _event_detail(self) -> dict[str, Any]:
        """Return the event's detail: statuses in upper snake case, times in epoch milliseconds, tags as a map.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        detail = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config["EndpointConfigName"],
            "ProductionVariants": [
                {name: float(variant[name]) for name in ("DesiredWeight", "DesiredInstanceCount") if name in variant}
                for variant in self.variants
            ],
            "EndpointStatus": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.endpoint_status).upper(),
            "CreationTime": _epoch_milliseconds(self.creation_time),
            "LastModifiedTime": _epoch_milliseconds(self.last_modified_time),
            "Tags": {tag["Key"]: tag["Value"] for tag in self.tags},
        }
        return detail | ({"FailureReason": self.failure_reason} if self.failure_reason else {})


def variant_summaries(
    config: dict[str, Any], retained: list[dict[str, Any]], excluded: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """Return the ProductionVariantSummaries of a config after its deployment.

    `retained` are the endpoint's variants whose counts and weights are retained (RetainAllVariantProperties), except
    for the properties in `excluded`.
    """
    kept = {variant["VariantName"]: variant for variant in retained}
    summaries = []
    for variant in [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]:
        old = kept.get(variant["VariantName"], {})
        weight = float(variant.get("InitialVariantWeight", 1.0))
        if "DesiredWeight" not in excluded:
            weight = old.get("DesiredWeight", weight)
        count = variant.get("InitialInstanceCount", 0)
        if "DesiredInstanceCount" not in excluded:
            count = old.get("DesiredInstanceCount", count)
        summary = {
            "VariantName": variant["VariantName"],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            "CurrentInstanceCount": count,
            "DesiredInstanceCount": count,
        }
        if serverless := variant.get("ServerlessConfig"):
            summary["CurrentServerlessConfig"] = summary["DesiredServerlessConfig"] = serverless
        for name in ("ManagedInstanceScaling", "RoutingConfig"):
            if name in variant:
                summary[name] = variant[name]
        summaries.append(summary)
    return summaries


def _epoch_milliseconds(time: datetime) -> float:
    return float(round(time.timestamp() * 1000))
