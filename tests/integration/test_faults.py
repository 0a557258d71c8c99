"""A fixed sample of the trials of `make faults`."""

import random

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.faults.matrix import cases, tried
from tests.faults.scenarios import World

TRIED = 4


def test_a_promotion_with_a_fault_ends_promoted_or_restored(
    stacks: EmbeddedAws, name: str, subtests: pytest.Subtests
) -> None:
    world = World(name, stacks)

    for case in random.Random(1).sample(cases("update", world), TRIED):  # noqa: S311
        with subtests.test(str(case)):
            result = tried(case, world)
            assert result.hits
            assert not result.wrong
