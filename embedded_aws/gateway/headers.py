"""Headers of requests that the embedded AWS sends to itself."""

from __future__ import annotations

# On PutEvents: the call carries an event of another bus, by the token that is the header's value.
FORWARDED_EVENT = "x-embedded-aws-forwarded-event"
