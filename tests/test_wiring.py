"""The state machine, the template and the functions use the same names."""

import ast
import importlib
import tomllib
from pathlib import Path

import pytest

from promotion import errors
from promotion.messages import console
from tests import linter
from tests.linter.flow import transitions

ROOT = Path(__file__).parent.parent

PROJECT = linter.Project.read()
DEFINITION, TEMPLATE = PROJECT.definition, PROJECT.template()
MACHINE = TEMPLATE["Resources"]["PromotionStateMachine"]["Properties"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


CALLED = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("steps.")]
SCHEDULED = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("schedules.")]
NOTIFYING = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("notifications.")]
SHOWING = [name for name, function in FUNCTIONS.items() if function["Handler"].startswith("widgets.")]
FOLDERS = [("steps", CALLED), ("schedules", SCHEDULED), ("notifications", NOTIFYING), ("widgets", SHOWING)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_named_after_its_module_and_has_a_handler(function: str) -> None:
    module, handler = FUNCTIONS[function]["Handler"].rsplit(".", 1)

    assert function == "".join(part.title() for part in module.split(".")[1].split("_")) + "Function"
    assert callable(getattr(importlib.import_module(module), handler))


def test_the_form_of_the_console_has_every_parameter_once() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(TEMPLATE["Parameters"])


def test_the_output_and_the_tags_of_the_stacks_have_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    tags = [each["deploy"]["parameters"]["tags"] for each in environments.values() if isinstance(each, dict)]

    assert TEMPLATE["Outputs"]["Version"]["Value"] == version
    assert len(tags) == 5
    assert all(f"model-promotion:version={version}" in each for each in tags)


def test_the_links_of_the_outputs_and_of_the_notifications_have_the_same_domains() -> None:
    mapping = {partition: names["Domain"] for partition, names in TEMPLATE["Mappings"]["Console"].items()}

    assert mapping == console.DOMAINS


@pytest.mark.parametrize(("folder", "functions"), FOLDERS)
def test_every_module_of_these_folders_is_a_function(folder: str, functions: list[str]) -> None:
    modules = {path.stem for path in (ROOT / "functions" / folder).glob("*.py")} - {"__init__"}

    assert modules == {FUNCTIONS[name]["Handler"].split(".")[1] for name in functions}


def test_every_function_is_invoked_by_the_state_machine_with_permission_or_by_an_event_or_the_dashboard() -> None:
    called = {f"{name}Arn" for name in CALLED}
    role = TEMPLATE["Resources"]["PromotionRole"]["Properties"]
    invocable = role["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"]

    assert called == {name for name in MACHINE["DefinitionSubstitutions"] if name.endswith("FunctionArn")}
    assert [arn["Fn::GetAtt"] for arn in invocable] == [[name, "Arn"] for name in CALLED]
    assert {event["Type"] for name in SCHEDULED for event in FUNCTIONS[name]["Events"].values()} == {"Schedule"}
    assert all(
        name in TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0] for name in SHOWING
    )
    assert {event["Type"] for name in NOTIFYING for event in FUNCTIONS[name]["Events"].values()} == {"EventBridgeRule"}
    assert sorted([*CALLED, *SCHEDULED, *NOTIFYING, *SHOWING]) == sorted(FUNCTIONS)


def test_the_state_machine_names_every_error_of_the_functions_and_no_other() -> None:
    named = {
        error
        for _, state in PROJECT.states()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error
    }
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}

    assert named <= defined
    assert defined - named == {"PromotionError", "InvalidRequestError", "PromotionRefusedError"}


def test_transient_errors_are_the_same_everywhere() -> None:
    lists = {
        tuple(rule["ErrorEquals"])
        for name, state in PROJECT.states()
        for rule in state.get("Retry", [])
        # A smoke test that has started is not repeated.
        if "TransientError" in rule["ErrorEquals"] and name != "Run smoke test"
    }

    assert len(lists) == 1


def test_every_failure_with_the_lock_leads_to_its_release() -> None:
    states = DEFINITION["States"]
    released = {"Publish promotion", "Publish failure", "Publish rejection", "Preview: would fail"}
    held = _reachable("Inspect endpoint", until=released)
    ends = {name for name in held if states[name]["Type"] in ("Succeed", "Fail")}

    assert ends == {"Already live", "Not deployed again", "Planned again", "Rollback interrupted"}
    assert states["Release endpoint lock"]["Next"] == "Why not updated?"
    for name in held:
        for rule in states[name].get("Catch", []):
            # A check that failed leads back to the wait for the deployment, until its deadline.
            assert rule["Next"] in {"Capture failure", "Rollback interrupted", "Why not updated?", "Deployed?"}


def _reachable(start: str, until: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found or name in until:
            continue
        found.add(name)
        waiting += [end for start, end, _ in transitions(DEFINITION) if start == name]
    return found


def test_functions_import_only_packages_that_lambda_has() -> None:
    allowed = {"aws_lambda_powertools", "boto3", "botocore", "jmespath"} | {
        "notifications",
        "widgets",
        "promotion",
        "schedules",
        "steps",
    }
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                root = name.split(".")[0]
                assert root in allowed or root in __import__("sys").stdlib_module_names, f"{path}: {name}"
