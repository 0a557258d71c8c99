"""`make local`: the embedded AWS as a command."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO


def read_until(output: IO[str], beginning: str) -> list[str]:
    lines = []
    for line in output:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"no line begins with {beginning!r}: {lines}")


def train(directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `make train`, but with the directory of the test."""
    return subprocess.run(  # noqa: S603 - this interpreter and a module of this project
        [sys.executable, "-m", "sandbox.train", str(directory)],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_training_without_make_local_says_what_to_start(tmp_path: Path) -> None:
    before = train(tmp_path, dict(os.environ))
    (tmp_path / "aws").mkdir()
    profile = "[profile dev]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n"
    (tmp_path / "aws/config").write_text(f"{profile}aws_access_key_id = a\naws_secret_access_key = b\n")
    after = train(tmp_path, dict(os.environ))

    for done in (before, after):
        assert done.returncode == 1
        assert done.stdout == "The embedded AWS is not running. Start it in another terminal: make local\n"
        assert done.stderr == ""


def test_it_prints_how_to_connect_serves_clients_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    environment = os.environ | {"LOCAL_PORT": "0", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - this interpreter and a module of this project
        [sys.executable, "-m", "sandbox.serve", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout
            output = "".join(read_until(process.stdout, "Ready"))
            config = tmp_path / "aws" / "config"
            client = subprocess.run(
                [sys.executable, "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"],
                env=environment | {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "qa"},
                capture_output=True,
                text=True,
                check=True,
            )
            trained = train(tmp_path, environment)
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=180)

    assert f"AWS_CONFIG_FILE={config}" in output
    assert "run `make train` in another terminal" in output
    assert client.stdout.strip() == "222222222222"
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "Completed. QA promotes its model now; then production requests an approval:" in trained.stdout
    assert code == 0
