"""Delivering events in the background: what is tried again, for how long, and what ends in a dead-letter queue.

After "How EventBridge retries delivering events" (eb-rule-retry-policy) and "Using dead-letter queues to process
undelivered events" (eb-rule-dlq). The limits are AWS's; only the pauses between two attempts are shorter here.
"""

from __future__ import annotations

import json
import logging
import time

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.kernel.background import Background
from embedded_aws.services.events import input_transformer, targets
from embedded_aws.services.events.targets import Delivery, DeliveryError

_DEFAULT_ATTEMPTS = 185
_DEFAULT_AGE_SECONDS = 24 * 60 * 60
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0

_logger = logging.getLogger(__name__)


def deliver(delivery: Delivery, background: Background, pace: float = 1.0) -> None:
    """Hand the event to its target, or to the target's dead-letter queue; a second of a pause takes `pace` seconds."""
    policy = delivery.target.get("RetryPolicy") or {}
    maximum = policy.get("MaximumRetryAttempts", _DEFAULT_ATTEMPTS)
    too_old = time.monotonic() + policy.get("MaximumEventAgeInSeconds", _DEFAULT_AGE_SECONDS)
    pause = _FIRST_PAUSE_SECONDS
    retries = 0
    while True:
        try:
            targets.send(delivery, _text(delivery))
            return
        except DeliveryError as error:
            failure = error
        exhausted = None
        if failure.retryable and retries >= maximum:
            exhausted = "MaximumRetryAttempts"
        elif failure.retryable and time.monotonic() + pause > too_old:
            exhausted = "MaximumEventAgeInSeconds"
        if exhausted or not failure.retryable:
            _bury(delivery, failure, retries, exhausted)
            return
        if not background.pause(pause * pace):
            return
        retries += 1
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _text(delivery: Delivery) -> str:
    try:
        return input_transformer.target_input(
            delivery.target,
            delivery.event.envelope,
            delivery.event.ingestion_time,
            delivery.rule_arn,
            delivery.rule_name,
        )
    except input_transformer.InvalidJsonError as error:
        raise DeliveryError("INVALID_JSON", str(error)) from error


def _bury(delivery: Delivery, failure: DeliveryError, retries: int, exhausted: str | None) -> None:
    _logger.info("%s cannot be given an event: %s: %s", delivery.arn, failure.code, failure)
    queue_arn = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue_arn:
        return
    attributes = {
        "RULE_ARN": delivery.rule_arn,
        "TARGET_ARN": delivery.arn,
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": str(failure),
        "RETRY_ATTEMPTS": str(retries),
    }
    if exhausted:
        attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
    try:
        targets.send_to_queue(
            targets.client_of_rule("sqs", delivery.rule_arn, queue_arn),
            queue_arn,
            json.dumps(delivery.event.envelope),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as error:
        _logger.info("The dead-letter queue %s cannot be given an event: %s", queue_arn, error)
