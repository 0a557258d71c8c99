"""Start execution environments as forks of this process, which has already imported boto3 and Powertools.

This is a script with a socket to the parent as standard input; `forks.ForkServer` is the parent's end. It imports only
the standard library. It must never start a thread, because a fork contains only the thread that forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any, cast

# -S: without site-packages; -P: without the directory of the script, which is this one.
INTERPRETER = [sys.executable, "-S", "-s", "-P", "-u"]
# Those of https://peps.python.org/pep-0683/ in this version of Python.
_IMMORTAL_REFERENCES = 0xFFFFFFFF
_VERSION = "cpython-313"


def main() -> None:
    """Load the packages, serve the parent, and run the job in each fork."""
    packages, *services = sys.argv[1:]
    parent = socket.socket(fileno=os.dup(0))
    preload(packages, services)
    # No object that exists now is garbage, and a collection would copy its memory pages in every fork.
    gc.collect()
    if sys.implementation.cache_tag == _VERSION:
        immortalize()
    gc.freeze()
    run(serve(parent), packages)


def preload(packages: str, services: list[str]) -> None:
    """Import boto3, and Powertools if it is in the packages; load the data for clients of each service."""
    sys.path.append(packages)
    with contextlib.suppress(ImportError):
        importlib.import_module("aws_lambda_powertools")
    loader = importlib.import_module("botocore.loaders").JSONFileLoader
    load_file = loader.load_file
    read = functools.cache(lambda path: load_file(loader(), path))
    loader.load_file = lambda _, path: read(path)
    share_parts_of_clients()
    # The forks use this session. It reads the credentials and the region from the environment when a fork first does.
    boto3 = importlib.import_module("boto3")
    boto3.setup_default_session()
    for service in services:
        boto3.client(service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    sys.path.remove(packages)


def share_parts_of_clients() -> None:
    """Let the clients of a service share their methods and the rules of its endpoints: half of what each requires."""
    creator = importlib.import_module("botocore.client").ClientCreator
    create_methods = creator._create_methods
    provider: Any = importlib.import_module("botocore.endpoint_provider")
    rule_set = provider.RuleSet
    # By the identity of the data that they were made of, which is kept so that no other data gets the same identity.
    methods: dict[int, tuple[Any, dict[str, Any]]] = {}
    rule_sets: dict[int, tuple[Any, Any]] = {}

    def methods_of(self: Any, model: Any) -> dict[str, Any]:
        data = model._service_description
        if id(data) not in methods:
            methods[id(data)] = data, create_methods(self, model)
        return dict(methods[id(data)][1])

    def rules_of(**data: Any) -> Any:
        rules = data["rules"]
        if id(rules) not in rule_sets:
            rule_sets[id(rules)] = rules, rule_set(**data)
        return rule_sets[id(rules)][1]

    creator._create_methods = methods_of
    provider.RuleSet = rules_of


def immortalize() -> None:
    """Fix the reference counts of all objects: each change of a count would copy a memory page in a fork.

    The count is the first member of an object. The interpreter does not change the count of an immortal object.
    """
    remaining = gc.get_objects()
    found = {id(each) for each in remaining}
    while remaining:
        for each in gc.get_referents(remaining.pop()):
            if id(each) not in found:
                found.add(id(each))
                remaining.append(each)
    for address in found:
        ctypes.c_uint32.from_address(address).value = _IMMORTAL_REFERENCES


def serve(parent: socket.socket) -> dict[str, Any]:
    """Start a fork for each job from the parent, and report its exit code. Return only in forks, with the job."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([parent.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            report_ends(reports)
        if parent.fileno() not in ready:
            continue
        job, (stdin, output, report) = receive(parent)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setpgid(0, 0)
            for number, descriptor in enumerate((stdin, output, output)):
                os.dup2(descriptor, number)
            parent.close()
            for descriptor in (woken, wake, stdin, output, report, *reports.values()):
                os.close(descriptor)
            return job
        with contextlib.suppress(OSError):  # the fork has already done it, or has ended
            os.setpgid(pid, pid)
        reports[pid] = report
        send(report, pid)
        os.close(stdin)
        os.close(output)


def receive(parent: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the next job and its file descriptors. The parent waits for the response before it sends another job."""
    size, descriptors, _, _ = socket.recv_fds(parent, 4, 3)
    if not size:
        os._exit(0)  # the parent has ended
    with parent.makefile("rb") as stream:
        return json.loads(stream.read(*struct.unpack("!i", size))), descriptors


def report_ends(reports: dict[int, int]) -> None:
    """Report the exit codes of all forks that have ended."""
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        report = reports.pop(pid)
        send(report, os.waitstatus_to_exitcode(status))
        os.close(report)


def send(report: int, number: int) -> None:
    """Send a number in the message format of multiprocessing.connection."""
    with contextlib.suppress(BrokenPipeError):
        os.write(report, struct.pack("!ii", 4, number))


def run(job: dict[str, Any], packages: str) -> None:
    """Run the script of a job as in a new interpreter."""
    os.chdir(job["directory"])
    loaded = {name.partition(".")[0] for name in sys.modules}
    if loaded & module_names("."):
        # The function contains its own version of a loaded module.
        os.execve(sys.executable, [*INTERPRETER, *job["script"]], job["environment"])  # noqa: S606
    _, _, packages_of_function, _ = job["script"]
    absent = module_names(packages) - module_names(packages_of_function)
    for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(job["environment"])
    time.tzset()
    sys.argv[:] = job["script"]
    spec = cast(Any, importlib.util.spec_from_file_location("__main__", sys.argv[0]))
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def module_names(directory: str) -> set[str]:
    """Return the names of the modules in a directory, and of its other files."""
    return {name.partition(".")[0] for name in os.listdir(directory)}


if __name__ == "__main__":
    main()
