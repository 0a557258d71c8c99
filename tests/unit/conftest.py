"""moto for the tests of single modules, in a process of its own: in this one its state is the embedded AWS's."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import hypothesis
import pytest

from promotion.aws import clients
from tests.support import promotion_table

# The same examples in every run, so that everybody can reproduce a failure.
hypothesis.settings.register_profile("always the same", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("always the same")

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until its parent ends
server.stop()
"""


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOTO_")}
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout
        assert server.stdin
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()
        server.wait(timeout=60)


@pytest.fixture
def moto(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An AWS that has nothing in it yet, for every client that the test or a handler makes."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=60).close()  # noqa: S310
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    clients.client.cache_clear()
    yield
    clients.client.cache_clear()


@pytest.fixture
def dynamodb(moto: None) -> Any:
    """A client of DynamoDB, where an empty promotion table is."""
    promotion_table.created()
    return boto3.client("dynamodb")
