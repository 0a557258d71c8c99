"""Rules for the calls of the state machine: their arguments, payloads and results."""

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

# The optimized integrations, with botocore's names of their services (Step Functions developer guide, "Integrating
# optimized services").
OPTIMIZED = {
    "dynamodb": ("dynamodb", {"getItem", "putItem", "updateItem", "deleteItem"}),
    "events": ("events", {"putEvents"}),
    "lambda": ("lambda", {"invoke"}),
    "sns": ("sns", {"publish"}),
    "sqs": ("sqs", {"sendMessage"}),
    "states": ("stepfunctions", {"startExecution"}),
}
# The SDK for Java names a service by its ID in lowercase; botocore adds hyphens, except for these.
_BOTO_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions"}

# The fields that promotion/step.py reads of the event of every function, for the lines of its log.
_LOGGED = {"execution", "application"}


@functools.cache
def _operation(resource: str) -> OperationModel | None:
    """Return the API operation of the Resource of a Task, or None if there is none."""
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
            yield f"{name}: AWS has no integration {state['Resource']}."


@rule
def invalid_argument(project: Project) -> Iterator[str]:
    for name, state in project.states("Task"):
        operation = _operation(state["Resource"])
        if operation is not None and operation.input_shape is not None:
            for problem in _problems(state.get("Arguments", {}), operation.input_shape):
                yield f"{name}: {operation.name} {problem}."


def _problems(value: Any, shape: Shape) -> Iterator[str]:
    """Yield the arguments that an API does not have, misses or does not accept; the values of expressions are unknown.

    In Step Functions, the names of arguments begin with a capital letter, even if they do not in the API.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        known = {name[0].upper() + name[1:]: name for name in shape.members}
        yield from (f"has no argument {name}" for name in value if name not in known)
        yield from (f"requires {name}" for name in shape.required_members if name[0].upper() + name[1:] not in value)
        for name in value.keys() & known.keys():
            yield from _problems(value[name], shape.members[known[name]])
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for member in value:
            yield from _problems(member, shape.member)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for member in value.values():
            yield from _problems(member, shape.value)
    elif shape.type_name in ("structure", "list", "map") and not str(value).startswith("{%"):
        yield f"requires a {shape.type_name}, not {value}"


@rule
def undefined_substitution(project: Project) -> Iterator[str]:
    for name in sorted(_substitutions(project) - project.substitutions().keys()):
        yield f"${{{name}}} in the definition is not in the DefinitionSubstitutions."


@rule
def unused_substitution(project: Project) -> Iterator[str]:
    for name in sorted(project.substitutions().keys() - _substitutions(project)):
        yield f"${{{name}}} is in the DefinitionSubstitutions, but not used in the definition."


def _substitutions(project: Project) -> set[str]:
    """Return the names that the definition uses, including those within the values of others.

    The names in the text of a `Fn::Sub` are those of CloudFormation.
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
            yield f"{name}: its TimeoutSeconds are not longer than the Timeout of {function}."


@rule
def unread_payload_field(project: Project) -> Iterator[str]:
    for name, state, module in called_modules(project):
        text = project.texts[module]
        for field in sorted(payload_of(state).keys() - _LOGGED - fields_read(text) - optional_fields(text)):
            yield f"{name}: {module} does not read event[{field!r}]."


@rule
def missing_payload_field(project: Project) -> Iterator[str]:
    for name, state, module in called_modules(project):
        for field in sorted(fields_read(project.texts[module]) - payload_of(state).keys()):
            yield f"{name}: the Payload has no {field}, which {module} reads."


@rule
def log_lines_without_their_subject(project: Project) -> Iterator[str]:
    """Every line of a task's log names the execution and the application, which the candidate or the record has."""
    for name, state, module in called_modules(project):
        fields = payload_of(state).keys()
        if "execution" not in fields:
            yield f"{name}: the Payload has no execution, so the log lines of {module} do not name it."
        if not fields & {"application", "promotion", "candidate", "input"}:
            yield f"{name}: the Payload has no application, so the log lines of {module} do not name it."


