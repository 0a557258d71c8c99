"""The peak memory of a process and all its descendants.

On Linux it is the sum of their proportional set sizes (PSS), which counts a page that processes share only once.
Elsewhere it is the sum of their resident set sizes (RSS), which counts such a page in every process.
"""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

_SECONDS_BETWEEN_SAMPLES = 3.0

# The kernel walks all pages of a process for its PSS, so that a sample of a hundred processes can take a second of CPU.
_MAXIMUM_SHARE_OF_TIME = 0.02


class Peak:
    """Samples this process and its descendants until `stop`."""

    def __init__(self) -> None:
        self.gigabytes = 0.0
        self.processes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the sampling."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        pause = _SECONDS_BETWEEN_SAMPLES
        while not self._stopped.wait(pause):
            start = time.thread_time()
            sizes = [_kilobytes(pid, resident) for pid, resident in _descendants(os.getpid()).items()]
            self.gigabytes = max(self.gigabytes, sum(sizes) / 1e6)
            self.processes = max(self.processes, len(sizes))
            pause = max(_SECONDS_BETWEEN_SAMPLES, (time.thread_time() - start) / _MAXIMUM_SHARE_OF_TIME)


def _descendants(root: int) -> dict[int, int]:
    """Return the resident set size, in KB, of a process and each of its descendants."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    sizes = {}
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True)  # noqa: S607
    for line in listed.stdout.splitlines():
        pid, parent, size = (int(number) for number in line.split())
        children[parent].append(pid)
        sizes[pid] = size
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        found[pid] = sizes[pid]
        waiting += children[pid]
    return found


def _kilobytes(pid: int, resident: int) -> int:
    if sys.platform != "linux":
        return resident
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
