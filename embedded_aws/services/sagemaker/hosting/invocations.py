"""InvokeEndpoint, InvokeEndpointWithResponseStream and InvokeEndpointAsync, served by the endpoint's containers.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html,
API_runtime_InvokeEndpointWithResponseStream.html and API_runtime_InvokeEndpointAsync.html
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.sagemaker.models import sagemaker_backends
from moto.sagemakerruntime import urls
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError
from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts
from embedded_aws.services.sagemaker.hosting import (
    changes,
    components,
    data_capture,
    event_stream,
    invocation_metrics,
)
from embedded_aws.services.sagemaker.hosting.containers import ContainerError, Response
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint
from embedded_aws.services.sagemaker.hosting.fleet import ModelFailedError, Request, TargetError, Variant

LARGEST_BODY = 6_291_456
_LARGEST_SERVERLESS_BODY = 4 * 1024 * 1024
_LARGEST_ASYNC_BODY = 128_000
_PREFIX = "X-Amzn-SageMaker-"
_STREAM = "invocations-response-stream"

patches = Patches("5.2.5")
_infer_host_in_moto = DomainDispatcherApplication.infer_service_region_host
_background: Background


class ModelError(ApiError):
    """The model responded with an error: status 424, with the model's status and message."""

    code = "ModelError"

    def __init__(self, endpoint: Endpoint, variant: Variant, failure: ModelFailedError) -> None:
        whose = "client" if 400 <= failure.status < 500 else "server"
        log = variant.log_streams()[failure.container]
        super().__init__(
            f'Received {whose} error ({failure.status}) from {failure.container} with message "{failure.message}". See '
            f"https://{endpoint.region}.console.aws.amazon.com/cloudwatch/home?region={endpoint.region}#logEventViewer:"
            f"group={log.group} in account {endpoint.account} for more information."
        )
        self.original_status_code = failure.status
        self.original_message = failure.message
        self.log_stream_arn = f"arn:aws:logs:{endpoint.region}:{endpoint.account}:log-group:{log.group}"


def install(host: Host) -> None:
    """Apply the patches, and end asynchronous inferences with the host."""
    global _background
    _background = Background("asynchronous inference")
    host.exits.callback(_background.end)
    patches.apply()


patches.replace(SageMakerRuntimeResponse, "use_raw_body", True, "moto decodes bodies as UTF-8.")


patches.replace(
    urls,
    "url_paths",
    {**urls.url_paths, f"{{0}}/endpoints/(?P<name>[^/]+)/{_STREAM}$": urls.response.dispatch},
    "moto does not implement InvokeEndpointWithResponseStream.",
)


@patches.replaces(
    DomainDispatcherApplication,
    "infer_service_region_host",
    "moto tells SageMaker's runtime from its API by the last characters of the path, which this operation lacks.",
)
def _infer_host(application: Any, environ: dict[str, Any], path: str) -> str | None:
    known = environ.get("PATH_INFO", "").removesuffix("-response-stream")
    host: str | None = _infer_host_in_moto(application, {**environ, "PATH_INFO": known}, path)
    return host


@patches.replaces(SageMakerRuntimeResponse, "invoke_endpoint", "moto responds without running a container.")
def _invoke_endpoint(response: SageMakerRuntimeResponse) -> Any:
    received = time.monotonic()
    endpoint, headers = _endpoint(response), response.headers
    request = _request(response, endpoint, "InvokeEndpoint", changes.INVOCATION_SECONDS)
    request = dataclasses.replace(
        request, accept=headers.get("Accept", "*/*"), model=headers.get(f"{_PREFIX}Target-Model", "")
    )
    component = headers.get(f"{_PREFIX}Inference-Component", "")
    if endpoint.hosts_components or component:
        result, variant = _invoke_component(endpoint, request, received, component)
    else:
        result, variant = _invoke(endpoint, request, received, headers.get(f"{_PREFIX}Target-Variant", ""))
    data_capture.capture(
        endpoint,
        variant,
        headers.get(f"{_PREFIX}Inference-Id", ""),
        (request.content_type, request.body),
        (result.content_type, result.body),
    )
    return 200, {"Content-Type": result.content_type, **_returned_headers(result, variant)}, result.body


