"""Fingerprints: what a declaration is, in 32 bytes."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

from sympy import Basic, srepr

from symprop.equation import Equation, Fact, Origin, Recurrence
from symprop.program import Program
from symprop.tensor import Tensor

KNOWN = ("sympy", "symprop")
"""The packages whose functions mean the same in every process of the same versions."""
PARTS = (Program, Tensor, Equation, Recurrence, Fact, Origin)


class UnknownPartError(Exception):
    """Something whose meaning its name does not tell, such as a SymPy function of a user's own."""


def fingerprint(*declared: Any) -> bytes | None:
    """A digest of programs, and of numbers and texts: others have others.

    None where a class that is not SymPy's or symprop's takes part: another may have its name. How
    tensors are initialized is left aside, as no equation depends on it.

    >>> from symprop import Dense, Network
    >>> one, same, other = (Network([Dense(n)], 1, "mse").forward for n in (1, 1, 2))
    >>> fingerprint(one) == fingerprint(same), fingerprint(one) == fingerprint(other)
    (True, False)
    """
    writer = _Writer()
    try:
        writer.write(declared)
    except UnknownPartError:
        return None
    return writer.digest.digest()


class _Writer:
    """Takes in each expression once, and calls it by a number from then on."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._numbers: dict[tuple[type, Basic], int] = {}

    def write(self, value: Any) -> None:
        if isinstance(value, Basic):
            self._add("#", self._number(value))
        elif isinstance(value, tuple):
            self._add("tuple", len(value))
            for item in value:
                self.write(item)
        elif isinstance(value, PARTS):
            self._add("part", type(value).__name__)
            for field in fields(value):
                if field.name != "init":
                    self.write(getattr(value, field.name))
        elif isinstance(value, (str, int, float, bytes, type(None))):
            self._add(type(value).__name__, value)
        else:
            raise UnknownPartError

    def _number(self, node: Basic) -> int:
        key = type(node), node
        if key not in self._numbers:
            if str(type(node).__module__).partition(".")[0] not in KNOWN:
                raise UnknownPartError
            parts = [self._number(part) for part in node.args]
            name = f"{type(node).__module__}.{type(node).__qualname__}"
            self._add("node", name, *(parts or [srepr(node)]))
            self._numbers[key] = len(self._numbers)
        return self._numbers[key]

    def _add(self, *words: Any) -> None:
        self.digest.update(repr(words).encode())
