"""Creating in SageMaker what is named by its content: the same one there already is as good, another one an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.endpoint.model import differences
from promotion.errors import PromotionRefusedError, TransientError


def create(
    what: str, name: str, make: Callable[..., Any], describe: Callable[..., Any], request: dict[str, Any], key: str
) -> bool:
    """Make `what` of `request`, a member of which, `key`, is its `name`; False when it is there already.

    Raises PromotionRefusedError when one of that name is there with other content, or when AWS denies it.
    """
    try:
        make(**request)
    except ClientError as error:
        match meaning(error):
            case Meaning.ALREADY_EXISTS:
                different = differences(request, describe(**{key: name}))
                if different:
                    raise PromotionRefusedError(
                        f"The {what} {name} is there already with another {', '.join(different)}. It is never used for "
                        "something else; find out who made it, and delete it."
                    ) from error
                return False
            # What the new one refers to may have been made a moment ago.
            case Meaning.TRANSIENT | Meaning.NOT_YET_VISIBLE | Meaning.NOT_FOUND:
                raise TransientError(f"The {what} {name}: {message(error)}") from error
            case Meaning.DENIED:
                raise PromotionRefusedError(f"The {what} {name} may not be created: {message(error)}") from error
            case _:
                raise
    return True
