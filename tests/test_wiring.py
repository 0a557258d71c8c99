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


CALLED = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("steps.")]
SCHEDULED = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("schedules.")]


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

    assert function == "".join(part.title() for part in module.split(".")[1].split("_")) + "Function"
    assert callable(getattr(importlib.import_module(module), handler))


@pytest.mark.parametrize(("folder", "functions"), [("steps", CALLED), ("schedules", SCHEDULED)])
def test_every_module_of_steps_and_of_schedules_is_a_function(folder: str, functions: list[str]) -> None:
    modules = {path.stem for path in (ROOT / "functions" / folder).glob("*.py")} - {"__init__"}

    assert modules == {FUNCTIONS[name]["Handler"].split(".")[1] for name in functions}


def test_every_function_is_called_by_the_state_machine_and_may_be_or_by_a_schedule() -> None:
    called = {f"{name}Arn" for name in CALLED}
    may_call = MACHINE["Policies"][0]["Statement"][0]["Resource"]

    assert called == {name for name in MACHINE["DefinitionSubstitutions"] if name.endswith("FunctionArn")}
    assert [arn["GetAtt"] for arn in may_call] == [f"{name}.Arn" for name in CALLED]
    assert {event["Type"] for name in SCHEDULED for event in FUNCTIONS[name]["Events"].values()} == {"Schedule"}
    assert sorted([*CALLED, *SCHEDULED]) == sorted(FUNCTIONS)


def test_whatever_nobody_waits_for_has_a_dead_letter_queue_with_an_alarm() -> None:
    """Rule targets, and functions that are invoked asynchronously; the others' callers hear of their failures."""
    resources = TEMPLATE["Resources"]
    rules = [resource["Properties"] for resource in resources.values() if resource["Type"] == "AWS::Events::Rule"]
    events = [*MACHINE["Events"].values(), *(e for name in SCHEDULED for e in FUNCTIONS[name]["Events"].values())]
    targets = [event["Properties"] for event in events] + [target for rule in rules for target in rule["Targets"]]
    letters = [target["DeadLetterConfig"]["Arn"] for target in targets]
    on_failure = [FUNCTIONS[name]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"] for name in SCHEDULED]
    letters += [destination["Destination"] for destination in on_failure]
    watched = resources["UndeliveredEvents"]["Properties"]["Dimensions"]

    assert len(letters) > len(SCHEDULED)
    assert all(queue == {"GetAtt": "DeadLetters.Arn"} for queue in letters)
    assert watched == [{"Name": "QueueName", "Value": {"GetAtt": "DeadLetters.QueueName"}}]


def test_every_alarm_tells_people() -> None:
    alarms = [r["Properties"] for r in TEMPLATE["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]

    assert all(alarm["AlarmActions"] == [{"Ref": "Notifications"}] for alarm in alarms)


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
    allowed = {"aws_lambda_powertools", "boto3", "botocore", "jmespath", "promotion", "schedules", "steps"}
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                root = name.split(".")[0]
                assert root in allowed or root in __import__("sys").stdlib_module_names, f"{path}: {name}"
