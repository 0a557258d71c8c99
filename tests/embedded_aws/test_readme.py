"""The example in the README of the embedded AWS works as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

from embedded_aws import aws

ROOT = Path(__file__).parents[2]
README = (ROOT / "embedded_aws/README.md").read_text()


def test_the_example_runs(tmp_path: Path) -> None:
    for name, content in re.findall(r"<!-- ([\w./]+) -->\n```\w+\n(.*?)```", README, re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_greet.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_every_service_is_in_the_table() -> None:
    listed = set(re.findall(r"\]\(services/(\w+)", README))

    assert {service.__name__.split(".")[2] for service in aws.SERVICES} <= listed
