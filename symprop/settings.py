"""Numbers that a user sets, checked."""

from __future__ import annotations

import math
import numbers
from typing import Any

from sympy import Rational

from symprop.errors import ArgumentError, ArgumentTypeError


def setting(
    what: str, given: Any, low: float, high: float = math.inf, low_included: bool = False
) -> Rational:
    """A setting in its range, as the rational that its decimal is."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise ArgumentTypeError(f"{what}: expected a number, got {type(given).__name__} {given!r}")
    value = float(given)
    if not math.isfinite(value):
        raise ArgumentError(f"{what}: expected a finite number, got {given}")
    inside = (low <= value if low_included else low < value) and value < high
    if not inside:
        raise ArgumentError(
            f"{what}: expected {'at least' if low_included else 'more than'} {low}"
            f"{'' if high == math.inf else f' and less than {high}'}, got {given}"
        )
    return exact(value)


def exact(number: float) -> Rational:
    """The rational that a number's decimal is."""
    return Rational(repr(float(number)))
