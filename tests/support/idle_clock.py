"""An event loop whose clock stands still while there is anything to do.

What a test waits for comes at once, and a busy machine makes nothing late: the clock moves on, to the next timer, only
when nothing else is left to do. Both sides of a connection must be on the loop.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Coroutine
from typing import Any

# What one side of a connection has sent may take the kernel a moment to deliver to the other.
_DELIVERY_SECONDS = 0.02


class _Selector(selectors.DefaultSelector):
    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(_DELIVERY_SECONDS)
        if not ready:
            self.passed += timeout
        return ready


class IdleClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._idle = _Selector()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.passed

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Look up an address without a thread, which the clock would not wait for."""
        return socket.getaddrinfo(host, port, **options)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, as asyncio.run does."""
    return asyncio.run(work, loop_factory=IdleClockLoop)
