"""A fixed sample of the trials of `make faults`."""

import contextlib
import random

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.faults.changes import Change
from tests.faults.matrix import cases, run_case
from tests.faults.world import World

TRIALS = 2


def test_a_promotion_with_a_fault_or_a_change_ends_with_a_true_record(
    stacks: EmbeddedAws,
    name: str,
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacks.pace, "guardrail_wait", 0.5)
    draw = random.Random(1)  # noqa: S311
    with contextlib.closing(World(name, stacks)) as world:
        every = cases("all together", world)
        changes = [case for case in every if isinstance(case.kind, Change)]
        faults = [case for case in every if not isinstance(case.kind, Change)]

        for case in draw.sample(faults, TRIALS) + draw.sample(changes, TRIALS):
            with subtests.test(str(case)):
                result = run_case(case, world)
                # A change is refused while the endpoint is updating.
                assert result.hits or isinstance(case.kind, Change)
                assert not result.errors
