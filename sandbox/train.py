"""Train the example in the dev account of `make local`: `make train`. Its model is promoted automatically."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from botocore.exceptions import EndpointConnectionError

from sandbox import busy, stacks
from sandbox.demo.accounts import APPLICATION, DevAccount, OutcomeError, wait_for

_NOT_RUNNING = "The embedded AWS is not running. Start it in another terminal: make local"


def main() -> int:
    """Train, print what happens next, and return the exit code."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else stacks.ROOT / ".local"
    config = directory / "aws" / "config"
    if not config.exists():
        print(_NOT_RUNNING)
        return 1
    os.environ["AWS_CONFIG_FILE"], os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(config), os.devnull
    try:
        return _train(DevAccount("dev"))
    except EndpointConnectionError:
        print(_NOT_RUNNING)
    except OutcomeError as error:
        print(error)
    except busy.ERRORS as error:
        print(busy.text(error))
    return 1


def _train(dev: DevAccount) -> int:
    dev.upload_data()
    job = dev.start_training({})
    print(f"Training job {job} of the application {APPLICATION} has started.", flush=True)

    def poll() -> str | None:
        status = str(dev.describe(job)["TrainingJobStatus"])
        return status if status not in ("InProgress", "Stopping") else None

    status = wait_for(poll, f"the training job {job} to end")
    print(f"{status}. QA promotes its model now; then production requests an approval:\n")
    print(f"    export AWS_CONFIG_FILE={os.environ['AWS_CONFIG_FILE']} AWS_SHARED_CREDENTIALS_FILE=/dev/null")
    command = "PYTHONPATH=functions .venv/bin/python -m command"
    print(f"    {command} status --profile qa")
    print(f"    {command} approve {APPLICATION} --profile production")
    return 0 if status == "Completed" else 1


if __name__ == "__main__":
    sys.exit(main())
