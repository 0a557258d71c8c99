"""The accounts, the region and the endpoint URL of the embedded AWS."""

from __future__ import annotations

REGION = "eu-west-1"
ACCOUNTS = {"dev": "111111111111", "qa": "222222222222", "production": "333333333333"}

_endpoint_url = ""


def set_endpoint_url(endpoint_url: str) -> None:
    """Set the endpoint URL of all clients that are created from now on."""
    global _endpoint_url
    _endpoint_url = endpoint_url


def endpoint_url() -> str:
    """Return the URL of the running embedded AWS."""
    return _endpoint_url


def account_of(arn: str) -> str:
    """Return the account that an ARN names."""
    return arn.split(":")[4]
