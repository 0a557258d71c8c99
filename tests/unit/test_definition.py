"""The state machine's definition, as far as it can be judged without running it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonata import Jsonata

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "statemachine/promotion.asl.yaml").read_text()

# Step Functions developer guide, "Service quotas".
MAXIMUM_EVENTS = 25_000
MAXIMUM_BYTES = 1024**2

# API reference, HistoryEvent: a state is entered and exited; each try of a task is scheduled, is started, and ends.
EVENTS = {"Choice": 2, "Pass": 2, "Wait": 2, "Task": 5, "Map": 4, "Succeed": 2, "Fail": 1}
EVENTS_OF_A_RETRY = 3
# MapIterationStarted and MapIterationSucceeded.
EVENTS_OF_AN_ITERATION = 2

# What bounds each state that waits for something in a loop.
BOUNDS = {
    "Wait for the other promotion": "LockWaitSeconds",
    "Wait for the deployment": "DeploymentTimeoutSeconds",
    "Wait for the restoration": "DeploymentTimeoutSeconds",
}


class _Parameters(yaml.SafeLoader):
    """CloudFormation's YAML, of which nothing with an intrinsic function is needed."""


_Parameters.add_multi_constructor("!", lambda loader, suffix, node: None)
PARAMETERS = yaml.load((ROOT / "template.yaml").read_text(), _Parameters)["Parameters"]  # noqa: S506 - a SafeLoader


def substituted() -> str:
    """The definition with the defaults of the template's numbers, and a text for everything else."""
    return re.sub(
        r"\$\{(\w+)\}", lambda match: str(PARAMETERS.get(match[1], {}).get("Default") or f"the-{match[1]}"), TEXT
    )


DEFINITION = yaml.safe_load(substituted())


def all_machines(machine: dict[str, Any] = DEFINITION) -> Iterator[dict[str, Any]]:
    """The state machine, and those within its Maps."""
    yield machine
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            yield from all_machines(state["ItemProcessor"])


def all_states() -> dict[str, dict[str, Any]]:
    return {name: state for machine in all_machines() for name, state in machine["States"].items()}


def states_of(kind: str) -> list[Any]:
    return [pytest.param(state, id=name) for name, state in all_states().items() if state["Type"] == kind]


def followers(state: dict[str, Any]) -> set[str]:
    rules = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {rule[key] for rule in rules for key in ("Next", "Default") if key in rule}


def texts(value: Any) -> Iterator[str]:
    """Every text in a state, but not those of the states within it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key != "ItemProcessor":
                yield from texts(member)


def expressions() -> list[Any]:
    found = [(name, text) for name, state in all_states().items() for text in texts(state) if "{%" in text]
    return [pytest.param(text, id=f"{name}-{number}") for number, (name, text) in enumerate(found)]


def test_statelint_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "promotion.asl.yaml"
    # Step Functions takes an expression there (Developer Guide, "Wait workflow state"), which statelint does not know.
    path.write_text(re.sub(r"(?m)^( +Seconds): '\{%.*%\}'$", r"\1: 30", substituted()))

    found = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, "-m", "statelint", "--yaml", str(path)], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_definition_has_no_anchors_which_aws_does_not_resolve() -> None:
    tokens = list(yaml.scan(TEXT))

    assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken)]
    assert not [token for token in tokens if isinstance(token, yaml.ScalarToken) and token.value == "<<"]


def test_the_definition_has_no_key_twice() -> None:
    def check(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            for _, value in node.value:
                check(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                check(value)

    check(yaml.compose(TEXT, yaml.SafeLoader))


def test_the_definition_is_no_larger_than_aws_takes() -> None:
    assert len(substituted().encode()) < MAXIMUM_BYTES


@pytest.mark.parametrize("machine", list(all_machines()), ids=lambda machine: str(machine["StartAt"]))
def test_every_state_is_reached(machine: dict[str, Any]) -> None:
    reached: set[str] = set()
    waiting = {machine["StartAt"]}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= followers(machine["States"][name]) - reached

    assert reached == set(machine["States"])


def test_no_state_is_called_like_another() -> None:
    assert len(all_states()) == sum(len(machine["States"]) for machine in all_machines())


@pytest.mark.parametrize("state", states_of("Choice"))
def test_every_choice_has_a_default(state: dict[str, Any]) -> None:
    assert state["Default"]


def test_every_way_out_is_either_a_success_or_a_failure_with_its_cause() -> None:
    for machine in all_machines():
        for name, state in machine["States"].items():
            assert bool(followers(state)) is (state["Type"] not in ("Succeed", "Fail") and not state.get("End")), name
            if state["Type"] == "Fail":
                assert state["Error"]
                assert state["Cause"]


@pytest.mark.parametrize("rules", ["Retry", "Catch"])
def test_what_stands_for_all_errors_stands_alone_and_last(rules: str) -> None:
    for name, state in all_states().items():
        for number, rule in enumerate(state.get(rules, []), start=1):
            if "States.ALL" in rule["ErrorEquals"]:
                assert rule["ErrorEquals"] == ["States.ALL"], name
                assert number == len(state[rules]), name


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_jsonata_and_nothing_else(expression: str) -> None:
    stripped = re.fullmatch(r"\{%(.*)%\}", expression.strip(), re.DOTALL)

    assert stripped
    assert "{%" not in stripped[1]
    Jsonata(stripped[1])


def test_every_variable_is_assigned_on_every_way_to_where_it_is_used() -> None:
    for name, state in DEFINITION["States"].items():
        used = set(variables(state))
        for inner in state.get("ItemProcessor", {}).get("States", {}).values():
            used |= set(variables(inner))

        assert used <= assigned_before()[name], name


def variables(state: dict[str, Any]) -> Iterator[str]:
    for text in texts(state):
        if "{%" in text:
            of_functions = set(re.findall(r"\$(\w+)", " ".join(re.findall(r"function\(([^)]*)\)", text))))
            yield from set(re.findall(r"\$(\w+)\b(?!\()", text)) - of_functions - {"states"}


def assigned_before() -> dict[str, set[str]]:
    """By state: the variables that every way from the start to it has assigned."""
    states = DEFINITION["States"]
    before: dict[str, set[str]] = {DEFINITION["StartAt"]: set()}
    waiting = [DEFINITION["StartAt"]]
    while waiting:
        name = waiting.pop()
        state = states[name]
        rules = [*state.get("Choices", []), *state.get("Catch", [])]
        ways = [(rule["Next"], rule.get("Assign", {})) for rule in rules]
        ways += [(state[key], state.get("Assign", {})) for key in ("Next", "Default") if key in state]
        for follower, assigned in ways:
            known = before[name] | set(assigned)
            narrowed = before.get(follower, known) & known
            if before.get(follower) != narrowed:
                before[follower] = narrowed
                waiting.append(follower)
    return before


def loop(wait: str) -> list[str]:
    """The states of the shortest way from a state back to itself."""
    states = DEFINITION["States"]
    ways = [[wait]]
    for way in ways:
        for follower in sorted(followers(states[way[-1]])):
            if follower == wait:
                return way
            if follower not in way:
                ways.append([*way, follower])
    return []


def turns(wait: str) -> int:
    """How often a state is waited in, at the most, with the template's defaults."""
    return int(PARAMETERS[BOUNDS[wait]]["Default"] / PARAMETERS["PollSeconds"]["Default"]) + 1


