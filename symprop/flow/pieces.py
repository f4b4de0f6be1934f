"""A function of one number as smooth functions on intervals, and the largest that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from sympy import Expr, Integer, oo

from symprop.activations import ARGUMENT
from symprop.flow.values import values_at
from symprop.kinks import kink_places, zeros
from symprop.primitives import KINKED, Absolute, Indicator, Maximum, Minimum, Select, Sign

GRID = np.concatenate(
    [np.linspace(-20, 20, 8001), *(np.outer([-1, 1], np.geomspace(20, 1e4, 200)))]
)
"""Where the largest value is searched besides the stationary points."""
FAR = 10.0 ** np.arange(2, 9)
"""Where a function that grows without bound is told from one that does not."""


@dataclass(frozen=True)
class Piece:
    """A smooth function of z from ``left`` to ``right``."""

    left: Expr
    right: Expr
    function: Expr


@lru_cache(maxsize=256)
def pieces(value: Expr) -> tuple[Piece, ...]:
    """The smooth functions that a function of z is made of, from left to right.

    >>> from symprop.activations import ACTIVATIONS
    >>> relu = ACTIVATIONS["relu"].expression
    >>> [(piece.left, piece.right, piece.function) for piece in pieces(relu)]
    [(-oo, 0, 0), (0, oo, z)]
    """
    ends = (-oo, *kink_places(value), oo)
    return tuple(
        Piece(left, right, _smooth(value, _inside(left, right))) for left, right in pairwise(ends)
    )


def _inside(left: Expr, right: Expr) -> Expr:
    if left == -oo:
        return Integer(0) if right == oo else right - 1
    return left + 1 if right == oo else (left + right) / 2


def _smooth(value: Expr, at: Expr) -> Expr:
    """The function without the kinked parts, each replaced by what it is at a place."""
    if not value.has(*KINKED):
        return value
    if isinstance(value, Select):
        condition, u, v = value.args
        return _smooth(v if condition.xreplace({ARGUMENT: at}) == 0 else u, at)
    if isinstance(value, (Indicator, Sign)):
        return value.xreplace({ARGUMENT: at})
    if isinstance(value, Absolute):
        u = _smooth(value.args[0], at)
        return Sign(value.args[0]).xreplace({ARGUMENT: at}) * u
    if isinstance(value, (Maximum, Minimum)):
        u, v = value.args
        larger = (u - v).xreplace({ARGUMENT: at}) > 0
        return _smooth(u if larger == isinstance(value, Maximum) else v, at)
    return value.func(*(_smooth(argument, at) for argument in value.args))


@lru_cache(maxsize=256)
def largest(value: Expr) -> float:
    """The supremum of |f(z)| over all z, ∞ where it grows without bound, NaN where f has no value.

    It is attained, or approached, at a kink from one side, where f′ = 0, or at infinity. Zeros of
    f′ are exact where they are short fractions and else found to the last digit from the changes of
    sign of f′ on a grid of step 0.01 from −20 to 20; what oscillates faster may be missed.

    >>> from symprop.activations import ACTIVATIONS
    >>> names = ("sigmoid", "tanh", "relu")
    >>> [largest(ACTIVATIONS[name].expression.diff(ARGUMENT)) for name in names]
    [0.25, 1.0, 1.0]
    """
    found = [abs(height) for piece in pieces(value) for height in _heights(piece)]
    return max((height for height in found if not math.isnan(height)), default=math.nan)


def _heights(piece: Piece) -> Iterator[float]:
    """The values of a piece at its ends, its stationary points, far out and on a grid."""
    function = piece.function
    if not function.has(ARGUMENT):
        yield float(function)
        return
    inside = (p for p in zeros(function.diff(ARGUMENT)) if piece.left < p < piece.right)
    ends = (end for end in (piece.left, piece.right) if end.is_finite)
    for place in (*inside, *ends):
        height = function.xreplace({ARGUMENT: place}).evalf(30)
        if height.is_Float or height.is_Rational:
            yield float(height)
    left, right, at = float(piece.left), float(piece.right), values_at(function)
    yield from at(np.array([place for place in GRID if left < place < right]))
    for far in (-FAR, FAR):
        if left < far[0] < right and left < far[-1] < right:
            heights = np.abs(at(far))
            yield math.inf if (heights[1:] > 1.001 * heights[:-1]).all() else heights.max()
