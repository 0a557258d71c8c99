"""Waiting for what a test expects, as long as a busy machine may need for it."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 180


def wait_until[T](look: Callable[[], T | None], what: str, pause: float = 0.2) -> T:
    """Return what `look` returns as soon as that is not None. Raise AssertionError if it never is."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None:
        assert time.monotonic() < ends, f"waited {PATIENCE_SECONDS} s for {what}"
        time.sleep(pause)
    return found


def wait_for(condition: Callable[[], Any], what: str = "a condition") -> Any:
    """Return what `condition` returns as soon as that is true. Raise AssertionError if it never is."""
    return wait_until(lambda: condition() or None, what, pause=0.05)
