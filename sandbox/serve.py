"""Keep the embedded AWS running with this project deployed, until Ctrl-C: `make local`.

It keeps its files in `.local`, or in the directory that is given as the only argument.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from sandbox import stacks


def main() -> int:
    port = int(os.environ.get("LOCAL_PORT", "4566"))
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else stacks.ROOT / ".local"
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        aws = EmbeddedAws(directory, port).start()
    except OSError as error:
        print(f"Port {port} cannot be used ({error.strerror}). Choose another one: LOCAL_PORT=4567 make local")
        return 1
    try:
        stacks.deploy(print)
        print(f"\nThe embedded AWS is at {aws.endpoint_url}. In another terminal:")
        print(f"\n    export AWS_CONFIG_FILE={aws.config_file} AWS_SHARED_CREDENTIALS_FILE=/dev/null")
        print("    AWS_PROFILE=qa aws sagemaker list-endpoints     # or any boto3 script\n")
        for profile, account in accounts.ACCOUNTS.items():
            print(f"    profile {profile:<11} account {account}")
        print(f"\nMail that AWS would send is in {aws.directory / 'notifications.log'}.")
        print("\nReady. Ctrl-C stops it.", flush=True)
        ended.wait()
    finally:
        aws.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
