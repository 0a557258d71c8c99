"""What someone else does to the endpoint of an application, directly in SageMaker."""

from __future__ import annotations

from tests.support.waiting import wait_until
from tests.support.world import Stage


def serve(stage: Stage, application: str, config: str) -> None:
    """Update the endpoint, as someone else, and wait until it serves the config."""
    sagemaker = stage.client("sagemaker")
    sagemaker.update_endpoint(EndpointName=f"{application}-{stage.name}", EndpointConfigName=config)

    def look() -> bool | None:
        found = stage.endpoint(application) or {}
        return (found.get("EndpointConfigName"), found.get("EndpointStatus")) == (config, "InService") or None

    wait_until(look, f"{config} on the endpoint")


def config_of(stage: Stage, application: str) -> str:
    return str((stage.endpoint(application) or {})["EndpointConfigName"])
