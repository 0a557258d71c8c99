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


def comes_again(history: list[dict[str, Any]], promotion: dict[str, Any]) -> str | None:
    """Why an event that would start `promotion` brings nothing, if the endpoint has had its candidate for good before.

    `history` are all records of the endpoint, oldest first. What it has had is known by its config, and by its content
    and time: its config is another one where the settings have changed since.
    """
    good = [record for record in history if record["status"] == "Succeeded"]
    if not any(_is_same(record, promotion) for record in good):
        return None
    if _is_same(good[-1], promotion):
        return (
            f"{good[-1]['model_name']} was brought onto {promotion['endpoint']} before; an event does not bring "
            "settings that have changed since, nor an endpoint that someone has changed or deleted. Start it by hand "
            "for that."
        )
    return f"{promotion['model_name']} was live before and was replaced; an event does not bring it back."


def _is_same(record: dict[str, Any], promotion: dict[str, Any]) -> bool:
    same_config = record["endpoint_config_name"] == promotion["endpoint_config_name"]
    return same_config or all(record.get(key) == promotion.get(key) for key in ("digest", "created_at"))
