"""Compare the speed of this project's copy step with other tools, on any S3.

    python benchmarks/copy.py --source s3://bucket/benchmark/ --target s3://other-bucket/benchmark/
    python benchmarks/copy.py --endpoint http://127.0.0.1:9000 ...     (an S3-compatible server)

The benchmark creates missing source objects and deletes its copies. On S3 itself it costs money: mainly storage of up
to 500 GB while it runs, a few thousand requests for each tool, and data transfer if the buckets are in two regions.
"""
# ruff: noqa: E402 - the first statements set the import path

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Replaces this file's folder, where `import copy` would find this file.
sys.path[:1] = [ROOT, os.path.join(ROOT, "functions")]

import argparse
import dataclasses
import platform
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from benchmarks.peers import BEST, IN_PYTHON, OURS, PLAN, Job, Tool, objects_under, tools
from promotion.copying.manifest import PinnedObject

MIB = 1024**2
SLOW_SECONDS = 10
"""Slower tools are not run again."""

ATTRIBUTES = {"ContentType": "application/x-tar", "Metadata": {"made-by": "benchmark"}}


@dataclasses.dataclass(frozen=True)
class Case:
    title: str
    objects: int
    size: int


CASES = {
    "trial": Case("a trial: 2 objects of 100 MB", 2, 100 * 10**6),
    "one": Case("one object of 50 GB", 1, 50 * 10**9),
    "many": Case("2,000 objects of 4 MB", 2_000, 4 * 10**6),
    "shards": Case("40 shards of 5 GB", 40, 5 * 10**9),
}


@dataclasses.dataclass(frozen=True)
class Result:
    """One run of a tool; `verdict` begins with "no" unless all objects were copied correctly."""

    peer: str
    seconds: float
    cpu_seconds: float
    memory_mib: str
    verdict: str

    @property
    def is_correct(self) -> bool:
        return not self.verdict.startswith("no")


def main() -> None:
    options = _options()
    account = options.account or boto3.client("sts").get_caller_identity()["Account"]
    _pass_on_credentials()
    for name in options.cases.split(","):
        case = CASES[name]
        source = Job(options.endpoint, account, f"{options.source}{name}/", f"{options.target}{name}/")
        _make_sources(source, case)
        expected = {pinned.name: pinned for pinned in objects_under(source, source.source)}
        results: list[Result] = []
        with tempfile.TemporaryDirectory() as folder:
            peers = {**dict.fromkeys(IN_PYTHON), **tools(source, Path(folder))}
            for _ in range(options.repeat):
                for peer, tool in peers.items():
                    is_slow = any(result.peer == peer and result.seconds > SLOW_SECONDS for result in results)
                    if not is_slow and (re.search(options.peers, peer) or peer in (OURS, PLAN)):
                        results.append(_measured(peer, tool, source, expected, folder, options.longest))
                        print(f"# {case.title}: {results[-1]}", file=sys.stderr, flush=True)
        print("\n".join(_table(case, results)), flush=True)
    print(f"\nPython {platform.python_version()}, boto3 {boto3.__version__}, {os.cpu_count()} CPUs")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", required=True, help="s3://bucket/prefix/ for the objects to copy")
    parser.add_argument("--target", required=True, help="s3://bucket/prefix/ for the copies, which are deleted")
    parser.add_argument("--endpoint", help="endpoint URL of another S3 than AWS's")
    parser.add_argument("--account", help="owner of both buckets; default: account of the credentials")
    parser.add_argument("--cases", default="one,many,shards", help="default: %(default)s; also available: trial")
    parser.add_argument("--peers", default="", help="regular expression for the names of other tools")
    parser.add_argument("--repeat", type=int, default=1, help="number of runs; the fastest of each tool counts")
    parser.add_argument("--longest", type=float, default=900, help="time-out of a tool in seconds")
    return parser.parse_args()


def _pass_on_credentials() -> None:
    """Set the credentials in the environment, where all tools read them first."""
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None or not session.region_name:
        sys.exit("There are no AWS credentials, or no AWS region is set.")
    frozen = credentials.get_frozen_credentials()
    os.environ |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    os.environ |= {"AWS_SESSION_TOKEN": frozen.token} if frozen.token else {}
    os.environ |= {"AWS_REGION": session.region_name, "AWS_DEFAULT_REGION": session.region_name}


def _make_sources(job: Job, case: Case) -> None:
    """Create the first object, from copies of one part if it is large, and the others as copies of it."""
    s3, (bucket, prefix, *_) = job.client(110), job.places
    keys = [f"{prefix}model-{number:05}.bin" for number in range(case.objects)]
    missing = sorted(set(keys) - set(job.keys(s3)))
    if not missing:
        return
    print(f"# creating {len(missing)} objects for {case.title}", file=sys.stderr, flush=True)
    first, others = missing[0], missing[1:]
    if case.size <= 64 * MIB:
        s3.put_object(Bucket=bucket, Key=first, Body=bytes(case.size), **ATTRIBUTES)
    else:
        _make_large(s3, bucket, first, case.size)
    place = {"Bucket": bucket, "Key": first}
    with ThreadPoolExecutor(32 if case.size <= 64 * MIB else 1) as pool:
        list(pool.map(lambda key: s3.copy(place, bucket, key, Config=BEST), others))


