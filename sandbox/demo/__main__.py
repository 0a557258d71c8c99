"""Show what this project does, on an AWS of its own: `make demo`."""

from __future__ import annotations

import os
import signal
import sys
import time

from sandbox.demo.screen import Screen


def main() -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _forget_the_way_to_aws()
    screen = Screen()
    try:
        screen.title("Model Promotion: from training to production")
        with screen.busy("Starting an AWS on this machine"):
            # It takes seconds to load, and nobody shall look at an empty screen meanwhile.
            from sandbox.demo.play import play
        return play(screen, began)
    except (KeyboardInterrupt, EOFError):
        screen.failed("Stopped.")
        return 130


def _forget_the_way_to_aws() -> None:
    """Whatever is configured for the AWS that this person works with has no part in the demo, nor has a proxy."""
    for variable in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[variable]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


if __name__ == "__main__":
    sys.exit(main())
