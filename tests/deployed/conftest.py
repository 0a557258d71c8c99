"""A stage deployed to AWS: `pytest tests/deployed --e2e --stack model-promotion-qa --profile <one of that account>`."""

from __future__ import annotations

from typing import Any

import boto3
import pytest


@pytest.fixture(scope="session")
def outputs(pytestconfig: pytest.Config) -> dict[str, str]:
    """The stack's outputs."""
    session = boto3.Session(profile_name=pytestconfig.getoption("--profile"))
    stacks = session.client("cloudformation").describe_stacks(StackName=pytestconfig.getoption("--stack"))
    return {output["OutputKey"]: output["OutputValue"] for output in stacks["Stacks"][0]["Outputs"]}


@pytest.fixture(scope="session")
def stepfunctions(pytestconfig: pytest.Config) -> Any:
    return boto3.Session(profile_name=pytestconfig.getoption("--profile")).client("stepfunctions")
