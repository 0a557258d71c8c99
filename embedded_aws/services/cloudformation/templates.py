"""CloudFormation templates: parameters, conditions and intrinsic functions.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html. moto
does not detect unresolved and circular references, and ignores the constraints of parameters and references in
`Fn::Sub`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import yaml

_SUBSTITUTION = re.compile(r"\$\{(!?)([^${}]+)\}")
_NO_VALUE = object()


class TemplateError(Exception):
    """The template or its parameters are invalid; the message is the one of CloudFormation."""


class Resources(Protocol):
    """The existing resources, for `Ref` and `Fn::GetAtt`."""

    def reference(self, logical_id: str) -> str:
        """Return the value of `Ref`."""

    def attribute(self, logical_id: str, name: str) -> Any:
        """Return the value of `Fn::GetAtt`."""


class _Loader(yaml.CSafeLoader):
    """A YAML loader for CloudFormation's short forms; a date is loaded as a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return {name: text.split(".", 1) if suffix == "GetAtt" else text}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise TemplateError(f"Template format error: !{suffix} cannot have members")


_Loader.add_multi_constructor("!", _short_form)


def load(text: str) -> dict[str, Any]:
    """Return the document of a template in YAML or JSON; raise TemplateError if it is invalid."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise TemplateError(f"Template format error: {error}") from error
    if not isinstance(document, dict) or not document.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    return document


class Template:
    """A template with the values of its parameters: its resources, their order and their properties."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str], pseudo: Mapping[str, Any]) -> None:
        self.document = document
        self._pseudo = dict(pseudo) | {
            "AWS::NoValue": _NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        self.parameters = _parameter_values(document.get("Parameters") or {}, parameters)
        self._conditions: dict[str, bool] = {}
        for name in document.get("Conditions") or {}:
            self.condition(name)
        self._check_rules()
        self.resources: dict[str, dict[str, Any]] = {
            logical_id: definition
            for logical_id, definition in document["Resources"].items()
            if "Condition" not in definition or self.condition(definition["Condition"])
        }
        self.order = self._order()

    def condition(self, name: str) -> bool:
        """Return the value of a condition."""
        if name not in self._conditions:
            try:
                condition = self.document["Conditions"][name]
            except (KeyError, TypeError):
                raise TemplateError(f"Template format error: Unresolved condition dependency {name}") from None
            self._conditions[name] = self._holds(condition)
        return self._conditions[name]

    def _check_rules(self) -> None:
        """Raise TemplateError if the parameters violate a rule ("Rules" in the user guide, rules-section-structure).

        AWS documents that the stack is not created, but not the message.
        """
        for name, rule in (self.document.get("Rules") or {}).items():
            if "RuleCondition" in rule and not self._holds(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._holds(assertion["Assert"]):
                    raise TemplateError(f"Rule {name}: {assertion.get('AssertDescription', 'an assertion failed')}")

    def properties(self, logical_id: str, resources: Resources) -> dict[str, Any]:
        """Return the resolved properties of a resource."""
        resolved = self.resolve(self.resources[logical_id].get("Properties") or {}, resources)
        return dict(resolved)

    def outputs(self, resources: Resources) -> dict[str, dict[str, Any]]:
        """Return the resolved outputs whose condition is true."""
        return {
            name: self.resolve(output, resources)
            for name, output in (self.document.get("Outputs") or {}).items()
            if "Condition" not in output or self.condition(output["Condition"])
        }

    def resolve(self, value: Any, resources: Resources) -> Any:
        """Return `value` with every intrinsic function replaced by its result."""
        if isinstance(value, list):
            return [item for item in (self.resolve(item, resources) for item in value) if item is not _NO_VALUE]
        if isinstance(value, str) and "{{resolve:" in value:
            raise TemplateError(f"Dynamic references are not supported by the embedded AWS: {value}")
        if not isinstance(value, dict):
            return value
        function, argument = _intrinsic(value)
        if function is None:
            members = ((key, self.resolve(member, resources)) for key, member in value.items())
            return {key: member for key, member in members if member is not _NO_VALUE}
        return self._call(function, argument, resources)

    def _call(self, function: str, argument: Any, resources: Resources) -> Any:
        match function:
            case "Ref":
                return self._reference(argument, resources)
            case "Fn::GetAtt":
                logical_id, name = _attribute_names(argument)
                return resources.attribute(logical_id, str(self.resolve(name, resources)))
            case "Fn::If":
                name, then, otherwise = argument
                return self.resolve(then if self.condition(name) else otherwise, resources)
            case "Fn::Sub":
                return self._substitute(argument, resources)
            case "Fn::Join" | "Fn::Split" if not isinstance(argument[0], str):
                # The delimiter "must be a string value", not a function.
                raise TemplateError(f"Template error: every {function} object requires (1) a string delimiter")
        resolved = self.resolve(argument, resources)
        match function:
            case "Fn::Join":
                return resolved[0].join(_text(item) for item in resolved[1])
            case "Fn::Split":
                return str(resolved[1]).split(resolved[0])
            case "Fn::Select":
                index, items = int(resolved[0]), resolved[1]
                if not 0 <= index < len(items):
                    raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
                return items[index]
            case "Fn::FindInMap":
                return self._find_in_map(*resolved)
            case "Fn::Base64":
                return base64.b64encode(str(resolved).encode()).decode()
        raise TemplateError(f"Template format error: Unsupported function {function}")

    def _reference(self, name: str, resources: Resources) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        return self.parameters[name] if name in self.parameters else resources.reference(name)

    def _substitute(self, argument: Any, resources: Resources) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def value(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return _text(self.resolve(variables[name], resources))
            if name not in self.parameters and name not in self._pseudo and "." in name:
                return _text(resources.attribute(*name.split(".", 1)))
            return _text(self._reference(name, resources))

        return _SUBSTITUTION.sub(value, text)

    def _find_in_map(self, name: str, first: str, second: str) -> Any:
        try:
            return self.document["Mappings"][name][str(first)][str(second)]
        except KeyError:
            raise TemplateError(f"Template error: Unable to get mapping for {name}::{first}::{second}") from None

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self.condition(argument)
            case "Fn::Not":
                return not self._holds(argument[0])
            case "Fn::And":
                return all(self._holds(item) for item in argument)
            case "Fn::Or":
                return any(self._holds(item) for item in argument)
            case "Fn::Equals":
                first, second = (self.resolve(item, _NoResources()) for item in argument)
                return _text(first) == _text(second)
            case "Fn::Contains":
                values, value = (self.resolve(item, _NoResources()) for item in argument)
                return _text(value) in map(_text, values)
        raise TemplateError(f"Template format error: Unsupported condition function {function}")

    def _order(self) -> list[str]:
        """Return the logical IDs of the resources, each after its dependencies."""
        order: list[str] = []
        path: list[str] = []

        def visit(logical_id: str) -> None:
            if logical_id in path:
                cycle = ", ".join(path[path.index(logical_id) :])
                raise TemplateError(f"Circular dependency between resources: [{cycle}]")
            if logical_id in order:
                return
            path.append(logical_id)
            for dependency in self._dependencies(logical_id):
                visit(dependency)
            path.pop()
            order.append(logical_id)

        for logical_id in self.resources:
            visit(logical_id)
        for output in (self.document.get("Outputs") or {}).values():
            if "Condition" not in output or self.condition(output["Condition"]):
                self._resolvable(self._names(output), "Outputs")
        return order

    def _dependencies(self, logical_id: str) -> list[str]:
        definition = self.resources[logical_id]
        depends_on = definition.get("DependsOn", [])
        explicit = [depends_on] if isinstance(depends_on, str) else depends_on
        for name in explicit:
            if name not in self.document["Resources"]:
                raise _unresolved([name], "Resources")
        names = self._resolvable(self._names(definition.get("Properties")), "Resources")
        return names + [name for name in explicit if name in self.resources]

    def _resolvable(self, names: Iterator[str], block: str) -> list[str]:
        unique = list(dict.fromkeys(names))
        unresolved = [name for name in unique if name not in self.resources]
        if unresolved:
            raise _unresolved(unresolved, block)
        return unique

    def _names(self, value: Any) -> Iterator[str]:
        """Yield the logical IDs that `value` refers to; of `Fn::If`, only the selected branch counts."""
        if isinstance(value, list):
            for item in value:
                yield from self._names(item)
        if not isinstance(value, dict):
            return
        function, argument = _intrinsic(value)
        match function:
            case "Ref":
                yield from self._unless_parameter(argument)
            case "Fn::GetAtt":
                yield _attribute_names(argument)[0]
            case "Fn::If":
                name, then, otherwise = argument
                yield from self._names(then if self.condition(name) else otherwise)
            case "Fn::Sub":
                text, variables = argument if isinstance(argument, list) else (argument, {})
                yield from self._names(variables)
                for literal, name in _SUBSTITUTION.findall(text):
                    if not literal and name.strip() not in variables:
                        yield from self._unless_parameter(name.strip())
            case _:
                for member in value.values():
                    yield from self._names(member)

    def _unless_parameter(self, name: str) -> Iterator[str]:
        if name not in self._pseudo and name not in self.parameters:
            yield name.split(".")[0]


class _NoResources:
    """The resources while conditions are evaluated: none."""

    def reference(self, logical_id: str) -> str:
        raise TemplateError(f"Template format error: Unresolved dependencies [{logical_id}] in the Conditions block")

    def attribute(self, logical_id: str, name: str) -> Any:
        return self.reference(f"{logical_id}.{name}")


def _unresolved(names: list[str], block: str) -> TemplateError:
    listed = f"[{', '.join(names)}]"
    return TemplateError(
        f"Template format error: Unresolved resource dependencies {listed} in the {block} block of the template"
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _intrinsic(value: Mapping[str, Any]) -> tuple[str | None, Any]:
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref" or name.startswith("Fn::"):
            return name, argument
    return None, None


def _attribute_names(argument: Any) -> tuple[str, Any]:
    logical_id, name = argument.split(".", 1) if isinstance(argument, str) else argument
    return logical_id, name


def _parameter_values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, parameter in declared.items() if name not in given and "Default" not in parameter]
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _parameter(name, declared[name], given.get(name)) for name in declared}


def _parameter(name: str, declared: Mapping[str, Any], given: str | None) -> Any:
    text = str(declared["Default"] if given is None else given)
    kind = declared.get("Type", "String")
    is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
    items = [item.strip() for item in text.split(",")] if is_list else [text]
    for item in items:
        reason = _violation(declared, item, kind)
        if reason:
            raise TemplateError(f"Parameter '{name}' {declared.get('ConstraintDescription', reason)}")
    values = [_number(item) for item in items] if "Number" in kind else items
    return values if is_list else values[0]


def _violation(declared: Mapping[str, Any], text: str, kind: str) -> str | None:
    """Return the constraint that the value of a parameter violates, or None."""
    allowed = [str(value) for value in declared.get("AllowedValues", [text])]
    if text not in allowed:
        return f"must be one of AllowedValues: [{', '.join(allowed)}]"
    if not re.fullmatch(declared.get("AllowedPattern", ".*"), text, re.DOTALL):
        return f"must match pattern {declared['AllowedPattern']}"
    if len(text) < int(declared.get("MinLength", 0)):
        return f"must contain at least {declared['MinLength']} characters"
    if len(text) > int(declared.get("MaxLength", len(text))):
        return f"must contain at most {declared['MaxLength']} characters"
    if "Number" in kind:
        try:
            number = _number(text)
        except ValueError:
            return "must be a number"
        if number < float(declared.get("MinValue", number)):
            return f"must be a number not less than {declared['MinValue']}"
        if number > float(declared.get("MaxValue", number)):
            return f"must be a number not greater than {declared['MaxValue']}"
    return None


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
