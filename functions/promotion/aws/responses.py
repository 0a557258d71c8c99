"""Validation of AWS's responses against AWS's own service model before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError


def checked(
    service: str, operation: str, response: Any, subject: str, required: Sequence[str] = (), within: str = ""
) -> dict[str, Any]:
    """Return `response` (or its member `within`) after checking its types and its `required` members.

    Unknown members and exceeded limits are accepted, because AWS may extend its API. Raise PromotionRefusedError if
    the response is malformed; `subject` is the resource in the message: "the model reviews-1".
    """
    shape = service_model.output_shape(service, operation)
    response = dict(response) if isinstance(response, dict) else response
    if within:
        shape, response = shape.members[within], response.get(within) if isinstance(response, dict) else None
    problems = list(service_model.wrong_types(shape, response, ""))
    if not problems:
        problems = [f"{member} is missing" for member in required if not response.get(member)]
    if problems:
        raise PromotionRefusedError(
            f"The response of {operation} for {subject} cannot be used: {service_model.listed(problems)}. Check "
            f"{subject} in its account, and start again."
        )
    validated: dict[str, Any] = response
    return validated
