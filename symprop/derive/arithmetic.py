"""What a formula of numbers comes to, as it is printed: in float64, from left to right."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from sympy import Expr

from symprop.backends.numpy import FUNCTIONS


def number(node: Expr) -> float:
    """The value of a formula without names; not finite where float64 has no number for it."""
    with np.errstate(all="ignore"):
        return float(_value(node))


def _value(node: Expr) -> Any:
    """A number, or whether a condition holds."""
    kind = type(node).__name__
    if kind == "Numeral":
        return np.float64(node.args[0].name)
    if kind in ("Call", "Compare"):
        function, *parts = node.args
        return NAMED[function.name](*map(_value, parts))
    if kind in OPERATIONS:
        return OPERATIONS[kind](*map(_value, node.args))
    return np.float64(node)


def _folded(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *parts: reduce(operation, parts)


def _case(*parts: Any) -> Any:
    """u₁ if c₁, u₂ if c₂, …, else v."""
    *branches, last = parts
    pairs = zip(branches[::2], branches[1::2], strict=True)
    return next((value for value, holds in pairs if holds), last)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Plus": _folded(operator.add),
    "Minus": operator.neg,
    "Times": _folded(operator.mul),
    "Fraction": operator.truediv,
    "Power": operator.pow,
    "Root": np.sqrt,
    "Magnitude": abs,
    "Bracket": np.float64,
    "AllOf": _folded(operator.and_),
    "AnyOf": _folded(operator.or_),
    "Case": _case,
}
"""What each kind of node means."""
NAMED: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    "max": _folded(np.maximum),
    "min": _folded(np.minimum),
    "sign": np.sign,
    "floor": np.floor,
    "<": operator.lt,
    "≤": operator.le,
    "=": operator.eq,
    "≠": operator.ne,
    "≥": operator.ge,
    ">": operator.gt,
}
"""What each name of a function or a relation means."""
