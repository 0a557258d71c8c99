"""All rules, by name."""

from collections.abc import Callable, Iterator

from tests.linter.project import Project

Rule = Callable[[Project], Iterator[str]]

RULES: dict[str, Rule] = {}


def rule(judge: Rule) -> Rule:
    """Make a rule of a function; its name says what it finds."""
    RULES[judge.__name__] = judge
    return judge


def findings(project: Project) -> dict[str, list[str]]:
    """What is found, by rule; of rules that find nothing, nothing."""
    found = {name: list(judge(project)) for name, judge in RULES.items()}
    return {name: sentences for name, sentences in found.items() if sentences}
