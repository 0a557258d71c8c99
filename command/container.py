"""A local container that serves a model over HTTP, as SageMaker runs it, with the interface of sagemaker-runtime."""

from __future__ import annotations

import http.client
import io
import urllib.parse
from typing import Any

from botocore.exceptions import ClientError

from command.errors import CommandError

# A model must respond within 60 seconds (API reference, InvokeEndpoint).
_TIMEOUT_SECONDS = 60


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

    def assert_ready(self) -> None:
        """Raise CommandError unless the container responds to GET /ping with the status 200."""
        try:
            status, _ = self._request("GET", "/ping", b"", {})
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"The container at {self.address} does not respond: {error}. Start it, for example with "
                "`docker run -p 8080:8080 <image> serve`."
            ) from error
        if status != http.client.OK:
            raise CommandError(f"The container at {self.address} responds to /ping with {status}, not 200.")

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Return the response of the container like InvokeEndpoint, which reports an error of the model as ModelError.

        A case for a model of a multi-model endpoint, or for one of several containers, is not supported.
        """
        for member in ("TargetModel", "TargetContainerHostname"):
            if member in request:
                raise _model_error(f"a case with {member} requires --endpoint, because a container is one of several")
        headers = {"Content-Type": request["ContentType"], "Accept": request["Accept"]}
        try:
            status, body = self._request("POST", "/invocations", request["Body"], headers)
        except (OSError, http.client.HTTPException) as error:
            raise _model_error(f"no response: {error}") from error
        if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
            raise _model_error(f"the container returned {status}: {body[:500].decode(errors='replace')}")
        return {"Body": io.BytesIO(body)}

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _model_error(text: str) -> ClientError:
    return ClientError({"Error": {"Code": "ModelError", "Message": text}}, "InvokeEndpoint")
