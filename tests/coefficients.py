"""The polynomials of the vectorizable functions, computed anew in 50 digits with mpmath."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
from mpmath import mp, mpf

DIGITS = 50
COUNTS = {
    "float32": {"exponential": 5, "logarithm": 3, "error": 9},
    "float64": {"exponential": 10, "logarithm": 7, "error": 24},
}
FRACTIONS = {
    "float32": {"tangent": (1, 1), "upper": (5, 5)},
    "float64": {"tangent": (2, 2), "upper": (10, 10)},
}
"""How many coefficients fractions have above and below, besides their given constants."""
ERROR = {"float32": 4, "float64": 6}
"""From here on erf x is 1."""
LARGEST = {"float32": 10.1, "float64": 27.3}
"""From here on erfc x is 0."""


def polynomials(dtype: str) -> dict[str, list[mpf]]:
    """The coefficients of each polynomial, that of the constant first."""
    with mpmath.workdps(DIGITS):
        found = {name: polynomial(name, dtype) for name in COUNTS[dtype]}
        for name, counts in FRACTIONS[dtype].items():
            found[f"{name} above"], found[f"{name} below"] = fraction(name, dtype, counts)
        return found


def polynomial(name: str, dtype: str) -> list[mpf]:
    if name == "error":
        return _error(COUNTS[dtype][name], ERROR[dtype])
    function, interval = {
        "exponential": (_exponential, [-mp.ln2 / 2, mp.ln2 / 2]),
        "logarithm": (_logarithm, [0, (6 - 4 * mp.sqrt(2)) ** 2]),
    }[name]
    return list(reversed(mpmath.chebyfit(function, interval, COUNTS[dtype][name])))


def fraction(name: str, dtype: str, counts: tuple[int, int]) -> tuple[list[mpf], list[mpf]]:
    if name == "tangent":
        nodes = [(mp.ln2 / 2) ** 2 * (1 + c) / 2 for c in _chebyshev(60)]
        above, below = _fraction(_tangent, nodes, counts, (mpf(1), mpf(2)))
        return above[1:], below
    most = LARGEST[dtype] / mpf(LARGEST[dtype] + 4)
    nodes = [4 * u / (1 - u) for u in (most * (1 + c) / 2 for c in _chebyshev(90))]
    above, below = _fraction(_upper, nodes, counts, (mpf(1), mpf(1)))
    return [p - q for p, q in zip(above[1:], below[1:], strict=True)], below


def _chebyshev(count: int) -> list[mpf]:
    """Chebyshev's points, between −1 and 1."""
    return [mpmath.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]


def _exponential(r: mpf) -> mpf:
    """(eʳ − 1 − r)/r²."""
    return (mpmath.expm1(r) - r) / r**2 if abs(r) > 1e-12 else mpf(1) / 2 + r / 6


def _logarithm(z: mpf) -> mpf:
    """(2·artanh(s/2) − s)/s³ of z = s²."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s / 2) - s) / s**3 if z > 1e-20 else mpf(1) / 12 + z / 80


def _tangent(z: mpf) -> mpf:
    """tanh(r/2)/r of z = r²."""
    r = mpmath.sqrt(z)
    return mpmath.tanh(r / 2) / r


def _error(count: int, width: int) -> list[mpf]:
    """−log(erfc x)/x − 1 by least squares at Chebyshev's points, errors weighted as they change
    erf x, relatively.
    """
    nodes = [width * (1 + c) / 2 for c in _chebyshev(100)]
    left, right = mpmath.matrix(len(nodes), count), mpmath.matrix(len(nodes), 1)
    for row, x in enumerate(nodes):
        weight = x * mpmath.erfc(x) / mpmath.erf(x)
        right[row] = weight * (-mpmath.log(mpmath.erfc(x)) / x - 1)
        for column in range(count):
            left[row, column] = weight * x**column
    return list(mpmath.qr_solve(left, right)[0])


def _upper(x: mpf) -> mpf:
    """exp(x²)·erfc(x)·(1 + 2x)."""
    return mpmath.exp(x * x) * mpmath.erfc(x) * (1 + 2 * x)


def _fraction(
    function: Callable[[mpf], mpf],
    nodes: Sequence[mpf],
    counts: tuple[int, int],
    constants: tuple[mpf, mpf],
) -> tuple[list[mpf], list[mpf]]:
    """A fraction P/Q of least relative error, by linear least squares of P − f·Q over f·Q, where
    the divisor is that of the step before.
    """
    values, below = [function(x) for x in nodes], [constants[1]]
    for _ in range(4):
        left, right = mpmath.matrix(len(nodes), sum(counts)), mpmath.matrix(len(nodes), 1)
        for row, (x, y) in enumerate(zip(nodes, values, strict=True)):
            weight = 1 / (y * mpmath.polyval(below[::-1], x))
            right[row] = weight * (y * constants[1] - constants[0])
            powers = [x**k for k in range(1, max(counts) + 1)]
            terms = powers[: counts[0]] + [-y * power for power in powers[: counts[1]]]
            for column, term in enumerate(terms):
                left[row, column] = weight * term
        found = list(mpmath.qr_solve(left, right)[0])
        above = [constants[0], *found[: counts[0]]]
        below = [constants[1], *found[counts[0] :]]
    return above, below
