"""The embedded AWS: the order of its services, its start and its stop."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from moto.core.common_models import BaseModel
from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)

from embedded_aws.gateway import authorization, faults, rates
from embedded_aws.gateway.server import Server
from embedded_aws.iam import clients, permissions
from embedded_aws.kernel import accounts, caches, offerings, transport
from embedded_aws.kernel.host import Host, Pace
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.quotas import Limiter, Quotas
from embedded_aws.services import dynamodb, ecr, iam, logs, sns, unchanged
from embedded_aws.services.application_autoscaling import api as application_autoscaling
from embedded_aws.services.application_autoscaling import permissions as application_autoscaling_permissions
from embedded_aws.services.cloudformation import api as cloudformation
from embedded_aws.services.cloudformation import permissions as cloudformation_permissions
from embedded_aws.services.cloudwatch import alarms, metrics
from embedded_aws.services.cloudwatch import permissions as cloudwatch_permissions
from embedded_aws.services.events import api as events
from embedded_aws.services.events import permissions as events_permissions
from embedded_aws.services.events import schedules
from embedded_aws.services.lambda_ import api as lambda_
from embedded_aws.services.lambda_ import permissions as lambda_permissions
from embedded_aws.services.s3 import api as s3
from embedded_aws.services.s3 import permissions as s3_permissions
from embedded_aws.services.sagemaker import model_packages
from embedded_aws.services.sagemaker import permissions as sagemaker_permissions
from embedded_aws.services.sagemaker.hosting import api as hosting
from embedded_aws.services.sagemaker.training import api as training
from embedded_aws.services.sagemaker.training import auto_ml, tuning
from embedded_aws.services.ssm import api as ssm
from embedded_aws.services.ssm import permissions as ssm_permissions
from embedded_aws.services.stepfunctions import api as stepfunctions
from embedded_aws.services.stepfunctions import permissions as stepfunctions_permissions

# In the order of their start. They stop in reverse order, so that a service stops before the services that it calls.
SERVICES = (
    iam,
    logs,
    s3,
    dynamodb,
    ecr,
    lambda_,
    cloudformation,
    stepfunctions,
    events,
    ssm,
    sns,
    hosting,
    application_autoscaling,
    training,
    tuning,
    auto_ml,
    model_packages,
    metrics,
    alarms,
    schedules,
)
PERMISSIONS = (
    iam.PERMISSIONS,
    logs.PERMISSIONS,
    s3_permissions.PERMISSIONS,
    dynamodb.PERMISSIONS,
    ecr.PERMISSIONS,
    lambda_permissions.PERMISSIONS,
    stepfunctions_permissions.PERMISSIONS,
    events_permissions.PERMISSIONS,
    ssm_permissions.PERMISSIONS,
    sns.PERMISSIONS,
    sagemaker_permissions.PERMISSIONS,
    application_autoscaling_permissions.PERMISSIONS,
    cloudwatch_permissions.PERMISSIONS,
    cloudformation_permissions.PERMISSIONS,
    unchanged.PERMISSIONS,
)

patches = Patches("5.2.5")


@patches.replaces(BaseModel, "__new__", "moto keeps every model instance for its dashboard.")
def _new(model: type, *_: object, **__: object) -> Any:
    return object.__new__(model)


class EmbeddedAws(contextlib.AbstractContextManager["EmbeddedAws"]):
    """An AWS on the loopback interface, one per process.

    Use it in a `with` statement, or call `start` and `stop`. `directory` contains the files of its processes and the
    AWS config file. `port` 0 selects a free port. With `quotas`, the quotas of an account are enforced.
    """

    def __init__(self, directory: Path, port: int = 0, pace: Pace | None = None, quotas: Quotas | None = None) -> None:
        self.directory = directory
        self.pace = pace or Pace()
        self._host = Host(directory, self.pace, quotas)
        self._port = port

    @property
    def endpoint_url(self) -> str:
        """Return the URL for `AWS_ENDPOINT_URL`."""
        return accounts.endpoint_url()

    @property
    def config_file(self) -> Path:
        """Return the path of the AWS config file with one profile per account."""
        return self.directory / "aws" / "config"

    def start(self) -> EmbeddedAws:
        """Start the server and all services, and write the AWS config file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        patches.apply()
        caches.patches.apply()
        offerings.patches.apply()
        default_user_config["lambda"] = {"use_docker": False}
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        gate = authorization.Gate(DomainDispatcherApplication(create_backend_app))
        application: Any = ecr.LayerDownloads(gate)
        if self._host.quotas:
            application = rates.Rates(application, Limiter(self._host.quotas.rates))
        application = faults.Faults(application, lambda_.kill_busy)
        server = Server(self._port, application)
        port = server.server_port
        os.environ["MOTO_PORT"] = str(port)
        # Requests to the loopback interface must not go through a proxy.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        accounts.set_endpoint_url(f"http://127.0.0.1:{port}")
        transport.use(server)
        self._host.exits.callback(transport.use, None)
        thread = threading.Thread(target=server.serve_forever, name="embedded-aws", daemon=True)
        thread.start()
        self._host.exits.callback(thread.join)
        self._host.exits.callback(server.server_close)
        self._host.exits.callback(server.shutdown)
        clients.create_operators()
        self._write_config()
        for requirements in PERMISSIONS:
            permissions.register(requirements)
        for service in SERVICES:
            service.install(self._host)
        return self

    def stop(self) -> None:
        """Stop all services and their processes, then the server."""
        self._host.exits.close()

    def __enter__(self) -> EmbeddedAws:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write_config(self) -> None:
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        sections = []
        for profile, account in accounts.ACCOUNTS.items():
            settings = {
                "region": accounts.REGION,
                "endpoint_url": self.endpoint_url,
                **clients.operator_credentials(account),
            }
            lines = [f"[profile {profile}]", *(f"{key} = {value}" for key, value in settings.items())]
            sections.append("\n".join(lines) + "\ns3 =\n    addressing_style = path\n")
        self.config_file.write_text("\n".join(sections))
        self.config_file.chmod(0o600)
