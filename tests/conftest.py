"""One embedded AWS for each pytest process, started by the first test that asks for it."""

import os
import uuid
from collections.abc import Iterator

import pytest

# No test may ever reach a real account by the developer's own configuration.
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

from local.aws import EmbeddedAws  # noqa: E402


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws(tmp_path_factory.mktemp("aws")) as embedded:
        yield embedded


@pytest.fixture
def name() -> str:
    """A name no other test has, good for any AWS resource."""
    return f"t{uuid.uuid4().hex[:12]}"
