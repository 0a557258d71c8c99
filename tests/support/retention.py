"""What there is of an application's models, and what keeps it."""

from __future__ import annotations

import time
from typing import Any

from tests.support.settings import configure
from tests.support.world import Lab, Stage


def keep(stage: Stage, application: str, number: int) -> None:
    configure(stage, application, Retention={"Keep": number})


def there(stage: Stage, application: str) -> dict[str, set[str]]:
    """The models, configs and digests with objects that an application has in a stage."""
    sagemaker = stage.client("sagemaker")
    objects = stage.client("s3").list_objects_v2(Bucket=stage.bucket, Prefix=f"models/{application}/")
    return {
        "models": {m["ModelName"] for m in sagemaker.list_models(NameContains=application)["Models"]},
        "configs": {
            c["EndpointConfigName"]
            for c in sagemaker.list_endpoint_configs(NameContains=application)["EndpointConfigs"]
        },
        "digests": {found["Key"].split("/")[2] for found in objects.get("Contents", [])},
    }


def of(*records: dict[str, Any]) -> dict[str, set[str]]:
    """What `there` says when all of these promotions are there, and nothing else."""
    return {
        "models": {record["model_name"] for record in records},
        "configs": {record["endpoint_config_name"] for record in records},
        "digests": {record["digest"] for record in records},
    }


def promoted(lab: Lab, qa: Stage, application: str, label: str) -> dict[str, Any]:
    execution = qa.execution_of(lab.train(application, label))
    assert execution.status == "SUCCEEDED", execution.cause
    return dict(execution.output)


def removes(qa: Stage, application: str, seconds: float) -> float:
    """Put into the table that someone removes what is superseded for so long; until when, in seconds since 1970."""
    someone = f"{qa.state_machine.replace(':stateMachine:', ':execution:')}:someone"
    ends_at = round(time.time() + seconds)
    key = {"kind": {"S": "removal"}, "key": {"S": f"{application}-qa#{someone}"}}
    qa.client("dynamodb").put_item(TableName=qa.table, Item=key | {"ends_at": {"N": str(ends_at)}})
    return ends_at
