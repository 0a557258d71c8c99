"""One container of a model: its files, and the process that serves it.

On AWS, the model is in /opt/ml/model and the code in /opt/ml/model/code. These paths do not exist here. `model_dir` and
SM_MODEL_DIR contain the path of the model, which is in the container's directory.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedded_aws.kernel import accounts
from embedded_aws.kernel.processes import Process
from embedded_aws.services.sagemaker import execution_roles
from embedded_aws.services.sagemaker.artifacts import ArtifactError, Artifacts, unpack
from embedded_aws.services.sagemaker.log_streams import LogStream

SERVING_SCRIPT = Path(__file__).with_name("serving.py")
_OPT_ML_MODEL = "/opt/ml/model"
_LAST_WORDS_SECONDS = 1.0
_LARGEST_PART = 65_536
# These containers import the script from code/ in the model and ignore SAGEMAKER_SUBMIT_DIRECTORY: `code_dir` in
# https://github.com/aws/sagemaker-inference-toolkit/blob/master/src/sagemaker_inference/environment.py, which the
# toolkits for PyTorch, MXNet and Hugging Face use. Without a script they serve with default functions for the files of
# their framework, which the embedded AWS does not have. Assumed: images of customers read the directory, like those of
# scikit-learn and XGBoost.
_READS_ONLY_THE_MODEL = re.compile(
    r"\d+\.dkr\.ecr\.[^/]+/(?:(?:pytorch|mxnet)-(?:inference|training)|huggingface-)[^/]*", re.ASCII
)


@dataclasses.dataclass(frozen=True)
class Server:
    """A program that finds the code of a model and serves it, such as an inference toolkit of AWS.

    Its arguments are the number of a socket that listens, `argument` and the directory of the model.
    """

    interpreter: str
    program: Path
    argument: str


_other_server: Callable[[str], Server | None] | None = None


@contextlib.contextmanager
def served_by(choose: Callable[[str], Server | None]) -> Iterator[None]:
    """Serve the models of containers that are created meanwhile with the program that `choose` returns for an image."""
    global _other_server
    before, _other_server = _other_server, choose
    try:
        yield
    finally:
        _other_server = before


class ContainerError(Exception):
    """The container does not run or did not respond."""


class ModelDataError(Exception):
    """The model data could not be downloaded. The message is SageMaker's."""


