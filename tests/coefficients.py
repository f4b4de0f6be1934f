"""The polynomials of the vectorizable functions, computed anew in 50 digits with mpmath."""

from __future__ import annotations

import mpmath
from mpmath import mp, mpf

DIGITS = 50
COUNTS = {
    "float32": {"exponential": 6, "logarithm": 4, "tangent": 5, "error": 7, "tail": 7},
    "float64": {"exponential": 11, "logarithm": 7, "tangent": 11, "error": 12, "tail": 17},
}
TAIL = {"float32": 3, "float64": 5}
"""How far beyond 1 the polynomial of the error function's tail reaches."""


def polynomial(name: str, dtype: str) -> list[mpf]:
    """The coefficients of a polynomial, that of the constant first."""
    count = COUNTS[dtype][name]
    with mpmath.workdps(DIGITS):
        if name == "tail":
            return _tail(count, TAIL[dtype])
        function, interval = {
            "exponential": (_exponential, [-mp.ln2 / 2, mp.ln2 / 2]),
            "logarithm": (_logarithm, [0, (3 - 2 * mp.sqrt(2)) ** 2]),
            "tangent": (_tangent, [0, (mp.log(3) / 2) ** 2]),
            "error": (_error, [0, 1]),
        }[name]
        return list(reversed(mpmath.chebyfit(function, interval, count)))


def _exponential(r: mpf) -> mpf:
    """(eʳ − 1 − r)/r²."""
    return (mpmath.expm1(r) - r) / r**2 if abs(r) > 1e-12 else mpf(1) / 2 + r / 6


def _logarithm(z: mpf) -> mpf:
    """(2·artanh s − 2s)/s³ of z = s²."""
    s = mpmath.sqrt(z)
    return 2 * (mpmath.atanh(s) - s) / s**3 if z > 1e-20 else mpf(2) / 3 + 2 * z / 5


def _tangent(z: mpf) -> mpf:
    """(tanh(x)/x − 1)/z of z = x²."""
    x = mpmath.sqrt(z)
    return (mpmath.tanh(x) / x - 1) / z if z > 1e-20 else 2 * z / 15 - mpf(1) / 3


def _error(z: mpf) -> mpf:
    """erf(x)/x − 1 of z = x²."""
    x = mpmath.sqrt(z)
    return (mpmath.erf(x) / x if z > 1e-25 else 2 / mpmath.sqrt(mp.pi)) - 1


def _tail(count: int, width: int) -> list[mpf]:
    """log(erfc(1 + v)/erfc(1))/v by least squares at Chebyshev's points, errors weighted as they
    change erf(1 + v).
    """
    points = 120
    nodes = [
        width * (1 + mpmath.cos(mp.pi * (2 * k + 1) / (2 * points))) / 2 for k in range(points)
    ]
    return list(mpmath.qr_solve(*_weighted(nodes, count))[0])


def _weighted(nodes: list[mpf], count: int) -> tuple[mpmath.matrix, mpmath.matrix]:
    left, right = mpmath.matrix(len(nodes), count), mpmath.matrix(len(nodes), 1)
    for row, v in enumerate(nodes):
        rest = mpmath.erfc(1 + v)
        right[row] = rest * mpmath.log(rest / mpmath.erfc(1))
        for column in range(count):
            left[row, column] = rest * v ** (column + 1)
    return left, right