@patches.replaces(
    SageMakerRuntimeResponse,
    "invoke_endpoint_with_response_stream",
    "moto does not implement InvokeEndpointWithResponseStream.",
    adds=True,
)
def _invoke_endpoint_with_response_stream(response: SageMakerRuntimeResponse) -> Any:
    endpoint, headers = _endpoint(response), response.headers
    request = _request(response, endpoint, "InvokeEndpointWithResponseStream", changes.STREAMING_SECONDS)
    request = dataclasses.replace(request, accept=headers.get(f"{_PREFIX}Accept", "*/*"))
    target, component = headers.get(f"{_PREFIX}Target-Variant", ""), headers.get(f"{_PREFIX}Inference-Component", "")
    with ExitStack() as use:
        if endpoint.hosts_components or component:
            serving = _serving_component(endpoint, component)
            found = use.enter_context(serving.variant())
            variant, name = _with_capacity(endpoint, component, found), serving.variant_name or ""
        else:
            variant = _found(use.enter_context(endpoint.variant(target)), endpoint, target)
            name = variant.name
        try:
            result = variant.stream(request)
        except TargetError as error:
            raise _invalid(str(error)) from error
        except ModelFailedError as failure:
            raise ModelError(endpoint, variant, failure) from failure
        # The fleet is in use until the last part.
        body = _events(result.parts, use.pop_all())
    returned = {f"{_PREFIX}Content-Type": result.content_type, **_returned_headers(result, name)}
    return 200, {"Content-Type": event_stream.CONTENT_TYPE, **returned}, body


def _events(parts: Iterator[bytes], use: ExitStack) -> Iterator[bytes]:
    """Yield a PayloadPart for each part, and the error that ends them (API_runtime_ResponseStream.html)."""
    with use:
        try:
            for part in parts:
                yield event_stream.event("PayloadPart", part)
        except TimeoutError:
            # The message is the one that users report; AWS documents the code.
            message = "Your model did not complete sending the inference response in the allotted time."
            yield event_stream.error("ModelStreamError", message, "ModelInvocationTimeExceeded")
        except ContainerError as error:
            yield event_stream.error("ModelStreamError", str(error), "StreamBroken")


def _request(response: SageMakerRuntimeResponse, endpoint: Endpoint, operation: str, seconds: float) -> Request:
    """Return the members of a request that are the same with and without streaming."""
    headers = response.headers
    if "AsyncInferenceConfig" in endpoint.config:
        raise _invalid(f"Endpoint {endpoint.name} of type async does not support {operation}. Use InvokeEndpointAsync.")
    serverless = any("ServerlessConfig" in variant for variant in endpoint.config["ProductionVariants"])
    largest = _LARGEST_SERVERLESS_BODY if serverless else LARGEST_BODY
    if len(response.raw_body) > largest:
        raise _invalid(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {largest}"
        )
    return Request(
        body=response.raw_body,
        content_type=headers.get("Content-Type", "application/octet-stream"),
        accept="*/*",
        timeout=seconds,
        custom_attributes=headers.get(f"{_PREFIX}Custom-Attributes", ""),
        container=headers.get(f"{_PREFIX}Target-Container-Hostname", ""),
        session=headers.get(f"{_PREFIX}Session-Id", ""),
    )


def _returned_headers(result: Response, variant: str) -> dict[str, str]:
    """Return the headers about the invocation; the code of the model sets those that are not the variant's."""
    names = (f"{_PREFIX}Custom-Attributes", f"{_PREFIX}New-Session-Id", f"{_PREFIX}Closed-Session-Id")
    returned = {name: result.headers[name.lower()] for name in names if name.lower() in result.headers}
    return {"x-Amzn-Invoked-Production-Variant": variant, **returned}


