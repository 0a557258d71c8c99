"""A team's own smoke test: a Lambda function of the stage, called with each variant after the suite has passed.

The function gets {"endpoint", "variant", "component", "candidate", "seconds"} and returns {"passed": true}, or
{"passed": false, "reason": "…"}. An error of the function fails the test with its message. Unlike a suite, which can
come from the upstream account, the function is named only in the settings, and belongs to the stage. So its text is
shown.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from promotion.aws import strict_json
from promotion.aws.aws_errors import Meaning, is_throttled, meaning, message
from promotion.aws.input_checks import kind_of
from promotion.endpoint.sagemaker import variant_names
from promotion.errors import InvalidRequestError
from promotion.record import PromotionRecord
from promotion.stage import Stage

CANDIDATE = (
    "application",
    "stage",
    "model_name",
    "endpoint_config_name",
    "source_kind",
    "source_name",
    "source_arn",
    "created_at",
    "digest",
    "execution",
)
"""The keys of the promotion record that describe the candidate to the function."""

# API reference, Invoke, FunctionName; a version or an alias may follow.
ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:(?P<name>[a-zA-Z0-9_-]{1,64})"
    r"(:(\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)
_SUFFIX = "smoke-test"
_RETRY_SECONDS = 60
_PAUSE_SECONDS = 2
_SHOWN_CHARACTERS = 500
_CONTRACT = 'A smoke test function returns {"passed": true} or {"passed": false, "reason": "…"}'


def validated(value: Any, where: str) -> str:
    """Return `value` if it is the ARN of a function; raise InvalidRequestError, naming `where`, if not."""
    if not isinstance(value, str) or not ARN.fullmatch(value):
        raise InvalidRequestError(f"{where} is {kind_of(value)} that is not the ARN of a Lambda function.")
    return value


def assert_permitted(arn: str | None, stage: Stage) -> None:
    """Raise InvalidRequestError if the stage has no permission to call the function; None stands for no function."""
    found = ARN.fullmatch(arn or "")
    if found is None:
        return
    ending = f"-{stage.name}-{_SUFFIX}"
    if (found["account"], found["region"]) != (stage.account, stage.region) or not found["name"].endswith(ending):
        raise InvalidRequestError(
            f"The stage {stage.name} may not call SmokeTestFunction {arn}. It calls only functions of account "
            f"{stage.account} in {stage.region} whose names end with {ending}. Rename the function."
        )


def run(
    invoke: Callable[[dict[str, Any], float], dict[str, Any]],
    arn: str,
    description: dict[str, Any],
    record: PromotionRecord,
    ends: float,
) -> str | None:
    """Return the reason why the function `arn` failed for a variant, or None if it passed for each.

    `description` is that of the target, an endpoint or an inference component, as of DescribeEndpoint.

    `invoke` calls it with an event and a time-out in seconds, and returns the response of Lambda's Invoke.
    `ends` is the end of the smoke test (of the monotonic clock).
    """
    candidate = {key: value for key, value in record.items() if key in CANDIDATE}
    variants, component = variant_names(description), description.get("InferenceComponentName")
    for variant in variants:
        seconds = ends - time.monotonic()
        endpoint = description.get("HostEndpointName", record["endpoint"])
        called = {"endpoint": endpoint, "variant": variant, "component": component}
        event = {**called, "candidate": candidate, "seconds": int(seconds)}
        reason = _too_late(seconds) if seconds < 1 else _failure(invoke, event, ends)
        if reason:
            where = f" on the variant {variant}" if len(variants) > 1 else ""
            return f"The function {arn.split(':')[6]} did not pass{where}: {reason}"
    return None


def _failure(
    invoke: Callable[[dict[str, Any], float], dict[str, Any]], event: dict[str, Any], ends: float
) -> str | None:
    """Return why one call of the function failed, as sentences, or None; retry for a minute while it is throttled."""
    retry_until = min(ends, time.monotonic() + _RETRY_SECONDS)
    while True:
        seconds = max(1.0, ends - time.monotonic())
        try:
            response = invoke(event, seconds)
            return _verdict(response["Payload"].read(), "FunctionError" in response)
        except (ReadTimeoutError, ConnectTimeoutError):
            return _too_late(seconds)
        except ClientError as error:
            if not is_throttled(error) or time.monotonic() > retry_until:
                return _refused(error)
        except BotoCoreError as error:
            return f"it could not be called: {_shown(str(error))}."
        time.sleep(_PAUSE_SECONDS)


def _verdict(payload: bytes, is_error: bool) -> str | None:
    try:
        answer = strict_json.read(payload or b"null")
    except ValueError as error:
        return f"its answer is not valid JSON: {error}. {_CONTRACT}."
    if is_error:
        found = answer if isinstance(answer, dict) else {}
        kind, text = found.get("errorType"), str(found.get("errorMessage") or "it has no message")
        return f"it raised {_shown(f'{kind}: {text}' if kind else text)}. Its log has the details."
    if not isinstance(answer, dict) or not isinstance(answer.get("passed"), bool):
        shown = _shown(json.dumps(answer))
        return f"it returned {shown}. {_CONTRACT}."
    if answer["passed"]:
        return None
    return _shown(str(answer.get("reason") or "it returned no reason")).rstrip(".") + "."


def _refused(error: ClientError) -> str:
    advice = {
        Meaning.NOT_FOUND: " Create the function, or correct SmokeTestFunction in the settings.",
        Meaning.DENIED: " Deploy the stack of this stage again, and check the policies of the account.",
    }.get(meaning(error), "")
    return f"Lambda refused the call: {_shown(message(error)).rstrip('.')}.{advice}"


def _too_late(seconds: float) -> str:
    return f"it did not answer within the {max(0, seconds):.0f} seconds that the smoke test had left."


def _shown(text: str) -> str:
    """Return a string of the function as one short line."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
