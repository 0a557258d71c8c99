"""The containers that serve one endpoint config, with single, multiple or multi-model containers.

https://docs.aws.amazon.com/sagemaker/latest/dg/inference-pipelines.html, multi-container-endpoints.html and
multi-model-endpoints.html
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedded_aws.services.sagemaker import images
from embedded_aws.services.sagemaker.hosting.containers import Container, ContainerError, ModelDataError, Response
from embedded_aws.services.sagemaker.log_streams import LogStream
from embedded_aws.services.sagemaker.operations import now


class FleetError(Exception):
    """The fleet cannot serve. The message is the FailureReason of its endpoint."""


class TargetError(Exception):
    """The request specifies a container, model or variant that does not exist."""


class ModelFailedError(Exception):
    """A container responded with an error or, with `status` 0, not at all."""

    def __init__(self, container: str, status: int, message: str) -> None:
        super().__init__(message)
        self.container = container
        self.status = status
        self.message = message


@dataclasses.dataclass(frozen=True)
class Request:
    """One invocation."""

    body: bytes
    content_type: str
    accept: str
    timeout: float
    custom_attributes: str = ""
    container: str = ""
    model: str = ""
    session: str = ""


class Variant:
    """A production variant, with one set of containers for any number of instances.

    `subject` is what messages call it, `log_group` contains its log streams, `config_name` names its endpoint config.
    """

    def __init__(
        self,
        subject: str,
        log_group: str,
        config_name: str,
        definition: dict[str, Any],
        model: dict[str, Any],
        directory: Path,
    ) -> None:
        self.name: str = definition["VariantName"]
        self.config_name = config_name
        self._subject = f"{subject} {self.name}"
        self.definition = definition
        self.deployed_images: list[dict[str, Any]] = []
        self._direct = model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct"
        self._containers: list[Container] = []
        self._model = model
        instance = f"{self.name}/i-{uuid.uuid4().hex[:17]}"
        for position, container in enumerate(model.get("Containers") or [model["PrimaryContainer"]], start=1):
            alone = "PrimaryContainer" in model
            name = "primary" if alone else container.get("ContainerHostname", f"container_{position}")
            stream = instance if alone else f"{instance}/{name}"
            log = LogStream(model["ExecutionRoleArn"], log_group, stream)
            self._containers.append(Container(name, container, model, directory / self.name / name, log))
        self._multi_model = self._containers[0].definition.get("Mode") == "MultiModel"
        self._loaded: dict[str, Container] = {}
        self._loading = threading.Lock()

    def start(self, health_check_timeout: float) -> None:
        """Start the containers. Raise FleetError if one of them cannot serve."""
        for container in self._containers:
            self._pull(container)
            if self._multi_model:
                continue  # a model is loaded by its first request
            try:
                container.download()
                container.start(health_check_timeout)
            except ModelDataError as error:
                raise FleetError(str(error)) from error
            except ContainerError as error:
                raise FleetError(
                    f"The {container.name} container for {self._subject} did not pass the ping health check. Please "
                    "check CloudWatch logs for this endpoint."
                ) from error

    def invoke(self, request: Request) -> Response:
        """Return the response of the model or of the last container. Raise TargetError or ModelFailedError."""
        if request.model and not self._multi_model:
            raise TargetError(f"The endpoint does not support the target model header {request.model}.")
        if request.container and not self._direct:
            raise TargetError("TargetContainerHostname is only supported for endpoints in Direct mode.")
        if self._multi_model:
            return self._invoke(self._load(request), request, request.accept)
        if self._direct:
            return self._invoke(self._chosen(request.container), request, request.accept)
        response = Response(200, request.content_type, request.body)
        for container in self._containers:
            step = dataclasses.replace(request, body=response.body, content_type=response.content_type)
            response = self._invoke(container, step, request.accept if container is self._containers[-1] else "*/*")
        return response

    def stream(self, request: Request) -> Response:
        """Return the response of the container, whose parts it streams. Raise TargetError or ModelFailedError.

        Assumed: the last container of a pipeline streams.
        """
        if self._multi_model:
            raise TargetError("TargetModel is required to invoke a multi-model endpoint.")
        if request.container and not self._direct:
            raise TargetError("TargetContainerHostname is only supported for endpoints in Direct mode.")
        chosen = self._chosen(request.container) if self._direct else self._containers[-1]
        for container in [] if self._direct else self._containers[:-1]:
            before = self._invoke(container, request, "*/*")
            request = dataclasses.replace(request, body=before.body, content_type=before.content_type)
        return self._invoke(chosen, request, request.accept, stream=True)

    def stop(self) -> None:
        """Stop and remove all containers."""
        for container in [*self._containers, *self._loaded.values()]:
            container.remove()

    def log_streams(self) -> dict[str, LogStream]:
        """Return the log streams by the names of the containers."""
        return {container.name: container.log for container in self._containers}

    def _pull(self, container: Container) -> None:
        image = container.definition["Image"]
        try:
            resolved = images.resolve(image, container.role_arn)
        except images.ImageError as error:
            container.log.write(str(error))
            raise FleetError(
                f"Please make sure all images included in the model for the {self._subject} exist, and that the "
                "execution role used to create the model has permissions to access them."
            ) from error
        if not images.has_server(image):
            # The reason is the one that users report; AWS does not document it.
            raise FleetError(
                f"CannotStartContainerError. Please ensure the model container for variant {self.name} starts "
                f"correctly when invoked with 'docker run {image} serve'"
            )
        self.deployed_images.append({"SpecifiedImage": image, "ResolvedImage": resolved, "ResolutionTime": now()})

    def _chosen(self, hostname: str) -> Container:
        if not hostname:
            raise TargetError("TargetContainerHostname is required for an endpoint in Direct mode.")
        for container in self._containers:
            if container.name == hostname:
                return container
        raise TargetError(f"Container {hostname} is not part of the endpoint.")

    def _load(self, request: Request) -> Container:
        """Return the container of the request's model, started by the first request."""
        if not request.model:
            raise TargetError("TargetModel is required to invoke a multi-model endpoint.")
        template = self._containers[0]
        with self._loading:
            if request.model not in self._loaded:
                prefix = template.definition["ModelDataUrl"]
                url = f"{prefix.rstrip('/')}/{request.model.lstrip('/')}"
                definition = {**template.definition, "ModelDataUrl": url}
                directory = template.directory / hashlib.sha256(request.model.encode()).hexdigest()[:16]
                container = Container(template.name, definition, self._model, directory, template.log)
                try:
                    container.download()
                    container.start(request.timeout)
                except ModelDataError as error:
                    container.remove()
                    raise TargetError(str(error)) from error
                except ContainerError as error:
                    container.remove()
                    raise ModelFailedError(template.name, 500, f"Failed to load model {request.model}") from error
                self._loaded[request.model] = container
            return self._loaded[request.model]

    @staticmethod
    def _invoke(container: Container, request: Request, accept: str, *, stream: bool = False) -> Response:
        headers = {"Content-Type": request.content_type, "Accept": accept}
        for name, value in (
            ("X-Amzn-SageMaker-Custom-Attributes", request.custom_attributes),
            # "Stateful inference with Amazon SageMaker models" (stateful-sessions.html)
            ("X-Amzn-SageMaker-Session-Id", request.session),
        ):
            if value:
                headers[name] = value
        try:
            send = container.stream if stream else container.invoke
            response = send(request.body, headers, request.timeout)
        except TimeoutError as error:
            raise ModelFailedError(
                container.name,
                0,
                f"Your invocation timed out while waiting for a response from container {container.name}. Review the "
                "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
            ) from error
        except ContainerError as error:
            raise ModelFailedError(container.name, 0, str(error)) from error
        if response.status >= 400:
            raise ModelFailedError(container.name, response.status, response.body.decode(errors="replace"))
        return response


