"""Background work of services: daemon threads that end when the embedded AWS stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_END_SECONDS = 10.0


class Background:
    """The threads of one service."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ending = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    @property
    def ending(self) -> bool:
        """Return whether `end` was called."""
        return self._ending.is_set()

    def run(self, work: Callable[..., object], *arguments: Any) -> None:
        """Run `work` in a new thread. Ignore it after `end`."""
        thread = threading.Thread(target=self._work, args=(work, *arguments), name=self._name, daemon=True)
        with self._lock:
            if self.ending:
                return
            self._threads.add(thread)
            thread.start()

    def pause(self, seconds: float) -> bool:
        """Wait, and return False if `end` was called: the work must stop then."""
        return not self._ending.wait(seconds)

    def end(self) -> None:
        """Stop all pauses and wait for the threads, at most 10 seconds for each."""
        with self._lock:
            self._ending.set()
            threads = list(self._threads)
        for thread in threads:
            thread.join(_END_SECONDS)

    def _work(self, work: Callable[..., object], *arguments: Any) -> None:
        try:
            work(*arguments)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
