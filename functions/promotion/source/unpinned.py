"""Weights and addresses in the environment and serving.properties of a model that its digest does not pin.

An `s3://` URI that is a complete value is an artifact, which a promotion pins and copies. Anything else that a
container downloads when it starts can change after the approval: a model of a hub without a commit, or an address in a
longer value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

# The variables that name a model of the Hugging Face Hub, and those of its revision: the documentation of the Hugging
# Face Inference Toolkit, Text Generation Inference, DJL Serving (OPTION_*) and AWS's vLLM and SGLang images.
_HUB_MODELS = {
    "HF_MODEL_ID": ("HF_MODEL_REVISION", "REVISION"),
    "MODEL_ID": ("REVISION",),
    "OPTION_MODEL_ID": ("OPTION_REVISION",),
    "SM_VLLM_MODEL": ("SM_VLLM_REVISION",),
    "SM_SGLANG_MODEL_PATH": ("SM_SGLANG_REVISION",),
}
# Variables whose values are secrets, such as HF_TOKEN, HUGGING_FACE_HUB_TOKEN, API_KEY and DB_PASSWORD.
_SECRET = re.compile(r"(?:.*_)?(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(API|ACCESS|PRIVATE|SECRET)_?KEY)")
_HUB_ID = re.compile(r"\w[\w.-]{0,95}(/[\w.-]{1,96})?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ARTIFACT = re.compile(r"s3://.*", re.IGNORECASE | re.DOTALL)
# Addresses of S3, without the query, which may contain a signature.
_ADDRESS = re.compile(
    r"s3[an]?://[\w./+=@!*()-]+"
    r"|https?://[\w.-]*\bs3[\w.-]*\.amazonaws\.com(?:\.cn)?[\w./+=@!*()-]*"
    r"|arn:aws[a-z-]*:s3:::[\w./+=@!*()-]+",
    re.ASCII | re.IGNORECASE,
)
_MOST_SHOWN, _SHOWN_CHARACTERS = 20, 200


def descriptions(
    containers: list[dict[str, Any]], kept: Iterable[str], properties: dict[int, dict[str, str]] | None = None
) -> list[str]:
    """Return what the digest of a model with `containers` does not pin, each with its place.

    `kept` are the variables whose values the settings keep as they are. Their values are not artifacts. `properties`
    are those of the file serving.properties in the models of some containers, by index. DJL Serving reads
    option.model_id like the variable OPTION_MODEL_ID.
    """
    found = [
        f"Containers[{index}].Environment.{name}: {what}"
        for index, container in enumerate(containers)
        for name, value in sorted(container.get("Environment", {}).items())
        if name not in kept
        for what in _in_value(name, value, container["Environment"])
    ]
    for index, options in (properties or {}).items():
        variables = {_variable(option): value for option, value in options.items()}
        found += [
            f"Containers[{index}], {option} in serving.properties: {what}"
            for option, value in sorted(options.items())
            if _variable(option) not in kept
            for what in _in_value(_variable(option), value, variables, is_artifact=False)
        ]
    more = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
    return found[:_MOST_SHOWN] + more


def secrets(containers: list[dict[str, Any]]) -> list[str]:
    """Return the places of variables that seem to be secrets by their names, at most 20."""
    found = [
        f"Containers[{index}].Environment.{name}"
        for index, container in enumerate(containers)
        for name, value in sorted(container.get("Environment", {}).items())
        if value and is_secret(name)
    ]
    return found[:_MOST_SHOWN]


def is_secret(name: str) -> bool:
    """Return whether the value of a variable seems to be a secret by the variable's name."""
    return _SECRET.fullmatch(name.upper()) is not None


def _variable(option: str) -> str:
    return option.upper().replace(".", "_")


def _in_value(name: str, value: str, environment: dict[str, str], *, is_artifact: bool = True) -> Iterator[str]:
    """Yield what a value refers to. A complete `s3://` URI is an artifact, unless it cannot be rewritten."""
    if name in _HUB_MODELS and _HUB_ID.fullmatch(value):
        if not any(_COMMIT.fullmatch(environment.get(revision, "")) for revision in _HUB_MODELS[name]):
            yield f"fetched at start from the model hub, {value}"
        return
    if is_artifact and _ARTIFACT.fullmatch(value):
        return
    for address in _ADDRESS.findall(value):
        yield f"fetched at start from {address[:_SHOWN_CHARACTERS]}"