def test_everything_that_waits_in_a_loop_is_bounded() -> None:
    waits = [name for name, state in DEFINITION["States"].items() if state["Type"] == "Wait" and loop(name)]

    assert set(waits) == set(BOUNDS)
    for wait, bound in BOUNDS.items():
        [choice] = [name for name in loop(wait) if DEFINITION["States"][name]["Type"] == "Choice"]
        [condition] = [c["Condition"] for c in DEFINITION["States"][choice]["Choices"] if c["Next"] == wait]
        [ends] = re.findall(r"\$millis\(\) < \$(\w+)", condition)

        plain, with_waits = rf"\$\{{{bound}\}}", rf"\(\$\{{{bound}\}} \+ .*\$promotion.baking_seconds.*\)"
        assigned = re.findall(rf"(?m)^ +{ends}: '\{{% \$millis\(\) \+ (.*) \* 1000 %\}}'$", TEXT)
        assert assigned
        assert all(re.fullmatch(f"{plain}|{with_waits}", seconds) for seconds in assigned)


@pytest.mark.parametrize("baking", [None, 0, 60, 3600, 28_800, 72_000])
@pytest.mark.parametrize("wait", ["Wait for the deployment", "Wait for the restoration"])
def test_a_deployment_that_bakes_is_looked_at_no_oftener_than_any_other(wait: str, baking: int | None) -> None:
    if baking is None and wait == "Wait for the deployment":
        return  # Inspect endpoint has noted it by then
    promotion = {} if baking is None else {"baking_seconds": baking}
    expression = Jsonata(DEFINITION["States"][wait]["Seconds"].strip("{%} "))

    seconds = expression.evaluate(None, _bound(expression, promotion))

    assert (PARAMETERS["DeploymentTimeoutSeconds"]["Default"] + (baking or 0)) / seconds <= turns(wait) + 1


def _bound(expression: Jsonata, promotion: dict[str, Any]) -> Any:
    frame = expression.create_frame()
    frame.bind("promotion", promotion)
    return frame


def test_a_turn_of_a_loop_is_nine_events() -> None:
    # The task is entered, scheduled, started, ended and exited; the choice and the wait are entered and exited.
    for wait in BOUNDS:
        assert sum(EVENTS[DEFINITION["States"][name]["Type"]] for name in loop(wait)) == 5 + 2 + 2


def test_the_longest_execution_stays_below_the_events_that_aws_keeps() -> None:
    states = DEFINITION["States"]
    # (43,200 + 2 * 5,400) seconds / 30 = 1,800 turns, and a last one of each loop: 1,803 * 9 = 16,227.
    polled = sum(turns(wait) * sum(EVENTS[states[name]["Type"]] for name in loop(wait)) for wait in BOUNDS)
    # Every state once, and every task with all its retries; those of a busy endpoint are the most.
    once = sum(EVENTS[state["Type"]] for state in states.values())
    retries = [rule.get("MaxAttempts", 3) for state in states.values() for rule in state.get("Retry", [])]
    # A thousand batches are a million objects, or 200 TiB.
    copy_batch = all_states()["Copy batch"]
    copied = 1000 * (EVENTS[copy_batch["Type"]] + EVENTS_OF_AN_ITERATION)

    assert polled == 16_227
    assert polled + once + sum(retries) * EVENTS_OF_A_RETRY + copied < MAXIMUM_EVENTS
