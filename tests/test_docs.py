"""The documentation is checked where it can be."""

import json
import re
from pathlib import Path

import pytest

from docs import picture
from promotion import request, smoke_test

ROOT = Path(__file__).parent.parent


def test_the_picture_in_the_readme_is_the_state_machine_of_today() -> None:
    readme = picture.README.read_text()

    assert picture.drawn_into(readme) == readme, "run `make picture`"


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("events/*.md")], ids=str)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("event", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_every_event_is_one_that_starts_something(event: Path) -> None:
    given = json.loads(event.read_text())

    asked = request.read(given, upstream_account=given.get("account", "111111111111"), own_account="222222222222")

    assert isinstance(asked, request.Promote | request.Recover | request.RollBack)


def test_the_smoke_test_of_the_example_is_valid() -> None:
    suite = json.loads((ROOT / "examples/reviews/smoke-test.json").read_text())

    assert smoke_test.validated(suite, "the example")["cases"]