@dataclasses.dataclass(frozen=True)
class Response:
    """A container's HTTP response. `parts` are those of a response that is streamed, whose `body` is empty."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    parts: Iterator[bytes] = dataclasses.field(default_factory=lambda: iter(()))


class Container:
    """A container. `definition` is the ContainerDefinition, with the values of its model package."""

    def __init__(
        self, name: str, definition: dict[str, Any], model: dict[str, Any], directory: Path, log: LogStream
    ) -> None:
        self.name = name
        self.definition = definition
        self.log = log
        self.role_arn: str = model["ExecutionRoleArn"]
        self.isolated: bool = model.get("EnableNetworkIsolation", False)
        self.directory = directory
        self.model_dir = directory / "model"
        self._server = _other_server(definition["Image"]) if _other_server else None
        self._process: Process | None = None
        self._port = 0
        self._restart = threading.Lock()

    def download(self) -> None:
        """Download the model data, as SageMaker does before it starts the container. Raise ModelDataError."""
        artifacts = self._artifacts()
        self.model_dir.mkdir(parents=True)
        if url := self.definition.get("ModelDataUrl"):
            self._fetch(artifacts, url, self.model_dir, archive=True, single=True)
        elif source := self.definition.get("ModelDataSource"):
            self._fetch_source(artifacts, source["S3DataSource"], self.model_dir)
        for additional in self.definition.get("AdditionalModelDataSources", []):
            target = self.directory / "additional-model-data-sources" / additional["ChannelName"]
            self._fetch_source(artifacts, additional["S3DataSource"], target)

    def start(self, timeout: float) -> None:
        """Start the process and wait for its health check. Raise ContainerError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        server = self._server
        program, argument = (server.program, server.argument) if server else (SERVING_SCRIPT, str(self._script()))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self._port = listener.getsockname()[1]
            self._process = Process(
                program,
                [str(listener.fileno()), argument, str(self.model_dir)],
                self._environment(),
                self.directory,
                self.log.write,
                pass_fds=[listener.fileno()],
                interpreter=server.interpreter if server else "",
            )
        try:
            healthy = self._request("GET", "/ping", b"", {}, deadline - time.monotonic()).status == 200
        except (OSError, http.client.HTTPException):
            healthy = False
        if not healthy:
            # A script that fails closes its socket before Python has written the traceback.
            with contextlib.suppress(TimeoutError):
                self._process.wait(_LAST_WORDS_SECONDS)
            self.stop()
            raise ContainerError(f"The container {self.name} did not pass the health check.")

    def invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> Response:
        """Send a request to /invocations. Raise TimeoutError, or ContainerError if the process ended."""
        try:
            self._restart_if_dead()
            return self._request("POST", "/invocations", body, headers, timeout)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ContainerError(f"The container {self.name} did not respond: {error}") from error

    def stream(self, body: bytes, headers: dict[str, str], timeout: float) -> Response:
        """Send a request to /invocations, and return the response as soon as it begins, unless it is an error.

        Its parts raise TimeoutError if they do not end within `timeout` seconds, or ContainerError if they break off.
        Raise the errors of `invoke`.
        """
        deadline = time.monotonic() + timeout
        try:
            self._restart_if_dead()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=max(timeout, 0.1))
            connection.request("POST", "/invocations", body, headers)
            response = connection.getresponse()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ContainerError(f"The container {self.name} did not respond: {error}") from error
        parts = self._parts(connection, response, deadline)
        if response.status >= 400:
            return _response(response, b"".join(parts))
        return dataclasses.replace(_response(response, b""), parts=parts)

    def _parts(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float
    ) -> Iterator[bytes]:
        try:
            while True:
                if connection.sock is not None:
                    connection.sock.settimeout(max(deadline - time.monotonic(), 0.01))
                if not (part := response.read1(_LARGEST_PART)):
                    return
                yield part
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ContainerError(f"The container {self.name} broke off its response: {error}") from error
        finally:
            connection.close()

    def stop(self) -> None:
        """Kill the process."""
        process, self._process = self._process, None
        if process:
            process.kill()

    def remove(self) -> None:
        """Kill the process and remove the container's files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _restart_if_dead(self) -> None:
        """Restart a container that has exited, as SageMaker does on the same instance with the same files."""
        with self._restart:
            if self._process and not self._process.alive:
                self.stop()
                self.start(timeout=10)

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=max(timeout, 0.1))
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return _response(response, response.read())
        finally:
            connection.close()

    def _artifacts(self) -> Artifacts:
        try:
            return Artifacts(self.role_arn)
        except ArtifactError as error:
            raise ModelDataError(str(error)) from error

    def _fetch_source(self, artifacts: Artifacts, source: dict[str, Any], target: Path) -> None:
        self._fetch(
            artifacts,
            source["S3Uri"],
            target,
            archive=source["CompressionType"] == "Gzip",
            single=source["S3DataType"] == "S3Object",
        )

    def _fetch(self, artifacts: Artifacts, uri: str, target: Path, *, archive: bool, single: bool) -> None:
        local_copy = self.directory / "download" / uri.rstrip("/").rpartition("/")[2]
        try:
            if not single:
                artifacts.download_prefix(uri, target)
                return
            artifacts.download(uri, local_copy if archive else target / local_copy.name)
        except ArtifactError as error:
            self.log.write(str(error))
            raise ModelDataError(
                f'Failed to download model data for container "{self.name}" from URL: "{uri}". Please ensure that '
                "there is an object located at the URL and that the role passed to CreateModel has permissions to "
                "download the object."
            ) from error
        if archive:
            try:
                unpack(local_copy, target)
            except ArtifactError as error:
                self.log.write(str(error))
                raise ModelDataError(
                    f'Failed to extract model data archive for container "{self.name}" from URL "{uri}". Please ensure '
                    "that the object located at the URL is a valid tar.gz archive."
                ) from error
            local_copy.unlink()

    def _script(self) -> Path:
        """Return the path of the inference script, downloaded from S3 if necessary.

        Raise ContainerError if there is no code. On AWS, the container downloads it, so not in network isolation.
        """
        variables: dict[str, str] = self.definition.get("Environment", {})
        if _READS_ONLY_THE_MODEL.fullmatch(self.definition["Image"]):
            # An empty SAGEMAKER_PROGRAM is a module without a name: the toolkits find no script. Assumed: SageMaker
            # passes on empty variables. Public reports of packed scripts that are found contradict it.
            module = variables.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py")
            return self.model_dir / "code" / f"{module}.py"
        program = variables.get("SAGEMAKER_PROGRAM", "inference.py")
        submitted = variables.get("SAGEMAKER_SUBMIT_DIRECTORY", f"{_OPT_ML_MODEL}/code").removeprefix("file://")
        if submitted.startswith(_OPT_ML_MODEL):
            return self.model_dir / submitted.removeprefix(_OPT_ML_MODEL).strip("/") / program
        code = self.directory / "code"
        if not code.exists():
            try:
                if self.isolated:
                    raise ArtifactError(f"A container in network isolation cannot access {submitted}.")
                archive = Artifacts(self.role_arn).download(submitted, self.directory / "download" / "sourcedir.tar.gz")
                unpack(archive, code)
            except ArtifactError as error:
                self.log.write(str(error))
                raise ContainerError(f"The container {self.name} has no code: {error}") from error
        return code / program

    def _environment(self) -> dict[str, str]:
        # "no AWS credentials are made available to the container runtime environment" (mkt-algo-model-internet-free)
        credentials = {} if self.isolated else execution_roles.environment(self.role_arn)
        channels = {
            source["ChannelName"]: str(self.directory / "additional-model-data-sources" / source["ChannelName"])
            for source in self.definition.get("AdditionalModelDataSources", [])
        }
        return {
            **credentials,
            "SAGEMAKER_REGION": accounts.REGION,
            **self.definition.get("Environment", {}),
            "SM_MODEL_DIR": str(self.model_dir),
            "SM_ADDITIONAL_MODEL_DATA_SOURCES": json.dumps(channels),
        }


def _response(response: http.client.HTTPResponse, body: bytes) -> Response:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, response.getheader("Content-Type", ""), body, headers)
