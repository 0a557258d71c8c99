"""The resources that a run in AWS accounts must delete, in a file.

Each deletion is written before its resource is created. A run deletes everything when it ends, also if it is
interrupted; the next run first deletes what a killed one has left.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.deployed import deletions

_POLL_SECONDS = 5.0
Entry = dict[str, Any]


class Ledger:
    """The deletions of one run, oldest first. `client` returns the boto3 client of a service.

    If a run uses several accounts, a service is named `<account>/<service>`, which `of` prepends.
    """

    def __init__(self, file: Path, client: Callable[[str], Any], prefix: str = "") -> None:
        self.file = file
        self._client = client
        self._prefix = prefix
        self._lock = threading.Lock()

    def of(self, account: str) -> Ledger:
        """Return the part of this ledger for one of several accounts."""
        return Ledger(self.file, self._client, f"{account}/")

    def add(self, service: str, operation: str, **parameters: Any) -> None:
        """Record a call that deletes a resource, before the resource is created. Deletions run in reverse order.

        `operation` is a method of the service's client or a function of tests.deployed.deletions.
        """
        line = json.dumps({"service": self._prefix + service, "operation": operation, "parameters": parameters})
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return the recorded deletions, oldest first."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def settle(self, patience_seconds: float = 1800.0, pause: float = _POLL_SECONDS) -> list[str]:
        """Delete everything, newest first, and return what could not be deleted. It stays in the file."""
        kept: list[Entry] = []
        problems: list[str] = []
        remaining = self.entries()
        while remaining:
            entry = remaining.pop()
            problem, more = self._delete(entry, remaining + kept, time.monotonic() + patience_seconds, pause)
            remaining += more
            if problem:
                kept.insert(0, entry)
                problems.append(f"{entry['service']} {entry['operation']} {entry['parameters']}: {problem}")
            self._write(remaining + kept)
        return problems

    def _write(self, entries: list[Entry]) -> None:
        with self._lock:
            if entries:
                self.file.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
            else:
                self.file.unlink(missing_ok=True)

    def _delete(self, entry: Entry, others: list[Entry], ends: float, pause: float) -> tuple[str, list[Entry]]:
        """Return why a resource could not be deleted, or an empty string, and what must be deleted after it."""
        account, slash, service = entry["service"].rpartition("/")
        operation, parameters = entry["operation"], entry["parameters"]
        after: list[Entry] = []
        while True:
            try:
                client = self._client(entry["service"])
                if (service, operation) == ("cloudformation", "delete_stack") and not after:
                    after = [
                        {"service": account + slash + of, "operation": how, "parameters": what}
                        for of, how, what in deletions.retained(client, parameters["StackName"])
                    ]
                    # Once the stack is deleted, nothing else names what it retains.
                    self._write([*others, *after, entry])
                deletions.delete(client, service, operation, parameters)
                return deletions.wait_until_gone(client, service, operation, parameters, ends, pause), after
            except (ClientError, BotoCoreError) as error:
                if deletions.is_gone(error):
                    return "", after
                # It is still being created, updated or used.
                if time.monotonic() > ends or "AccessDenied" in str(error) or "validation failed" in str(error):
                    return str(error), after
            time.sleep(pause)
