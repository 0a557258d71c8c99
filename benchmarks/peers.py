"""Tools that copy in S3: this project's copy step, boto3 and s3transfer, and the installed command line tools."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from s3transfer.manager import TransferConfig as ManagerConfig
from s3transfer.manager import TransferManager

from promotion.copying.copier import Copier
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import pin
from promotion.copying.references import Reference
from promotion.errors import PromotionRefusedError

MIB = 1024**2
BEST = TransferConfig(multipart_threshold=64 * MIB, multipart_chunksize=64 * MIB, max_concurrency=100)

OURS = "this project's copy step"
PLAN = "this project's planning, before the copy step"


@dataclasses.dataclass(frozen=True)
class Job:
    """A copy of all objects under `source` (s3://bucket/prefix/) to `target`."""

    endpoint: str | None
    account: str
    source: str
    target: str

    @property
    def places(self) -> tuple[str, str, str, str]:
        """Return bucket and prefix of the source and of the target."""
        bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        to, _, target_prefix = self.target.removeprefix("s3://").partition("/")
        return bucket, prefix, to, target_prefix

    def client(self, connections: int = 10) -> Any:
        return boto3.client("s3", endpoint_url=self.endpoint, config=Config(max_pool_connections=connections))

    def keys(self, s3: Any) -> list[str]:
        bucket, prefix, *_ = self.places
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


def objects_under(job: Job, uri: str) -> list[PinnedObject]:
    """Return the pinned objects under a URI, or an empty list."""
    try:
        return pin(job.client(), Reference((0, "ModelDataSource"), uri, is_prefix=True), job.account)
    except PromotionRefusedError:
        return []


def planned(job: Job) -> list[PinnedObject]:
    return [dataclasses.replace(one, target=job.places[3] + one.name) for one in objects_under(job, job.source)]


Ready = Callable[[], object]
"""The copy, after its client has been created."""


def ours(job: Job) -> Ready:
    objects = planned(job)
    copier = Copier(job.client(), job.places[2], job.account)
    return lambda: copier.copy(objects, 3600)


def our_plan(job: Job) -> Ready:
    return lambda: planned(job)


def boto3_copy(config: TransferConfig | None, connections: int, job: Job) -> Ready:
    """Copy with client.copy, one object after the other."""
    s3 = job.client(connections)
    bucket, prefix, to, target_prefix = job.places

    def copy() -> None:
        for key in job.keys(s3):
            s3.copy({"Bucket": bucket, "Key": key}, to, target_prefix + key.removeprefix(prefix), Config=config)

    return copy


def s3transfer_manager(job: Job) -> Ready:
    """Copy with one manager for all objects, so that their parts share its threads."""
    s3 = job.client(200)
    bucket, prefix, to, target_prefix = job.places
    # Each submission thread waits for the HEAD of one object.
    config = ManagerConfig(
        multipart_threshold=64 * MIB,
        multipart_chunksize=64 * MIB,
        max_request_concurrency=100,
        max_submission_concurrency=16,
        max_request_queue_size=20_000,
        max_submission_queue_size=20_000,
    )

    def copy() -> None:
        with TransferManager(s3, config) as manager:
            copies = [
                manager.copy({"Bucket": bucket, "Key": key}, to, target_prefix + key.removeprefix(prefix))
                for key in job.keys(s3)
            ]
            for one in copies:
                one.result()

    return copy


IN_PYTHON: dict[str, Callable[[Job], Ready]] = {
    OURS: ours,
    PLAN: our_plan,
    "boto3 client.copy, defaults": functools.partial(boto3_copy, None, 10),
    "boto3 client.copy, 64 MiB and 100 threads": functools.partial(boto3_copy, BEST, 110),
    "s3transfer, one manager, 64 MiB and 100 threads": s3transfer_manager,
}


@dataclasses.dataclass(frozen=True)
class Tool:
    """A command line tool with its command and its environment."""

    command: list[str]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    idle: tuple[str, ...] = ("--help",)
    """The arguments for a run without work, which measures the start-up time."""


def tools(job: Job, folder: Path) -> dict[str, Tool]:
    """Return the installed tools with their best settings."""
    (folder / "aws").write_text(
        "[default]\ns3 =\n  max_concurrent_requests = 100\n  max_queue_size = 10000\n"
        "  multipart_threshold = 64MB\n  multipart_chunksize = 64MB\n"
    )
    endpoint = ["--endpoint-url", job.endpoint] if job.endpoint else []
    source, target = job.source, job.target
    rclone = {
        "RCLONE_CONFIG": str(folder / "rclone"),
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other" if job.endpoint else "AWS",
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": job.endpoint or "",
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
        "RCLONE_S3_NO_HEAD": "true",
    }
    best = ["--transfers", "64", "--checkers", "64", "--s3-copy-cutoff", "64Mi", "--s3-disable-http2"]
    known = {
        "aws s3 cp, 64 MB and 100 requests": Tool(
            ["aws", *endpoint, "s3", "cp", "--recursive", "--only-show-errors", source, target],
            {"AWS_CONFIG_FILE": str(folder / "aws")},
            ("--version",),
        ),
        "s5cmd, 1,024 workers": Tool(
            ["s5cmd", *endpoint, "--log", "error", "--numworkers", "1024", "cp", f"{source}*", target]
        ),
        "rclone, 64 transfers": Tool(
            ["rclone", "copy", source.replace("s3://", "S3:"), target.replace("s3://", "S3:"), *best], rclone
        ),
        "s3bolt": Tool(["s3bolt", "-r", source, target], {"AWS_ENDPOINT_URL": job.endpoint} if job.endpoint else {}),
    }
    return {name: tool for name, tool in known.items() if shutil.which(tool.command[0])}


def main(name: str, endpoint: str, account: str, source: str, target: str) -> None:
    """Run one of IN_PYTHON in this process, and print wall time and CPU time in seconds, and peak memory in MiB."""
    copy = IN_PYTHON[name](Job(endpoint or None, account, source, target))
    began, cpu = time.perf_counter(), time.process_time()
    copy()
    print(time.perf_counter() - began, time.process_time() - cpu, _peak_mib() or "")


def _peak_mib() -> int | None:
    # getrusage would include the memory of the parent process.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    main(*sys.argv[1:])
