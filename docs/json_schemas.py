"""Write the JSON Schemas of settings, smoke tests, inputs and events into docs/schemas/: `make docs`.

They are made from what validates: AWS's service model, the tables and limits of the validators, and the promotion
record. A schema never refuses what the validator accepts; the validator also checks what a schema cannot express.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from botocore.model import ListShape, MapShape, Shape, StructureShape

from promotion import naming
from promotion.aws import service_model, strict_json
from promotion.endpoint import (
    autoscaling,
    component,
    expectation,
    request_members,
    smoke_test,
    smoke_test_function,
)
from promotion.history import events, retention
from promotion.plan import component_settings, settings
from promotion.record import PromotionRecord
from promotion.source import admission, model_metrics, quality_gate, request, source_names

DIRECTORY = Path(__file__).parent / "schemas"
_DRAFT = "http://json-schema.org/draft-07/schema#"
_API = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_{}.html"
_SCALING_API = "https://docs.aws.amazon.com/autoscaling/application/APIReference/API_{}.html"

Schema = dict[str, Any]

_EDITOR_KEY: Schema = {"type": "string", "description": "The address of this schema, for editors. It is ignored."}


# The vocabulary of AWS.


def of_shape(shape: Shape, remove: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of a shape of botocore's models, without the members to `remove`."""
    limits = shape.metadata
    if isinstance(shape, StructureShape):
        members = {name: of_shape(member) for name, member in shape.members.items() if name not in remove}
        required = [name for name in shape.required_members if name not in (*remove, *optional)]
        return _object(members, required)
    if isinstance(shape, ListShape):
        return {"type": "array", "items": of_shape(shape.member), **_limits(limits, "Items")}
    if isinstance(shape, MapShape):
        inner = {"propertyNames": of_shape(shape.key), "additionalProperties": of_shape(shape.value)}
        return {"type": "object", **inner, **_limits(limits, "Properties")}
    match shape.type_name:
        case "string":
            enum = {"enum": limits["enum"]} if "enum" in limits else {}
            pattern = service_model._compiled(limits.get("pattern", ""))
            return {"type": "string", **enum, **_limits(limits, "Length"), **(_pattern(pattern) if pattern else {})}
        case "boolean":
            return {"type": "boolean"}
        case "integer" | "long":
            return {"type": "integer", **_bounds(limits)}
        case "float" | "double":
            return {"type": "number", **_bounds(limits)}
    return {"type": "string"}  # a timestamp


def _limits(limits: dict[str, Any], of: str) -> Schema:
    return {f"{bound}{of}": limits[bound] for bound in ("min", "max") if bound in limits}


def _bounds(limits: dict[str, Any]) -> Schema:
    return {f"{bound}imum": limits[bound] for bound in ("min", "max") if bound in limits}


def _pattern(pattern: re.Pattern[str]) -> Schema:
    """Return a pattern that must match the whole string, in the syntax of JSON Schema (ECMA-262)."""
    return {"pattern": f"^(?:{pattern.pattern.replace(chr(92) + 'Z', '$')})$"}


