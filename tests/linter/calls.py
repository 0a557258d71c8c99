"""Rules on what the state machine calls, what it gives and what it reads of the answer."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from tests.linter.project import DEFINITION, SUBSTITUTION, Project, imports, objects, payload_of, texts
from tests.linter.rules import rule

# The integrations that are not of the SDK, by how botocore calls their services. Step Functions developer guide,
# "Integrating optimized services".
OPTIMIZED = {
    "dynamodb": ("dynamodb", {"getItem", "putItem", "updateItem", "deleteItem"}),
    "events": ("events", {"putEvents"}),
    "lambda": ("lambda", {"invoke"}),
    "sns": ("sns", {"publish"}),
    "sqs": ("sqs", {"sendMessage"}),
    "states": ("stepfunctions", {"startExecution"}),
}
# The SDK for Java calls a service by its id in lower case; botocore by the same with hyphens, but for these.
_BOTO_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions"}


@functools.cache
def _operation(resource: str) -> OperationModel | None:
    """The API operation behind the Resource of a Task."""
    called = re.fullmatch(
        r"arn:[^:]+:states:::(aws-sdk:)?(\w+):([a-z]\w*)(\.sync|\.sync:2|\.waitForTaskToken)?", resource
    )
    if not called:
        return None
    service, action = called[2], called[3]
    if called[1]:
        service = _BOTO_NAMES.get(service, service)
    elif action in OPTIMIZED.get(service, ("", set()))[1]:
        service = OPTIMIZED[service][0]
    else:
        return None
    model, name = _model(service), action[0].upper() + action[1:]
    if model is None or (called[1] and model.service_id.replace(" ", "").lower() != called[2]):
        return None
    return model.operation_model(name) if name in model.operation_names else None


@functools.cache
def _model(service: str) -> ServiceModel | None:
    session = botocore.session.get_session()
    names = {name.replace("-", ""): name for name in session.get_available_services()}
    try:
        return session.get_service_model(names.get(service, service))
    except botocore.exceptions.UnknownServiceError:
        return None


@rule
def unknown_integration(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        if _operation(state["Resource"]) is None:
            yield f"{name}: AWS knows nothing that is called {state['Resource']}."


@rule
def argument_that_does_not_fit(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        operation = _operation(state["Resource"])
        if operation is not None and operation.input_shape is not None:
            for what in _misfits(state.get("Arguments", {}), operation.input_shape):
                yield f"{name}: {operation.name} {what}."


def _misfits(value: Any, shape: Shape) -> Iterator[str]:
    """What of a request an API does not know or misses; what an expression comes to is not known here.

    Step Functions takes the names of arguments with a capital, whatever the API has.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        known = {name[0].upper() + name[1:]: name for name in shape.members}
        yield from (f"has no argument {name}" for name in value if name not in known)
        yield from (f"needs {name}" for name in shape.required_members if name[0].upper() + name[1:] not in value)
        for name in value.keys() & known.keys():
            yield from _misfits(value[name], shape.members[known[name]])
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for member in value:
            yield from _misfits(member, shape.member)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for member in value.values():
            yield from _misfits(member, shape.value)
    elif shape.type_name in ("structure", "list", "map") and not str(value).startswith("{%"):
        yield f"takes a {shape.type_name}, not {value}"


@rule
def substitution_nobody_supplies(project: Project) -> Iterator[str]:
    for name in sorted(_substitutions(project) - project.substitutions().keys()):
        yield f"${{{name}}} of the definition is not among the DefinitionSubstitutions."


@rule
def substitution_nobody_uses(project: Project) -> Iterator[str]:
    for name in sorted(project.substitutions().keys() - _substitutions(project)):
        yield f"The definition has no ${{{name}}}, which is among the DefinitionSubstitutions."


def _substitutions(project: Project) -> set[str]:
    """Return the names that the definition uses, those within the values of others included.

    In the text of a `Fn::Sub` the names are those of CloudFormation.
    """
    used: set[str] = set()
    waiting = set(SUBSTITUTION.findall(re.sub(r"(?m)^ *#.*$", "", project.texts[DEFINITION])))
    while waiting:
        name = waiting.pop()
        used.add(name)
        value = project.substitutions().get(name)
        waiting |= set(SUBSTITUTION.findall(value if isinstance(value, str) else "")) - used
    return used


