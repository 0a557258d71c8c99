"""The annotations of the keys of the promotion record."""

from __future__ import annotations


class WrittenBy(str):
    """The states that write a key, separated by commas."""

    __slots__ = ()


class ReadBy(str):
    """The readers of a key, separated by commas."""

    __slots__ = ()


NEARLY_EVERY_STATE = ReadBy("nearly every state")