@patches.replaces(SageMakerRuntimeResponse, "invoke_endpoint_async", "moto responds without running a container.")
def _invoke_endpoint_async(response: SageMakerRuntimeResponse) -> Any:
    endpoint = _endpoint(response)
    headers = response.headers
    if "AsyncInferenceConfig" not in endpoint.config:
        raise _invalid(
            f"Endpoint {endpoint.name} does not support InvokeEndpointAsync: it has no AsyncInferenceConfig."
        )
    source, body = headers.get(f"{_PREFIX}InputLocation"), response.raw_body
    if bool(source) == bool(body):
        raise _invalid("Exactly one of InputLocation and Body must be provided.")
    if len(body) > _LARGEST_ASYNC_BODY:
        raise _invalid(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_LARGEST_ASYNC_BODY}"
        )
    output = endpoint.config["AsyncInferenceConfig"]["OutputConfig"]
    inference_id = headers.get(f"{_PREFIX}Inference-Id") or str(uuid.uuid4())
    name = headers.get(f"{_PREFIX}Filename") or f"{uuid.uuid4()}.out"
    extension = headers.get(f"{_PREFIX}S3OutputPathExtension", "").strip("/")
    target = "/".join(part for part in (output.get("S3OutputPath", "").rstrip("/"), extension, name) if part)
    failure_path = output.get("S3FailurePath", "").rstrip("/")
    failure_target = f"{failure_path}/{name.removesuffix('.out')}-error.out" if failure_path else ""
    request = Request(
        body=body,
        content_type=headers.get(f"{_PREFIX}Content-Type", ""),
        accept=headers.get(f"{_PREFIX}Accept", "*/*"),
        timeout=float(headers.get(f"{_PREFIX}InvocationTimeoutSeconds", 900)),
        custom_attributes=headers.get(f"{_PREFIX}Custom-Attributes", ""),
    )
    _background.run(_infer, _Inference(endpoint, request, source or "", target, failure_target, inference_id))
    answer_headers = {"status": 202, f"{_PREFIX}OutputLocation": target}
    if failure_target:
        answer_headers[f"{_PREFIX}FailureLocation"] = failure_target
    return 202, answer_headers, json.dumps({"InferenceId": inference_id})


@dataclasses.dataclass(frozen=True)
class _Inference:
    """One asynchronous inference. async-inference-monitor.html documents its notification."""

    endpoint: Endpoint
    request: Request
    source: str
    target: str
    failure_target: str
    inference_id: str


def _infer(inference: _Inference) -> None:
    """Read the input, invoke the model and write the output with the execution role, then notify."""
    endpoint = inference.endpoint
    config = endpoint.config["AsyncInferenceConfig"]["OutputConfig"]
    if endpoint.fleet is None:
        return
    role_arn = endpoint.fleet.role_arn
    key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config["KmsKeyId"]} if "KmsKeyId" in config else {}
    notice = {
        "awsRegion": endpoint.region,
        "eventSource": "aws:sagemaker",
        "eventVersion": "1.0",
        "invocationStatus": "Completed",
        "inferenceId": inference.inference_id,
        "requestParameters": {"endpointName": endpoint.name, "inputLocation": inference.source},
        "responseParameters": {"outputLocation": inference.target},
    }
    topic = config.get("NotificationConfig", {}).get("SuccessTopic")
    try:
        artifacts = Artifacts(role_arn)
        request = inference.request
        if inference.source:
            body, content_type = artifacts.read(inference.source)
            request = dataclasses.replace(request, body=body, content_type=request.content_type or content_type)
        result, _ = _invoke(endpoint, request, time.monotonic())
        artifacts.upload(inference.target, result.body, ContentType=result.content_type, **key)
    except (ArtifactError, ApiError) as error:
        topic = config.get("NotificationConfig", {}).get("ErrorTopic")
        notice |= {"invocationStatus": "Failed", "failureReason": str(error)}
        notice["responseParameters"] = {"failureLocation": inference.failure_target}
        _write_failure(role_arn, inference.failure_target, str(error), key)
    if topic:
        _publish(role_arn, topic, notice)


