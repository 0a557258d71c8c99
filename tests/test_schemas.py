"""The JSON Schemas in docs/schemas/ are current, valid, and agree with what validates settings, suites and inputs."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft7Validator

from docs import json_schemas as schemas
from promotion.endpoint import smoke_test
from promotion.errors import InvalidRequestError
from promotion.history import events
from promotion.plan import settings
from promotion.record import PromotionRecord
from promotion.source import request
from tests.linter import Project

ROOT = Path(__file__).parent.parent
SETTINGS = sorted((ROOT / "events/settings").glob("*.json"))
INPUTS = [path for path in sorted((ROOT / "events").glob("*.json")) if "detail-type" not in path.read_text()]
EVENTS = [ROOT / "events/promotion-succeeded.json", *sorted((ROOT / "events/published").glob("*.json"))]
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}
# A document with everything that no example has.
ALL_SETTINGS = {
    "InferenceCode": {"S3Uri": "s3://bucket/code.tar.gz", "Program": "inference.py"},
    "Autoscaling": {
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "ScalingPolicies": [
            {
                "PolicyName": "invocations",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 70.0,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
                },
            }
        ],
        "ScheduledActions": [
            {
                "ScheduledActionName": "night",
                "Schedule": "cron(0 20 * * ? *)",
                "ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 1},
            }
        ],
    },
    "QualityGate": [
        {"MetricName": "f1", "Minimum": 0.8, "Maximum": 1},
        {"MetricName": "auc", "Type": "Maximize", "NotWorseThanLiveBy": 0.01},
    ],
    "Retention": {"Keep": 5},
    "SmokeTestFunction": "arn:aws:lambda:eu-west-1:222222222222:function:reviews-qa-smoke-test:live",
    "Sources": {
        "TrainingRoles": ["arn:aws:iam::111111111111:role/Training"],
        "ModelPackageGroups": ["reviews"],
        "ModelLifeCycle": {"Stage": "qa", "StageStatus": "approved"},
    },
    "KeptVariables": ["OUTPUT_DIR"],
    "AcceptEula": True,
    "AdoptExisting": True,
    "RequirePinnedWeights": False,
    "RequireRollback": True,
    "RegisterInto": "reviews-live",
    "Tags": [{"Key": "cost-center", "Value": "4711"}],
}
ALL_CASES = {
    "cases": [
        {
            "name": "one",
            "body": {"text": "good"},
            "expect": "label == 'positive'",
            "content_type": "application/json",
            "accept": "application/json",
            "maximum_latency_ms": 500,
            "target_model": "en.tar.gz",
            "target_container_hostname": "first",
        },
        {"name": "two", "body_uri": "s3://bucket/body.json", "expect": "label", "maximum_latency_ms": None},
        {
            "name": "three",
            "body": "x",
            "expect": "[0][0] > `0.5`",
            "accept": "text/csv",
            "custom_attributes": "tenant=one",
            "target_variant": "Gpu",
            "session_id": "NEW_SESSION",
            "enable_explanations": "`true`",
            "prefix_aware_id": "reviews",
            "inference_component_name": "reviews-qa",
        },
        {"name": "four", "body": "x", "expect": "text == 'y'", "stream": True, "session_id": "s-1"},
    ],
    "repeat": 3,
    "concurrency": 2,
    "maximum_error_rate": 0.1,
    "maximum_p95_latency_ms": 400.5,
}


def validate_settings(document: Any) -> None:
    settings.read(json.dumps(document), "a test", DEFAULTS, "111111111111")


def validate_suite(document: Any) -> None:
    smoke_test.validated(document, "a test")


def validate_input(document: Any) -> None:
    request.read(document, "111111111111", "222222222222", "eu-west-1")


VALIDATORS: dict[str, Callable[[Any], None]] = {
    "settings": validate_settings,
    "smoke-test": validate_suite,
    "input": validate_input,
}
DOCUMENTS: list[tuple[str, Any]] = [
    *(("settings", json.loads(path.read_text())) for path in SETTINGS),
    ("settings", ALL_SETTINGS),
    ("smoke-test", json.loads((ROOT / "examples/reviews/smoke-test.json").read_text())),
    ("smoke-test", ALL_CASES),
    *(("input", json.loads(path.read_text())) for path in INPUTS),
    ("input", {"model": "m", "application": "reviews", "approval": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"}),
    ("input", {"training_job": "arn:aws:sagemaker:eu-west-1:111111111111:training-job/x", "digest": "ab" * 32}),
]


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((schemas.DIRECTORY / f"{name}.schema.json").read_text())
    return found


@functools.cache
def validator(name: str) -> Draft7Validator:
    return Draft7Validator(schema(name))


def accepts(name: str, document: Any) -> bool:
    return bool(validator(name).is_valid(document))


def is_valid(name: str, document: Any) -> bool:
    try:
        VALIDATORS[name](document)
    except InvalidRequestError:
        return False
    return True


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each member of a document."""
    members = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in members:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """Return a copy of a document after `change` of the container of a member, and its key."""
    whole = copy.deepcopy(document)
    container = whole
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return whole


