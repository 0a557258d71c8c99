"""Rules for the imports of the tests."""

import re
from collections.abc import Iterator

from tests.linter.project import Project, imports
from tests.linter.rules import rule

_TEST_MODULE = re.compile(r"tests\.(\w+\.)*(test_\w+|conftest)")


@rule
def import_of_a_test_module(project: Project) -> Iterator[str]:
    """Code that several test modules share belongs in tests/support."""
    for path, text in project.texts.items():
        if path.startswith("tests/"):
            for module in sorted({found[0] for name in imports(text) if (found := _TEST_MODULE.match(name))}):
                yield f"{path}: imports from {module}."
