"""Patches of moto: replacements of its functions, methods and values.

moto's server implements the API. Where it differs from AWS, a module declares a patch next to the replacement, with
the reason or the issue in moto's repository, and with the version of moto that the replacement was written for. A
service applies its patches when it is installed. A test compares every patch with the locked version of moto.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_MISSING = object()

_Value = TypeVar("_Value")
_KINDS = (staticmethod, classmethod, property)


@dataclasses.dataclass(frozen=True)
class Patch:
    """One replacement. `exists` is whether moto has the attribute, which is unexpected only of a patch that `adds`."""

    owner: type | ModuleType
    name: str
    value: Any
    moto: str
    reason: str
    adds: bool
    exists: bool

    @property
    def target(self) -> str:
        """Return the full name of the replaced attribute."""
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
        original = inspect.getattr_static(owner, name, _MISSING)
        kind = next((kind for kind in _KINDS if isinstance(original, kind)), None)
        if kind and not isinstance(value, kind):
            value = kind(value)
        patch = Patch(owner, name, value, self._moto, reason, adds, original is not _MISSING)
        self._patches.append(patch)
        _declared.append(patch)

    def apply(self) -> None:
        """Apply all replacements. A second call changes nothing."""
        for patch in self._patches:
            setattr(patch.owner, patch.name, patch.value)
