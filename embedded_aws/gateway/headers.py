"""Headers of requests that the embedded AWS sends to itself."""

from __future__ import annotations

# On PutEvents: the call forwards an event from another bus, identified by the token in the header.
FORWARDED_EVENT = "x-embedded-aws-forwarded-event"