class Fleet:
    """All variants of an endpoint config that have a model.

    `models` contains the models at the start of the deployment, by name. The variants of an endpoint that hosts
    inference components have none; a component has a fleet of its own, with one variant of the component's name.
    """

    def __init__(
        self,
        host: str,
        config: dict[str, Any],
        models: dict[str, dict[str, Any]],
        directory: Path,
        *,
        of_component: bool = False,
    ) -> None:
        self.config = config
        self.models = models
        self.directory = directory / uuid.uuid4().hex[:12]
        kind, subject = (
            ("InferenceComponents", "inference component") if of_component else ("Endpoints", "production variant")
        )
        self.variants = {
            definition["VariantName"]: Variant(
                subject,
                f"/aws/sagemaker/{kind}/{host}",
                config.get("EndpointConfigName", ""),
                definition,
                models[definition["ModelName"]],
                self.directory,
            )
            for definition in [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
            if "ModelName" in definition
        }
        self._host, self._of_component = host, of_component
        self._requests = 0
        self._idle = threading.Condition()

    def replica(self) -> Fleet:
        """Return a new fleet with the same config and models."""
        return Fleet(self._host, self.config, self.models, self.directory.parent, of_component=self._of_component)

    @property
    def role_arn(self) -> str:
        """Return the execution role of the first model or, without models, of the config."""
        role: str = next((model["ExecutionRoleArn"] for model in self.models.values()), "")
        return role or str(self.config["ExecutionRoleArn"])

    def images_of(self, variant_name: str) -> dict[str, Any]:
        """Return the DeployedImages of a variant's description: none if the variant has no model."""
        variant = self.variants.get(variant_name)
        return {"DeployedImages": variant.deployed_images} if variant else {}

    def start(self, longest_health_check: float) -> None:
        """Start all containers. Stop them and raise FleetError if one of them cannot serve."""
        try:
            for variant in self.variants.values():
                own = variant.definition.get("ContainerStartupHealthCheckTimeoutInSeconds", longest_health_check)
                variant.start(min(own, longest_health_check))
        except FleetError:
            self.stop()
            raise

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Count a request, for which `drain` waits."""
        with self._idle:
            self._requests += 1
        try:
            yield
        finally:
            with self._idle:
                self._requests -= 1
                self._idle.notify_all()

    def drain(self, longest: float) -> None:
        """Wait for the current requests, at most `longest` seconds, and stop."""
        with self._idle:
            self._idle.wait_for(lambda: self._requests == 0, timeout=longest)
        self.stop()

    def stop(self) -> None:
        """Stop all variants and remove their files."""
        for variant in self.variants.values():
            variant.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
