"""The project's stacks on the embedded AWS, once for each pytest process; every test has an application of its own."""

from __future__ import annotations

import pytest

from local.aws import EmbeddedAws
from tests.integration.world import PRODUCTION, QA, Lab, Stage, deploy


@pytest.fixture(scope="session")
def stacks(aws: EmbeddedAws) -> EmbeddedAws:
    deploy(aws)
    return aws


@pytest.fixture
def qa(stacks: EmbeddedAws) -> Stage:
    return Stage("qa", QA)


@pytest.fixture
def production(stacks: EmbeddedAws) -> Stage:
    return Stage("production", PRODUCTION)


@pytest.fixture
def lab(stacks: EmbeddedAws) -> Lab:
    return Lab()


@pytest.fixture
def application(name: str) -> str:
    return name
