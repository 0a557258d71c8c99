"""Who writes and who reads each key of the promotion record, as far as the definition, template and code tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from tests.linter import Project
from tests.linter.project import objects, texts

# What a promotion record is called in the functions, also as an attribute.
_NAMES = {"former", "journal", "live", "older", "promotion", "record"}
_WHOLE_ANSWER = "{% $merge([$promotion, $states.result.Payload]) %}"

Usage = dict[str, set[str]]


def writers(project: Project) -> Usage:
    """Return the states that write each key: in an Assign or an event, or by the answer of their function."""
    found: Usage = {}
    for name, state in project.states():
        for key in _written_by_state(project, state):
            found.setdefault(key, set()).add(name)
    return found


def _written_by_state(project: Project, state: dict[str, Any]) -> Iterator[str]:
    module = _module_of(project, state)
    for assigned in [place["Assign"].get("promotion") for place in objects(state) if "Assign" in place]:
        if isinstance(assigned, dict):
            yield from assigned
        elif module and assigned == _WHOLE_ANSWER:
            yield from _answered(ast.parse(project.texts[module]))
        elif module and "$states.result.Payload.promotion" in str(assigned):
            for tree in _with_what_it_uses(project, module):
                yield from _records_made(tree)
    for text in texts(state):
        for merged in re.findall(r"\$merge\(\[\$promotion, \{(.*?)\}\]\)", text, re.DOTALL):
            yield from re.findall(r'"(\w+)":', merged)


def readers(project: Project) -> Usage:
    """Return what reads each key: states, modules that are not the function of a state, and rules of the template."""
    states = {_module_of(project, state): name for name, state in project.states()}
    found: Usage = {}
    for name, state in project.states():
        for text in texts(state):
            for key in re.findall(r"\$promotion\.(\w+)", text):
                found.setdefault(key, set()).add(name)
    for module, text in project.texts.items():
        if module.startswith("functions/"):
            for key in _read(ast.parse(text)):
                found.setdefault(key, set()).add(states.get(module, _short(module)))
    for _, rule, logical_id in project.resources("AWS::Events::Rule"):
        for key in _read_by_rule(rule):
            found.setdefault(key, set()).add(logical_id)
    return found


def _module_of(project: Project, state: dict[str, Any]) -> str | None:
    function = project.function_of(state)
    if function is None:
        return None
    return f"functions/{project.function(function)['Handler'].rpartition('.')[0].replace('.', '/')}.py"


def _short(module: str) -> str:
    """Return a module's name without the package that all of them are in: history.rollback."""
    return module.removeprefix("functions/").removeprefix("promotion/").removesuffix(".py").replace("/", ".")


def _with_what_it_uses(project: Project, module: str) -> Iterator[ast.AST]:
    """Yield the tree of a module, and those of the functions of other modules that it names."""
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


def _functions(project: Project, module: str, names: set[str]) -> Iterator[ast.AST]:
    text = project.texts.get(f"functions/{module.replace('.', '/')}.py", "")
    yield from (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in names)


def _answered(tree: ast.Module) -> Iterator[str]:
    """Yield the keys of the dictionaries that a handler returns."""
    [handler] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler"]
    for node in ast.walk(handler):
        if isinstance(node, ast.Return) and node.value:
            yield from _keys(node.value)


def _records_made(tree: ast.AST) -> Iterator[str]:
    """Yield the keys of the records that a module or function makes, and those that it adds to one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PromotionRecord":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and _is_record(node.left):
            yield from _keys(node.right)


def _keys(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Dict):
        yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))


def _read(tree: ast.Module) -> Iterator[str]:
    """Yield the keys that a module reads of records: record["key"], record.get("key"), and those of an event."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_record(node.value):
            yield from _constant(node.slice)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr == "get" and _is_record(called.value):
                yield from _constant(node.args[0])
        elif isinstance(node, ast.FunctionDef) and node.name == "_read_promotion_event":
            # It is not typed as a record, since another account has published it.
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


def _read_by_rule(rule: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that a rule on the events of stages matches, or puts into a mail."""
    pattern = rule.get("EventPattern", {})
    if pattern.get("source") == ["model-promotion"]:
        yield from pattern.get("detail", {})
        for target in rule["Targets"]:
            paths = target.get("InputTransformer", {}).get("InputPathsMap", {}).values()
            yield from (path.removeprefix("$.detail.") for path in paths if path.startswith("$.detail."))
