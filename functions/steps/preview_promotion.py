"""Say what the promotion would copy, create, change and remove. Its role can do nothing but read."""

from __future__ import annotations

from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.aws.clients import client
from promotion.endpoint import state
from promotion.endpoint.config import create_endpoint_config_request
from promotion.endpoint.model import create_model_request, differences, own_tags
from promotion.endpoint.sagemaker import describe_endpoint, describe_endpoint_config
from promotion.endpoint.smoke_test import SKIP
from promotion.history import cleanup, records
from promotion.history.cleanup import Place
from promotion.history.rollback import comes_again
from promotion.history.table import PromotionTable
from promotion.plan import preview
from promotion.plan.settings import load
from promotion.source.candidate import Candidate
from promotion.step import step

# Of what SageMaker describes, what nobody asks for when creating it.
_ADDED = {"CreationTime", "DeploymentRecommendation", "EndpointConfigArn", "ModelArn", "ResponseMetadata"}
_OF_CANDIDATE = ("application", "source_kind", "source_name", "source_arn", "created_at", "digest", "metrics")


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    plan, table = event["plan"], PromotionTable(client("dynamodb"), event["table"])
    model, config = _requests(event)
    promotion = event["promotion"] | {
        "model_name": model["ModelName"],
        "endpoint_config_name": config["EndpointConfigName"],
    }
    name, goes_back = promotion["endpoint"], plan is None
    live = None if goes_back else records.live(table, name)
    description = describe_endpoint(client("sagemaker"), name)
    inspection = state.inspect(description, config["EndpointConfigName"], promotion["created_at"], live)
    there_model, there_config = _model(model["ModelName"]), _config(config["EndpointConfigName"])
    would, why = preview.verdict(
        promotion,
        inspection,
        again=comes_again(records.history(table, name), promotion),
        asks_for_approval=event["require_approval"] and not goes_back and not promotion["approval"],
        conflicts=[
            *_conflicts("model", model["ModelName"], model, there_model),
            *_conflicts("endpoint config", config["EndpointConfigName"], config, there_config),
        ],
    )
    live_config = _config(inspection.previous) if inspection.previous else None
    live_model = _model(live_config["ProductionVariants"][0].get("ModelName", "")) if live_config else None
    return {
        "outcome": "preview",
        "would_be": would,
        "why": why,
        "candidate": {key: promotion.get(key) for key in _OF_CANDIDATE},
        "quality_gate": [] if goes_back else promotion["quality_gate"],
        "copy": preview.copied(plan["preview"], plan["images"])
        if plan
        else {"sentence": "Nothing would be copied.", "objects": 0},
        "create": [
            preview.created("model", model["ModelName"], there_model is not None),
            preview.created("endpoint config", config["EndpointConfigName"], there_config is not None),
        ],
        "change": {
            "endpoint": name,
            "endpoint_status": description["EndpointStatus"] if description else "There is no such endpoint yet.",
            "endpoint_config": {"from": inspection.previous, "to": config["EndpointConfigName"]},
            "in_the_model": preview.changes(model, live_model),
            "in_the_endpoint_config": preview.changes(config, live_config),
        },
        "remove": _removal(event, promotion),
    }


def _requests(event: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of CreateModel and CreateEndpointConfig of what would be live."""
    promotion, plan = event["promotion"], event["plan"]
    if plan is None:
        model, config = _model(promotion["model_name"]) or {}, _config(promotion["endpoint_config_name"]) or {}
        return (
            {"ModelName": promotion["model_name"]} | {k: v for k, v in model.items() if k not in _ADDED},
            {"EndpointConfigName": promotion["endpoint_config_name"], "ProductionVariants": []}
            | {k: v for k, v in config.items() if k not in _ADDED},
        )
    candidate, settings = Candidate.from_json(event["candidate"]), plan["settings"]
    suite = plan["smoke_test"] if plan["smoke_test"] != SKIP else None
    tags = own_tags(candidate, plan["digest"], event["execution"], suite, plan["metrics_uri"])
    model = create_model_request(
        candidate,
        plan["containers"],
        stage=event["stage"],
        model=settings["Model"],
        role_arn=event["sagemaker_role_arn"],
        tags=tags,
    )
    config = create_endpoint_config_request(
        candidate, model["ModelName"], stage=event["stage"], endpoint_config=settings["EndpointConfig"], tags=tags
    )
    return model, config


def _conflicts(what: str, name: str, asked: dict[str, Any], found: dict[str, Any] | None) -> list[str]:
    different = differences(asked, found) if found else []
    return [f"the {what} {name} has another {', '.join(different)}"] if different else []


def _removal(event: dict[str, Any], promotion: dict[str, Any]) -> dict[str, Any]:
    settings = load(client("ssm"), event["stage"], promotion["application"], event["defaults"])
    place = Place(
        promotion["application"],
        event["stage"],
        event["bucket"],
        event["account"],
        event["execution"].rsplit(":", 1)[0] + ":",
    )
    keep = cleanup.needed(
        PromotionTable(client("dynamodb"), event["table"]),
        client("stepfunctions"),
        promotion["endpoint"],
        settings["Retention"]["Keep"],
        next_live=promotion | {"status": "Succeeded"},
    )
    found = cleanup.find(client("sagemaker"), client("s3"), place, keep)
    return preview.removed(found, f"s3://{place.bucket}/{place.folder}")


def _model(name: str) -> dict[str, Any] | None:
    return none_if_not_found(client("sagemaker").describe_model, ModelName=name) if name else None


def _config(name: str) -> dict[str, Any] | None:
    return describe_endpoint_config(client("sagemaker"), name)
