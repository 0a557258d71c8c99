"""SNS: deliveries to queues subject to their policies, and a file instead of email.

SNS developer guide, "Subscribing a queue" (subscribe-sqs-queue-to-sns-topic) and "Access control".
"""

from __future__ import annotations

import datetime
import json
import re
import textwrap
import threading
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.sns.models import Subscription, Topic, sns_backends

from embedded_aws.iam import clients
from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, key
from embedded_aws.kernel import accounts
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches

LOG = "notifications.log"

_log = Path(LOG)
_lock = threading.Lock()
patches = Patches("5.2.5")
_publish_in_moto = Topic.publish
_deliver_in_moto = Subscription.publish


def install(host: Host) -> None:
    """Write messages to `notifications.log` in the host's directory, and apply the patches."""
    global _log
    _log = host.directory / LOG
    _log.touch()
    patches.apply()


@patches.replaces(Topic, "publish", "moto sends no email, and accepts control characters in subjects.")
def _publish(
    topic: Topic,
    message: str,
    subject: str | None = None,
    message_attributes: dict[str, Any] | None = None,
    group_id: str | None = None,
    deduplication_id: str | None = None,
    message_structure: str | None = None,
) -> str:
    """Publish a message, and write it to the log, whether or not an email address is subscribed.

    API reference, Publish: a subject has no line breaks or control characters. moto turns a ValueError into the error
    InvalidParameter.
    """
    if re.search(r"[\x00-\x1f\x7f]", subject or ""):
        raise ValueError("Invalid parameter: Subject")
    message_id = _publish_in_moto(
        topic, message, subject, message_attributes, group_id, deduplication_id, message_structure
    )
    text = message
    if message_structure == "json":
        by_protocol = json.loads(message)
        text = by_protocol.get("email") or by_protocol["default"]
    _write(topic.arn, f"{subject or ''}\n{textwrap.indent(text.strip(), '    ')}")
    return str(message_id)


@patches.replaces(Subscription, "publish", "moto ignores the policies of queues.")
def _deliver(
    subscription: Subscription,
    message: str,
    message_id: str,
    subject: str | None = None,
    message_attributes: dict[str, Any] | None = None,
    group_id: str | None = None,
    deduplication_id: str | None = None,
    message_structure: str | None = None,
) -> None:
    """Send a message to a queue as SNS itself, so that the queue's policy applies."""
    if subscription.protocol != "sqs":
        _deliver_in_moto(
            subscription,
            message,
            message_id,
            subject,
            message_attributes,
            group_id,
            deduplication_id,
            message_structure,
        )
        return
    matcher = subscription._filter_policy_matcher
    if matcher is not None and not matcher.matches(message_attributes, message):
        return
    if message_structure == "json":
        message = subscription._parse_message_structure(message, subscription.protocol)
    raw = str(subscription.attributes.get("RawMessageDelivery")).lower() == "true"
    request: dict[str, Any] = {"MessageGroupId": group_id, "MessageDeduplicationId": deduplication_id}
    if raw:
        request |= {"MessageBody": message, "MessageAttributes": _queue_attributes(message_attributes or {})}
    else:
        notification = subscription.get_post_data(message, message_id, subject, message_attributes)
        request |= {"MessageBody": json.dumps(notification, indent=2)}
    try:
        _send(subscription, {name: value for name, value in request.items() if value})
    except (ClientError, BotoCoreError) as error:
        _write(subscription.topic_arn, f"{subject or ''}: not delivered to {subscription.endpoint}: {error}")


def _send(subscription: Subscription, request: dict[str, Any]) -> None:
    *_, region, account, name = subscription.endpoint.split(":")
    client = clients.client_as_service("sqs", "sns.amazonaws.com", subscription.topic_arn, account, region)
    client.send_message(QueueUrl=f"{accounts.endpoint_url()}/{account}/{name}", **request)


def _queue_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "DataType": attribute["Type"],
            "BinaryValue" if attribute["Type"].startswith("Binary") else "StringValue": attribute["Value"],
        }
        for name, attribute in attributes.items()
    }


def _write(topic_arn: str, text: str) -> None:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with _lock, _log.open("a") as log:
        log.write(f"{now} {topic_arn} {text}\n")


def _required(call: Call) -> Needs:
    if call.operation not in ("Publish", "PublishBatch"):
        return
    topic_arn = call.parameters.get("TopicArn") or call.parameters.get("TargetArn") or "*"
    yield Need("sns:Publish", (topic_arn,))
    if topic_arn == "*":
        return
    _, _, _, region, account, _ = topic_arn.split(":")
    topic = sns_backends[account][region].topics.get(topic_arn)
    if topic and topic.kms_master_key_id:
        # "Configuring SNS topic encryption with custom keys" (sns-enable-encryption-for-topic), "required permissions".
        for action in ("GenerateDataKey", "Decrypt"):
            yield key(action, topic.kms_master_key_id, account, region, "sns", {"aws:sns:topicarn": topic_arn})


PERMISSIONS = {"sns": Permissions(_required)}
