"""Rules that no existing checker has. Each rule is a function that yields its findings as sentences.

The rules read the deployed files and the tests. `tests/test_linter.py` shows that each rule detects a violation.
"""

from tests.linter import access, calls, flow, imports, resources
from tests.linter.project import DEFINITION, TEMPLATE, TEMPLATES, Project
from tests.linter.rules import RULES, findings

__all__ = [
    "DEFINITION",
    "RULES",
    "TEMPLATE",
    "TEMPLATES",
    "Project",
    "access",
    "calls",
    "findings",
    "flow",
    "imports",
    "resources",
]
