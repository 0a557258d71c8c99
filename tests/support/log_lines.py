"""The lines that the functions write to their log in this process."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

from promotion.step import logger


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Yield what the functions write from now on."""
    written = io.StringIO()
    streams = [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]
    before = [handler.setStream(written) for handler in streams]
    try:
        yield written
    finally:
        for handler, stream in zip(streams, before, strict=True):
            handler.setStream(stream)


def parsed(written: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines as objects."""
    return [json.loads(line) for line in written.getvalue().splitlines()]
