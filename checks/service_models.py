"""Generate functions/promotion/aws/models: the service models of botocore that the functions contain.

The models come from the locked botocore, which the tests use, and have only the operations that the functions call or
whose input they validate, without documentation. `make service-models` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.loaders

TARGET = Path(__file__).parent.parent / "functions/promotion/aws/models"
OPERATIONS = {
    "application-autoscaling": (
        "DeleteScalingPolicy",
        "DeleteScheduledAction",
        "DeregisterScalableTarget",
        "DescribeScalableTargets",
        "DescribeScalingPolicies",
        "DescribeScheduledActions",
        "PutScalingPolicy",
        "PutScheduledAction",
        "RegisterScalableTarget",
    ),
    "sagemaker": (
        "AddTags",
        "CreateEndpoint",
        "CreateEndpointConfig",
        "CreateInferenceComponent",
        "CreateModel",
        "CreateModelPackage",
        "CreateTrainingJob",
        "DeleteEndpoint",
        "DeleteEndpointConfig",
        "DeleteInferenceComponent",
        "DeleteModel",
        "DeleteTags",
        "DescribeAutoMLJobV2",
        "DescribeEndpoint",
        "DescribeEndpointConfig",
        "DescribeHyperParameterTuningJob",
        "DescribeInferenceComponent",
        "DescribeModel",
        "DescribeModelPackage",
        "DescribeModelPackageGroup",
        "DescribeTrainingJob",
        "ListEndpointConfigs",
        "ListEndpoints",
        "ListHyperParameterTuningJobs",
        "ListInferenceComponents",
        "ListModelPackages",
        "ListModels",
        "ListTags",
        "ListTrainingJobs",
        "UpdateEndpoint",
        "UpdateEndpointWeightsAndCapacities",
        "UpdateInferenceComponent",
        "UpdateInferenceComponentRuntimeConfig",
    ),
    "sagemaker-runtime": ("InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream"),
}
_TEXTS = {"deprecatedMessage", "documentation", "documentationUrl"}


def files() -> dict[Path, str]:
    """Return the content of each file, by its path under the target directory."""
    loader = botocore.loaders.Loader()
    found = {}
    for name, operations in OPERATIONS.items():
        model = loader.load_service_model(name, "service-2")
        version = loader.determine_latest_version(name, "service-2")
        found[Path(name, version, "service-2.json")] = _text(_reduced(model, operations))
    return found


def _reduced(model: dict[str, Any], operations: tuple[str, ...]) -> dict[str, Any]:
    chosen = {name: _without_texts(model["operations"][name]) for name in operations}
    shapes: dict[str, Any] = {}
    remaining = list(_shapes_in(chosen))
    while remaining:
        name = remaining.pop()
        if name not in shapes:
            shapes[name] = _without_texts(model["shapes"][name])
            remaining += _shapes_in(shapes[name])
    return {
        "version": model["version"],
        "metadata": model["metadata"],
        "operations": chosen,
        "shapes": dict(sorted(shapes.items())),
    }


def _shapes_in(value: Any) -> Iterator[str]:
    """Yield the names of the shapes that a part of a model refers to: {"shape": name}."""
    if isinstance(value, list):
        for each in value:
            yield from _shapes_in(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "shape" and isinstance(each, str):
                yield each
            else:
                yield from _shapes_in(each)


def _without_texts(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_texts(each) for each in part]
    if not isinstance(part, dict):
        return part
    # A structure can have a member of that name, which is no string.
    return {key: _without_texts(value) for key, value in part.items() if not (key in _TEXTS and isinstance(value, str))}


def _text(model: dict[str, Any]) -> str:
    """Return a model as JSON with one line for each operation and shape."""
    lines = [
        f"{json.dumps(part)}: {{\n"
        + ",\n".join(
            f" {json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in found.items()
        )
        + "\n}"
        for part, found in model.items()
        if isinstance(found, dict)
    ]
    return "{\n" + ",\n".join([f'"version": {json.dumps(model["version"])}', *lines]) + "\n}\n"


if __name__ == "__main__":
    for path, text in files().items():
        (TARGET / path).parent.mkdir(parents=True, exist_ok=True)
        (TARGET / path).write_text(text)
