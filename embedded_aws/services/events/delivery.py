"""Delivery of events in the background, with retries and dead-letter queues.

Sources: "How EventBridge retries delivering events" (eb-rule-retry-policy) and "Using dead-letter queues to process
undelivered events" (eb-rule-dlq). The limits are those of AWS; only the delays between attempts are shorter here.
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
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 30.0

_logger = logging.getLogger(__name__)


def deliver(delivery: Delivery, background: Background, pace: float = 1.0) -> None:
    """Send the event to its target or to the target's dead-letter queue; one second of a delay takes `pace` seconds."""
    policy = delivery.target.get("RetryPolicy") or {}
    maximum = policy.get("MaximumRetryAttempts", _DEFAULT_ATTEMPTS)
    expires = time.monotonic() + policy.get("MaximumEventAgeInSeconds", _DEFAULT_AGE_SECONDS)
    delay = _FIRST_DELAY_SECONDS
    retries = 0
    while True:
        try:
            targets.send(delivery, _input(delivery))
            return
        except DeliveryError as error:
            failure = error
        exhausted = None
        if failure.retryable and retries >= maximum:
            exhausted = "MaximumRetryAttempts"
        elif failure.retryable and time.monotonic() + delay > expires:
            exhausted = "MaximumEventAgeInSeconds"
        if exhausted or not failure.retryable:
            _send_to_dead_letter_queue(delivery, failure, retries, exhausted)
            return
        if not background.pause(delay * pace):
            return
        retries += 1
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)


def _input(delivery: Delivery) -> str:
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


def _send_to_dead_letter_queue(delivery: Delivery, failure: DeliveryError, retries: int, exhausted: str | None) -> None:
    _logger.info("An event could not be delivered to %s: %s: %s", delivery.arn, failure.code, failure)
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
            targets.rule_client("sqs", delivery.rule_arn, queue_arn),
            queue_arn,
            json.dumps(delivery.event.envelope),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as error:
        _logger.info("An event could not be sent to the dead-letter queue %s: %s", queue_arn, error)
