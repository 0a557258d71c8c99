"""Run the demo on the embedded AWS: `make demo`."""

from __future__ import annotations

import os
import signal
import sys
import time

from sandbox.demo.screen import Screen


def main() -> int:
    """Run the demo and return its exit code."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _ignore_aws_configuration()
    screen = Screen()
    try:
        screen.title("Model Promotion: from training to production")
        with screen.busy("Starting the embedded AWS"):
            # Loading takes seconds, so the title is shown first.
            from sandbox.demo.play import play
        return play(screen, began)
    except (KeyboardInterrupt, EOFError):
        screen.failed("Stopped.")
        return 130


def _ignore_aws_configuration() -> None:
    """Remove the user's AWS configuration and proxies from the environment, so that no call leaves this machine."""
    for variable in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[variable]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


if __name__ == "__main__":
    sys.exit(main())
