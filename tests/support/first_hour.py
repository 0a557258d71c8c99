"""The first hour of a platform engineer: docs/deploying.md, followed literally on an embedded AWS of its own.

The commands run in the order of the page, in the account of their profile. A test runs this module as a process, since
it changes the stages.
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.kernel.host import Pace
from embedded_aws.services.cloudformation import deploy as cloudformation
from sandbox import stacks
from tests.support.approvals import signal, waiting_approval
from tests.support.world import PRODUCTION, QA, Lab, Stage

PAGE = (stacks.ROOT / "docs/deploying.md").read_text()
APPLICATION = "reviews"
STAGING = "444444444444"
# Jobs with metrics run in an image of AWS, which needs no permission.
METRICS = {"f1": 0.9}


def section(title: str) -> str:
    """Return the part of the page under a heading."""
    return re.split(r"^##+ ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def commands(text: str) -> list[str]:
    """Return the commands of the indented blocks of a section."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line.strip() for line in lines if re.match(r" {4,}(AWS_PROFILE=\w+ +)?(make|aws) ", line)]


class Engineer:
    """A person who follows the page: the environments of samconfig.toml, and credentials for each account."""

    def __init__(self) -> None:
        found = tomllib.loads((stacks.ROOT / "samconfig.toml").read_text())
        self.environments = {key: each["deploy"]["parameters"] for key, each in found.items() if isinstance(each, dict)}

    def edit(self, text: str) -> None:
        """Add the environments of the blocks of TOML in a section, and change the values of its tables."""
        for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
            self.environments |= {key: each["deploy"]["parameters"] for key, each in tomllib.loads(block).items()}
        for name, key, value in re.findall(r"^ *\| `([\w-]+)` \| `(\w+)` \| `([^`|]+)` \|$", text, re.MULTILINE):
            environment = self.environments[name]
            if key == "stack_name":
                environment["stack_name"] = value
                continue
            others = [each for each in environment["parameter_overrides"] if not each.startswith(f"{key}=")]
            environment["parameter_overrides"] = [*others, f"{key}={value}"]

    def run(self, command: str) -> None:
        """Run a command of the page in the account of its profile."""
        words = shlex.split(command)
        profile = words.pop(0).partition("=")[2] if words[0].startswith("AWS_PROFILE=") else "qa"
        account, options = accounts.ACCOUNTS[profile], dict(itertools.pairwise(words))
        match words[:3]:
            case ["make", "deploy", name]:
                self._deploy(self.environments[name.partition("=")[2]], account)
            case ["aws", "cloudformation", "delete-stack"]:
                cloudformation.delete(stack_name=options["--stack-name"], account=account)
            case ["aws", "cloudformation", "wait"]:
                pass  # the deletion has waited
            case ["aws", "cloudformation", "deploy"]:
                given = dict(each.split("=", 1) for each in words if re.fullmatch(r"[A-Z]\w+=\w+", each))
                template = stacks.ROOT / options["--template-file"]
                cloudformation.deploy(
                    template=template, stack_name=options["--stack-name"], account=account, parameters=given
                )
            case _:
                raise AssertionError(f"No such command: {command}")
        print(command, flush=True)

    def _deploy(self, environment: dict[str, Any], account: str) -> None:
        template = stacks.ROOT / str(environment.get("template_file", "template.yaml"))
        values = dict(line.split("=", 1) for line in environment["parameter_overrides"])
        short = stacks.SHORT_INTERVALS if template.name == "template.yaml" else {}
        cloudformation.deploy(
            template=template, stack_name=environment["stack_name"], account=account, parameters=values | short
        )


def promoted(stage: Stage, text: str) -> dict[str, Any]:
    """Wait for the promotion with `text` in its input, and return its record."""
    execution = stage.execution_of(text)
    assert execution.status == "SUCCEEDED", execution.cause
    assert execution.states[-1] == "Promoted", execution.states
    return dict(execution.output)


def approved(production: Stage, model: str) -> str:
    """Approve a model in production, wait until it is promoted, and return what the approvers read."""
    approval = waiting_approval(production, APPLICATION)
    assert approval["Parameters"]["SourceName"] == [model], approval["Parameters"]
    signal(production, approval["AutomationExecutionId"], "Approve", "fine")
    promoted(production, approval["AutomationExecutionId"])
    return str(approval["StepExecutions"][0]["Inputs"]["Message"])


def stacks_of(account: str) -> set[str]:
    """Return the names of the stacks of an account."""
    pages = clients.client_as_operator("cloudformation", account).get_paginator("describe_stacks").paginate()
    names = {each["StackName"] for page in pages for each in page["Stacks"]}
    return {name for name in names if name.startswith("model-promotion-")}


def main(directory: Path) -> None:
    """Set up the accounts, add a stage between QA and production, and remove it."""
    accounts.ACCOUNTS["staging"] = STAGING
    with EmbeddedAws(directory, pace=Pace(minute=0.5, schedules=False, waiting=0.3, endpoint_change=0.5)):
        lab, qa, production = Lab(), Stage("qa", QA), Stage("production", PRODUCTION)
        stacks.prepare_training(accounts.ACCOUNTS["dev"])
        engineer, staging = Engineer(), Stage("staging", STAGING)

        for command in commands(section("Set up the accounts")):
            engineer.run(command)
        (register,) = [each for each in commands(section("Register an application")) if "deploy" in each]
        engineer.run(register)
        engineer.run(f"AWS_PROFILE=production {register.replace('qa', 'production')}")
        first = promoted(qa, lab.train(APPLICATION, "first", metrics=METRICS))
        assert "qa reports" in approved(production, first["model_name"])
        before = {account: stacks_of(account) for account in (QA, PRODUCTION)}

        adding, removing = section("Add a stage"), section("Remove a stage")
        engineer.edit(adding)
        for command in commands(adding):
            engineer.run(command)
        second = promoted(qa, lab.train(APPLICATION, "second", metrics=METRICS))
        third = promoted(staging, second["model_name"])
        assert "staging reports" in approved(production, third["model_name"])
        assert staging.answer(APPLICATION) == {"label": "second"}

        engineer.edit(removing)
        for command in commands(removing):
            engineer.run(command)
        assert stacks_of(STAGING) == set()
        assert {account: stacks_of(account) for account in (QA, PRODUCTION)} == before
        assert staging.answer(APPLICATION) == {"label": "second"}, "the endpoint is still in use"
        fourth = promoted(qa, lab.train(APPLICATION, "third", metrics=METRICS))
        assert "qa reports" in approved(production, fourth["model_name"])
    print("Done.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
