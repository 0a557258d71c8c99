"""The settings of an application in a stage."""

import json
from typing import Any

from tests.support.world import Stage


def configure(stage: Stage, application: str, **settings: Any) -> None:
    stage.client("ssm").put_parameter(
        Name=f"/model-promotion/{stage.name}/{application}", Value=json.dumps(settings), Type="String", Overwrite=True
    )


def instances(instance_type: str) -> dict[str, Any]:
    return {"ProductionVariants": [{"InstanceType": instance_type}]}
