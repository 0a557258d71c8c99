"""Each banned phrase is found anywhere, and docs/messages.md is current."""

import pytest

from checks import language
from docs import messages

EXAMPLES = [
    "the way back",
    "put back",
    "gives it back",
    "take the endpoint",
    "was gone over",
    "looks at",
    "it rings",
    "people are needed",
    "tell operators",
    "announced",
    "a right",
    "is there already",
    "taken off",
    "put right",
    "anew",
    "by itself",
    "a whole number",
    "has to be",
    "below a prefix",
    "asks SageMaker",
    "passing trouble",
    "comes again",
    "stuck",
    "nobody needs",
    "let in",
    "a lane",
    "the fleet that bakes",
    "at the most",
    "in vain",
    "does nothing but",
    "what was live before",
    "what the stage is called",
    "say what it is called",
    "held against",
    "whoever",
    "as good as",
    "was not touched",
    "what has to happen",
    "at hand",
    "it bites",
]


def found(text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.phrase.strip()) for finding in language.findings("file.py", text)]


def test_every_phrase_of_the_table_finds_its_example() -> None:
    finding_phrases = [list(language.findings("file.md", example)) for example in EXAMPLES]

    assert all(len(findings) == 1 for findings in finding_phrases)
    assert {finding.instead for [finding] in finding_phrases} == set(language.PHRASES.values())
    assert len(EXAMPLES) == len(language.PHRASES)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a comment about the way\n# back", 1),
        ('message = (\n    "It is retried by "\n    f"itself."\n)', 2),
        ("def way_back():\n    pass", 1),
        ("class WayBack:\n    pass", 1),
        ("one\ntwo\nIt has to be.\n", 3),
    ],
)
def test_a_phrase_is_found_across_lines_and_in_names(text: str, line: int) -> None:
    assert [number for number, _ in found(text)] == [line]


def test_words_that_contain_a_phrase_are_not_found() -> None:
    assert found("The planet below surprises. Strings are arranged by range.") == []


def test_the_list_of_messages_is_current() -> None:
    assert messages.MESSAGES.read_text() == messages.page(), "run `make docs`"
