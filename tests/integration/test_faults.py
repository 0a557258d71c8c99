"""A fixed sample of the trials of `make faults`."""

import random

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.faults.matrix import cases, run_case
from tests.faults.scenarios import World

TRIALS = 4


def test_a_promotion_with_a_fault_ends_promoted_or_restored(
    stacks: EmbeddedAws, name: str, subtests: pytest.Subtests
) -> None:
    world = World(name, stacks)

    for case in random.Random(1).sample(cases("update", world), TRIALS):  # noqa: S311
        with subtests.test(str(case)):
            result = run_case(case, world)
            assert result.hits
            assert not result.errors