def _write_failure(role_arn: str, target: str, message: str, key: dict[str, str]) -> None:
    if not target:
        return
    try:
        Artifacts(role_arn).upload(target, message.encode(), **key)
    except ArtifactError:
        return  # without the permission, there is no object


def _publish(role_arn: str, topic: str, notice: dict[str, Any]) -> None:
    try:
        execution_roles.client("sns", role_arn).publish(TopicArn=topic, Message=json.dumps(notice))
    except (ClientError, execution_roles.RoleError):
        return  # without the permission, there is no notification


def _endpoint(response: SageMakerRuntimeResponse) -> Endpoint:
    name = response.path.split("/")[2]
    endpoint = sagemaker_backends[response.current_account][response.region].endpoints.get(name.lower())
    # "the case is preserved and must be matched in InvokeEndpoint" (API_CreateEndpoint.html)
    if endpoint is None or endpoint.name != name or not endpoint.serves:
        raise _invalid(f"Endpoint {name} of account {response.current_account} not found.")
    return endpoint  # type: ignore[no-any-return]


def _invoke(endpoint: Endpoint, request: Request, received: float, target_variant: str = "") -> tuple[Response, str]:
    """Return the response to a request, `received` at a time, and the name of the variant that served it."""
    with endpoint.variant(target_variant) as variant:
        found = _found(variant, endpoint, target_variant)
        dimensions = invocation_metrics.of_variant(endpoint, found)
        return _answer(endpoint, found, request, received, dimensions), found.name


def _invoke_component(endpoint: Endpoint, request: Request, received: float, name: str) -> tuple[Response, str]:
    """Return the response of an inference component and the name of its variant."""
    serving = _serving_component(endpoint, name)
    with serving.variant() as variant:
        dimensions = [invocation_metrics.of_component(name)]
        answer = _answer(endpoint, _with_capacity(endpoint, name, variant), request, received, dimensions)
        return answer, serving.variant_name or ""


def _answer(
    endpoint: Endpoint,
    variant: Variant,
    request: Request,
    received: float,
    dimensions: list[invocation_metrics.Dimensions],
) -> Response:
    """Return the response of a model to a request, and report its metrics with each of the sets of dimensions."""
    sent = time.monotonic()

    def report(status: int) -> None:
        responded = time.monotonic()
        invocation_metrics.report(endpoint, dimensions, status, responded - sent, sent - received)

    try:
        response = variant.invoke(request)
    except TargetError as error:
        raise _invalid(str(error)) from error
    except ModelFailedError as failure:
        report(failure.status)
        raise ModelError(endpoint, variant, failure) from failure
    report(response.status)
    return response


def _found(variant: Variant | None, endpoint: Endpoint, target: str) -> Variant:
    if variant is None:
        raise _invalid(f"Variant {target} not found for endpoint {endpoint.name}.")
    return variant


def _serving_component(endpoint: Endpoint, name: str) -> components.Component:
    """Return the component that serves a request for the component `name`: itself, or its base component.

    The message without a name is what users report, such as https://github.com/langchain-ai/langchain/issues/16150. The
    other messages are assumed.
    """
    if not name:
        raise _invalid(
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components. Please include Inference Component Name header or consider using SageMaker models."
        )
    if not endpoint.hosts_components:
        raise _invalid(
            "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference "
            "components. Please remove the Inference Component Name header."
        )
    found = components.all_of(sagemaker_backends[endpoint.account][endpoint.region])
    component = found.get(name.lower())
    if component is None or component.endpoint is not endpoint or component.status in ("Creating", "Failed"):
        raise _invalid(f"Inference Component {name} of endpoint {endpoint.name} not found.")
    return found[component.base.lower()] if component.base else component


def _with_capacity(endpoint: Endpoint, component: str, variant: Variant | None) -> Variant:
    if variant is None:
        invocation_metrics.report_no_capacity(endpoint, component)
        raise _invalid(
            "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
            "in-progress (if configured) or try to increase the capacity by invoking "
            "UpdateInferenceComponentRuntimeConfig API."
        )
    return variant


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)
