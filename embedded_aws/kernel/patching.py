"""The one way to change moto: put something else in the place of a function, method or value of its.

moto's server answers the API. Where it departs from AWS, a module here declares a patch beside the code that replaces
moto's, with the reason, or the issue of moto's that describes it, and with the version of moto that was read for it. A
service applies its patches when it is installed. A test compares every patch with the moto that is locked.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

MISSING = object()

_Value = TypeVar("_Value")
_KINDS = (staticmethod, classmethod, property)


@dataclasses.dataclass(frozen=True)
class Patch:
    """One replacement. `original` is what moto has there, or MISSING; a patch that `adds` expects nothing there."""

    owner: type | ModuleType
    name: str
    value: Any
    moto: str
    reason: str
    adds: bool
    original: Any

    @property
    def target(self) -> str:
        owner = self.owner
        place = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        return f"{place}.{self.name}"


_declared: list[Patch] = []


def declared() -> tuple[Patch, ...]:
    """Return the patches of all modules that have been imported."""
    return tuple(_declared)


class Patches:
    """The patches of one module, all written for the same version of moto."""

    def __init__(self, moto: str) -> None:
        self._moto = moto
        self._patches: list[Patch] = []

    def replaces(
        self, owner: type | ModuleType, name: str, reason: str, *, adds: bool = False
    ) -> Callable[[_Value], _Value]:
        """Return a decorator that declares its function or class as the replacement of `owner.name`."""

        def declare(value: _Value) -> _Value:
            self.replace(owner, name, value, reason, adds=adds)
            return value

        return declare

    def replace(self, owner: type | ModuleType, name: str, value: Any, reason: str, *, adds: bool = False) -> None:
        """Declare `value` as the replacement of `owner.name`: a static method or property if moto's is one."""
        original = inspect.getattr_static(owner, name, MISSING)
        kind = next((kind for kind in _KINDS if isinstance(original, kind)), None)
        if kind and not isinstance(value, kind):
            value = kind(value)
        patch = Patch(owner, name, value, self._moto, reason, adds, original)
        self._patches.append(patch)
        _declared.append(patch)

    def apply(self) -> None:
        """Put all replacements in their places; doing it again changes nothing."""
        for patch in self._patches:
            setattr(patch.owner, patch.name, patch.value)
