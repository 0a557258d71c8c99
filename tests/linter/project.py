"""The deployed files and the tests, as the rules read them."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from embedded_aws.services.cloudformation import templates
from embedded_aws.services.stepfunctions.substitutions import substitute

ROOT = Path(__file__).parents[2]
DEFINITION, TEMPLATE = "statemachine/promotion.asl.yaml", "template.yaml"
TEMPLATES = (TEMPLATE, "application.yaml", "upstream.yaml", "people.yaml")

SUBSTITUTION = re.compile(r"\$\{(\w+)\}")

Place = tuple[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Project:
    """The texts of the definition, the templates, the modules of the functions and the tests, by path."""

    texts: Mapping[str, str] = dataclasses.field(repr=False)

    @classmethod
    def read(cls) -> Project:
        modules = [
            path.relative_to(ROOT).as_posix()
            for folder in ("functions", "tests")
            for path in (ROOT / folder).rglob("*.py")
        ]
        return cls({path: (ROOT / path).read_text() for path in [DEFINITION, *TEMPLATES, *modules]})

    def template(self, path: str = TEMPLATE) -> dict[str, Any]:
        return _template(self.texts[path])

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.template()["Parameters"])

    @property
    def definition(self) -> dict[str, Any]:
        """The state machine, with the substitutions that the template determines (see `substituted`)."""
        return _definition(self.substituted())

    def substituted(self) -> str:
        """Return the text of the definition with the JSON of the template and the defaults of its parameters.

        A value that only a deployment determines, such as the ARN of a function, stays `${...}`.
        """
        return substitute(self.texts[DEFINITION], self._known_substitutions())

    def substitutions(self) -> dict[str, Any]:
        """Return the DefinitionSubstitutions of the template."""
        return dict(self.state_machine()[1]["DefinitionSubstitutions"])

    def _known_substitutions(self) -> dict[str, Any]:
        defaults = {name: value["Default"] for name, value in self.parameters.items() if "Default" in value}
        known = {}
        for name, value in self.substitutions().items():
            match value:
                case str():
                    known[name] = value
                case {"Ref": parameter} if parameter in defaults:
                    known[name] = defaults[parameter]
                case {"Fn::Sub": str(text)} if "${" not in (substituted := substitute(text, defaults)):
                    known[name] = substituted
        return known

    def machines(self, machine: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the state machine and those within its Maps and Parallels."""
        machine = machine or self.definition
        yield machine
        for state in machine["States"].values():
            for inner in [state.get("ItemProcessor"), *state.get("Branches", [])]:
                if inner:
                    yield from self.machines(inner)

    def states(self, kind: str | None = None) -> Iterator[Place]:
        """Yield the name and state of every state, also within Maps, or only of those of one type."""
        for machine in self.machines():
            for name, state in machine["States"].items():
                if kind in (None, state["Type"]):
                    yield name, state

    def state_machine(self) -> Place:
        """Return the place and the properties of the state machine in the template."""
        [found] = [(place, found) for place, found, _ in self.resources("AWS::Serverless::StateMachine")]
        return found

    def function_of(self, state: Mapping[str, Any]) -> str | None:
        """Return the logical ID of the function that a Task invokes."""
        named = SUBSTITUTION.fullmatch(str(_arguments(state).get("FunctionName")))
        supplied = self.substitutions().get(named[1], {}) if named else {}
        return str(supplied["Fn::GetAtt"][0]) if "Fn::GetAtt" in supplied else None

    def function(self, logical_id: str) -> dict[str, Any]:
        """Return the properties of a function, including those in Globals."""
        template = self.template()
        return dict(template["Globals"]["Function"] | template["Resources"][logical_id]["Properties"])

    def resources(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Yield the place, properties and logical ID of each resource, or only of those of certain types."""
        for path in TEMPLATES:
            for logical_id, resource in self.template(path)["Resources"].items():
                if not kinds or resource["Type"] in kinds:
                    yield f"{logical_id} of {path}", resource.get("Properties", {}), logical_id


def payload_of(state: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_arguments(state).get("Payload", {}))


def _arguments(state: Mapping[str, Any]) -> dict[str, Any]:
    arguments = state.get("Arguments", {})
    return arguments if isinstance(arguments, dict) else {}


def texts(value: Any) -> Iterator[str]:
    """Yield every string in a value; for a Map, not those of the states within it."""
    if isinstance(value, str):
        yield value
    for key, member in members(value):
        if key != "ItemProcessor":
            yield from texts(member)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a value, including the value itself."""
    if isinstance(value, dict):
        yield value
    for _, member in members(value):
        yield from objects(member)


def members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return [("", member) for member in value] if isinstance(value, list) else []


@functools.cache
def imports(module: str) -> list[str]:
    """Return the names that a module imports, and the modules that it imports them from."""
    found: list[str] = []
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def listed(value: Any) -> list[Any]:
    """Return a value that may be a list or a single item as a list."""
    return value if isinstance(value, list) else [value]


@functools.cache
def _template(text: str) -> dict[str, Any]:
    return templates.load(text)


@functools.cache
def _definition(text: str) -> dict[str, Any]:
    return dict(yaml.load(text, yaml.CSafeLoader))
