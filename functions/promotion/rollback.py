"""Going back: which earlier promotion an endpoint is brought back to."""

from __future__ import annotations

from typing import Any

from promotion.errors import InvalidRequestError


def earlier(
    history: list[dict[str, Any]], live: dict[str, Any] | None, endpoint: str, to: str | None
) -> dict[str, Any]:
    """The record of the promotion to go back to: the last good one of another config than the live one's.

    `history` are all records of `endpoint`, oldest first; `live` is the one that is live; `to` names a model that was
    live on it. Raises InvalidRequestError when there is none.
    """
    if live is None:
        raise InvalidRequestError(f"Nothing was ever promoted to the endpoint {endpoint}, so there is no way back.")
    good = [
        record
        for record in history
        if record["status"] == "Succeeded" and record["endpoint_config_name"] != live["endpoint_config_name"]
    ]
    found = [record for record in good if to in (None, record["model_name"])]
    if found:
        return found[-1]
    if to == live["model_name"]:
        raise InvalidRequestError(f"{to} is what is live on the endpoint {endpoint}.")
    known = ", ".join(dict.fromkeys(record["model_name"] for record in reversed(good))) or "none"
    raise InvalidRequestError(
        f"The endpoint {endpoint} has no earlier promotion{f' of {to}' if to else ''} to go back to. Models that were "
        f"live on it before: {known}."
    )


def was_live(history: list[dict[str, Any]], endpoint_config_name: str) -> bool:
    """Whether the endpoint has had this config for good before, by all its records."""
    return any(
        record["status"] == "Succeeded" and record["endpoint_config_name"] == endpoint_config_name for record in history
    )
