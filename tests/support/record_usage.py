"""The writers and readers of each key of the promotion record, read from the definition, the template and the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from tests.linter import Project
from tests.linter.project import objects, texts

# The names of variables and attributes that contain a promotion record in the functions.
_NAMES = {"former", "journal", "live", "older", "promotion", "record"}
_WHOLE_RESULT = "{% $merge([$promotion, $states.result.Payload]) %}"

Usage = dict[str, set[str]]


def writers(project: Project) -> Usage:
    """Return the states that write each key, in an Assign, in an event or by the result of their function."""
    usage: Usage = {}
    for name, state in project.states():
        for key in _written_by_state(project, state):
            usage.setdefault(key, set()).add(name)
    return usage


def _written_by_state(project: Project, state: dict[str, Any]) -> Iterator[str]:
    module = _module_of(project, state)
    for assigned in [place["Assign"].get("promotion") for place in objects(state) if "Assign" in place]:
        if isinstance(assigned, dict):
            yield from assigned
        elif module and assigned == _WHOLE_RESULT:
            yield from _returned_keys(ast.parse(project.texts[module]))
        elif module and "$states.result.Payload.promotion" in str(assigned):
            for tree in _with_used_functions(project, module):
                yield from _keys_of_new_records(tree)
    for tree in _functions_that_publish(project, module):
        yield from _keys_of_new_records(tree)
    for text in texts(state):
        for merged in re.findall(r"\$merge\(\[\$promotion, \{(.*?)\}\]\)", text, re.DOTALL):
            yield from re.findall(r'"(\w+)":', merged)


def readers(project: Project) -> Usage:
    """Return the readers of each key: states, modules other than the functions of states, and rules of the template."""
    states = {_module_of(project, state): name for name, state in project.states()}
    usage: Usage = {}
    for name, state in project.states():
        for text in texts(state):
            for key in re.findall(r"\$(?:promotion|record)\.(\w+)", text):
                usage.setdefault(key, set()).add(name)
    for module, text in project.texts.items():
        if module.startswith("functions/"):
            for key in _keys_read(ast.parse(text)):
                usage.setdefault(key, set()).add(states.get(module, _short(module)))
    for _, rule, logical_id in project.resources("AWS::Events::Rule"):
        for key in _keys_read_by_rule(rule):
            usage.setdefault(key, set()).add(logical_id)
    return usage


def _module_of(project: Project, state: dict[str, Any]) -> str | None:
    function = project.function_of(state)
    if function is None:
        return None
    return f"functions/{project.function(function)['Handler'].rpartition('.')[0].replace('.', '/')}.py"


def _short(module: str) -> str:
    """Return the name of a module without the common package, such as history.rollback."""
    return module.removeprefix("functions/").removeprefix("promotion/").removesuffix(".py").replace("/", ".")


def _with_used_functions(project: Project, module: str) -> Iterator[ast.AST]:
    """Yield the tree of a module, and the trees of the functions that it imports from other modules."""
    tree = ast.parse(project.texts[module])
    yield tree
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {alias.name for alias in node.names}
            yield from _functions(project, node.module, names)
            for name in names:
                used = {each.attr for each in attributes if _is_named(each.value, name)}
                yield from _functions(project, f"{node.module}.{name}", used)


def _functions_that_publish(project: Project, module: str | None) -> Iterator[ast.AST]:
    """Yield the tree of a module that publishes events about promotions, and of the functions that it uses for that."""
    used = re.findall(r"\bevents\.(publish_\w+)", project.texts[module]) if module else []
    if module and used:
        yield ast.parse(project.texts[module])
    yield from _functions(project, "promotion.history.events", set(used))


def _functions(project: Project, module: str, names: set[str]) -> Iterator[ast.AST]:
    text = project.texts.get(f"functions/{module.replace('.', '/')}.py", "")
    yield from (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in names)


def _returned_keys(tree: ast.Module) -> Iterator[str]:
    """Yield the keys of the dictionaries that a handler returns."""
    [handler] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler"]
    for node in ast.walk(handler):
        if isinstance(node, ast.Return) and node.value:
            yield from _keys(node.value)


def _keys_of_new_records(tree: ast.AST) -> Iterator[str]:
    """Yield the keys of the records that a module or function creates, and the keys that it adds to a record."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PromotionRecord":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and _is_record(node.left):
            yield from _keys(node.right)


def _keys(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Dict):
        yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))


def _keys_read(tree: ast.Module) -> Iterator[str]:
    """Yield the keys of records and events that a module reads, by record["key"] or record.get("key")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_record(node.value):
            yield from _constant(node.slice)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr == "get" and _is_record(called.value):
                yield from _constant(node.args[0])
        elif isinstance(node, ast.FunctionDef) and node.name == "_read_promotion_event":
            # The event is not a PromotionRecord, since another account published it.
            calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
            yield from (
                key for call in calls if _is_named(call.func, "string_member") for key in _constant(call.args[1])
            )


def _constant(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)


def _is_record(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return any(_is_record(value) for value in node.values)
    if isinstance(node, ast.Subscript):
        return _is_named(node.value, "event") and isinstance(node.slice, ast.Constant) and node.slice.value in _NAMES
    return (isinstance(node, ast.Name) and node.id in _NAMES) or (
        isinstance(node, ast.Attribute) and node.attr in _NAMES
    )


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _keys_read_by_rule(rule: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that a rule for the events of stages matches."""
    pattern = rule.get("EventPattern", {})
    if pattern.get("source") == ["model-promotion"]:
        yield from pattern.get("detail", {})
