"""The recorded evaluations of states, which tests.deployed.recording writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "recorded.json"


def read() -> list[dict[str, Any]]:
    """Return the recorded evaluations: `name`, `state`, `input`, `variables`, `next`, `output`."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text())
    return found
