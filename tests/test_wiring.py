"""Names that have to agree across the state machine, the template and the functions: each pair is checked."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from promotion import errors

ROOT = Path(__file__).parent.parent


class _Template(yaml.SafeLoader):
    """CloudFormation's YAML; its short forms become what the long ones are."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Template.add_multi_constructor("!", _intrinsic)

DEFINITION_TEXT = (ROOT / "statemachine/promotion.asl.yaml").read_text()
DEFINITION = yaml.safe_load(DEFINITION_TEXT)
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), _Template)  # noqa: S506 - the loader is a SafeLoader
MACHINE = TEMPLATE["Resources"]["PromotionStateMachine"]["Properties"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def all_states(definition: dict[str, Any] = DEFINITION) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in definition["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from all_states(state["ItemProcessor"])


def tasks() -> list[Any]:
    return [pytest.param(state, id=name) for name, state in all_states() if state["Type"] == "Task"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_named_after_its_module_and_has_a_handler(function: str) -> None:
    module, handler = FUNCTIONS[function]["Handler"].rsplit(".", 1)

    assert function == "".join(part.title() for part in module.removeprefix("steps.").split("_")) + "Function"
    assert callable(getattr(importlib.import_module(module), handler))


def test_every_module_of_steps_is_a_function() -> None:
    modules = {path.stem for path in (ROOT / "functions/steps").glob("*.py")} - {"__init__"}

    assert modules == {function["Handler"].split(".")[1] for function in FUNCTIONS.values()}


def test_every_function_is_called_by_the_state_machine_and_may_be() -> None:
    called = {f"{name}Arn" for name in FUNCTIONS}
    role = TEMPLATE["Resources"]["PromotionRole"]["Properties"]
    may_call = role["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"]

    assert called == {name for name in MACHINE["DefinitionSubstitutions"] if name.endswith("FunctionArn")}
    assert [arn["GetAtt"] for arn in may_call] == [f"{name}.Arn" for name in FUNCTIONS]


def test_substitutions_are_those_the_definition_uses() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", re.sub(r"(?m)^ *#.*$", "", DEFINITION_TEXT)))

    assert used == set(MACHINE["DefinitionSubstitutions"])


def test_every_error_the_state_machine_names_is_one_of_ours_and_back() -> None:
    named = {
        error
        for _, state in all_states()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    ours = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    retried = {"TryAgainError", "UnfinishedError", "EndpointBusyError"}

    assert named == retried
    assert ours - retried == {"PromotionError", "InvalidRequestError", "PromotionRefusedError"}


@pytest.mark.parametrize("state", tasks())
def test_every_task_has_a_time_out_and_retries_and_says_what_comes_of_failing(state: dict[str, Any]) -> None:
    assert 0 < state["TimeoutSeconds"] <= 960
    assert state["Retry"]
    assert state.get("End") or state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize("state", [s for s in tasks() if "lambda" in s.values[0]["Resource"]])
def test_the_state_machine_waits_longer_than_the_function_runs(state: dict[str, Any]) -> None:
    arn = state["Arguments"]["FunctionName"].strip("${}")
    default = TEMPLATE["Globals"]["Function"]["Timeout"]

    assert state["TimeoutSeconds"] > FUNCTIONS[arn.removesuffix("Arn")].get("Timeout", default)


def test_transient_errors_are_the_same_everywhere() -> None:
    lists = {
        tuple(rule["ErrorEquals"])
        for _, state in all_states()
        for rule in state.get("Retry", [])
        if "TryAgainError" in rule["ErrorEquals"]
    }

    assert len(lists) == 1


def test_from_taking_the_endpoint_on_every_failure_leads_to_giving_it_back() -> None:
    states = DEFINITION["States"]
    given_back = {"Announce promotion", "Announce failure", "Announce rejection", "It would fail"}
    held = _reachable("Inspect endpoint", until=given_back)
    ends = {name for name in held if states[name]["Type"] in ("Succeed", "Fail")}

    assert ends == {"Already live", "Live before", "Leave it to the recovery"}
    assert states["Give back the untouched endpoint"]["Next"] == "Why untouched?"
    for name in held:
        for rule in states[name].get("Catch", []):
            assert rule["Next"] in {"Note what failed", "Leave it to the recovery", "Why untouched?"}


def _reachable(start: str, until: set[str]) -> set[str]:
    states, found, waiting = DEFINITION["States"], set(), [start]
    while waiting:
        name = waiting.pop()
        if name in found or name in until:
            continue
        found.add(name)
        state = states[name]
        rules = [*state.get("Choices", []), *state.get("Catch", [])]
        waiting += [place["Next"] for place in [state, *rules] if "Next" in place]
        waiting += [state["Default"]] if "Default" in state else []
    return found


def test_functions_import_only_what_lambda_has() -> None:
    allowed = {"aws_lambda_powertools", "boto3", "botocore", "jmespath", "promotion", "steps"}
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                root = name.split(".")[0]
                assert root in allowed or root in __import__("sys").stdlib_module_names, f"{path}: {name}"
