"""Record what states of the definition make of their input on the embedded AWS: `python -m tests.deployed.recording`.

It plays scenes of the demo's story and writes recorded.json: Choice and Pass states as they are deployed, each with an
input, the variables that it uses, and what follows. `make probe` evaluates them with TestState in a real account.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation
from embedded_aws.services.stepfunctions import api
from tests.deployed import e2e
from tests.deployed.recorded import FILE

# What differs each time.
_VOLATILE = re.compile(r"\$(millis|now|random|uuid)\(|\$states\.context")
_MOST_OF_A_STATE = 3


@contextlib.contextmanager
def _entered() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Yield the states that each execution enters, by its ARN, with their inputs and variables."""
    entered: dict[str, list[dict[str, Any]]] = {}

    def watch(execution: Any, name: str) -> None:
        env = execution.exec_worker.env
        found = {"name": name, "input": env.states.get_input(), "variables": dict(env.variable_store._inner_scope)}
        found["definition"] = execution.state_machine.definition
        entered.setdefault(execution.execution_arn, []).append(copy.deepcopy(found))

    with api.watched(watch):
        yield entered


def _evaluations(entered: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the evaluations of an execution that give the same whenever they are repeated."""
    for before, after in itertools.pairwise(entered):
        state = json.loads(before["definition"])["States"].get(before["name"])
        text = json.dumps(state)
        if state and state["Type"] in ("Choice", "Pass") and not _VOLATILE.search(text):
            names = set(re.findall(r"\$(\w+)", text)) & set(before["variables"])
            variables = {name: before["variables"][name] for name in sorted(names)}
            given = {"name": before["name"], "state": state, "input": before["input"], "variables": variables}
            yield given | {"next": after["name"], "output": after["input"]}


def main() -> int:
    """Play the scenes, write the file, and return the exit code."""
    account = accounts.ACCOUNTS["production"]

    def deploy(_: str, template: Path, stack: str, parameters: dict[str, str]) -> None:
        cloudformation.deploy(template=template, stack_name=stack, account=account, parameters=parameters)

    with tempfile.TemporaryDirectory() as directory, EmbeddedAws(Path(directory)) as aws, _entered() as entered:
        os.environ["AWS_CONFIG_FILE"] = str(aws.config_file)
        code = e2e.main(["--profile", "production", "--scenes", "1,2,4,6", "--ledgers", directory], deploy)
    kept: dict[str, list[dict[str, Any]]] = {}
    for states in entered.values():
        for each in _evaluations(states):
            known = kept.setdefault(each["name"], [])
            if len(known) < _MOST_OF_A_STATE and each["next"] not in [other["next"] for other in known]:
                known.append(each)
    found = [each for _, states in sorted(kept.items()) for each in states]
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, sort_keys=True) for each in found)
    FILE.write_text(f"[\n{lines}\n]\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
