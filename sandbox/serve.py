"""Run the embedded AWS with this project deployed until Ctrl-C: `make local`.

Its files are in `.local`, or in the directory that is passed as the only argument.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from sandbox import busy, stacks


def main() -> int:
    """Run until SIGINT or SIGTERM and return the exit code."""
    port = int(os.environ.get("LOCAL_PORT", "4566"))
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else stacks.ROOT / ".local"
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        aws = EmbeddedAws(directory, port).start()
    except OSError as error:
        print(f"Port {port} is not available: {error.strerror}. Choose another port: LOCAL_PORT=4567 make local")
        return 1
    try:
        stacks.deploy(print)
        for stage in ("qa", "production"):
            stacks.register("reviews", stage, accounts.ACCOUNTS[stage])
            print(f"application reviews registered in {stage}")
        print(f"\nThe embedded AWS runs at {aws.endpoint_url}. To use it in another terminal:")
        print(f"\n    export AWS_CONFIG_FILE={aws.config_file} AWS_SHARED_CREDENTIALS_FILE=/dev/null")
        print("    AWS_PROFILE=qa aws sagemaker list-endpoints     # or a boto3 script\n")
        for profile, account in accounts.ACCOUNTS.items():
            print(f"    profile {profile:<11} account {account}")
        print(f"\nEmail notifications are written to {aws.directory / 'notifications.log'}.")
        print("To train a model and promote it, run `make train` in another terminal.")
        print("\nReady. Press Ctrl-C to stop.", flush=True)
        stopped.wait()
        print("\nStopping…", flush=True)
    except busy.ERRORS as error:
        print(busy.text(error))
        return 1
    finally:
        aws.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
