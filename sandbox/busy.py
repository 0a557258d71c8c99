"""What the demo and `make local` print when this machine is too slow for the embedded AWS."""

from __future__ import annotations

from botocore.exceptions import HTTPClientError

ERRORS = (HTTPClientError, TimeoutError)
"""What a client or a process raises if the embedded AWS does not answer in time."""


def text(error: Exception) -> str:
    """Return what happened and what to do."""
    return f"This machine is too busy: {str(error).rstrip('.')}. Close other programs, and try again."
