"""A stage of Model Promotion in the account of the caller's credentials, and the applications in it."""

from __future__ import annotations

import functools
import re
from typing import Any

import boto3
from botocore.config import Config

from command.errors import CommandError
from promotion.aws.input_checks import did_you_mean
from promotion.history.table import PromotionTable
from promotion.naming import endpoint_name

_STATE_MACHINE = re.compile(r"model-promotion-([a-z][a-z0-9]{0,15})")
_CONFIG = Config(connect_timeout=10, read_timeout=75, retries={"mode": "standard", "total_max_attempts": 4})


class Stage:
    """A stage, used with the permissions of the person who runs the command."""

    def __init__(self, session: boto3.session.Session, name: str) -> None:
        self.session = session
        self.name = name

    @functools.cache  # noqa: B019 - there is one stage in a process
    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self.session.client(service, config=_CONFIG)

    @functools.cached_property
    def account(self) -> str:
        """The ID of the account."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @property
    def region(self) -> str:
        """The Region."""
        return str(self.session.region_name)

    @property
    def runbook(self) -> str:
        """The name of the approval runbook, of the stack and of the state machine."""
        return f"model-promotion-{self.name}"

    @functools.cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.runbook)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @property
    def state_machine(self) -> str:
        """The ARN of the state machine."""
        return self.outputs["StateMachineArn"]

    @functools.cached_property
    def table(self) -> PromotionTable:
        """The promotion table."""
        return PromotionTable(self.client("dynamodb"), self.outputs["PromotionTableName"])

    def endpoint(self, application: str) -> str:
        """Return the name of an application's endpoint."""
        return endpoint_name(application, self.name)

    def application_of(self, endpoint: str) -> str:
        """Return the application of an endpoint."""
        return endpoint.removesuffix(f"-{self.name}")

    def applications(self) -> list[str]:
        """Return the applications that had a promotion in this stage, or an approval request."""
        kinds = ("live", "lock", "autoscaling", "approval")
        endpoints = {item["key"].partition("#")[0] for kind in kinds for item in self.table.query(kind)}
        return sorted(map(self.application_of, endpoints))

    def named(self, names: list[str]) -> list[str]:
        """Return the applications with these names, which can be those of their endpoints; raise CommandError."""
        known = self.applications() if names else []
        return [self._named(name, known) for name in names]

    def _named(self, name: str, known: list[str]) -> str:
        for candidate in (name, self.application_of(name)):
            if candidate in known:
                return candidate
        raise CommandError(
            f"The stage {self.name} has promoted no application {name}{did_you_mean(name, known)}. "
            "`model-promotion status` lists the applications."
        )


def find(session: boto3.session.Session, name: str | None) -> Stage:
    """Return the stage with this name, or the only one in the account and Region; raise CommandError."""
    pages = session.client("stepfunctions", config=_CONFIG).get_paginator("list_state_machines").paginate()
    machines = [machine["name"] for page in pages for machine in page["stateMachines"]]
    stages = sorted(match[1] for machine in machines if (match := _STATE_MACHINE.fullmatch(machine)))
    where = f"in {session.region_name} with these credentials"
    if not stages:
        raise CommandError(f"There is no stage of Model Promotion {where}. Check --profile and --region.")
    if name is None and len(stages) > 1:
        raise CommandError(f"There are several stages {where}: {', '.join(stages)}. Choose one with --stage.")
    if name is not None and name not in stages:
        raise CommandError(
            f"There is no stage {name} {where}{did_you_mean(name, stages)}. The stages are: {', '.join(stages)}."
        )
    return Stage(session, name or stages[0])
