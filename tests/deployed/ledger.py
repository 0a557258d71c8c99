"""The resources that a run in an AWS account must delete, in a file.

Each deletion is written before its resource is created. A run deletes everything when it ends, also if it is
interrupted; the next run first deletes what a killed one has left.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_GONE = (
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFound",
    "NonExistentQueue",
    "QueueDoesNotExist",
    "DoesNotExist",
    "does not exist",
    "Could not find",
    "couldn't be found",
    "InvalidDocument",
    "no longer exists",
    "is pending deletion",
    # It has already ended.
    "InvalidAutomationStatusUpdate",
    "training job is in status",
)
_POLL_SECONDS = 5.0


class Ledger:
    """The deletions of one run, oldest first. `client` returns the boto3 client of a service."""

    def __init__(self, file: Path, client: Callable[[str], Any]) -> None:
        self.file = file
        self._client = client
        self._lock = threading.Lock()

    def add(self, service: str, operation: str, **parameters: Any) -> None:
        """Record a call that deletes a resource, before the resource is created. Deletions run in reverse order."""
        line = json.dumps({"service": service, "operation": operation, "parameters": parameters})
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())

    def entries(self) -> list[dict[str, Any]]:
        """Return the recorded deletions, oldest first."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def settle(self, patience_seconds: float = 1800.0, pause: float = _POLL_SECONDS) -> list[str]:
        """Delete everything, newest first, and return what could not be deleted. It stays in the file."""
        kept: list[dict[str, Any]] = []
        problems: list[str] = []
        for entry in reversed(self.entries()):
            if problem := self._delete(entry, time.monotonic() + patience_seconds, pause):
                kept.insert(0, entry)
                problems.append(f"{entry['service']} {entry['operation']} {entry['parameters']}: {problem}")
        with self._lock:
            if kept:
                self.file.write_text("".join(f"{json.dumps(entry)}\n" for entry in kept))
            else:
                self.file.unlink(missing_ok=True)
        return problems

    def _delete(self, entry: dict[str, Any], ends: float, pause: float) -> str:
        """Return why a resource could not be deleted, or an empty string."""
        client = self._client(entry["service"])
        prepare = _PREPARATIONS.get((entry["service"], entry["operation"]))
        while True:
            try:
                if prepare:
                    prepare(client, entry["parameters"])
                getattr(client, entry["operation"])(**entry["parameters"])
                return _wait_until_gone(client, entry, ends, pause)
            except (ClientError, BotoCoreError) as error:
                if is_gone(error):
                    return ""
                # It is still being created, updated or used.
                if time.monotonic() > ends or "AccessDenied" in str(error) or "ParamValidation" in str(error):
                    return str(error)
            time.sleep(pause)


def is_gone(error: Exception) -> bool:
    """Return whether an error of AWS says that the resource does not exist."""
    text = f"{error.response['Error']['Code']} {error}" if isinstance(error, ClientError) else str(error)
    return any(word in text for word in _GONE)


def _empty_bucket(s3: Any, parameters: dict[str, Any]) -> None:
    bucket = parameters["Bucket"]
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            with contextlib.suppress(ClientError):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def _unprotect_table(dynamodb: Any, parameters: dict[str, Any]) -> None:
    dynamodb.update_table(TableName=parameters["TableName"], DeletionProtectionEnabled=False)


def _remove_targets(events: Any, parameters: dict[str, Any]) -> None:
    rule = {"Rule": parameters["Name"], "EventBusName": parameters.get("EventBusName", "default")}
    targets = [target["Id"] for target in events.list_targets_by_rule(**rule)["Targets"]]
    if targets:
        events.remove_targets(**rule, Ids=targets)


def _wait_until_gone(client: Any, entry: dict[str, Any], ends: float, pause: float) -> str:
    """Wait for a deletion that others depend on."""
    describe = _DESCRIPTIONS.get((entry["service"], entry["operation"]))
    while describe is not None:
        try:
            found = getattr(client, describe)(**entry["parameters"])
        except ClientError as error:
            return "" if is_gone(error) else str(error)
        stacks = found.get("Stacks", [])
        if stacks and stacks[0]["StackStatus"] == "DELETE_COMPLETE":
            return ""
        if (stacks and stacks[0]["StackStatus"] == "DELETE_FAILED") or time.monotonic() > ends:
            return str(stacks[0].get("StackStatusReason", "") if stacks else "it still exists")
        time.sleep(pause)
    return ""


_PREPARATIONS: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("s3", "delete_bucket"): _empty_bucket,
    ("dynamodb", "delete_table"): _unprotect_table,
    ("events", "delete_rule"): _remove_targets,
}
_DESCRIPTIONS = {
    ("sagemaker", "delete_endpoint"): "describe_endpoint",
    ("cloudformation", "delete_stack"): "describe_stacks",
}
