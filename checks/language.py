"""Find phrases that the project's texts and names must not use: `python -m checks.language`.

Every tracked text file is read, names in snake_case and PascalCase included, and also across the ends of lines. A
phrase here is one that a reader has to translate back into the field's own term.
"""

from __future__ import annotations

import bisect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

# A regular expression (case is ignored, `_` counts as a space), and what to say instead.
PHRASES = {
    r"way back|(?:go|goes|going|went|gone|turns?) back\b": "rollback, roll back, restore",
    r"(?:put|puts|putting|bring|brings|bringing|brought) back": "restore, roll back",
    r"(?:give|gives|given|giving|gave) (?:\w+ ){0,3}back\b": "release the lock",
    r"(?:take|takes|taken|taking|took) (?:the|an|its|their|each|over the) endpoints?\b(?! lock)": "acquire the lock",
    r"(?:go|goes|going|went|gone) over\b": "overwrite",
    r"look(?:s|ed|ing)? (?:at|after)\b": "check, poll, monitor",
    r"\b(?:rings|rang|ringing)\b|\balarms? ring\b": "goes into ALARM, alerts",
    r"people (?:are|were) (?:needed|called|told)|call(?:s|ed)? people": "manual intervention, operators are paged",
    r"\b(?:tell|tells|told|telling) (?:people|of|operators|so)\b|\bbe told\b|\b(?:is|are) told of\b": "notify, publish",
    r"\bannounc\w*": "publish, notify",
    r"\ba right\b|\brights\b|\b(?:is|are|was|were|be) allowed to\b": "a permission, an IAM action",
    r"\b(?:is|are|was|were|lies?) there already|\bany ?more\b": "already exists, no longer exists",
    r"\b(?:take|takes|taken|taking|took) (?:it |them )?(?:out|off)\b": "remove",
    r"\bput(?:s|ting)? (?:it |them )?right\b|\bmend(?:s|ed|ing)?\b": "fix",
    r"\banew\b": "again, re-create",
    r"\bby (?:itself|themselves)\b": "automatically, alone",
    r"\ba text\b|\ba whole number\b|\bwhole numbers\b|\bno JSON\b|\bno UTF-8\b": "a string, an integer, not valid JSON",
    r"\b(?:has|have|had|having) to be\b": "must be",
    r"\bbelow (?:/|s3:|a prefix|the prefix|it\b|its\b)": "under",
    r"\bask(?:s|ed|ing)? (?:AWS|S3|IAM|Sage ?Maker|Cloud ?Watch|Dynamo ?DB|Lambda|for it|the op\w+)\b": "call, request",
    r"\bpassing troubles?\b": "transient error",
    r"\bcom(?:e|es|ing) again\b|\bcame again\b": "duplicate delivery",
    r"\bstuck\b": "rollback failed",
    r"\bnobody needs\b": "superseded",
    r"\b(?:let|lets|letting|come|comes|coming|came|may come) in\b(?! \w+ing\b)": "admit, promote into",
    r"\blanes?\b": "test endpoint",
    r"\bfleets? that bakes?\b": "deployment in its baking period",
    r"\bat the (?:most|least)\b": "at most, at least",
    r"\bin vain\b": "without success",
    r"\bdo(?:es)? nothing but\b|\bnothing but (?:a|an|read|the)\b": "only",
    r"\bwhat (?:is|was) (?:live|left) before\b": "the previous state",
    r"\bwhat (?:the|an|a|its|this|that) [\w' -]{1,30} (?:is|are) called\b": "the name of …",
    r"\bsay(?:s)? (?:what|how|why|whether|where) [\w ]{1,20} is (?:called|there)\b": "show, list",
    r"\bheld (?:against|beside)\b|\bholds? .{1,25} against\b": "compare with",
    r"\bwhoever\b|\bwhatever is (?:left|there)\b": "the caller, everything that",
    r"\bof its own accord\b|\bas good as\b": "automatically",
    r"\bwas not touched\b|\bleft alone\b": "was not changed",
    r"\bmay be that\b|\bwhat (?:has|had) to (?:be|happen)\b": "required",
    r"\bto hand\b|\bat hand\b": "available",
    r"\bbites?\b": "detects",
}
# The table itself and its test, and texts that are not the project's.
EXCEPTIONS = {"checks/language.py", "tests/test_language.py", "LICENSE", "uv.lock"}
SUFFIXES = {".py", ".yaml", ".yml", ".md", ".json", ".toml", ".txt", ""}
_PATTERN = re.compile("|".join(f"(?P<p{index}>{phrase})" for index, phrase in enumerate(PHRASES)), re.IGNORECASE)


class Finding(NamedTuple):
    """A phrase, its place, and what to say instead."""

    path: str
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: “{self.phrase}”: {self.instead}"


def findings(path: str, text: str) -> Iterator[Finding]:
    """Yield the phrases of the table in `text`, the content of the file `path`."""
    joined, starts = _joined(text)
    for found in _PATTERN.finditer(joined):
        instead = list(PHRASES.values())[int(str(found.lastgroup)[1:])]
        yield Finding(path, bisect.bisect_right(starts, found.start()), found[0], instead)


def _joined(text: str) -> tuple[str, list[int]]:
    """Return `text` as one line of words, and where each of its lines starts in it."""
    starts, parts, position = [], [], 0
    for line in text.splitlines():
        words = re.sub(r'^\s*(?:#+|//|[-*>]|[rf]?["\'])?\s*|["\']?\s*$', "", line)
        words = " ".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", words).split()) + " "
        starts.append(position)
        parts.append(words)
        position += len(words)
    return "".join(parts), starts


def tracked() -> Iterator[Path]:
    """Yield the text files of the project that the table applies to."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    for name in listed.splitlines():
        path = ROOT / name
        if name not in EXCEPTIONS and path.suffix in SUFFIXES and path.is_file():
            yield path


def main() -> int:
    found = [finding for path in tracked() for finding in findings(path.relative_to(ROOT).as_posix(), path.read_text())]
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