@rule
def function_that_outlasts_its_task(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        function, seconds = project.function_of(state), state.get("TimeoutSeconds")
        if function and isinstance(seconds, int) and seconds <= project.function(function)["Timeout"]:
            yield f"{name}: gives up while {function} may still be running."


@rule
def payload_nobody_reads(project: Project) -> Iterator[str]:
    for name, state, module in _called_modules(project):
        for field in sorted(payload_of(state).keys() - _fields_read(project.texts[module])):
            yield f"{name}: {module} does not read event[{field!r}]."


@rule
def payload_nobody_writes(project: Project) -> Iterator[str]:
    for name, state, module in _called_modules(project):
        for field in sorted(_fields_read(project.texts[module]) - payload_of(state).keys()):
            yield f"{name}: the Payload has no {field}, which {module} reads."


@rule
def event_that_goes_out_of_sight(project: Project) -> Iterator[str]:
    """What a step reads is seen as long as the event stays within its module."""
    for module, text in project.texts.items():
        if module.startswith("functions/steps/"):
            for line in _events_out_of_sight(text):
                yield f"{module}, line {line}: hands its event to where its fields are not seen to be read."


def _called_modules(project: Project) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, state in project.states("Task"):
        if function := project.function_of(state):
            yield (
                name,
                state,
                f"functions/{project.function(function)['Handler'].rpartition('.')[0].replace('.', '/')}.py",
            )


@functools.cache
def _fields_read(module: str) -> set[str]:
    return {field for node in ast.walk(ast.parse(module)) if (field := _field(node)) is not None}


def _field(node: ast.AST) -> str | None:
    """The field of the event that is read there."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant) or not _is_event(node.value):
        return None
    return str(node.slice.value)


def _is_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "event"


@functools.cache
def _events_out_of_sight(module: str) -> list[int]:
    nodes = list(ast.walk(ast.parse(module)))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    seen: set[ast.AST] = {node.value for node in nodes if isinstance(node, ast.Subscript) and _field(node) is not None}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            seen |= set(node.args)
    return [node.lineno for node in nodes if isinstance(node, ast.Name) and _is_event(node) and node not in seen]


@rule
def answer_nobody_gives(project: Project) -> Iterator[str]:
    """What is read of a function's answer is a name that its module, or one that it imports, writes at all."""
    for name, state, module in _called_modules(project):
        read = {field for text in texts(state) for field in re.findall(r"\$states\.result\.Payload\.(\w+)", text)}
        for field in sorted(read - _names_written(project, module)):
            yield f"{name}: reads {field}, which {module} does not answer."
    for variable, written in _answers(project).items():
        for name, state in project.states():
            read = {field for text in texts(state) for field in re.findall(rf"\${variable}\.(\w+)", text)}
            for field in sorted(read - written):
                yield f"{name}: reads ${variable}.{field}, which is never written."


def _answers(project: Project) -> dict[str, set[str]]:
    """The variables that are nothing but whole answers or objects, and the fields that these may have."""
    found: dict[str, set[str]] = {}
    unknown: set[str] = set()
    modules = {id(state): module for _, state, module in _called_modules(project)}
    for place in objects(project.definition):
        assigned = place.get("Assign", {})
        for variable, value in assigned.items() if isinstance(assigned, dict) else ():
            if value == "{% $states.result.Payload %}" and id(place) in modules:
                found.setdefault(variable, set()).update(_names_written(project, modules[id(place)]))
            elif isinstance(value, dict):
                found.setdefault(variable, set()).update(value)
            elif value is not None:
                unknown.add(variable)
    return {variable: fields for variable, fields in found.items() if variable not in unknown}


def _names_written(project: Project, module: str) -> set[str]:
    imported = [f"functions/{name.replace('.', '/')}.py" for name in imports(project.texts[module])]
    return set().union(*(_written(project.texts[path]) for path in [module, *imported] if path in project.texts))


@functools.cache
def _written(module: str) -> set[str]:
    """The keys of its dictionaries, and the fields of its dataclasses."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Dict):
            found |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.ClassDef):
            fields = [field.target for field in node.body if isinstance(field, ast.AnnAssign)]
            found |= {field.id for field in fields if isinstance(field, ast.Name)}
    return found
