"""Checks of a smoke test against the model and the endpoint that it is to call, before anything is created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint import request_members
from promotion.endpoint.config import is_asynchronous, is_serverless
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES
from promotion.naming import VARIANT

MAXIMUM_SERVERLESS_BODY_BYTES = 4 * 1024**2


def refusals(
    suite: dict[str, Any],
    body_sizes: list[int],
    containers: list[dict[str, Any]],
    mode: str,
    endpoint_config: dict[str, Any],
) -> Iterator[str]:
    """Yield the reasons why SageMaker would refuse a case of `suite`, each with the remedy.

    `body_sizes` are the sizes of the cases' bodies in bytes. `containers` and `mode` (of InferenceExecutionConfig) are
    those of the model, `endpoint_config` that of the settings.
    """
    for case, size in zip(suite["cases"], body_sizes, strict=True):
        where = f"The case {case['name']!a} of the smoke test"
        for refusal in (
            *_of_model(case, containers),
            *_of_container(case, containers, mode),
            *_of_endpoint(case, endpoint_config),
            *_of_size(size, endpoint_config),
        ):
            yield f"{where} has {refusal}"


def _of_model(case: dict[str, Any], containers: list[dict[str, Any]]) -> Iterator[str]:
    target, is_multi_model = case["target_model"], any(each.get("Mode") == "MultiModel" for each in containers)
    if is_multi_model and case.get("stream"):
        yield (f"stream, but {request_members.STREAM} cannot choose a model of a multi-model endpoint. Remove stream.")
    elif is_multi_model and not target:
        yield "no target_model, which a multi-model endpoint requires. Add target_model."
    if target and not is_multi_model:
        yield f"the target_model {target!a}, but the model is not a multi-model one. Remove target_model."


def _of_container(case: dict[str, Any], containers: list[dict[str, Any]], mode: str) -> Iterator[str]:
    hostnames, hostname = [each.get("ContainerHostname") for each in containers], case["target_container_hostname"]
    if mode == "Direct" and hostname not in hostnames:
        yield (
            f"the target_container_hostname {hostname!a}, but the model is in Direct mode with the containers "
            f"{', '.join(map(str, hostnames))}. Set target_container_hostname to one of them."
        )
    if hostname and mode != "Direct":
        yield ("a target_container_hostname, but the model is not in Direct mode. Remove target_container_hostname.")


def _of_endpoint(case: dict[str, Any], endpoint_config: dict[str, Any]) -> Iterator[str]:
    variants = [variant.get("VariantName", VARIANT) for variant in endpoint_config["ProductionVariants"]]
    if (target := case.get("target_variant")) and target not in variants:
        yield (
            f"the target_variant {target!a}, but the endpoint has the production variants {', '.join(variants)}. Set "
            "target_variant to one of them, or remove it to call each of them."
        )
    if case.get("inference_component_name"):
        yield "an inference_component_name, but the promotion calls the component of its own application. Remove it."
    if case.get("enable_explanations") and "ExplainerConfig" not in endpoint_config:
        yield "enable_explanations, but the endpoint has no ExplainerConfig. Remove enable_explanations."
    if is_asynchronous(endpoint_config):
        operation = request_members.ASYNCHRONOUS
        given = [*request_members.lacking(case, operation), *(["stream"] if case.get("stream") else [])]
        # The model and the container are refused with the kind of the model.
        for key in sorted(set(given) - {"target_model", "target_container_hostname", "inference_component_name"}):
            yield f"{key}, but the endpoint is asynchronous, and {operation} has no such parameter. Remove {key}."


def _of_size(size: int, endpoint_config: dict[str, Any]) -> Iterator[str]:
    if size > MAXIMUM_BODY_BYTES and not is_asynchronous(endpoint_config):
        yield (
            f"a body of {size} bytes. An endpoint that is not asynchronous accepts at most {MAXIMUM_BODY_BYTES} bytes. "
            "Use a smaller body."
        )
    elif is_serverless(endpoint_config) and size > MAXIMUM_SERVERLESS_BODY_BYTES:
        yield (
            f"a body of {size} bytes. A serverless endpoint accepts at most {MAXIMUM_SERVERLESS_BODY_BYTES} bytes. Use "
            "a smaller body."
        )
