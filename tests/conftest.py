"""One embedded AWS for each pytest process, started by the first test that requests it."""

import contextlib
import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# No test may ever reach a real account by the developer's own configuration, which moto would read when imported.
if configured := [name for name in os.environ if name.startswith("AWS_")]:
    for variable in configured:
        del os.environ[variable]
os.environ["AWS_CONFIG_FILE"] = os.devnull
os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

from botocore.exceptions import ClientError
from moto.sagemaker.models import sagemaker_backends

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.kernel.host import Pace
from tests.permissions import recording
from tests.support.peak import Peak

# Little of what the tests allocate is part of a cycle.
gc.set_threshold(20_000, 20, 20)

_PEAK = pytest.StashKey[Peak]()
# The unique names of tests that have ended.
_finished: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    note = "record the permissions that the whole-machine tests require, for python -m tests.permissions"
    parser.addoption("--permissions", type=Path, nargs="?", const=recording.DIRECTORY, help=note)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one more than the number of cores, since the whole-machine tests also wait; each takes up to 1.5 GB."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min((os.process_cpu_count() or 1) + 1, memory // 1_500_000_000))


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    session.config.stash[_PEAK] = Peak()
    if directory := session.config.getoption("--permissions"):
        recording.clear(directory)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    peak = config.stash[_PEAK]
    peak.stop()
    terminalreporter.write_line(f"Peak memory: {peak.gigabytes:.1f} GB, in up to {peak.processes} processes at once.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest test begins first, so that no worker waits for it at the end.
    items.sort(key=lambda item: "test_stopped_anywhere" not in item.nodeid)


def pytest_collection_finish() -> None:
    # None of the modules and tests is garbage later, and each full collection would visit all their objects again.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    # A schedule that ran in the middle of some test would be seen by it.
    pace = Pace(minute=0.5, schedules=False, waiting=0.3, endpoint_change=0.5)
    with EmbeddedAws(tmp_path_factory.mktemp("aws"), pace=pace) as embedded:
        yield embedded


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a unique name, valid for any AWS resource. Endpoints whose names begin with it end with the test."""
    unique = f"t{uuid.uuid4().hex[:12]}"
    yield unique
    if "aws" in request.fixturenames:
        _finished.add(unique)
        _delete_endpoints()


def _delete_endpoints() -> None:
    """Delete the endpoints of all finished tests. Leave those that are still updating to the next call."""
    for account in accounts.ACCOUNTS.values():
        for endpoint in list(sagemaker_backends[account][accounts.REGION].endpoints.values()):
            if endpoint.name.startswith(tuple(_finished)) and endpoint.endpoint_status != "Deleting":
                with contextlib.suppress(ClientError):
                    sagemaker = clients.client_as_operator("sagemaker", account)
                    sagemaker.delete_endpoint(EndpointName=endpoint.name)
