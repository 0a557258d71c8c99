"""All rules, by name."""

from collections.abc import Callable, Iterator

from tests.linter.project import Project

Rule = Callable[[Project], Iterator[str]]

RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a function as a rule, under the name of the violation that it finds."""
    RULES[function.__name__] = function
    return function


def findings(project: Project) -> dict[str, list[str]]:
    """Return the findings of each rule that has any."""
    found = {name: list(function(project)) for name, function in RULES.items()}
    return {name: sentences for name, sentences in found.items() if sentences}
