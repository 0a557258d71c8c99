"""The parsing of HTTP requests: the signature, the operation and the permissions that it requires.

botocore's model of a service defines the protocol, and thus the location of the operation and its parameters
(https://smithy.io/2.0/aws/protocols/index.html). The bodies of objects and invocations are not read, because they
affect no permission.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from typing import Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from embedded_aws.gateway import headers
from embedded_aws.iam import permissions
from embedded_aws.iam.permissions import Call, Need

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d*/([^/]*)/([^/]+)/aws4_request")
# The services whose names in signatures differ from botocore's.
_MODELS = {"states": "stepfunctions", "monitoring": "cloudwatch", "email": "ses", "elasticmapreduce": "emr"}
# Their operations are in the path, and their bodies affect no permission.
_UNREAD = {"lambda", "sagemaker-runtime"}


@dataclasses.dataclass(frozen=True)
class Signature:
    """The Authorization header: "Authenticating requests" (sigv4-auth-using-authorization-header)."""

    access_key_id: str
    region: str
    service: str


@dataclasses.dataclass(frozen=True)
class Operation:
    """A requested operation and the permissions that it requires, which are complete only if `is_known`."""

    service: str
    operation: str
    protocol: str
    needs: list[Need]
    is_known: bool = True


def signature(environ: dict[str, Any]) -> Signature | None:
    """Return the signature of a request, which may be in its query string, or None if it is not signed."""
    match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if match is None and "X-Amz-Credential" in environ.get("QUERY_STRING", ""):
        credential = Request(environ).args.get("X-Amz-Credential", "")
        match = _CREDENTIAL.search(f"Credential={credential}")
    return Signature(match[1], match[2], match[3].lower()) if match else None


def read_operation(environ: dict[str, Any], signed: Signature, account: str) -> Operation:
    """Return the operation of a request from `account`, and the permissions that it requires."""
    service = signed.service
    if service == "s3":
        return _s3(environ, signed, account)
    name = _MODELS.get(service, service)
    if service == "sagemaker" and environ.get("PATH_INFO", "/") != "/":
        name = "sagemaker-runtime"
    try:
        model = get_service_model(name)
        request = Request(environ)
        protocol = determine_request_protocol(model, request.content_type)
        body = b"" if name in _UNREAD else _body(environ)
        operation, path = get_service_router(name).match(request)
        environ["wsgi.input"] = io.BytesIO(body) if name not in _UNREAD else environ["wsgi.input"]
    except (NotFound, RuntimeError, LookupError, ValueError):
        # moto raises any of these for an unknown route.
        return Operation(service, "unknown", "json", [], False)
    if name in _UNREAD:
        parameters = path | {"Qualifier": request.args.get("Qualifier")}
        parameters["TargetModel"] = request.headers.get("X-Amzn-SageMaker-Target-Model")
        parameters["InferenceComponentName"] = request.headers.get("X-Amzn-SageMaker-Inference-Component")
    else:
        parameters = _parameters(operation, protocol, request, body)
    if headers.FORWARDED_EVENT in request.headers:
        parameters["forwarded"] = True
    call = Call(service, operation.name, parameters, account, signed.region)
    return Operation(service, operation.name, protocol, *_needs(call))


def _needs(call: Call) -> tuple[list[Need], bool]:
    try:
        return permissions.of(call)
    except (LookupError, TypeError, ValueError, AttributeError):
        # The request lacks a required parameter.
        return [], False


def _s3(environ: dict[str, Any], signed: Signature, account: str) -> Operation:
    request = Request(environ)
    try:
        operation, path = get_service_router("s3").match(request)
    except NotFound:
        return Operation("s3", "unknown", "rest-xml", [], False)
    body = _body(environ) if operation.name == "DeleteObjects" else b""
    call = Call("s3", operation.name, path, account, signed.region, request.args, request.headers, body)
    return Operation("s3", operation.name, "rest-xml", *_needs(call))


def _body(environ: dict[str, Any]) -> bytes:
    """Return the body, and restore it for the next reader."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _parameters(operation: Any, protocol: str, request: Request, body: bytes) -> dict[str, Any]:
    if protocol == "json":
        # botocore's parser is not needed: numbers and dates affect no permission.
        parameters = json.loads(body or b"{}")
        return parameters if isinstance(parameters, dict) else {}
    if protocol == "query":
        parser = PROTOCOL_PARSERS[protocol](operation)
        parsed: dict[str, Any] = parser.parse(
            {
                "body": body,
                "headers": request.headers,
                "method": request.method,
                "url_params": {},
                "url_path": request.path,
                "values": request.values,
            }
        )
        return parsed
    return {}
