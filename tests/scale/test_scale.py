"""A few promotions at once under quotas that throttle them: `make scale` runs hundreds."""

import dataclasses
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from embedded_aws.kernel.quotas import NEW_ACCOUNT, RATES, Rate
from tests.scale import report
from tests.scale.promotions import Run, record_of

APPLICATIONS = 6

# A quarter of the functions and of the rates that AWS does not publish.
SCARCE = dataclasses.replace(
    NEW_ACCOUNT,
    functions=2,
    automations=2,
    rates={
        api: Rate(rate.per_second / 8, max(1, rate.burst / 8), rate.source)
        if api[0] in ("sagemaker", "monitoring", "application-autoscaling")
        else rate
        for api, rate in RATES.items()
    },
)


def promote(approval: bool) -> str:
    """Return what a run has measured, as JSON: it runs in a process of its own, with other clients and clocks."""
    result = Run(APPLICATIONS, SCARCE, approval=approval).run()
    return json.dumps(
        {
            "problems": report.problems(result),
            "report": "\n".join(report.lines("A test", result)),
            "promoted": sorted(result.waits),
            "live": [record_of(result.services, f"{name}-qa")["source_name"] for name in sorted(result.waits)],
            "serving": {name: each.config for name, each in result.services.endpoints.items()},
            "throttled": sorted({service for service, _ in +result.account.counts.throttled}),
            "most_running": result.functions.most_running,
            "most_queued": result.automations.most_queued,
            "locks": len(result.services.partitions["lock"]),
            "removed": sum("2025010" in name for name in result.services.models),
        }
    )


@pytest.mark.parametrize("approval", [False, True])
def test_promotions_that_are_throttled_all_succeed(approval: bool) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = json.loads(pool.submit(promote, approval).result())

    names = [f"app-{number:04}" for number in range(APPLICATIONS)]
    assert found["problems"] == []
    assert found["promoted"] == found["live"] == names
    # The quotas were reached, and no endpoint lost its new config.
    assert {"lambda", "monitoring", "sagemaker"} <= set(found["throttled"])
    assert found["most_running"] == 2
    assert [config for config in found["serving"].values() if "-2025010" in config] == []
    # Nothing is left behind: of the two earlier models of a live endpoint, one is superseded.
    assert (found["locks"], found["removed"]) == (0, APPLICATIONS // 2)
    assert (found["most_queued"] > 0) == approval
    assert "until all were promoted: the longest wait" in found["report"]
