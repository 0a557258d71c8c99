"""The live models at the end of the demo, according to the promotion tables and the endpoints."""

from __future__ import annotations

import datetime

from sandbox.demo.accounts import Stage, expect
from sandbox.demo.screen import Screen


def show(screen: Screen, stages: list[Stage]) -> None:
    """Show the live model of each stage; raise OutcomeError if promotion table and endpoint disagree."""
    for stage in stages:
        records, serving = list(stage.live()), stage.serving()
        expect(
            [record["model_name"] for record in records] == ([serving] if serving else []),
            f"the promotion table of {stage.label} to list the model that {stage.endpoint} serves: {serving or 'none'}",
            ", ".join(record["model_name"] for record in records) or "none",
        )
        screen.say(f"{stage.label}, account {stage.number}:")
        screen.table([], description(records[0]) if records else [["Endpoint", f"{stage.endpoint} does not exist"]])
    screen.say("The promotion tables and the endpoints agree.")


def description(record: dict[str, str]) -> list[list[str]]:
    """Return the labels and values that describe a promotion record."""
    since = datetime.datetime.fromisoformat(record["ended_at"]).astimezone(datetime.UTC)
    _, _, _, _, account, source = record["source_arn"].split(":")
    approver = record["approved_by"].rsplit(":", 1)[-1] if record["approval"] else ""
    approval = [["Approved by", approver], ["Comment", record["approval_comment"]]]
    return [
        ["Endpoint", record["endpoint"]],
        ["Model", record["model_name"]],
        ["Source", f"{source.replace('/', ' ', 1)} in account {account}"],
        ["Live since", f"{since:%Y-%m-%d %H:%M:%S} UTC"],
        *(approval if approver else [["Approved by", "no approval required"]]),
    ]
