"""Processes that run a customer's script, as SageMaker runs it in a container.

No image is used: a script has the packages of this Python environment, but neither this repository on its path nor the
environment variables of this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_running: set[Process] = set()
_running_lock = threading.Lock()


class Process:
    """A Python script in its own process group. `on_output` receives its lines of output, several at a time.

    `interpreter` is that of another Python environment, or empty.
    """

    def __init__(
        self,
        script: Path,
        arguments: Sequence[str],
        environment: dict[str, str],
        directory: Path,
        on_output: Callable[..., None],
        pass_fds: Sequence[int] = (),
        interpreter: str = "",
    ) -> None:
        base = {
            "PATH": os.defpath,
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._on_output = on_output
        self._process = subprocess.Popen(  # noqa: S603 - the customer's script is meant to run
            # -P keeps the script's directory and the working directory off the path.
            [interpreter or sys.executable, "-P", "-u", str(script), *arguments],
            env={**base, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        with _running_lock:
            _running.add(self)
        self._reader = threading.Thread(target=self._read, name=f"output of {script.name}", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Return whether the process is running."""
        return self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and for the last line of output, and return the exit code.

        Raise TimeoutError if the process still runs after `timeout` seconds.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"The process was still running after {timeout} seconds.") from error
        self._reader.join(timeout=10)
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the process and its children."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its children, and wait for its end."""
        self._signal(signal.SIGKILL)
        self.wait()
        if self._process.stdin:
            self._process.stdin.close()
        with _running_lock:
            _running.discard(self)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
            return

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - it was opened as a pipe
        with self._process.stdout as output:
            rest = b""
            while chunk := os.read(output.fileno(), 65536):
                *lines, rest = (rest + chunk).split(b"\n")
                self._on_output(*(line.decode(errors="replace") for line in lines))
            if rest:
                self._on_output(rest.decode(errors="replace"))


def kill_all() -> None:
    """Kill all running processes."""
    with _running_lock:
        running = list(_running)
    for process in running:
        process.kill()
