"""What no checker catches: rules of our own, each one function that yields what it finds as sentences.

They read the files that are deployed, and the tests; `tests/test_linter.py` shows of each rule that it bites.
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
