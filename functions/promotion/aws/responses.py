"""What AWS says of something, held against AWS's own service model before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError


def checked(
    service: str, operation: str, answer: Any, what: str, needed: Sequence[str] = (), within: str = ""
) -> dict[str, Any]:
    """`answer` (or its member `within`), if each member has its type and those `needed` are there.

    `what` it describes is for the message of the PromotionRefusedError that is raised otherwise. What is unknown or
    beyond a limit does not count: AWS may have more to say than this version knows.
    """
    shape = service_model.output_shape(service, operation)
    answer = dict(answer) if isinstance(answer, dict) else answer
    if within:
        shape, answer = shape.members[within], answer.get(within) if isinstance(answer, dict) else None
    wrong = list(service_model.wrong_types(shape, answer, ""))
    if not wrong:
        wrong = [f"{member} is missing" for member in needed if not answer.get(member)]
    if wrong:
        raise PromotionRefusedError(
            f"What {operation} says of {what} cannot be used: {service_model.listed(wrong)}. Look at it in its "
            "account, and start again."
        )
    found: dict[str, Any] = answer
    return found