def _make_large(s3: Any, bucket: str, key: str, size: int) -> None:
    seed = {"Bucket": bucket, "Key": f"{key.rpartition('/')[0]}.seed"}
    s3.put_object(**seed, Body=bytes(64 * MIB))
    place = {"Bucket": bucket, "Key": key}
    upload = s3.create_multipart_upload(**place, **ATTRIBUTES)["UploadId"]

    def copy(number: int) -> dict[str, Any]:
        length = min(64 * MIB, size - (number - 1) * 64 * MIB)
        part = s3.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=seed, CopySourceRange=f"bytes=0-{length - 1}"
        )
        return {"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]}

    with ThreadPoolExecutor(100) as pool:
        parts = list(pool.map(copy, range(1, -(-size // (64 * MIB)) + 1)))
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    s3.delete_object(**seed)


def _measured(
    peer: str, tool: Tool | None, job: Job, expected: dict[str, PinnedObject], folder: str, longest: float
) -> Result:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[:2])}
    memory = ""
    if tool:
        environment |= tool.environment
        start = min(_run([tool.command[0], *tool.idle], environment, folder, longest)[0] for _ in range(3))
        wall, cpu, _, errors = _run(tool.command, environment, folder, longest)
        seconds = wall - start
    else:
        words = [
            sys.executable,
            "-m",
            "benchmarks.peers",
            peer,
            job.endpoint or "",
            job.account,
            job.source,
            job.target,
        ]
        seconds, cpu, output, errors = _run(words, environment, ROOT, longest)
        if output:
            figures = output.split()
            seconds, cpu, memory = float(figures[0]), float(figures[1]), (figures[2:] or [""])[0]
    verdict = "no: " + " ".join(errors.split())[-120:] if errors else "-" if peer == PLAN else _verdict(job, expected)
    _delete(job)
    return Result(peer, seconds, cpu, memory, verdict)


def _run(command: list[str], environment: dict[str, str], folder: str, longest: float) -> tuple[float, float, str, str]:
    """Return wall time and CPU time in seconds, the output, and the error output if the command failed."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=errors)  # noqa: S603
        end = threading.Timer(longest, process.kill)
        end.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        end.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        words = (errors.read() or f"status {process.returncode}") if process.returncode else ""
        words = f"more than {longest:.0f} s" if wall >= longest else words
        return wall, usage.ru_utime + usage.ru_stime, output.read(), words


def _verdict(job: Job, expected: dict[str, PinnedObject]) -> str:
    """Return whether each copy has its source's size, checksum (if the algorithms are equal) and metadata."""
    found = {pinned.name: pinned for pinned in objects_under(job, job.target)}
    whole = [name for name, copy in found.items() if name in expected and _is_same(expected[name], copy)]
    if len(whole) != len(expected) or len(found) != len(expected):
        return f"no: {len(whole)} of {len(expected)} are correct, {len(found) - len(whole)} are unexpected"
    has_all = all(found[name].attributes == source.attributes for name, source in expected.items())
    return "yes" if has_all else "yes, metadata lost"


def _is_same(source: PinnedObject, copy: PinnedObject) -> bool:
    if source.checksum_algorithm and source.checksum_algorithm == copy.checksum_algorithm:
        return (source.size, source.checksum) == (copy.size, copy.checksum)
    return source.size == copy.size


def _delete(job: Job) -> None:
    s3, (*_, bucket, prefix) = job.client(), job.places
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    for upload in s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", []):
        if upload["Key"].startswith(prefix):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _table(case: Case, results: list[Result]) -> Iterator[str]:
    """Yield a Markdown table, the fastest first; "times ours" is the time relative to this project's copy step."""
    best: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: (not result.is_correct, result.seconds)):
        best.setdefault(result.peer, result)
    yield f"\n### {case.title[0].upper()}{case.title[1:]}\n"
    yield "| | seconds | times ours | GB/s | objects/s | CPU, s | memory, MiB | correct |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    for result in best.values():
        facts = [""] * 6
        if result.is_correct:
            facts[:2] = f"{result.seconds:.2f}", f"{result.seconds / best[OURS].seconds:.1f}"
            facts[4:] = f"{result.cpu_seconds:.1f}", result.memory_mib
        if result.is_correct and result.peer != PLAN:
            rate = case.objects / result.seconds
            facts[2:4] = f"{rate * case.size / 10**9:.1f}", f"{rate:,.0f}" if case.objects > 1 else ""
        yield f"| {result.peer} | {' | '.join(facts)} | {result.verdict} |"


if __name__ == "__main__":
    main()
