"""A local container that serves a model over HTTP, as SageMaker runs it, with the interface of sagemaker-runtime."""

from __future__ import annotations

import http.client
import io
import urllib.parse
from typing import Any

from botocore.exceptions import ClientError

from command.errors import CommandError
from promotion.endpoint.runtime import Runtime

# "60 seconds for regular responses and 8 minutes for streaming responses" (SageMaker developer guide, "Model hosting
# FAQs").
_TIMEOUT_SECONDS = 60
_STREAMING_SECONDS = 480

# The headers that SageMaker passes on (API reference, InvokeEndpoint).
_HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
}


class Container:
    """A container at an address such as http://localhost:8080, with GET /ping and POST /invocations.

    SageMaker developer guide, "Custom Inference Code with Hosting Services".
    """

    def __init__(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise CommandError(f"--container is {address}, which is not the address of a container, such as "
                               "http://localhost:8080.")  # fmt: skip
        self._host, self._port, self.address = parts.hostname, parts.port or 80, address

    @property
    def runtime(self) -> Runtime:
        """The operations of SageMaker's runtime, without that of an asynchronous endpoint."""
        return Runtime(self.invoke_endpoint, self.invoke_endpoint_with_response_stream, _no_async)

    def assert_ready(self) -> None:
        """Raise CommandError unless the container responds to GET /ping with the status 200."""
        try:
            status, _, _ = self._request("GET", "/ping", b"", {})
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"The container at {self.address} does not respond: {error}. Start it, for example with "
                "`docker run -p 8080:8080 <image> serve`."
            ) from error
        if status != http.client.OK:
            raise CommandError(f"The container at {self.address} responds to /ping with {status}, not 200.")

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Return the response of the container like InvokeEndpoint, which reports an error of the model as ModelError.

        A case for a model of a multi-model endpoint, for one of several containers, for an inference component or with
        an explanation is not supported. The container stands for every variant.
        """
        body, content_type = self._invoke(request, _TIMEOUT_SECONDS)
        return {"Body": io.BytesIO(body), "ContentType": content_type}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> dict[str, Any]:
        """Return the response like InvokeEndpointWithResponseStream, as one part."""
        body, content_type = self._invoke(request, _STREAMING_SECONDS)
        return {"Body": [{"PayloadPart": {"Bytes": body}}], "ContentType": content_type}

    def _invoke(self, request: dict[str, Any], seconds: int) -> tuple[bytes, str]:
        for member in ("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations"):
            if member in request:
                raise _model_error(f"a case with {member} requires --endpoint, because a container is one of several")
        headers = {name: request[member] for member, name in _HEADERS.items() if member in request}
        try:
            status, body, content_type = self._request("POST", "/invocations", request["Body"], headers, seconds)
        except (OSError, http.client.HTTPException) as error:
            raise _model_error(f"no response: {error}") from error
        if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
            raise _model_error(f"the container returned {status}: {body[:500].decode(errors='replace')}", status)
        return body, content_type

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str], seconds: int = _TIMEOUT_SECONDS
    ) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("Content-Type", "")
        finally:
            connection.close()


def _model_error(text: str, status: int = 0) -> ClientError:
    response = {"Error": {"Code": "ModelError", "Message": text}, "OriginalStatusCode": status}
    return ClientError(response, "InvokeEndpoint")


def _no_async(**_: Any) -> Any:
    raise _model_error("a container serves no asynchronous requests")
