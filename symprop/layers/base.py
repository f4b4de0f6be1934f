"""What a layer is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.scope import Scope
from symprop.tensor import Tensor


@runtime_checkable
class Layer(Protocol):
    """A layer reads a tensor and writes the equations of its output into a scope."""

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write the equations and give the output, called ``name`` if one is asked for."""


def positive_integer(what: str, given: Any) -> int:
    """A count of at least 1, or an error that names what it is for."""
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentTypeError(
            f"{what}: expected a whole number, got {type(given).__name__} {given!r}"
        )
    if given.__index__() < 1:
        raise ArgumentError(f"{what}: expected at least 1, got {given}")
    return int(given.__index__())


def flag(what: str, given: Any) -> bool:
    """True or False; a word such as "no" would count as true."""
    if type(given).__name__ not in ("bool", "bool_"):  # Python's or NumPy's
        raise ArgumentTypeError(f"{what}: expected True or False, got {given!r}")
    return bool(given)
