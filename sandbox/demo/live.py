"""The table at the end: what is live where, as the promotion tables have it and as the endpoints are."""

from __future__ import annotations

import datetime

from sandbox.demo.accounts import Stage, expect
from sandbox.demo.screen import Screen

_ROWS = ("Endpoint", "Model", "Made from", "In account", "Live since", "Approved by", "Their words")


def show(screen: Screen, stages: list[Stage]) -> None:
    """The promotion table and the endpoint of each stage have to say the same."""
    columns = []
    for stage in stages:
        records, serving = list(stage.live()), stage.serving()
        expect(
            [record["model_name"] for record in records] == ([serving] if serving else []),
            f"the promotion table of {stage.label} to list what {stage.endpoint} serves, {serving or 'nothing'}",
            ", ".join(record["model_name"] for record in records) or "nothing",
        )
        columns.append(described(records[0]) if records else [stage.endpoint, "nothing yet", *[""] * (len(_ROWS) - 2)])
    screen.say("As the promotion tables say and the endpoints confirm:")
    screen.table(
        ["", *(f"{stage.label}, account {stage.number}" for stage in stages)],
        [list(row) for row in zip(_ROWS, *columns, strict=True)],
    )


def described(record: dict[str, str]) -> list[str]:
    """One record of the promotion table as people read it."""
    since = datetime.datetime.fromisoformat(record["ended_at"]).astimezone(datetime.UTC)
    _, _, _, _, account, source = record["source_arn"].split(":")
    return [
        record["endpoint"],
        record["model_name"],
        source.replace("/", " ", 1),
        account,
        f"{since:%Y-%m-%d %H:%M:%S} UTC",
        record["approved_by"].rsplit(":", 1)[-1] if record["approval"] else "no approval needed here",
        record["approval_comment"],
    ]
