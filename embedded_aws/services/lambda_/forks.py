"""Python processes that start within milliseconds: the parent's end of `fork_server`."""

from __future__ import annotations

import contextlib
import json
import multiprocessing.connection
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from embedded_aws.services.lambda_ import fork_server

# An interpreter reads these variables when it starts, and a session of the SDK when it is created. They would have no
# effect on a fork.
_SESSION = ("AWS_CONFIG_FILE", "AWS_DATA_PATH", "AWS_DEFAULT_PROFILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE")
_READ_AT_START = ("LANG", "LC_", "LD_", "PYTHON", *_SESSION)


class Fork:
    """A process of the fork server, with the methods of subprocess.Popen that are used here."""

    def __init__(self, report: int) -> None:
        self._report = multiprocessing.connection.Connection(report, writable=False)
        self._waiting = threading.Lock()
        self.pid = self._number()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None if the process is running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raise subprocess.TimeoutExpired after `timeout` seconds."""
        with self._waiting:
            if self.returncode is None:
                if not self._report.poll(timeout):
                    raise subprocess.TimeoutExpired("fork", timeout or 0)
                self.returncode = self._number()
                self._report.close()
            return self.returncode

    def _number(self) -> int:
        try:
            return int.from_bytes(self._report.recv_bytes(), signed=True)
        except EOFError:  # the fork server was killed, which also ends its forks
            return -signal.SIGKILL


def spawn(
    script: Sequence[str], stdin: int, output: int, environment: dict[str, str], directory: Path
) -> subprocess.Popen[bytes]:
    """Run a Python script with arguments in a new interpreter, in a new process group."""
    return subprocess.Popen(  # noqa: S603
        [*fork_server.INTERPRETER, *script],
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=directory,
        start_new_session=True,
    )


class ForkServer:
    """The fork server's process. Its forks can create clients of `services` quickly."""

    def __init__(self, packages: Path, services: Sequence[str], environment: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._environment = environment
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [*fork_server.INTERPRETER, fork_server.__file__, str(packages), *services],
                stdin=theirs.fileno(),
                env=environment,
                start_new_session=True,
            )

    def start(
        self, script: Sequence[str], stdin: int, output: int, environment: dict[str, str], directory: Path
    ) -> Fork | subprocess.Popen[bytes]:
        """Run a script as `spawn` does, but faster and with memory shared between processes."""
        if _read_at_start(environment) != _read_at_start(self._environment):
            return spawn(script, stdin, output, environment, directory)
        job = json.dumps({"script": script, "environment": environment, "directory": str(directory)}).encode()
        ours, theirs = os.pipe()
        with self._lock:
            try:
                socket.send_fds(self._socket, [struct.pack("!i", len(job))], [stdin, output, theirs])
            finally:
                os.close(theirs)
            self._socket.sendall(job)
            return Fork(ours)

    def close(self) -> None:
        """End the fork server. The caller must have ended its forks."""
        self._socket.close()
        self._process.wait()


def _read_at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}
