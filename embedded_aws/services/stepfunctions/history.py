"""The history of an execution: its events, and who watches the states that it enters."""

from __future__ import annotations

import pickle
import threading
import zlib
from collections.abc import Callable
from typing import Any, override

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.backend.execution import Execution

_ENDS = frozenset(
    {
        HistoryEventType.ExecutionSucceeded,
        HistoryEventType.ExecutionFailed,
        HistoryEventType.ExecutionAborted,
        HistoryEventType.ExecutionTimedOut,
    }
)

watchers: list[Callable[[Execution, str], None]] = []
"""Who is called with each execution and the name of the state that it enters."""


class History(EventManager):
    """The events of an execution. Events that its threads add after the last one are ignored.

    After the last one they are kept compressed. Otherwise those of one promotion would take 300 kB.
    """

    _history_event_list: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.execution: Execution | None = None
        self.ended = False
        self._compressed = b""
        self._adding = threading.Lock()

    @override
    def add_event(self, *arguments: Any, **options: Any) -> int:
        with self._adding:
            if self.ended:
                return 0
            self.ended = options["event_type"] in _ENDS
            number = int(super().add_event(*arguments, **options))
            if self.ended:
                self._compressed = zlib.compress(pickle.dumps(self._history_event_list), level=1)
                self._history_event_list = []
        if entered := (options.get("event_details") or {}).get("stateEnteredEventDetails"):
            for watch in list(watchers):
                watch(self.execution, entered["name"])
        return number

    def get_event_history(self) -> list[Any]:
        """Return the events, which never change; moto copies them."""
        with self._adding:
            events = pickle.loads(zlib.decompress(self._compressed)) if self.ended else self._history_event_list  # noqa: S301
            return list(events)
