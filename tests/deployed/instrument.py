"""The instrument of `make probe`: beliefs about AWS, the probes that test them, and the table of what an account says.

A probe is a function with one argument, the account. It returns what the account says in the words of its `believed`
answer. Probes of one group run one after the other and share resources; groups run in parallel.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib
import textwrap
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from tests.deployed.account import Account, NotModeledError, StoppedError
from tests.deployed.prices import Cost

AGREES, DIFFERS, NOT_MODELED, FAILED = "as believed", "DIFFERS", "not modeled", "FAILED"


@dataclasses.dataclass(frozen=True)
class Probe:
    """A belief about AWS and the function that tests it."""

    name: str
    belief: str
    documented: str  # the page of AWS, or "assumed" and the file that depends on it
    believed: str  # the answer of an account that agrees
    group: str
    ask: Callable[[Account], str]
    costs: tuple[Cost, ...]
    not_modeled: str  # why the embedded AWS cannot answer, or an empty string


@dataclasses.dataclass(frozen=True)
class Result:
    """What an account says about a belief."""

    probe: Probe
    says: str
    verdict: str


PROBES: list[Probe] = []


def probe(
    belief: str,
    *,
    documented: str,
    believed: str,
    costs: Sequence[Cost] = (),
    not_modeled: str = "",
) -> Callable[[Callable[[Account], str]], Callable[[Account], str]]:
    """Register a function as a probe. Its group is the name of its module."""

    def register(ask: Callable[[Account], str]) -> Callable[[Account], str]:
        group = ask.__module__.rpartition(".")[2]
        PROBES.append(Probe(ask.__name__, belief, documented, believed, group, ask, tuple(costs), not_modeled))
        return ask

    return register


def load() -> list[Probe]:
    """Import all probes and return them, by group."""
    for module in sorted((Path(__file__).parent / "probes").glob("*.py")):
        importlib.import_module(f"tests.deployed.probes.{module.stem}")
    return PROBES


def run(
    probes: Sequence[Probe],
    account_of: Callable[[str], Account],
    report: Callable[[Result], None],
    stop: threading.Event,
) -> tuple[list[Result], list[str]]:
    """Run the probes, and return the results in their order, and what could not be deleted.

    `account_of` returns the account for a group, whose ledger is settled when the group has ended. `report` receives
    each result as soon as it is known. An interruption sets `stop`, which ends all waits of the accounts.
    """
    groups: dict[str, list[Probe]] = {}
    for each in probes:
        groups.setdefault(each.group, []).append(each)
    with concurrent.futures.ThreadPoolExecutor(len(groups) or 1) as pool:
        running = [pool.submit(_run_group, account_of(name), group, report) for name, group in groups.items()]
        try:
            ended = [future.result() for future in running]
        except KeyboardInterrupt:
            stop.set()
            raise
    found = {result.probe.name: result for results, _ in ended for result in results}
    return [found[each.name] for each in probes if each.name in found], [
        problem for _, problems in ended for problem in problems
    ]


def _run_group(
    account: Account, probes: list[Probe], report: Callable[[Result], None]
) -> tuple[list[Result], list[str]]:
    results = []
    try:
        for each in probes:
            results.append(_result(account, each))
            report(results[-1])
    except StoppedError:
        pass
    finally:
        problems = account.ledger.settle(*((20.0, 0.1) if account.is_embedded else ()))
    return results, problems


def _result(account: Account, probe: Probe) -> Result:
    if account.is_embedded and probe.not_modeled:
        return Result(probe, probe.not_modeled, NOT_MODELED)
    try:
        says = probe.ask(account)
    except NotModeledError as error:
        return Result(probe, str(error), NOT_MODELED)
    except StoppedError:
        raise
    except (ClientError, BotoCoreError, TimeoutError) as error:
        return Result(probe, str(error), FAILED)
    except Exception as error:  # noqa: BLE001 - an unexpected answer of AWS must not end the other probes
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Result(probe, f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})", FAILED)
    return Result(probe, says, AGREES if says == probe.believed else DIFFERS)


def table(results: Sequence[Result], width: int = 150) -> list[str]:
    """Return the lines of the table: belief, where it is documented, what the account says."""
    columns = [width * 42 // 100, width * 26 // 100]
    columns.append(width - sum(columns) - 6)
    rule = "─" * width
    lines = [rule, *_row(("Belief", "Documented where", "This account says"), columns), rule]
    for result in results:
        says = f"{result.verdict}: {result.says}"
        if result.verdict == DIFFERS:
            says += f"\n(believed: {result.probe.believed})"
        lines += _row((result.probe.belief, result.probe.documented, says), columns)
    counts = {
        verdict: sum(result.verdict == verdict for result in results)
        for verdict in (AGREES, DIFFERS, NOT_MODELED, FAILED)
    }
    return [*lines, rule, ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)]


def _row(cells: Sequence[str], columns: Sequence[int]) -> list[str]:
    wrapped = [
        [line for part in cell.splitlines() for line in textwrap.wrap(part, column) or [""]]
        for cell, column in zip(cells, columns, strict=True)
    ]
    height = max(len(lines) for lines in wrapped)
    padded = [lines + [""] * (height - len(lines)) for lines in wrapped]
    return [
        "   ".join(cell.ljust(column) for cell, column in zip(row, columns, strict=True)).rstrip()
        for row in zip(*padded, strict=True)
    ]
