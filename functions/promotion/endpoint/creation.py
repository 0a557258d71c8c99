"""Creation of SageMaker resources that are named after their content, so that a retry can reuse them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, as_transient, meaning, message
from promotion.endpoint.model import differences
from promotion.errors import PromotionRefusedError


def create(
    kind: str, name: str, operation: Callable[..., Any], describe: Callable[..., Any], request: dict[str, Any], key: str
) -> bool:
    """Create a resource with `operation` and return True, or return False if the same resource already exists.

    `kind` and `name` identify the resource in messages; `key` is the member of `request` that has the name. Raises
    PromotionRefusedError if the name exists with other content or AWS denies the request, and TransientError if a retry
    may succeed.
    """
    try:
        operation(**request)
    except ClientError as error:
        match meaning(error):
            case Meaning.ALREADY_EXISTS:
                different = differences(request, describe(**{key: name}))
                if different:
                    raise PromotionRefusedError(
                        f"The {kind} {name} already exists with another {', '.join(different)}. Its name belongs to "
                        "this candidate. Find out who created it, delete it, then start the promotion again."
                    ) from error
                return False
            # A resource that the request refers to may not be visible yet.
            case Meaning.TRANSIENT | Meaning.NOT_YET_VISIBLE | Meaning.NOT_FOUND:
                raise as_transient(error, f"The {kind} {name} was not created. {message(error)}") from error
            case Meaning.DENIED:
                raise PromotionRefusedError(
                    f"AWS denied the creation of the {kind} {name}. {message(error)}"
                ) from error
            case _:
                raise
    return True
