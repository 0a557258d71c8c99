"""Try every fault at every call of every scenario, and print how each ended: `make faults`.

The rows are the calls of a promotion without a fault, the columns the faults. P is promoted and proven, B as before and
told so, S promoted without being able to say so, U not started and in a dead-letter queue, h after that recovered by
hand; ! is wrong, - does not apply, . was not reached. Every result is written down as it comes: --resume goes on.
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
from tests.faults import worker
from tests.faults.judging import Result
from tests.faults.matrix import Case
from tests.faults.scenarios import SCENARIOS

_LETTERS = {"promoted": "P", "as before": "B", "promoted, failed to say so": "S", "undelivered": "U"}
_RESULTS = Path(".local/faults.jsonl")
# An embedded AWS gets slower with every promotion that it remembers.
_TRIALS_OF_A_WORKER = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--workers", type=int, default=(os.process_cpu_count() or 1) + 1)
    parser.add_argument("--sample", type=int, help="try only so many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; may be given again")
    parser.add_argument("--fault", action="append", choices=[kind.value for kind in Kind], help="likewise")
    parser.add_argument("--resume", action="store_true", help=f"try only what did not end well in {_RESULTS}")
    asked = parser.parse_args()
    kinds = {Kind(name) for name in asked.fault} if asked.fault else set(Kind)
    began = time.monotonic()
    earlier = _earlier() if asked.resume else {}
    _RESULTS.parent.mkdir(exist_ok=True)
    with _pool(asked.workers) as pool:
        every = [
            case
            for found in pool.map(worker.cases, asked.scenario or SCENARIOS)
            for case in found
            if case.kind in kinds
        ]
    drawn = every if asked.sample is None else random.Random(asked.seed).sample(every, asked.sample)  # noqa: S311
    results = {case: earlier[str(case)] for case in drawn if str(case) in earlier}
    untried = [case for case in drawn if case not in results]
    print(f"{len(every)} cases, {len(untried)} of them to be tried", flush=True)
    with _RESULTS.open("a" if asked.resume else "w") as written:
        for some in itertools.batched(untried, asked.workers * _TRIALS_OF_A_WORKER, strict=False):
            with _pool(asked.workers) as pool:
                for case, result in _tried(pool, some):
                    results[case] = result
                    written.write(json.dumps({"case": str(case)} | dataclasses.asdict(result)) + "\n")
                    written.flush()
    for scenario in SCENARIOS:
        _print_matrix(scenario, {case: results[case] for case in drawn if case.scenario == scenario})
    _print_totals(results)
    wrong = sum(bool(result.wrong) for result in results.values())
    print(f"{len(results)} trials in {time.monotonic() - began:.0f} s, {wrong} ended wrongly")
    sys.exit(1 if wrong else 0)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, so that each has an embedded AWS of its own.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), worker.begin)


def _tried(pool: ProcessPoolExecutor, cases: Iterable[Case]) -> Iterator[tuple[Case, Result]]:
    """The results as they come, and a line for each that is wrong."""
    futures = {pool.submit(worker.tried, case): case for case in cases}
    for future in as_completed(futures):
        case, result = futures[future], future.result()
        for fault in result.wrong:
            print(f"WRONG {case}: {fault}", flush=True)
        yield case, result


def _earlier() -> dict[str, Result]:
    """What ended well before, by the names of the cases."""
    lines = _RESULTS.read_text().splitlines() if _RESULTS.exists() else []
    found = [json.loads(line) for line in lines]
    return {each.pop("case"): Result(**each) for each in found if not each["wrong"]}


def _print_totals(results: dict[Case, Result]) -> None:
    """How many of each scenario's trials ended in which way, and of all together."""
    ends: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for case, result in results.items():
        for column in (case.scenario, "all"):
            ends[result.ended if result.hits else "not reached"][column] += 1
    columns = [*SCENARIOS, "all"]
    print("\n" + "".join(f"{column:>20}" for column in columns))
    for ended, counts in sorted(ends.items(), key=lambda item: -item[1]["all"]):
        print("".join(f"{counts[column]:20}" for column in columns) + f"  {ended}")


def _print_matrix(scenario: str, results: dict[Case, Result]) -> None:
    if not results:
        return
    print(f"\n{scenario}\n" + "".join(f"{' ' * 4 * number}{kind.value}\n" for number, kind in enumerate(Kind)), end="")
    rows: dict[tuple[str, str, int], dict[Kind, str]] = collections.defaultdict(dict)
    for case, result in results.items():
        letter = _LETTERS.get(result.ended.partition(", recovered")[0], "?")
        letter += "h" if result.ended.endswith("by hand") else ""
        cell = "!" if result.wrong else letter if result.hits else "."
        rows[case.role, f"{case.service}:{case.operation}", case.number][case.kind] = cell
    for (role, operation, number), cells in rows.items():
        line = "".join(f"{cells.get(kind, '-'):4}" for kind in Kind)
        print(f"{line} {role.removeprefix('model-promotion-')} {operation} {number}")


if __name__ == "__main__":
    main()
