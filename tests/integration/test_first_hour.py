"""The first hour of a platform engineer, who follows docs/deploying.md: three stages, of which one comes and goes."""

import os
import subprocess
import sys
from pathlib import Path

from sandbox import stacks
from tests.support import first_hour


def test_the_page_sets_up_the_accounts_and_adds_and_removes_a_stage(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(  # noqa: S603 - this interpreter and a module of this project
        [sys.executable, "-m", "tests.support.first_hour", str(tmp_path)],
        cwd=stacks.ROOT,
        env=environment | {"PYTHONPATH": f"{stacks.ROOT / 'functions'}:{stacks.ROOT}"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.splitlines()
    for title in ("Set up the accounts", "Add a stage", "Remove a stage"):
        found = first_hour.commands(first_hour.section(title))
        assert found, title
        assert set(found) <= set(printed)
    assert printed[-1] == "Done."
