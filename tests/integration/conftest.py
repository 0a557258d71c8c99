"""The project's stacks on the embedded AWS, once for each pytest process; every test has an application of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.permissions import recording
from tests.support.stacks import deployed_with
from tests.support.world import PRODUCTION, QA, Lab, Stage, deploy


@pytest.fixture(scope="session")
def stacks(aws: EmbeddedAws, pytestconfig: pytest.Config) -> Iterator[EmbeddedAws]:
    directory = pytestconfig.getoption("--permissions")
    with recording.recorded(directory, os.environ.get("PYTEST_XDIST_WORKER", "alone")):
        deploy()
        yield aws


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


@pytest.fixture
def copying(stacks: EmbeddedAws) -> Iterator[Stage]:
    """QA, while it copies images."""
    stage = Stage("qa", QA)
    with deployed_with(stage, ImageCopy="true"):
        yield stage