def _without_names(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return a pattern without the names of its groups, which ECMA-262 writes in another way."""
    return re.compile(re.sub(r"\?P<\w+>", "", pattern.pattern))


def _object(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
        **more,
    }


def _described(schema: Schema, text: str) -> Schema:
    return {"description": text, **schema}


# Smoke tests.

_SUITE_TEXTS = {
    "cases": "The requests, with the expected responses.",
    "repeat": "How often each case is sent.",
    "concurrency": "The number of requests in flight at the same time.",
    "maximum_error_rate": "The share of invocations that may fail or be too slow. A wrong response always fails.",
    "maximum_p95_latency_ms": "The maximum of the 95th percentile of the latency, in milliseconds.",
}
_CASE_TEXTS = {
    "name": "The name of the case. It is shown only in the execution history.",
    "body": "The request: JSON, or a string that is sent unchanged.",
    "body_uri": "The S3 URI of the request's body, instead of body.",
    "expect": "A JMESPath expression that must be true for the response.",
    "content_type": "The content type of the request.",
    "accept": "The content type of the response.",
    "maximum_latency_ms": "The maximum latency, in milliseconds.",
    "stream": "Whether the endpoint is invoked with a response stream, which may take 8 minutes instead of one.",
    "custom_attributes": "The custom attributes of the request, which SageMaker passes on to the container.",
    "target_model": "The model of a multi-model endpoint.",
    "target_variant": "The production variant. Without it, each variant is called.",
    "target_container_hostname": "The container of an endpoint in Direct mode.",
    "inference_component_name": "The inference component of the endpoint.",
    "session_id": "The ID of a session of a stateful model, or NEW_SESSION.",
    "enable_explanations": "A JMESPath expression that overrides EnableExplanations of the endpoint's explainer.",
    "prefix_aware_id": "The routing hint for an endpoint with the RoutingStrategy PREFIX_AWARE.",
}


def of_smoke_test() -> Schema:
    """Return the schema of a smoke test."""
    latency: Schema = {"type": ["number", "null"], "exclusiveMinimum": 0}
    headers = {
        name: {"type": ["string", "null"] if member.default is None else "string", **_pattern(member.pattern)}
        for name, member in request_members.MEMBERS.items()
    }
    case: dict[str, Schema] = {
        "name": {"type": "string", "minLength": 1, "maxLength": smoke_test._MAXIMUM_NAME_CHARACTERS},
        "body": {},
        "body_uri": {"type": "string", "pattern": "^s3://"},
        "expect": {"type": "string", "minLength": 1, "maxLength": expectation.MAXIMUM_CHARACTERS},
        "maximum_latency_ms": latency,
        "stream": {"type": "boolean"},
        **headers,
    }
    cases = {
        name: _described(_with_default(case[name], smoke_test._CASE_DEFAULTS, name), _CASE_TEXTS[name])
        for name in smoke_test.CASE_KEYS
    }
    either: list[Schema] = [{"required": ["body"]}, {"required": ["body_uri"]}]
    suite: dict[str, Schema] = {
        "cases": {"type": "array", "minItems": 1, "items": _object(cases, ["name", "expect"], oneOf=either)},
        **{key: {"type": "integer", "minimum": 1, "maximum": most} for key, most in smoke_test.MAXIMA.items()},
        "maximum_error_rate": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "maximum_p95_latency_ms": latency,
    }
    members = {
        name: _described(_with_default(suite[name], smoke_test._SUITE_DEFAULTS, name), _SUITE_TEXTS[name])
        for name in ("cases", *smoke_test._SUITE_DEFAULTS)
    }
    return _object({strict_json.EDITOR_KEY: _EDITOR_KEY, **members}, ["cases"])


def _with_default(schema: Schema, defaults: dict[str, Any], name: str) -> Schema:
    return {**schema, "default": defaults[name]} if defaults.get(name) is not None else schema


# Settings.

_PART_TEXTS = {
    "EndpointConfig": f"The fields of CreateEndpointConfig: {_API.format('CreateEndpointConfig')}",
    "DeploymentConfig": f"The field of that name of UpdateEndpoint: {_API.format('UpdateEndpoint')} With "
    f"InferenceComponent, that of UpdateInferenceComponent: {_API.format('UpdateInferenceComponent')}",
    "InferenceComponent": "Serve the model with an inference component on an endpoint of its own, with these fields of "
    f"its specification and so many copies: {_API.format('InferenceComponentSpecification')}",
    "Model": f"VpcConfig, EnableNetworkIsolation, and PrimaryContainer with Image and Environment, of CreateModel: "
    f"{_API.format('CreateModel')}",
    "InferenceCode": "The inference code of training jobs, instead of their tags or their training code.",
    "Autoscaling": "How the variant scales. Without it, the autoscaling of the endpoint stays as it is.",
    "SmokeTest": 'A smoke test, or "skip". Without it, the one that travels with the model is used.',
    "SmokeTestFunction": "The ARN of a Lambda function that tests the endpoint after the smoke test.",
    "QualityGate": "The limits for the metrics of the model.",
    "Retention": "How many successful promotions are kept.",
    "Sources": "The sources that can be promoted into the application. Without it, all of the upstream account.",
    "KeptVariables": "Variables of the environment whose S3 URIs are not artifacts.",
    "AcceptEula": "Whether this stage accepts the licenses of gated models that were accepted upstream.",
    "AdoptExisting": "Whether promotions can update an endpoint that none of them created.",
    "RequirePinnedWeights": "Whether a model is refused if its environment names weights that its digest does not pin.",
    "RequireRollback": "Whether a promotion is refused if the endpoint could not be rolled back.",
    "RegisterInto": "The model package group of this account in which promoted models are registered.",
    "Tags": "Tags of the model, the endpoint config and the endpoint, over those of the candidate.",
}
_SWITCHES = ("AcceptEula", "AdoptExisting", "RequirePinnedWeights", "RequireRollback")
_RULE_TEXTS = {
    "MetricName": "The name of the metric.",
    "Minimum": "The metric must not be less.",
    "Maximum": "The metric must not be more.",
    "Type": "Whether higher values are better (Maximize) or lower ones (Minimize).",
    "NotWorseThanLiveBy": "The maximum by which the metric may be worse than that of the live model, in its own unit.",
}


def of_settings() -> Schema:
    """Return the schema of the settings of an application."""
    parts: dict[str, Schema] = {
        "EndpointConfig": _endpoint_config(),
        "DeploymentConfig": {
            "anyOf": [
                of_shape(_input("sagemaker", operation).members["DeploymentConfig"])
                for operation in ("UpdateEndpoint", "UpdateInferenceComponent")
            ]
        },
        "InferenceComponent": _component(),
        "Model": _model(),
        "InferenceCode": _object(
            {
                "S3Uri": {"type": "string", "pattern": "^s3://", "description": "The S3 URI of the code."},
                "Program": {"type": "string", "minLength": 1, "description": "The script that serves the model."},
            },
            minProperties=1,
        ),
        "Autoscaling": _autoscaling(),
        "SmokeTest": {"anyOf": [{"const": smoke_test.SKIP}, of_smoke_test()]},
        "SmokeTestFunction": {"type": "string", **_pattern(_without_names(smoke_test_function.ARN))},
        "QualityGate": _quality_gate(),
        "Retention": _object(
            {"Keep": {"type": "integer", "minimum": retention.MINIMUM_KEEP, "maximum": retention.MAXIMUM_KEEP}},
            ["Keep"],
        ),
        "Sources": _sources(),
        "KeptVariables": {"type": "array", "items": of_shape(_container().members["Environment"].key)},
        "RegisterInto": of_shape(_input("sagemaker", "CreateModelPackage").members["ModelPackageGroupName"]),
        "Tags": of_shape(_input("sagemaker", "CreateEndpointConfig").members["Tags"]),
        **{name: {"type": "boolean"} for name in _SWITCHES},
    }
    return _object(
        {strict_json.EDITOR_KEY: _EDITOR_KEY, **{n: _described(parts[n], _PART_TEXTS[n]) for n in settings._PARTS}}
    )


def _input(service: str, operation: str) -> StructureShape:
    return service_model.input_shape(service, operation)


def _container() -> StructureShape:
    container: StructureShape = _input("sagemaker", "CreateModel").members["PrimaryContainer"]
    return container


def _component() -> Schema:
    specification = _input("sagemaker", "UpdateInferenceComponent").members["Specification"]
    members = {name: of_shape(specification.members[name]) for name in component_settings.MEMBERS}
    copies: Schema = {"type": "integer", "minimum": 1, "default": 1, "description": "The number of copies at first."}
    shared = {
        name: of_shape(_input("sagemaker", "CreateInferenceComponent").members[name])
        for name in component.SHARED_ENDPOINT
    }
    return _object({**members, component.COPIES: copies, **shared}, ["ComputeResourceRequirements"])


def _endpoint_config() -> Schema:
    shape = _input("sagemaker", "CreateEndpointConfig")
    removed = tuple(settings._NOT_ACCEPTED["EndpointConfig"])
    schema = of_shape(shape, removed, optional=("ProductionVariants",))
    for kind in ("ProductionVariants", "ShadowProductionVariants"):
        not_accepted = tuple(settings._NOT_ACCEPTED["ProductionVariants"]) if kind == "ProductionVariants" else ()
        # The promotion fills in the names of variants and of the model.
        variant = of_shape(shape.members[kind].member, not_accepted, optional=("VariantName", "ModelName"))
        schema["properties"][kind] |= {"items": variant, "minItems": 1}
    return schema


def _model() -> Schema:
    schema = of_shape(_input("sagemaker", "CreateModel"), tuple(settings._NOT_ACCEPTED["Model"]))
    schema["properties"]["PrimaryContainer"] = of_shape(
        _container(), tuple(settings._NOT_ACCEPTED["Model.PrimaryContainer"])
    )
    return schema


def _autoscaling() -> Schema:
    target = _input("application-autoscaling", "RegisterScalableTarget")
    named_by_promotion = ("ServiceNamespace", "ResourceId", "ScalableDimension")

    def items(operation: str) -> Schema:
        schema = of_shape(_input("application-autoscaling", operation), named_by_promotion)
        return {"type": "array", "items": schema, "description": _SCALING_API.format(operation)}

    return _object(
        {
            **{name: of_shape(target.members[name]) for name in autoscaling._TARGET_MEMBERS},
            "ScalingPolicies": items("PutScalingPolicy"),
            "ScheduledActions": items("PutScheduledAction"),
        },
        ["MinCapacity", "MaxCapacity"],
    )


def _quality_gate() -> Schema:
    members: dict[str, Schema] = {
        "MetricName": {"type": "string", "minLength": 1, "maxLength": model_metrics.LONGEST_NAME},
        "Type": {"enum": list(quality_gate._TYPES)},
        "NotWorseThanLiveBy": {"type": "number", "minimum": 0},
    }
    rule = _object(
        {
            name: _described(members.get(name, {"type": "number"}), _RULE_TEXTS[name])
            for name in sorted(quality_gate._MEMBERS)
        },
        ["MetricName"],
        anyOf=[{"required": [limit]} for limit in ("Minimum", "Maximum", "NotWorseThanLiveBy")],
        dependencies={"Type": ["NotWorseThanLiveBy"], "NotWorseThanLiveBy": ["Type"]},
    )
    return {"type": "array", "minItems": 1, "items": rule}


def _sources() -> Schema:
    lists = {
        key: {"type": "array", "items": of_shape(_input("sagemaker", operation).members[member])}
        for key, (operation, member) in admission._SHAPES.items()
    }
    shape = _input("sagemaker", "CreateModelPackage").members[admission._LIFE_CYCLE]
    others = tuple(name for name in shape.members if name not in admission._LIFE_CYCLE_MEMBERS)
    life_cycle = of_shape(shape, others) | {"required": list(admission._LIFE_CYCLE_MEMBERS)}
    return _object({**lists, admission._LIFE_CYCLE: life_cycle})


# Inputs of a manual start.

_KEY_TEXTS = {
    "training_job": "The name or ARN of a completed training job.",
    "tuning_job": "The name or ARN of a completed tuning job, whose best training job is promoted.",
    "automl_job": "The name or ARN of a completed AutoML job, whose best candidate is promoted.",
    "model": "The name or ARN of a SageMaker model. In a stage after another one, that stage must have promoted it.",
    "model_package": "The ARN of an approved model package.",
    "rollback": "The endpoint to roll back.",
    "recover": "The endpoint whose interrupted promotion is to be recovered.",
    "to": "The model to roll back to. Without it, the last good one before the live model.",
    "application": "The application, if the source has no tag model-promotion:application.",
    "approval": "The ID of the runbook's execution that approved the promotion. The runbook sets it.",
    "automation": "The ID of the runbook's execution that a person has started. The runbook sets it.",
    "digest": "The digest that was approved. The runbook sets it.",
    "preview": "Whether to report what would be done, and to change nothing.",
}


def of_input() -> Schema:
    """Return the schema of the input of an execution that a person starts."""
    patterns = {
        **dict.fromkeys(("model", "training_job", "rollback", "recover", "to"), source_names.NAME),
        "automl_job": source_names.SHORT_NAME,
        "tuning_job": source_names.SHORT_NAME,
        "model_package": source_names._PACKAGE_ARN,
        "application": naming._APPLICATION,
        **dict.fromkeys(("approval", "automation"), request._EXECUTION_ID),
        "digest": request._DIGEST,
    }

    def member(key: str) -> Schema:
        schema: Schema = {"type": "boolean"} if key == "preview" else {"type": "string", **_pattern(patterns[key])}
        if key in source_names.SOURCES and key != "model_package":
            arn = rf"^arn:[^:]*:sagemaker:[^:]*:\d{{12}}:{source_names.SOURCES[key]}/.+$"
            schema = {"type": "string", "anyOf": [_pattern(patterns[key]), {"pattern": arn}]}
        return _described(schema, _KEY_TEXTS[key])

    further = {kind: {*request._KEYS_OF_A_SOURCE, "preview"} for kind in source_names.SOURCES}
    # A recovery has no preview.
    further |= {
        kind: keys | ({"preview"} if kind != "recover" else set()) for kind, keys in request._FURTHER_KEYS.items()
    }
    alternatives = [
        _object({key: member(key) for key in (kind, *sorted(keys))}, [kind]) for kind, keys in further.items()
    ]
    return {"oneOf": alternatives}


# Events that a stage publishes.

_EVENT_TEXTS = {
    request.SUCCEEDED: "A promotion or a rollback has succeeded. The detail is its record.",
    "Model Promotion Failed": "A promotion has failed. The detail is its record as far as it is known.",
    "Model Promotion Rejected": "A promotion was rejected, or a source is not for promotion. Nothing was changed.",
    events.APPROVAL_REQUESTED: "A promotion waits for approvers. The detail is its record as far as it is known.",
    events.DIFFERS: "An endpoint differs from its record.",
}
# The statuses in the record of each event, and the keys that each has.
_STATUSES = {
    "Model Promotion Succeeded": ["Succeeded"],
    "Model Promotion Failed": ["Failed", "RollbackFailed"],
    "Model Promotion Rejected": ["Rejected"],
}
_REQUIRED = ["application", "stage", "endpoint", "execution", "summary"]
_ENVELOPE: dict[str, Schema] = {
    "version": {"const": "0"},
    "id": {"type": "string"},
    "source": {"const": request.OWN_SOURCE},
    "account": {"type": "string", "pattern": "^[0-9]{12}$", "description": "The account of the stage."},
    "time": {"type": "string", "format": "date-time"},
    "region": {"type": "string"},
    "resources": {"type": "array"},
}


def of_events() -> Schema:
    """Return the schema of the events that a stage publishes on its bus."""
    record = {
        name: _described(_of_type(get_args(hint)[0]), f"{get_args(hint)[1]}.")
        for name, hint in get_type_hints(PromotionRecord, include_extras=True).items()
    }
    alternatives = []
    for detail_type, text in _EVENT_TEXTS.items():
        properties, required = record, _REQUIRED
        if statuses := _STATUSES.get(detail_type):
            properties, required = record | {"status": record["status"] | {"enum": statuses}}, [*_REQUIRED, "status"]
        # Later versions may add keys.
        detail = {"type": "object", "properties": properties, "required": required}
        members = {"detail-type": {"const": detail_type}, **_ENVELOPE, "detail": detail}
        alternatives.append(_described(_object(members, list(members)), text))
    return {"oneOf": alternatives}


def _of_type(hint: Any) -> Schema:
    if get_origin(hint) is list:
        return {"type": "array", "items": _of_type(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _of_type(get_args(hint)[1])}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[hint]} if hint is not Any else {}


def documents() -> dict[str, str]:
    """Return each schema as JSON by the name of its file."""
    schemas = {
        "settings": ("Settings of an application in a stage", of_settings()),
        "smoke-test": ("Smoke test", of_smoke_test()),
        "input": ("Input of a manual start", of_input()),
        "events": ("Events that a stage publishes", of_events()),
    }
    return {
        f"{name}.schema.json": json.dumps({"$schema": _DRAFT, "title": title, **schema}, indent=1) + "\n"
        for name, (title, schema) in schemas.items()
    }


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text)
