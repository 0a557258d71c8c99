"""Inject every fault at every call of every scenario, and print the results: `make faults`.

Between the calls, someone else also changes the endpoint, the settings or the approval. The rows are the calls of a
promotion without a fault, the columns are the faults and the changes before the call. P: promoted; R: restored
automatically; M: restored by a manual recovery; E: promoted, event not published; U: not started, event in a
dead-letter queue; C: changed by someone else and reported; !: incorrect; -: not applicable; .: fault not reached or
change not possible. Each result is written to a file, from which --resume continues.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from embedded_aws.gateway.faults import Kind
from tests.faults import judging, worker
from tests.faults.changes import Change
from tests.faults.judging import Result
from tests.faults.matrix import Case
from tests.faults.scenarios import SCENARIOS

_LETTERS = {
    judging.PROMOTED: "P",
    judging.RESTORED: "R",
    judging.RESTORED_MANUALLY: "M",
    judging.NOT_PUBLISHED: "E",
    judging.NOT_STARTED: "U",
    judging.CHANGED: "C",
}
_NOT_REACHED = "fault not reached, or change not possible"
_KINDS: list[Kind | Change] = [*Kind, *Change]
_BY_OTHERS = {*Change, Kind.DENIED_BRIEFLY, Kind.FAILED_BRIEFLY}
_RESULTS = Path(".local/faults.jsonl")
# An embedded AWS becomes slower with every promotion that it stores.
_TRIALS_PER_WORKER = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--workers", type=int, default=(os.process_cpu_count() or 1) + 1)
    parser.add_argument("--sample", type=int, help="the number of trials of a random sample")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the sample")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="a scenario to run; can be repeated")
    parser.add_argument(
        "--fault", action="append", choices=[kind.value for kind in _KINDS], help="a fault or change; can be repeated"
    )
    parser.add_argument(
        "--changes", action="store_true", help="only changes by someone else, and faults that end after other calls"
    )
    parser.add_argument("--resume", action="store_true", help=f"run only trials without a correct result in {_RESULTS}")
    arguments = parser.parse_args()
    kinds = {kind for kind in _KINDS if not arguments.fault or kind.value in arguments.fault}
    kinds &= _BY_OTHERS if arguments.changes else kinds
    started = time.monotonic()
    earlier = _earlier() if arguments.resume else {}
    _RESULTS.parent.mkdir(exist_ok=True)
    with _pool(arguments.workers) as pool:
        every = [
            case
            for cases in pool.map(worker.cases, arguments.scenario or SCENARIOS)
            for case in cases
            if case.kind in kinds
        ]
    drawn = every
    if arguments.sample is not None:
        sample = set(random.Random(arguments.seed).sample(every, min(arguments.sample, len(every))))  # noqa: S311
        # In the order of the scenarios, since some need another deployment of the stage.
        drawn = [case for case in every if case in sample]
    results = {case: earlier[str(case)] for case in drawn if str(case) in earlier}
    remaining = [case for case in drawn if case not in results]
    print(f"{len(every)} cases, {len(remaining)} of them to run", flush=True)
    with _RESULTS.open("a" if arguments.resume else "w") as file:
        file.write(json.dumps({"possible": collections.Counter(case.scenario for case in every)}) + "\n")
        for batch in itertools.batched(remaining, arguments.workers * _TRIALS_PER_WORKER, strict=False):
            with _pool(arguments.workers) as pool:
                for case, result in _run(pool, batch):
                    results[case] = result
                    file.write(json.dumps({"case": str(case)} | dataclasses.asdict(result)) + "\n")
                    file.flush()
    for scenario in SCENARIOS:
        _print_matrix(scenario, {case: results[case] for case in drawn if case.scenario == scenario})
    _print_totals(results)
    incorrect = sum(bool(result.errors) for result in results.values())
    print(f"{len(results)} trials in {time.monotonic() - started:.0f} s, {incorrect} ended incorrectly")
    sys.exit(1 if incorrect else 0)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned processes, so that each starts its own embedded AWS.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), worker.begin)


def _run(pool: ProcessPoolExecutor, cases: Iterable[Case]) -> Iterator[tuple[Case, Result]]:
    """Yield each result when it is available, and print its errors."""
    futures = {pool.submit(worker.run, case): case for case in cases}
    for future in as_completed(futures):
        case, result = futures[future], future.result()
        for error in result.errors:
            print(f"ERROR {case}: {error}", flush=True)
        yield case, result


def _earlier() -> dict[str, Result]:
    """Return the correct results of an earlier run by case."""
    lines = _RESULTS.read_text().splitlines() if _RESULTS.exists() else []
    results = [row for line in lines if "case" in (row := json.loads(line))]
    return {each.pop("case"): Result(**each) for each in results if not each["errors"]}


def _print_totals(results: dict[Case, Result]) -> None:
    """Print the number of trials by result, for each scenario and for all."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for case, result in results.items():
        for column in (case.scenario, "all"):
            counts[result.outcome if result.hits else _NOT_REACHED][column] += 1
    columns = [*SCENARIOS, "all"]
    print("\n" + "".join(f"{column:>20}" for column in columns))
    for outcome, row in sorted(counts.items(), key=lambda item: -item[1]["all"]):
        print("".join(f"{row[column]:20}" for column in columns) + f"  {outcome}")


def _print_matrix(scenario: str, results: dict[Case, Result]) -> None:
    if not results:
        return
    print(
        f"\n{scenario}\n" + "".join(f"{' ' * 4 * number}{kind.value}\n" for number, kind in enumerate(_KINDS)), end=""
    )
    rows: dict[tuple[str, str, int], dict[Kind | Change, str]] = collections.defaultdict(dict)
    for case, result in results.items():
        cell = "!" if result.errors else _LETTERS[result.outcome] if result.hits else "."
        rows[case.role, f"{case.service}:{case.operation}", case.number][case.kind] = cell
    for (role, operation, number), cells in rows.items():
        line = "".join(f"{cells.get(kind, '-'):4}" for kind in _KINDS)
        print(f"{line} {role.removeprefix('model-promotion-')} {operation} {number}")


if __name__ == "__main__":
    main()
