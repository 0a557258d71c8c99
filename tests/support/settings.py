"""The registration of an application in a stage, and its settings."""

import json
from typing import Any

from sandbox import stacks
from tests.support.world import Stage


def register(stage: Stage, application: str, **settings: Any) -> None:
    """Register an application in a stage, with its first settings."""
    use_vpc = str("VpcConfig" in settings.get("Model", {})).lower()
    stacks.register(application, stage.name, stage.account, Settings=json.dumps(settings), UseVpc=use_vpc)


def configure(stage: Stage, application: str, **settings: Any) -> None:
    """Replace the settings of an application that is registered."""
    stage.client("ssm").put_parameter(
        Name=f"/model-promotion/{stage.name}/{application}", Value=json.dumps(settings), Type="String", Overwrite=True
    )


def instances(instance_type: str) -> dict[str, Any]:
    return {"ProductionVariants": [{"InstanceType": instance_type}]}
