"""The benchmarks run against any S3; here, against the embedded one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.support.world import QA

ROOT = Path(__file__).parents[2]


def test_the_benchmark_reports_correct_copies_and_deletes_them(aws: EmbeddedAws, name: str) -> None:
    s3 = bucket_client(name)

    told, errors = results("copy.py", name, s3, "--cases", "trial", "--peers", "s3transfer")

    assert told == {
        "this project's planning, before the copy step": "-",
        "this project's copy step": "yes",
        "s3transfer, one manager, 64 MiB and 100 threads": "yes",
    }, errors
    left = s3.list_objects_v2(Bucket=name)["Contents"]
    assert [found["Key"] for found in left] == [f"source/trial/model-0000{number}.bin" for number in (0, 1)]


def test_the_benchmark_of_splices_reports_the_files_and_deletes_its_objects(aws: EmbeddedAws, name: str) -> None:
    s3 = bucket_client(name)

    told, errors = results("splice.py", name, s3, "--megabytes", "12")

    assert told == {
        "added inside S3": "code/inference.py, model.bin",
        "downloaded, unpacked, packed and uploaded": "code/inference.py, model.bin",
    }, errors
    assert "Contents" not in s3.list_objects_v2(Bucket=name)


def bucket_client(name: str) -> Any:
    """Create a bucket, and return a client for it."""
    s3 = clients.client_as_operator("s3", QA)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    return s3


def results(program: str, name: str, s3: Any, *options: str) -> tuple[dict[str, str], str]:
    """Run a benchmark, and return the last cell of each row by its first one, and its errors."""
    keys = s3._request_signer._credentials
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_DEFAULT_REGION": accounts.REGION,
    }
    where = ["--source", f"s3://{name}/source/", "--target", f"s3://{name}/target/", "--account", QA]
    done = subprocess.run(  # noqa: S603
        [sys.executable, f"benchmarks/{program}", "--endpoint", accounts.endpoint_url(), *where, *options],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    return {row[0]: row[-1] for row in rows[2:]}, done.stderr
