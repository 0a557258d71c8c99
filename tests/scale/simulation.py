"""A simulation with a virtual clock: its workers are threads of which one runs at a time, until it sleeps or ends.

No worker waits in real time, so an hour of waits takes no longer than the computations in it. The order of events
follows from their times and from the seed, so that every run with the same seed is the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any


class Simulation:
    """The clock, in seconds, the random numbers and the workers of a simulation."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)  # noqa: S311
        self._events: list[tuple[float, int, threading.Semaphore]] = []
        self._numbers = itertools.count()
        self._turn = threading.Semaphore(0)
        self._failure: BaseException | None = None
        self._ending = False
        self._local = threading.local()

    def start(self, work: Callable[..., object], *arguments: Any, after: float = 0.0) -> None:
        """Let a new worker call `work` in so many seconds."""
        resumed = threading.Semaphore(0)

        def run() -> None:
            resumed.acquire()
            self._local.resumed = resumed
            try:
                if not self._ending:
                    work(*arguments)
            except BaseException as error:  # noqa: BLE001 - the thread of `run` raises it
                self._failure = self._failure or error
            finally:
                self._turn.release()

        threading.Thread(target=run, daemon=True).start()
        heapq.heappush(self._events, (self.now + after, next(self._numbers), resumed))

    def sleep(self, seconds: float) -> None:
        """Let the worker that calls this continue in so many seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), self._local.resumed))
        self._turn.release()
        self._local.resumed.acquire()
        if self._ending:
            raise SystemExit

    def run(self, is_done: Callable[[], bool]) -> None:
        """Run until `is_done` or until nothing is left to do, and raise the first error of a worker."""
        while self._events and self._failure is None and not is_done():
            self._resume()
        self._ending = True
        while self._events:
            self._resume()
        if self._failure and not isinstance(self._failure, SystemExit):
            raise self._failure

    def _resume(self) -> None:
        self.now, _, resumed = heapq.heappop(self._events)
        resumed.release()
        self._turn.acquire()
