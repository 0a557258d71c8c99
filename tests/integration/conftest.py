"""The stacks of the project on the embedded AWS, one set for each pytest process; each test has its own application."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.permissions import recording
from tests.support.settings import register
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
def application(name: str, request: pytest.FixtureRequest) -> str:
    """Return the name of an application that is registered in QA, and in production if the test uses that stage."""
    register(request.getfixturevalue("qa"), name)
    if "production" in request.fixturenames:
        register(request.getfixturevalue("production"), name)
    return name


@pytest.fixture
def copying(stacks: EmbeddedAws) -> Iterator[Stage]:
    """Yield QA with ImageCopy switched on."""
    stage = Stage("qa", QA)
    with deployed_with(stage, ImageCopy="true"):
        yield stage


@pytest.fixture
def observable_deployments(stacks: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a pace at which a deployment starts soon, and its baking period is long enough to be observed."""
    monkeypatch.setattr(stacks.pace, "endpoint_change", 0.3)
    monkeypatch.setattr(stacks.pace, "guardrail_wait", 8.0)
