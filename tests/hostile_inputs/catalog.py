"""All known hostile inputs, grouped by entry point."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.hostile_inputs import asked, code, configured, kept, objects, proven, sources
from tests.hostile_inputs.trial import Hostile


def every() -> Iterator[Hostile]:
    return itertools.chain.from_iterable(
        module.every() for module in (asked, sources, objects, code, configured, proven, kept)
    )
