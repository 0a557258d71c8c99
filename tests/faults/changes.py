"""Changes by someone else between two calls of a promotion, and how operators revert them afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import time

from botocore.exceptions import ClientError

from embedded_aws.gateway.faults import Call
from promotion.endpoint.state import BUSY
from tests.faults.world import Trial
from tests.support.settings import configure

_TAG = "model-promotion:application"
_PATIENCE_SECONDS = 30.0


class Change(enum.Enum):
    """The kinds of changes."""

    UPDATED = "endpoint updated"
    UPDATING = "endpoint updating"
    DELETED = "endpoint deleted"
    SCALED = "endpoint scaled"
    RETAGGED = "endpoint retagged"
    CONFIGURED = "settings changed"
    CANCELED = "approval canceled"

    @property
    def replaces(self) -> bool:
        """Return whether the endpoint no longer has its config afterwards."""
        return self in (Change.UPDATED, Change.UPDATING, Change.DELETED)


def possible_after(change: Change, scenario: str) -> str | None:
    """Return the operation after whose first call the change is possible, or None if it always is."""
    if change is Change.CANCELED:
        return "StartAutomationExecution"
    if scenario == "first deployment" and change is not Change.CONFIGURED:
        return "CreateEndpoint"
    return None


@dataclasses.dataclass
class Applied:
    """A change to a trial. It is not applied if AWS refuses it, for example because the endpoint is updating."""

    trial: Trial
    change: Change
    calls: list[Call] = dataclasses.field(default_factory=list)
    is_applied: bool = False
    position: int = 0

    def __post_init__(self) -> None:
        stage, self._application = self.trial.stage, self.trial.application
        self._endpoint = f"{self._application}-{stage.name}"
        self._sagemaker = stage.client("sagemaker")
        # The instances of each variant before it was scaled.
        self._counts: dict[str, int] = {}

    def apply(self) -> None:
        """Make the change, if AWS accepts it. `calls` contains the calls so far; the last one is about to be made."""
        self.position = len(self.calls) - 1
        with contextlib.suppress(ClientError):
            self._apply()
            self.is_applied = True

    def _apply(self) -> None:
        stage = self.trial.stage
        match self.change:
            case Change.UPDATED | Change.UPDATING:
                config = self._copy_of_config()
                self._sagemaker.update_endpoint(EndpointName=self._endpoint, EndpointConfigName=config)
                if self.change is Change.UPDATED:
                    self.settle()
            case Change.DELETED:
                self._sagemaker.delete_endpoint(EndpointName=self._endpoint)
                self.settle()
            case Change.SCALED:
                # An endpoint that is being created has none yet, and SageMaker refuses the change.
                found = self._sagemaker.describe_endpoint(EndpointName=self._endpoint).get("ProductionVariants", [])
                self._counts = {each["VariantName"]: each["DesiredInstanceCount"] for each in found}
                self._scale({name: count + 1 for name, count in self._counts.items()})
            case Change.RETAGGED:
                arn = self._sagemaker.describe_endpoint(EndpointName=self._endpoint)["EndpointArn"]
                self._sagemaker.delete_tags(ResourceArn=arn, TagKeys=[_TAG])
            case Change.CONFIGURED:
                configure(stage, self._application, Retention={"Keep": 4})
            case Change.CANCELED:
                (automation,) = self.trial.approvals() or [""]
                stage.client("ssm").stop_automation_execution(AutomationExecutionId=automation, Type="Cancel")

    def _copy_of_config(self) -> str:
        name = f"someone-elses-{time.monotonic_ns()}"
        current = self._sagemaker.describe_endpoint(EndpointName=self._endpoint)["EndpointConfigName"]
        variants = self._sagemaker.describe_endpoint_config(EndpointConfigName=current)["ProductionVariants"]
        self._sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
        return name

    def _scale(self, counts: dict[str, int]) -> None:
        desired = [{"VariantName": name, "DesiredInstanceCount": count} for name, count in counts.items()]
        self._sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self._endpoint, DesiredWeightsAndCapacities=desired
        )

    def settle(self) -> None:
        """Wait until SageMaker is not changing the endpoint."""
        ends = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < ends:
            try:
                found = self._sagemaker.describe_endpoint(EndpointName=self._endpoint)
            except ClientError:
                return  # it does not exist
            if found["EndpointStatus"] not in BUSY:
                return
            time.sleep(0.1)

    def revert(self) -> None:
        """Revert what prevents a recovery or the next trial. An update and a deletion stay."""
        if not self.is_applied:
            return
        with contextlib.suppress(ClientError):  # the endpoint may not exist
            match self.change:
                case Change.RETAGGED:
                    arn = self._sagemaker.describe_endpoint(EndpointName=self._endpoint)["EndpointArn"]
                    tag = {"Key": _TAG, "Value": self._application}
                    self._sagemaker.add_tags(ResourceArn=arn, Tags=[tag])
                case Change.CONFIGURED:
                    configure(self.trial.stage, self._application)

    def restore(self) -> bool:
        """Restore the endpoint as an operator does, for the next trial; return whether it has its config on record."""
        live = self.trial.stage.live(self._application)
        if self.change is Change.SCALED:
            with contextlib.suppress(ClientError):
                self._scale(self._counts)
                self.settle()
        if not live or not self.trial.stage.endpoint(self._application):
            return False
        with contextlib.suppress(ClientError):
            config = live["endpoint_config_name"]
            if self.trial.stage.endpoint(self._application)["EndpointConfigName"] != config:  # type: ignore[index]
                self._sagemaker.update_endpoint(EndpointName=self._endpoint, EndpointConfigName=config)
                self.settle()
            return True
        return False

    def was_visible_before_the_record(self) -> bool:
        """Return whether the promotion described the endpoint after the change and before it wrote its result."""
        is_visible = False
        for call in self.calls[self.position :]:
            if call.operation == "TransactWriteItems" and "PromotionRole" in call.principal:
                return is_visible
            is_visible |= call.operation == "DescribeEndpoint"
        return False  # the result was written before
