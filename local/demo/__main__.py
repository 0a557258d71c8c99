"""Show what this project does, on an AWS of its own: `make demo`."""

from __future__ import annotations

import signal
import sys
import time

from local.demo.screen import Screen


def main() -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        screen.title("Model Promotion: from training to production")
        with screen.busy("Starting an AWS on this machine"):
            # It takes seconds to load, and nobody shall look at an empty screen meanwhile.
            from local.demo.play import play
        return play(screen, began)
    except (KeyboardInterrupt, EOFError):
        screen.failed("Stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
