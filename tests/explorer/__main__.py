"""Explore every schedule of the scenarios within bounds, and print what was found: `make explore`.

Without bounds, the scenarios are explored within those of `trials.DEEP`; with bounds, such as `--switches 2
--aborts 1`, each scenario within these.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.explorer import trials
from tests.explorer.invariants import INVARIANTS
from tests.explorer.scenarios import SCENARIOS
from tests.explorer.schedules import Bounds
from tests.explorer.search import Result
from tests.explorer.trials import Trial


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="a scenario to explore; can be repeated")
    for bound in dataclasses.fields(Bounds):
        parser.add_argument(f"--{bound.name}", type=int, default=0, help=f"the maximum number of {bound.name}")
    parser.add_argument("--workers", type=int, default=os.process_cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=60, help="the time limit of each exploration")
    arguments = parser.parse_args()
    bounds = Bounds(**{bound.name: getattr(arguments, bound.name) for bound in dataclasses.fields(Bounds)})
    scenarios = arguments.scenario or list(SCENARIOS)
    given = [Trial(scenario, bounds) for scenario in scenarios]
    chosen = given if bounds != Bounds() else [trial for trial in trials.DEEP if trial.scenario in scenarios]
    print(f"{'schedules':>15}{'situations':>12}  ", flush=True)
    results = []
    # Spawned processes: each has other clients and another clock in the modules of the functions.
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(trials.run, trial, arguments.minutes * 60): trial for trial in chosen}
        for future in as_completed(futures):
            results.append(future.result())
            _print(futures[future], results[-1])
    schedules, situations = (sum(getattr(each, kind) for each in results) for kind in ("schedules", "situations"))
    print(f"{schedules:15,}{situations:12,}  in all\n\nSituations that violate each invariant:")
    for name in INVARIANTS:
        print(f"{sum(result.violated[name] for result in results):15,}  {name}")
    sys.exit(1 if any(result.violations for result in results) else 0)


def _print(trial: Trial, result: Result) -> None:
    note = "" if result.is_complete else " (not complete: the time was over)"
    print(f"{result.schedules:15,}{result.situations:12,}  {trial}{note}", flush=True)
    for name, (problem, steps) in result.violations.items():
        print(f"\nVIOLATION of “{name}”: {problem}\n" + "".join(f"    {step}\n" for step in steps), flush=True)


if __name__ == "__main__":
    main()