def put(value: Any, parent: Any, key: Any) -> None:
    parent[key] = value


def test_the_schemas_are_current() -> None:
    published = {path.name: path.read_text() for path in schemas.DIRECTORY.iterdir()}

    assert published == schemas.documents(), "run `make docs`"


@pytest.mark.parametrize("name", ["settings", "smoke-test", "input", "events"])
def test_each_schema_is_a_valid_schema_with_descriptions(name: str) -> None:
    found = schema(name)

    Draft7Validator.check_schema(found)
    for one in (found, *found.get("oneOf", [])):
        properties = one.get("properties", {})
        keys = properties["detail"]["properties"] if "detail" in properties else properties
        assert [key for key, member in keys.items() if not member.get("description")] == []


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_a_valid_document_is_valid_for_its_schema_also_with_the_key_for_editors(name: str, document: Any) -> None:
    assert is_valid(name, document)
    assert accepts(name, document)
    if name != "input":
        with_key = {"$schema": "https://example.com/settings.schema.json", **document}
        assert is_valid(name, with_key)
        assert accepts(name, with_key)


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_a_schema_refuses_nothing_that_is_valid(name: str, document: Any) -> None:
    """Replace, remove and rename each member; what the schema refuses must be invalid."""
    values: list[Any] = [None, True, 0, 1, -1, 2.5, 10**9, "", "x", "s3://b/k", [], {}, [{}], {"x": 1}]

    for path in places(document):
        replaced = [changed(document, path, functools.partial(put, new)) for new in values]
        removed = changed(document, path, lambda parent, key: parent.__delitem__(key))
        for one in (*replaced, removed):
            assert accepts(name, one) or not is_valid(name, one), (path, one)


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_a_schema_refuses_every_misspelled_key(name: str, document: Any) -> None:
    def misspell(parent: Any, key: Any) -> None:
        parent[f"{key}x"] = parent.pop(key)

    for path in places(document):
        # A request body and an environment have any keys.
        if isinstance(path[-1], str) and not {"body", "Environment"} & set(path[:-1]):
            one = changed(document, path, misspell)
            assert not is_valid(name, one), path
            assert not accepts(name, one), path


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_every_published_event_has_a_complete_example(path: Path) -> None:
    event = json.loads(path.read_text())

    jsonschema.validate(event, schema("events"))
    assert set(event["detail"]) <= set(PromotionRecord.__annotations__)


def test_every_published_event_has_a_schema() -> None:
    states = Project.read().definition["States"].values()
    entries = [entry for state in states for entry in state.get("Arguments", {}).get("Entries", [])]
    published = {entry["DetailType"] for entry in entries} | {events.DIFFERS, events.APPROVAL_REQUESTED}

    known = {one["properties"]["detail-type"]["const"] for one in schema("events")["oneOf"]}

    assert known == published == {json.loads(path.read_text())["detail-type"] for path in EVENTS}
