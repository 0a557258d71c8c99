"""Errors of the embedded AWS itself, not of AWS."""


class NotModeledError(RuntimeError):
    """A request asks for something that the embedded AWS does not model; the message names it."""
