"""The preview of a promotion as text for people, in Markdown: for the output of the runbook and for the command."""

from __future__ import annotations

from typing import Any

from promotion.messages.message import plain

# Systems Manager user guide, "aws:executeScript": up to 100 KB are returned, as JSON with up to 12 bytes a character.
_MOST_CHARACTERS = 8_000
_SHOWN_CHANGES = 20


def markdown(preview: dict[str, Any]) -> str:
    """Return the output of *Preview promotion* as text, with the verdict first."""
    candidate, change, copy, remove = (preview[key] for key in ("candidate", "change", "copy", "remove"))
    changes = [*change["in_the_model"], *change["in_the_endpoint_config"]]
    images = [f"Image {image}" for image in copy.get("images", [])]
    removed = [name for kind in ("endpoint_configs", "models", "artifacts") for name in remove[kind]]
    sections = {
        f"Would be {preview['would_be'].replace('_', ' ')}": [preview["why"]],
        "Candidate": _candidate(candidate),
        "Quality gate": [rule["reason"] for rule in preview["quality_gate"]],
        "Copy": [copy["sentence"], *images],
        "Create": preview["create"],
        "Change": [
            *map(_changed, changes[:_SHOWN_CHANGES]),
            *_more(changes),
            change["rollback"],
            *change.get("notes", []),
        ],
        "Remove": [remove["sentence"], *removed],
    }
    shown = {title: [line for line in lines if line] for title, lines in sections.items()}
    text = "\n\n".join(
        "\n".join([f"## {title}", "", *(f"- {plain(line)}" for line in lines)])
        for title, lines in shown.items()
        if lines
    )
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\n\nThe rest is in the execution."


def _candidate(candidate: dict[str, Any]) -> list[str]:
    metrics = ", ".join(f"{name} {value:.7g}" for name, value in (candidate["metrics"] or {}).items())
    labeled = {
        "Source": candidate["source_arn"],
        "Digest": candidate["digest"],
        "Metrics": metrics,
        "Not pinned": "; ".join(candidate["not_pinned"]),
        "Secrets": "; ".join(candidate["secrets"]),
    }
    return [f"{label}: {value}" for label, value in labeled.items() if value]


def _changed(change: dict[str, Any]) -> str:
    return f"{change['what']}: from {change['from']} to {change['to']}"


def _more(changes: list[dict[str, Any]]) -> list[str]:
    more = len(changes) - _SHOWN_CHANGES
    return [f"And {more} more."] if more > 0 else []
