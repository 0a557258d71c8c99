"""The accounts and the region of the embedded AWS, and the address at which it answers."""

from __future__ import annotations

REGION = "eu-west-1"
ACCOUNTS = {"dev": "111111111111", "qa": "222222222222", "production": "333333333333"}

_endpoint_url = ""


def reach(endpoint_url: str) -> None:
    """Make every later client call the embedded AWS at `endpoint_url`."""
    global _endpoint_url
    _endpoint_url = endpoint_url


def endpoint_url() -> str:
    """Return the URL of the running embedded AWS."""
    return _endpoint_url


def account_of(arn: str) -> str:
    """Return the account that an ARN names."""
    return arn.split(":")[4]
