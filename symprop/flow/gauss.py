"""Expectations of functions of a normal or uniform number: in closed form, or by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sympy import Add, Expr, Float, Integer, Mul, Pow, binomial, erf, exp, oo, pi, sqrt

from symprop.activations import ARGUMENT
from symprop.backends import Array
from symprop.flow.pieces import Piece, pieces
from symprop.flow.values import values_at
from symprop.kinks import kink_places

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
WIDTH = 37.0
"""Standard deviations integrated over to each side; beyond, the density is below 1e-297."""
DEEPEST = 60
"""Halvings of an interval, after which an integral counts as one that does not converge."""


@dataclass(frozen=True)
class Law:
    """How a number is distributed: normal, or where ``uniform``, evenly, with these moments."""

    mean: float = 0.0
    variance: float = 1.0
    uniform: bool = False

    @property
    def second(self) -> float:
        """The mean of the square."""
        return self.mean**2 + self.variance


@lru_cache(maxsize=4096)
def expectation(value: Expr, law: Law) -> float:
    """E[f(X)] of a function of ``ARGUMENT``; NaN where the integral does not converge.

    Gauss–Legendre quadrature with 20 nodes on intervals that begin at the kinks of f and are halved
    until halving changes nothing beyond 1e-15 of the sum of absolute values.

    >>> from symprop.activations import ACTIVATIONS
    >>> expectation(ACTIVATIONS["relu"].expression ** 2, Law(0, 4))
    2.0
    """
    if not math.isfinite(law.second):
        return math.nan
    if law.variance <= 0:
        return float(values_at(value)(np.array([law.mean]))[0])
    function, deviation = values_at(value), math.sqrt(law.variance)
    cuts = (np.array([float(place) for place in kink_places(value)]) - law.mean) / deviation
    if law.uniform:
        half = math.sqrt(3)
        return _integral(lambda t: function(law.mean + deviation * t) / (2 * half), cuts, half)

    def weighted(t: Array) -> Array:
        return function(law.mean + deviation * t) * np.exp(-t * t / 2) / math.sqrt(2 * math.pi)

    return _integral(weighted, cuts, WIDTH)


def _integral(function: Callable[[Array], Array], cuts: Array, half: float) -> float:
    """The integral from −half to half."""
    whole = np.linspace(-half, half, 2 * math.ceil(half) + 1)
    ends = np.unique([*whole, *cuts[np.abs(cuts) < half]])
    left, right = ends[:-1], ends[1:]
    sums, scale = _sums(function, left, right), 0.0
    done: list[float] = []
    for _ in range(DEEPEST):
        middle = (left + right) / 2
        halves = np.stack([_sums(function, left, middle), _sums(function, middle, right)])
        fine = halves.sum(axis=0)
        if not np.isfinite(fine).all():
            return math.nan
        scale = max(scale, float(np.abs(fine).sum()) + math.fsum(map(abs, done)))
        good = np.abs(fine - sums) <= 1e-15 * scale
        done += fine[good].tolist()
        if good.all():
            return math.fsum(done)
        left, right = (
            np.concatenate([left[~good], middle[~good]]),
            np.concatenate([middle[~good], right[~good]]),
        )
        sums = halves[:, ~good].ravel()
    return math.nan


def _sums(function: Callable[[Array], Array], left: Array, right: Array) -> Array:
    """The integral over each interval."""
    half = (right - left)[:, None] / 2
    at = left[:, None] + half * (1 + NODES)
    sums: Array = (function(at.ravel()).reshape(at.shape) * WEIGHTS * half).sum(axis=1)
    return sums


@lru_cache(maxsize=256)
def closed_form(value: Expr) -> Expr | None:
    """E[f(Z)] of a standard normal Z exactly, where the pieces of f are sums of zⁿ exp(k z).

    None for any other function.

    >>> from symprop.activations import ACTIVATIONS
    >>> closed_form(ACTIVATIONS["relu"].expression ** 2)
    1/2
    """
    total: Expr = Integer(0)
    for piece in pieces(value):
        if piece.left.has(Float) or piece.right.has(Float):
            return None
        for term in Add.make_args(piece.function.expand()):
            integral = _term(term, piece)
            if integral is None:
                return None
            total += integral
    return total.expand()


def _term(term: Expr, piece: Piece) -> Expr | None:
    """∫ c zⁿ exp(k z) φ(z) dz = c e^(k²/2) ∫ (u + k)ⁿ φ(u) du with u = z − k."""
    factor, power, rate = Integer(1), 0, Integer(0)
    for part in Mul.make_args(term):
        if not part.has(ARGUMENT):
            factor *= part
        elif part == ARGUMENT:
            power += 1
        elif isinstance(part, Pow) and part.base == ARGUMENT and part.exp.is_Integer:
            power += int(part.exp)
        elif isinstance(part, exp) and not (part.args[0] / ARGUMENT).has(ARGUMENT):
            rate += part.args[0] / ARGUMENT
        else:
            return None
    if power < 0:
        return None
    left, right = piece.left - rate, piece.right - rate
    parts = (
        binomial(power, n) * rate ** (power - n) * _moment(n, left, right) for n in range(power + 1)
    )
    return factor * exp(rate**2 / 2) * Add(*parts)


def _moment(n: int, left: Expr, right: Expr) -> Expr:
    """∫ uⁿ φ(u) du = uⁿ⁻¹ φ(u) at both ends, and (n − 1) ∫ uⁿ⁻² φ(u) du."""
    if n == 0:
        return (erf(right / sqrt(2)) - erf(left / sqrt(2))) / 2
    ends = _edge(n - 1, left) - _edge(n - 1, right)
    return ends + (n - 1) * _moment(n - 2, left, right) if n > 1 else ends


def _edge(n: int, at: Expr) -> Expr:
    return Integer(0) if at in (oo, -oo) else at**n * exp(-(at**2) / 2) / sqrt(2 * pi)