@rule
def event_passed_to_another_module(project: Project) -> Iterator[str]:
    """A step reads its event only in its own module, where the linter can find the fields."""
    for module, text in project.texts.items():
        if module.startswith("functions/steps/"):
            for line in _passed_events(text):
                yield f"{module}, line {line}: passes its event to another module. Pass the fields instead."


def called_modules(project: Project) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, state in project.states("Task"):
        if function := project.function_of(state):
            yield (
                name,
                state,
                f"functions/{project.function(function)['Handler'].rpartition('.')[0].replace('.', '/')}.py",
            )


@functools.cache
def fields_read(module: str) -> set[str]:
    return {field for node in ast.walk(ast.parse(module)) if (field := _field(node)) is not None}


@functools.cache
def optional_fields(module: str) -> set[str]:
    """Return the fields of the event that `module` reads with event.get, because the released definition has none."""
    calls = [node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Call) and _is_get(node.func)]
    return {str(node.args[0].value) for node in calls if node.args and isinstance(node.args[0], ast.Constant)}


def _is_get(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "get" and _is_event(node.value)


def _field(node: ast.AST) -> str | None:
    """Return the field of the event that `node` reads, if any."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant) or not _is_event(node.value):
        return None
    return str(node.slice.value)


def _is_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "event"


@functools.cache
def _passed_events(module: str) -> list[int]:
    nodes = list(ast.walk(ast.parse(module)))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    allowed: set[ast.AST] = {
        node.value for node in nodes if isinstance(node, ast.Subscript) and _field(node) is not None
    }
    allowed |= {node.value for node in nodes if isinstance(node, ast.Attribute) and _is_get(node)}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            allowed |= set(node.args)
    return [node.lineno for node in nodes if isinstance(node, ast.Name) and _is_event(node) and node not in allowed]


@rule
def missing_result_field(project: Project) -> Iterator[str]:
    """Each field of a function's result that a state reads is written by its module or one that it imports."""
    for name, state, module in called_modules(project):
        read = {field for text in texts(state) for field in re.findall(r"\$states\.result\.Payload\.(\w+)", text)}
        for field in sorted(read - names_written(project, module)):
            yield f"{name}: reads {field}, which {module} does not return."
    for variable, written in _results(project).items():
        for name, state in project.states():
            read = {field for text in texts(state) for field in re.findall(rf"\${variable}\.(\w+)", text)}
            for field in sorted(read - written):
                yield f"{name}: reads ${variable}.{field}, which is never written."


def _results(project: Project) -> dict[str, set[str]]:
    """Return the variables that contain only whole results or objects, and the fields that these can have."""
    found: dict[str, set[str]] = {}
    unknown: set[str] = set()
    modules = {id(state): module for _, state, module in called_modules(project)}
    for place in objects(project.definition):
        assigned = place.get("Assign", {})
        for variable, value in assigned.items() if isinstance(assigned, dict) else ():
            if value == "{% $states.result.Payload %}" and id(place) in modules:
                found.setdefault(variable, set()).update(names_written(project, modules[id(place)]))
            elif isinstance(value, dict):
                found.setdefault(variable, set()).update(value)
            elif value is not None:
                unknown.add(variable)
    return {variable: fields for variable, fields in found.items() if variable not in unknown}


def names_written(project: Project, module: str) -> set[str]:
    imported = [f"functions/{name.replace('.', '/')}.py" for name in imports(project.texts[module])]
    return set().union(*(_written(project.texts[path]) for path in [module, *imported] if path in project.texts))


@functools.cache
def _written(module: str) -> set[str]:
    """Return the keys of the dictionaries and the fields of the dataclasses in `module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Dict):
            found |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.ClassDef):
            fields = [field.target for field in node.body if isinstance(field, ast.AnnAssign)]
            found |= {field.id for field in fields if isinstance(field, ast.Name)}
    return found
