"""The deployed stage: it starts, refuses what it must, and AWS accepts its definition. No endpoint is changed."""

from __future__ import annotations

import json
from typing import Any

from tests.deployed.account import Account
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost


def _ended(account: Account, given: Any) -> dict[str, Any]:
    return account.execution(account.outputs()["StateMachineArn"], given)


@probe(
    "An input that names no source is refused",
    documented="events/README.md",
    believed="InvalidInputError",
    costs=[Cost("state transition", 10)],
)
def an_input_without_a_source_is_refused(account: Account) -> str:
    """Start the state machine with an empty input."""
    return str(_ended(account, {}).get("error"))


@probe(
    "The reader role of the upstream account can be assumed, and a job that does not exist is refused by name",
    documented="docs/deploying.md, Set up the accounts",
    believed="InvalidInputError: The training job there-is-no-such-job does not exist",
    costs=[Cost("state transition", 10)],
)
def a_missing_job_is_refused(account: Account) -> str:
    """Start the state machine with a training job that does not exist."""
    execution = _ended(account, {"training_job": "there-is-no-such-job"})
    sentence = "The training job there-is-no-such-job does not exist"
    cause = str(execution.get("cause"))
    return f"{execution.get('error')}: {sentence if sentence in cause else cause}"


@probe(
    "A recovery of an endpoint without a lock ends without a change",
    documented="docs/operating.md",
    believed="nothing_to_recover",
    costs=[Cost("state transition", 10)],
)
def there_is_nothing_to_recover(account: Account) -> str:
    """Start a recovery of an endpoint that does not exist."""
    execution = _ended(account, {"recover": "there-is-no-such-endpoint"})
    return str(json.loads(execution.get("output") or "{}").get("outcome", execution.get("cause")))


@probe(
    "Step Functions finds no error and no warning in the deployed definition",
    documented="Step Functions API reference, ValidateStateMachineDefinition",
    believed="OK",
    not_modeled="The embedded Step Functions reports errors of a definition when the state machine is created.",
)
def the_definition_is_valid(account: Account) -> str:
    """Validate the definition of the stage's state machine."""
    client = account.client("stepfunctions")
    machine = client.describe_state_machine(stateMachineArn=account.outputs()["StateMachineArn"])
    found = client.validate_state_machine_definition(definition=machine["definition"], severity="WARNING")
    return " ".join([found["result"], *(f"{each['code']} {each['message']}" for each in found["diagnostics"])])
