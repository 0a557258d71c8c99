"""The entry point of the command model-promotion: `python -m command` in a checkout."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from command import arguments, check, decide, executions, overview, report
from command import stage as stages
from command.errors import DONE, INTERRUPTED, NEGATIVE, CommandError, explained
from command.stage import Stage
from command.text import counted, printable
from promotion.errors import InvalidRequestError
from promotion.messages import console
from promotion.naming import application_name

_CLEAR = "\033[2J\033[H"


def main(given: list[str] | None = None) -> int:
    """Run the command with the arguments `given`, by default those of the process, and return its exit code."""
    options = arguments.parser().parse_args(given)
    try:
        session = boto3.session.Session(profile_name=options.profile, region_name=options.region)
        if options.verb == "check":
            return _check(session, options)
        stage = stages.find(session, options.stage)
        return _VERBS[options.verb](stage, options)
    except (CommandError, InvalidRequestError) as error:
        problem = error if isinstance(error, CommandError) else CommandError(str(error))
    except (BotoCoreError, ClientError) as error:
        problem = explained(error, options.stage)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    print(f"model-promotion: {printable(problem)}", file=sys.stderr)
    return problem.exit_code


def _check(session: boto3.session.Session, options: argparse.Namespace) -> int:
    suite = check.read(options.file)
    count = len(suite["cases"])
    found: dict[str, Any] = {"file": options.file, "cases": count, "invocations": count * suite["repeat"]}
    verdict = None
    if options.endpoint:
        verdict = check.with_endpoint(session, suite, options.endpoint)
    elif options.container:
        verdict = check.with_container(session, suite, options.container)
    text = f"{options.file} is valid: {counted(count, 'case')}, {counted(found['invocations'], 'invocation')}."
    _print(options, found | {"verdict": verdict}, f"{text}\n{report.verdict(verdict)}" if verdict else text)
    return NEGATIVE if verdict and not verdict["passed"] else DONE


def _status(stage: Stage, options: argparse.Namespace) -> int:
    while True:
        found, now = overview.status(stage, stage.named(options.applications)), datetime.datetime.now(datetime.UTC)
        text = report.status(found, now)
        if options.watch and not options.json and sys.stdout.isatty():
            note = f"{now:%H:%M:%SZ}, every {options.interval:g} s. Press Ctrl-C to stop."
            text = "\n\n".join([_CLEAR + text, note])
        _print(options, found, text, is_line=options.watch)
        if not options.watch:
            return DONE
        try:
            time.sleep(options.interval)
        except KeyboardInterrupt:
            return DONE


def _live(stage: Stage, options: argparse.Namespace) -> int:
    found = overview.live(stage, stage.named(options.applications))
    nothing = f"No model is live in the stage {stage.name}."
    _print(options, {"stage": stage.name, "live": found}, report.live(found) or nothing)
    return DONE


def _history(stage: Stage, options: argparse.Namespace) -> int:
    (application,) = stage.named([options.application])
    found = overview.history(stage, application, options.limit)
    nothing = f"No promotion of {application} into the stage {stage.name} has reached its endpoint."
    members = {"stage": stage.name, "application": application, "promotions": found}
    _print(options, members, report.history(found) or nothing)
    return DONE


def _preview(stage: Stage, options: argparse.Namespace) -> int:
    if options.kind == "undo":
        given = _rollback(stage, stage.named([options.name])[0], options.to)
    elif options.to:
        raise CommandError("--to is only for a rollback: model-promotion preview undo <application> --to <model>.")
    else:
        given = _source(options)
    return _run(stage, options, given | {"preview": True}, f"preview-{options.name}")


def _promote(stage: Stage, options: argparse.Namespace) -> int:
    return _run(stage, options, _source(options), options.name)


def _undo(stage: Stage, options: argparse.Namespace) -> int:
    (application,) = stage.named([options.application])
    live = overview.live(stage, [application])
    serves = f", which serves {live[0]['model_name']}" if live else ""
    _confirm(options, f"Roll back {stage.endpoint(application)}{serves}, to {options.to or 'the last good model'}?")
    return _run(stage, options, _rollback(stage, application, options.to), f"undo-{application}")


def _decide(stage: Stage, options: argparse.Namespace) -> int:
    approve = options.verb == "approve"
    asked = decide.find(stage, stage.named([options.application])[0], options.id)
    if not options.json:
        print(report.pairs(decide.describe(asked)))
    what = f"{options.verb.capitalize()} this promotion of {asked.record['application']} into {stage.name}?"
    _confirm(options, what)
    decide.decide(stage, asked, approve=approve, comment=options.comment)
    found = {
        "stage": stage.name,
        "application": asked.record["application"],
        "id": asked.automation,
        "decision": "approved" if approve else "rejected",
        "source_name": asked.record["source_name"],
    }
    more = f" `model-promotion status {found['application']} --watch` shows its promotion." if approve else ""
    _print(options, found, f"{str(found['decision']).capitalize()}.{more}")
    return DONE


_VERBS = {
    "status": _status,
    "live": _live,
    "history": _history,
    "preview": _preview,
    "promote": _promote,
    "undo": _undo,
    "approve": _decide,
    "reject": _decide,
}


def _source(options: argparse.Namespace) -> dict[str, Any]:
    if options.application:
        application_name(options.application, "--application")
    return arguments.source_of(options)


def _rollback(stage: Stage, application: str, to: str | None) -> dict[str, Any]:
    return {"rollback": stage.endpoint(application)} | ({"to": to} if to else {})


def _run(stage: Stage, options: argparse.Namespace, given: dict[str, Any], subject: str) -> int:
    """Start an execution, wait for its end unless the options say otherwise, and print its result."""
    execution = executions.start(stage, given, subject)
    found: dict[str, Any] = {"stage": stage.name, "execution": execution}
    if getattr(options, "no_wait", False):
        _print(options, found, f"Started: {console.execution(execution)}")
        return DONE

    def entered(state: str) -> None:
        if not options.json and not state.endswith("?"):
            print(f"{datetime.datetime.now(datetime.UTC):%H:%M:%SZ}  {state}", file=sys.stderr, flush=True)

    result = executions.follow(stage, execution, entered)
    found |= {
        "result": result.state,
        "succeeded": result.has_succeeded,
        "reason": result.reason,
        "error": result.error,
        "output": result.output,
    }
    _print(options, found, report.result(stage, result))
    return DONE if result.has_succeeded else NEGATIVE


def _confirm(options: argparse.Namespace, question: str) -> None:
    """Raise CommandError unless a person confirms, or --yes is given."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("There is nobody to confirm. Add --yes to do it without confirmation.")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Not confirmed. Nothing was changed.", NEGATIVE)


def _print(options: argparse.Namespace, found: dict[str, Any], text: str, *, is_line: bool = False) -> None:
    if options.json:
        print(json.dumps(found, indent=None if is_line else 2, default=str), flush=True)
    else:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
