"""Compare the beliefs of this project about AWS with what an account says: `make probe STAGE=qa`.

It states its cost and asks before it starts. All of its resources have names that begin with mp-probe, and are deleted
at the end, also after an interruption. The exit code is 1 if a belief differs or a probe fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import boto3

from tests.deployed import prices
from tests.deployed.account import Account
from tests.deployed.instrument import AGREES, DIFFERS, FAILED, Probe, Result, load, run, table

LEDGERS = Path(__file__).parents[2] / ".local" / "deployed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    probes = [each for each in load() if not options.only or {each.name, each.group} & set(options.only.split(","))]
    if options.list:
        for each in probes:
            print(f"{each.group}/{each.name}: {each.belief} [{each.documented}]")
        return 0
    stop = threading.Event()
    session = boto3.session.Session(profile_name=options.profile, region_name=options.region)
    here = Account(session, options.stage, _file(options.ledgers, session, "start"), stop)
    _describe(here, probes)
    if not (options.yes or here.is_embedded or agreed()):
        print("Nothing was created.")
        return 2
    _delete_leftovers(here, options.ledgers)

    def account_of(group: str) -> Account:
        return Account(session, options.stage, _file(options.ledgers, session, group), stop)

    try:
        results, problems = run(probes, account_of, _show, stop)
    except KeyboardInterrupt:
        print("Interrupted. The temporary resources were deleted.")
        return 130
    print("\n".join(["", *table(results, options.width)]))
    for problem in problems:
        print(f"Not deleted: {problem}")
    return 1 if problems or any(result.verdict in (DIFFERS, FAILED) for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make probe", description=__doc__)
    parser.add_argument("--stage", required=True, help="the name of the stage, for example qa")
    parser.add_argument("--profile", default=None, help="the AWS profile of its account")
    parser.add_argument("--region", default=None, help="the region, if the profile has none")
    parser.add_argument("--only", default="", help="names or groups of probes, separated by commas")
    parser.add_argument("--yes", action="store_true", help="start without asking")
    parser.add_argument("--list", action="store_true", help="list the probes")
    parser.add_argument("--width", type=int, default=150, help="the width of the table")
    parser.add_argument("--ledgers", type=Path, default=LEDGERS, help=argparse.SUPPRESS)
    return parser


def _describe(account: Account, probes: Sequence[Probe]) -> None:
    where = "the embedded AWS, account" if account.is_embedded else "account"
    print(f"{len(probes)} probes of {where} {account.number} in {account.region}, as {account.caller}.")
    if not account.is_embedded:
        costs = [cost for each in probes for cost in each.costs]
        print("\n".join(["They cost:", *prices.statement(costs), "and take up to two hours."]), flush=True)


def agreed() -> bool:
    """Return whether a user at a terminal agrees to the stated cost."""
    return sys.stdin.isatty() and input("Start? [y/N] ").strip().lower() in ("y", "yes")


def _file(directory: Path, session: boto3.session.Session, group: str) -> Path:
    profile = session.profile_name or "default"
    return directory / f"{profile}-{session.region_name}-{group}-{os.getpid()}.jsonl"


def _delete_leftovers(account: Account, directory: Path) -> None:
    """Delete what earlier runs with this profile have left. A file of a process that still runs is skipped."""
    beginning = _file(directory, account._session, "").name.rpartition(f"-{os.getpid()}")[0]
    for file in sorted(directory.glob(f"{beginning}*.jsonl")):
        process = int(file.stem.rpartition("-")[2])
        if process != os.getpid() and not runs(process):
            print(f"Deleting what an interrupted run has left ({file.name})…", flush=True)
            for problem in Account(account._session, account.stage, file).ledger.settle():
                print(f"Not deleted: {problem}")


def runs(process: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _show(result: Result) -> None:
    mark = "✔" if result.verdict == AGREES else "✘" if result.verdict in (DIFFERS, FAILED) else "-"
    print(f"{mark} {result.probe.group}/{result.probe.name}: {result.verdict}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
