"""Fixtures that several test modules of the embedded AWS use."""

import json
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support import lambda_functions
from tests.embedded_aws.support.lambda_functions import QA, Function, MakeFunction, zipped
from tests.embedded_aws.support.resource_stacks import Deploy, Outputs
from tests.embedded_aws.support.state_machines import (
    ACCOUNT,
    Create,
    Execution,
    Run,
    create_role,
    definition,
    wait_for_end,
)


@pytest.fixture
def states(aws: EmbeddedAws) -> Any:
    return clients.client_as_operator("stepfunctions", ACCOUNT)


@pytest.fixture
def role(aws: EmbeddedAws, name: str) -> str:
    return create_role(ACCOUNT, f"machine-{name}", {"Service": "states.amazonaws.com"})


@pytest.fixture
def create(states: Any, role: str, name: str) -> Create:
    """Create a state machine with the given states, and return its ARN."""
    machines: list[str] = []

    def create_machine(machine_states: dict[str, Any], **fields: Any) -> str:
        machine = states.create_state_machine(
            name=f"{name}-{len(machines)}", definition=definition(machine_states, **fields), roleArn=role
        )
        machines.append(machine["stateMachineArn"])
        return machines[-1]

    return create_machine


@pytest.fixture
def run(states: Any, create: Create) -> Run:
    """Run a state machine with the given states, and return the execution's description with its decoded output."""

    def run_machine(machine_states: dict[str, Any], execution_input: Any = None, **fields: Any) -> Execution:
        machine = create(machine_states, **fields)
        started = states.start_execution(stateMachineArn=machine, input=json.dumps(execution_input or {}))
        execution = wait_for_end(states, started["executionArn"])
        if "output" in execution:
            execution["output"] = json.loads(execution["output"])
        return execution

    return run_machine


@pytest.fixture
def queue(aws: EmbeddedAws, name: str) -> str:
    sqs = clients.client_as_operator("sqs", ACCOUNT)
    return str(sqs.create_queue(QueueName=name)["QueueUrl"])


@pytest.fixture
def deploy(aws: EmbeddedAws, name: str, tmp_path: Path) -> Deploy:
    """Deploy resources as the test's stack, and return the values of the output expressions."""

    def deploy_resources(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> Outputs:
        values = {key: {"Value": value} for key, value in (outputs or {}).items()}
        template = tmp_path / "template.json"
        template.write_text(json.dumps({"Resources": resources, "Outputs": values}))
        return cloudformation.deploy(template=template, stack_name=name, account=ACCOUNT, parameters={})

    return deploy_resources


@pytest.fixture
def function(aws: EmbeddedAws, name: str) -> MakeFunction:
    """Create a function with the handler `app.handler` in the given source."""

    def make(source: str, files: dict[str, str] | None = None, account: str = QA, **settings: Any) -> Function:
        client = clients.client_as_operator("lambda", account)
        defaults = {"Handler": "app.handler", "Runtime": "python3.13", "Timeout": 60}
        arn = client.create_function(
            FunctionName=name,
            Role=lambda_functions.create_role(name, account),
            Code={"ZipFile": zipped({"app.py": source, **(files or {})})},
            **(defaults | settings),
        )["FunctionArn"]
        return Function(client, name, arn)

    return make
