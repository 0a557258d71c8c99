"""Mark the sources of promotions with their outcomes, and notify the people who trained them.

The function of upstream.yaml, which contains this text, so that one file deploys the whole stack. It uses only the SDK.
A stage is believed about itself and about sources of this account, and about nothing else.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

KEY = "model-promotion:outcome-in-"
"""What the keys of tags and metadata begin with, before the name of the stage."""

OURS = "Model Promotion: "
"""What the description of a ModelLifeCycle begins with that this function has written."""

_OUTCOMES = {
    "Model Promotion Succeeded": "promoted",
    "Model Promotion Failed": "promotion failed",
    "Model Promotion Rejected": "promotion rejected",
}
_APPLICATION = "[a-z0-9](-?[a-z0-9]){0,39}"
_SOURCE = "(training-job|hyper-parameter-tuning-job|automl-job|model|model-package)/[a-zA-Z0-9-]{1,63}(/[0-9]{1,9})?"
# botocore's sns model: fewer than 100 characters. botocore's sagemaker model: StageDescription.
_LONGEST_SUBJECT, _LONGEST_DESCRIPTION, _LONGEST_TEXT = 99, 1024, 2000

_config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 6})
_logger = logging.getLogger()
_logger.setLevel(logging.INFO)


class RefusedError(Exception):
    """The event claims something that its stage cannot know, or is not one of a promotion."""


@dataclasses.dataclass(frozen=True)
class Mark:
    """The outcome of a promotion of a source, by its ARN, into a stage at a time."""

    source: str
    stage: str
    outcome: str
    at: datetime.datetime

    @property
    def key(self) -> str:
        """Return the key of the tag or of the metadata, for example model-promotion:outcome-in-qa."""
        return f"{KEY}{self.stage}"

    @property
    def value(self) -> str:
        """Return the value, for example "promoted 2026-11-22T09:58:40.268Z"."""
        time = self.at.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
        return f"{self.outcome} {time.replace('+00:00', 'Z')}"

    def is_news(self, present: str | None) -> bool:
        """Return whether this mark is newer than the `present` value, which anyone in this account may have set."""
        try:
            return _time((present or "").rpartition(" ")[2]) < self.at
        except ValueError:
            return True


@dataclasses.dataclass(frozen=True)
class Report:
    """What a stage reports about a promotion: the verified members of its event, and the marks of its sources."""

    stage: str
    application: str
    outcome: str
    summary: str
    facts: dict[str, str]
    marks: list[Mark]

    def notification(self, topic: str) -> dict[str, Any]:
        """Return the request of Publish: words for emails, JSON for queues, and attributes for filter policies."""
        subject = f"[{self.stage}] {self.application}: {self.outcome}"[:_LONGEST_SUBJECT]
        width = max(map(len, self.facts), default=0)
        lines = [f"{label + ':':<{width + 1}} {fact}" for label, fact in self.facts.items() if fact]
        text = "\n\n".join([f"[{self.stage}] {self.summary}", "\n".join(lines)])
        named = {"application": self.application, "stage": self.stage, "outcome": self.outcome}
        machine = json.dumps(named | {"summary": self.summary, "facts": self.facts})
        return {
            "TopicArn": topic,
            "Subject": subject,
            "Message": json.dumps({"default": text, "sqs": machine, "lambda": machine}),
            "MessageStructure": "json",
            "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in named.items()},
        }


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Notify people of an outcome and mark its sources, unless they have it already or a newer one.

    `event` is that of a stage. Return the ARNs of the `marked` sources. Raise RefusedError for an event that is not
    the stage's to publish; Lambda then puts it into the dead-letter queue.
    """
    topic = os.environ["TOPIC"]
    report = read(event, os.environ["STAGES"].split(","), topic)
    sagemaker = boto3.client("sagemaker", config=_config)
    present = [(mark, _present(sagemaker, mark)) for mark in report.marks]
    news = [mark for mark, value in present if mark.is_news(value)]
    if news or not report.marks:
        # First, since an error after it leads to a repeated notification, and before it to none.
        boto3.client("sns", config=_config).publish(**report.notification(topic))
    marked = [mark.source for mark in news if _set(sagemaker, mark, report.summary)]
    _logger.info("%s of %s in %s: marked %s", report.outcome, report.application, report.stage, marked)
    return {"marked": marked}


