"""Data capture: the requests and responses of an endpoint, written to S3 with the permissions of its execution role.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html. Each invocation is a separate
file, while SageMaker collects them for some minutes.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from typing import Any

from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts
from embedded_aws.services.sagemaker.hosting.endpoints import Endpoint
from embedded_aws.services.sagemaker.operations import now

_MODES = {"Input": ("INPUT",), "Output": ("OUTPUT",), "InputAndOutput": ("INPUT", "OUTPUT")}


def capture(
    endpoint: Endpoint, variant: str, inference_id: str, request: tuple[str, bytes], response: tuple[str, bytes]
) -> None:
    """Write one invocation to S3 if the endpoint's config requires it.

    `request` and `response` are pairs of content type and body.
    """
    config = endpoint.config.get("DataCaptureConfig", {})
    share = config.get("InitialSamplingPercentage", 0) / 100
    if not config.get("EnableCapture", True) or random.random() >= share or endpoint.fleet is None:  # noqa: S311
        return
    modes = {mode for option in config["CaptureOptions"] for mode in _MODES[option["CaptureMode"]]}
    headers = config.get("CaptureContentTypeHeader", {})
    captured = {
        member: _data(mode, *data, headers)
        for member, mode, data in (("endpointInput", "INPUT", request), ("endpointOutput", "OUTPUT", response))
        if mode in modes
    }
    time = now()
    event = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{time:%Y-%m-%dT%H:%M:%SZ}"}
    if inference_id:
        event["inferenceId"] = inference_id
    line = json.dumps({"captureData": captured, "eventMetadata": event, "eventVersion": "0"})
    name = f"{time:%Y/%m/%d/%H/%M-%S}-{time.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
    key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config["KmsKeyId"]} if "KmsKeyId" in config else {}
    role_arn = endpoint.fleet.role_arn
    try:
        target = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint.name}/{variant}/{name}"
        Artifacts(role_arn).upload(target, line.encode() + b"\n", **key)
    except ArtifactError:
        return  # without the permission, nothing is captured


def _data(mode: str, content_type: str, body: bytes, headers: dict[str, Any]) -> dict[str, str]:
    """Return captured data: as text if the config lists its content type, otherwise in Base64."""
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if content_type in headers.get(member, []):
            return {"observedContentType": content_type, "mode": mode, "data": body.decode(), "encoding": encoding}
    data = base64.b64encode(body).decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": "BASE64"}
