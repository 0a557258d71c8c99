"""The automations that run at once in an account; the others wait with the status Pending, first in, first out.

User guide of Systems Manager, "Allowing Automation to adapt to your concurrency needs" (adaptive-concurrency), and
StartAutomationExecution, AutomationExecutionLimitExceededException. An automation that waits for an approval runs.
"""

from __future__ import annotations

import collections
import threading

from embedded_aws.kernel.background import Background
from embedded_aws.kernel.quotas import Quotas
from embedded_aws.services.ssm.execution import Execution


class QueueFullError(Exception):
    """The account runs and queues as many automations as it may."""


class Concurrency:
    """Runs executions in `background`, as `quotas` permit, or all at once without quotas."""

    def __init__(self, background: Background, quotas: Quotas | None) -> None:
        self._background, self._quotas = background, quotas
        self._lock = threading.Lock()
        self._running: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[Execution]] = collections.defaultdict(collections.deque)

    def start(self, execution: Execution) -> None:
        """Run an execution, or queue it. Raise QueueFullError if the queue is full."""
        account = execution.account
        with self._lock:
            if self._quotas and self._running[account] >= self._quotas.automations:
                if len(self._waiting[account]) >= self._quotas.queued:
                    raise QueueFullError
                self._waiting[account].append(execution)
                return
            self._running[account] += 1
        self._background.run(self._work, execution)

    def stop(self, execution: Execution) -> None:
        """Let an execution that waits for its turn end now, since it was stopped."""
        with self._lock:
            waiting = self._waiting[execution.account]
            if execution not in waiting:
                return
            waiting.remove(execution)
            self._running[execution.account] += 1
        self._background.run(self._work, execution)

    def _work(self, execution: Execution) -> None:
        account = execution.account
        try:
            execution.run(self._background)
        finally:
            with self._lock:
                self._running[account] -= 1
                is_free = not self._quotas or self._running[account] < self._quotas.automations
                following = self._waiting[account].popleft() if is_free and self._waiting[account] else None
                self._running[account] += following is not None
        if following:
            self._background.run(self._work, following)