def read(event: dict[str, Any], stages: list[str], topic: str) -> Report:
    """Return the report in an event; raise RefusedError for one that is not of a stage in `stages`.

    `stages` are of the form <account>=<stage>. The source is that of a training in the account and Region of `topic`.
    """
    detail = event["detail"]
    _, partition, _, region, account, _ = topic.split(":")
    stage, application, outcome = _text(detail, "stage"), _text(detail, "application"), _OUTCOMES[event["detail-type"]]
    execution = f"arn:{partition}:states:{region}:{event['account']}:execution:model-promotion-{stage}:"
    if f"{event['account']}={stage}" not in stages:
        raise RefusedError(f"Account {event['account']} is not that of the stage {stage!a:.100}.")
    if not re.fullmatch(_APPLICATION, application):
        raise RefusedError(f"The application {application!a:.100} is not a name.")
    if not _text(detail, "execution").startswith(execution):
        raise RefusedError(f"The execution {_text(detail, 'execution')!a:.300} is not one of the stage {stage}.")
    for key in ("source_arn", "replaced_source_arn"):
        source = _text(detail, key)
        if source and not re.fullmatch(f"arn:{partition}:sagemaker:{region}:{account}:{_SOURCE}", source):
            raise RefusedError(f"The source {source!a:.300} is not one of account {account} in {region}.")
    is_rollback = _text(detail, "source_kind") == "rollback"
    at = min(_time(_text(detail, "ended_at") or event["time"]), datetime.datetime.now(datetime.UTC))
    sources = {_text(detail, "source_arn"): outcome}
    if is_rollback:
        # The model that was live is replaced by the earlier one. If the rollback has failed, neither has changed.
        succeeded = outcome == _OUTCOMES["Model Promotion Succeeded"]
        sources = {_text(detail, "replaced_source_arn"): "rolled back"} | sources if succeeded else {}
        outcome = "rolled back" if succeeded else outcome
    return Report(
        stage=stage,
        application=application,
        outcome=outcome,
        summary=_plain(_text(detail, "summary")),
        facts={
            "Source": _text(detail, "source_arn") or _plain(_text(detail, "source_name")),
            "Replaced": _text(detail, "replaced_source_arn"),
            "Model": _plain(_text(detail, "model_name")),
            "Reason": _plain(_text(detail, "reason")),
            "Ended at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "Execution": _plain(_text(detail, "execution")),
        },
        marks=[Mark(source, stage, word, at) for source, word in sources.items() if source],
    )


def _text(detail: dict[str, Any], key: str) -> str:
    value = detail.get(key, "")
    if not isinstance(value, str):
        raise RefusedError(f"The member {key} of the event's detail is not a string.")
    return value


def _plain(text: str) -> str:
    """Return one line without links, shortened: a stage may quote others."""
    line = re.sub(r"[\x00-\x1f\x7f]+", " ", text[:_LONGEST_TEXT])
    return re.sub("[a-z][a-z0-9+.-]*://", "", line, flags=re.IGNORECASE)


def _time(text: str) -> datetime.datetime:
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} is not a time in UTC.")
    return time


def _is_version(source: str) -> bool:
    """Return whether a source is a version of a model package group, which has metadata instead of tags."""
    return ":model-package/" in source and source.count("/") == 2


def _present(sagemaker: Any, mark: Mark) -> str | None:
    """Return the outcome of the same stage with which the source is marked."""
    if _is_version(mark.source):
        properties: dict[str, str] = _package(sagemaker, mark.source).get("CustomerMetadataProperties", {})
        return properties.get(mark.key)
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=mark.source)
    try:
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    except ClientError as error:
        if _is_missing(error):
            return None
        raise
    return tags.get(mark.key)


def _set(sagemaker: Any, mark: Mark, summary: str) -> bool:
    """Mark a source; return whether it still exists."""
    try:
        if _is_version(mark.source):
            sagemaker.update_model_package(ModelPackageArn=mark.source, **_changes(sagemaker, mark, summary))
        else:
            sagemaker.add_tags(ResourceArn=mark.source, Tags=[{"Key": mark.key, "Value": mark.value}])
    except ClientError as error:
        if _is_missing(error):
            return False
        raise
    return True


def _changes(sagemaker: Any, mark: Mark, summary: str) -> dict[str, Any]:
    """Return the metadata of a package version, and its life cycle unless people use it: it may approve the version."""
    changes: dict[str, Any] = {"CustomerMetadataProperties": {mark.key: mark.value}}
    life_cycle = _package(sagemaker, mark.source).get("ModelLifeCycle")
    if not life_cycle or life_cycle.get("StageDescription", "").startswith(OURS):
        changes["ModelLifeCycle"] = {
            "Stage": mark.stage,
            "StageStatus": mark.outcome.title().replace(" ", ""),
            "StageDescription": f"{OURS}{summary}"[:_LONGEST_DESCRIPTION],
        }
    return changes


def _package(sagemaker: Any, source: str) -> dict[str, Any]:
    try:
        described: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=source)
    except ClientError as error:
        if _is_missing(error):
            return {}
        raise
    return described


def _is_missing(error: ClientError) -> bool:
    """Return whether a resource no longer exists: SageMaker has a ValidationException for most problems."""
    text = error.response["Error"].get("Message", "")
    return re.search("does not exist|could not find", text, re.IGNORECASE) is not None
