"""Try every fault at every call of every scenario, and print how each ended: `make faults`.

The rows are the calls of a promotion without a fault, the columns the faults. P is promoted and proven, B as before and
told so, S promoted without being able to say so, h after that recovered by hand; - does not apply, . was not reached.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from local.faults import Kind
from tests.faults import worker
from tests.faults.judging import Result
from tests.faults.matrix import Case
from tests.faults.scenarios import SCENARIOS

_LETTERS = {"promoted": "P", "as before": "B", "promoted, failed to say so": "S"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--workers", type=int, default=(os.process_cpu_count() or 1) + 1)
    parser.add_argument("--sample", type=int, help="try only so many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; may be given again")
    parser.add_argument("--fault", action="append", choices=[kind.value for kind in Kind], help="likewise")
    asked = parser.parse_args()
    kinds = {Kind(name) for name in asked.fault} if asked.fault else set(Kind)
    began = time.monotonic()
    # Spawned, so that each has an embedded AWS of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.workers, context, worker.begin) as pool:
        every = [
            case
            for found in pool.map(worker.cases, asked.scenario or SCENARIOS)
            for case in found
            if case.kind in kinds
        ]
        drawn = every if asked.sample is None else random.Random(asked.seed).sample(every, asked.sample)  # noqa: S311
        print(f"{len(every)} cases, {len(drawn)} of them tried", flush=True)
        futures = {pool.submit(worker.tried, case): case for case in drawn}
        results = {}
        for future in as_completed(futures):
            case = futures[future]
            results[case] = future.result()
            for fault in results[case].wrong:
                print(f"WRONG {case}: {fault}", flush=True)
    for scenario in SCENARIOS:
        _print_matrix(scenario, {case: results[case] for case in drawn if case.scenario == scenario})
    ends = collections.Counter(result.ended if result.hits else "not reached" for result in results.values())
    wrong = sum(bool(result.wrong) for result in results.values())
    print(*(f"{count:5} {ended}" for ended, count in ends.most_common()), sep="\n")
    print(f"{len(results)} trials in {time.monotonic() - began:.0f} s, {wrong} ended wrongly")
    sys.exit(1 if wrong else 0)


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
