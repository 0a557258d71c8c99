"""Every block of code in the documentation runs in a test, or the reason is here.

The commands of the AWS CLI run in tests/integration/test_documented_commands.py, or with a profile in
tests/integration/test_first_hour.py, like the environments in TOML; the verbs of docs/command.md in
tests/integration/test_command.py, the examples for the SDK in tests/sdk_models, those of the embedded AWS in
tests/embedded_aws/test_readme.py, and the settings with comments in tests/test_docs.py.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from embedded_aws.iam import policies
from promotion.endpoint import smoke_test, smoke_test_function
from promotion.plan import settings
from tests.support import documented
from tests.support.documented import ROOT, Block

DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}
SHELL, FENCED = list(documented.shell()), list(documented.fenced())
COMMANDS = [(block, command) for block in SHELL for command in block.commands]
# Programs of other tests, and what cannot run here.
ELSEWHERE = {
    "aws": "tests/integration/test_documented_commands.py",
    "model-promotion": "tests/integration/test_command.py",
    "output()": "tests/integration/test_documented_commands.py",
    "pipx": "needs pipx; the package is built in tests/test_build.py",
    "docker": "needs Docker with buildx",
    "export": "sets variables for the next command",
}


def program(command: str) -> str:
    """Return the program of a command without the variables before it, or an empty string if it only sets variables."""
    words = re.sub(r"^(\w+=(\$\([^)]*\)?|[^\s$]\S*|\$\w+)?\s*)+", "", command)
    found = re.match(r"(\w+=\$\()?(\S+)", words or "")
    return found[2] if found else ""


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_block_of_commands_is_valid_for_a_shell(block: Block) -> None:
    text = re.sub(r"<[\w ]+>", "placeholder", block.text)

    checked = subprocess.run(["/bin/bash", "-n"], input=text, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("block", "command"), COMMANDS, ids=[f"{block}-{command[:40]}" for block, command in COMMANDS])
def test_a_command_is_one_that_runs(block: Block, command: str) -> None:
    words, name = shlex.split(re.sub(r"<[\w ]+>", "placeholder", command)), program(command)
    arguments = words[words.index(name) + 1 :] if name in words else []
    match name:
        case "make":
            assert_make_accepts(arguments)
        case "sam":
            assert_sam_accepts(arguments)
        case "python":
            assert_options(ROOT / arguments[0], arguments[1:])
        case ".venv/bin/python" | ".tools/bin/uv":
            module = arguments[arguments.index("-m") + 1]
            assert (ROOT / f"{module.replace('.', '/')}.py").exists()
        case "":
            assert "=" in command
        case _:
            assert name in ELSEWHERE, f"No test runs {command!r} of {block}."


def assert_make_accepts(arguments: list[str]) -> None:
    """Assert that make knows the target, and the stage is in samconfig.toml."""
    environment = os.environ | {"MAKEFLAGS": ""}
    planned = subprocess.run(  # noqa: S603
        ["/usr/bin/env", "make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    stages = [each.partition("=")[2] for each in arguments if each.startswith("STAGE=")]

    assert planned.returncode == 0, planned.stderr
    # The pages add some environments.
    texts = [(ROOT / "samconfig.toml").read_text(), *(block.text for block in FENCED if block.language == "toml")]
    assert set(stages) <= {name for text in texts for name in tomllib.loads(text)}


def assert_sam_accepts(arguments: list[str]) -> None:
    """Assert that the SAM CLI has the command and its options, and that what they name exists."""
    options = [each for each in arguments if each.startswith("--")]
    command = [each for each in arguments[: arguments.index(options[0])] if each != "PromotionStateMachine"]
    helped = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "samcli", *command, "--help"],
        env=os.environ | {"SAM_CLI_TELEMETRY": "0", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    values = dict(itertools.pairwise(arguments))

    assert helped.returncode == 0, helped.stderr
    assert [option for option in options if option not in helped.stdout] == []
    assert values.get("--config-env", "qa") in tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert (ROOT / values.get("--event-file", "README.md")).exists()


def assert_options(script: Any, arguments: list[str]) -> None:
    """Assert that a script has the options."""
    helped = subprocess.run(  # noqa: S603
        [sys.executable, str(script), "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"},
        capture_output=True,
        text=True,
    )

    assert helped.returncode == 0, helped.stderr
    assert [each for each in arguments if each.startswith("--") and each not in helped.stdout] == []


def are_settings(value: dict[str, Any]) -> None:
    """Assert that a block is a part of the settings of an application."""
    sources = {key: part for key, part in value.items() if key != "SmokeTest"}
    assert settings.read(json.dumps(sources), "/model-promotion/qa/reviews", DEFAULTS, "111111111111")


def is_statement(value: dict[str, Any]) -> None:
    """Assert that a block is a statement of a policy."""
    assert policies.parse(json.dumps({"Version": "2012-10-17", "Statement": [value]}), "the example")


def is_suite(value: dict[str, Any]) -> None:
    """Assert that a block is a smoke test."""
    assert smoke_test.validated(value, "the example")["cases"]


def is_function_event(value: dict[str, Any]) -> None:
    """Assert that a block is an event of a smoke test function."""
    assert set(value["candidate"]) == set(smoke_test_function.CANDIDATE)
    assert set(value) == {"endpoint", "variant", "component", "candidate", "seconds"}


def names_schemas(value: dict[str, Any]) -> None:
    """Assert that the schemas that an editor is to use exist."""
    assert all((ROOT / each["url"]).exists() for each in value["json.schemas"])


KINDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "Autoscaling": are_settings,
    "QualityGate": are_settings,
    "Sources": are_settings,
    "Tags": are_settings,
    "SmokeTestFunction": are_settings,
    "$schema": are_settings,
    "endpoint": is_function_event,
    "json.schemas": names_schemas,
    "cases": is_suite,
    "Effect": is_statement,
}
# Events of the README: tests/test_docs.py. A pattern: tests/integration/test_documented_commands.py.
EVENTS = {"detail-type", "source"}
# Blocks that are not code, and languages of other tests. The shell block: tests/embedded_aws/test_readme.py.
OTHER_LANGUAGES = {"mermaid", "jsonc", "python", "sh", "toml", "yaml", ""}


@pytest.mark.parametrize("block", [block for block in FENCED if block.language == "json"], ids=str)
def test_a_json_document_is_valid(block: Block) -> None:
    value = json.loads(block.text)
    first = next(iter(value))

    if first not in EVENTS:
        KINDS[first](value)


EXAMPLES = ROOT / "examples/deploying"
PARAMETERS = set(re.findall(r"(?m)^  (\w+):$", (ROOT / "template.yaml").read_text().partition("\nRules:")[0]))


def test_the_workflows_of_github_deploy_the_stacks_in_their_order_with_temporary_credentials() -> None:
    environments = {
        name: value["deploy"]["parameters"]
        for name, value in tomllib.loads((ROOT / "samconfig.toml").read_text()).items()
        if isinstance(value, dict) and "people" not in name
    }
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    called = (EXAMPLES / "github-actions-deploy-stack.yml").read_text()
    (job,) = yaml.safe_load(called)["jobs"].values()
    used = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    given = re.search(r"sam (deploy .*?)\n\Z", re.sub(r"\s*\n\s*", " ", called) + "\n", re.DOTALL)

    assert list(workflow["jobs"]) == list(environments)
    assert [each.get("needs") for each in workflow["jobs"].values()] == [None, *list(environments)[:-1]]
    assert [each["with"]["environment"] for each in workflow["jobs"].values()] == list(environments)
    assert workflow["permissions"] == {"id-token": "write", "contents": "read"}
    assert "aws-actions/configure-aws-credentials" in used
    assert "access-key" not in called
    assert given
    assert_sam_accepts(shlex.split(re.sub(r"\$\{\{ inputs.environment }}", "qa", given[1])))


def test_the_other_tools_set_parameters_that_the_template_has() -> None:
    terraform, pipeline = (EXAMPLES / "stage.tf").read_text(), ast.parse((EXAMPLES / "pipeline.py").read_text())
    block = terraform.partition("parameters = {")[2].partition("}")[0]
    of_terraform = dict(re.findall(r'(\w+) += "([^"]*)"', block))
    (of_pipeline,) = [
        ast.literal_eval(each.value)
        for each in ast.walk(pipeline)
        if isinstance(each, ast.keyword) and each.arg == "parameter_overrides"
    ]
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["qa"]["deploy"]["parameters"]

    assert of_terraform == of_pipeline == dict(each.split("=", 1) for each in settings["parameter_overrides"])
    assert of_terraform.keys() <= PARAMETERS
    assert terraform.count("{") == terraform.count("}")
    for capability in ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"):
        assert capability in terraform
        assert capability.removeprefix("CAPABILITY_") in ast.unparse(pipeline)


def test_every_language_of_a_block_has_a_test() -> None:
    assert {block.language for block in FENCED} <= OTHER_LANGUAGES | {"json"}
