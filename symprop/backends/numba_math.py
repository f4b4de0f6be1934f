"""Exponentials, logarithms, tanh and erf that LLVM can vectorize; ``math``'s are calls, one number
at a time.

Each formula is a line of arithmetic and selections without branches, for every number of its type:
±0, subnormal numbers, ±∞ and NaN. LLVM may contract its products and sums, nothing else, also in a
caller that allows more: that would undo reductions in two parts.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

FLAGS = ("contract",)
COEFFICIENTS: dict[str, dict[str, tuple[float, ...]]] = {
    "float32": {
        "exponential": (0.5, 0.16666667, 0.041666467, 0.0083333105, 0.0013933642, 0.00019890981),
        "logarithm": (0.6666667, 0.40000123, 0.28550822, 0.23330468),
        "tangent": (-0.3333333, 0.13333116, -0.053909834, 0.021311875, -0.0066149123),
        "error": (
            0.12837917,
            -0.37612626,
            0.11283594,
            -0.026854211,
            0.0051890872,
            -0.00080168643,
            7.875875e-05,
        ),
        "tail": (
            -2.6389675,
            -0.843107,
            -0.041563902,
            0.010047338,
            -0.0020128905,
            0.00028999016,
            -2.1774422e-05,
        ),
    },
    "float64": {
        "exponential": (
            0.5,
            0.1666666666666667,
            0.04166666666666667,
            0.008333333333326141,
            0.0013888888888883752,
            0.00019841269874800493,
            2.4801587325533363e-05,
            2.7557255425746435e-06,
            2.7557273661348637e-07,
            2.510520637395701e-08,
            2.0914679376583935e-09,
        ),
        "logarithm": (
            0.666666666666667,
            0.39999999999899505,
            0.28571428625975487,
            0.2222221113479508,
            0.18182889125261723,
            0.15331721600556042,
            0.14616449685043406,
        ),
        "tangent": (
            -0.3333333333333333,
            0.13333333333332728,
            -0.05396825396745119,
            0.021869488494452378,
            -0.008863234415954168,
            0.003592110618190448,
            -0.0014556637472391653,
            0.00058894551539517,
            -0.00023466287885907128,
            8.515932180302729e-05,
            -2.0634899771792012e-05,
        ),
        "error": (
            0.12837916709551256,
            -0.37612638903183543,
            0.11283791670945006,
            -0.02686617064323777,
            0.0052239776071164225,
            -0.0008548325975389692,
            0.00012055294904839707,
            -1.492473690741966e-05,
            1.6447424703317362e-06,
            -1.6208483801871705e-07,
            1.3720064546777686e-08,
            -7.795898827002142e-10,
        ),
        "tail": (
            -2.6389675142347797,
            -0.8431072563593124,
            -0.04156109802620376,
            0.010033825185510782,
            -0.001977901234308108,
            0.00023731645118372645,
            2.6296393757461306e-05,
            -2.719925639718787e-05,
            9.671926654588526e-06,
            -2.1326101231761648e-06,
            2.0536870493031405e-07,
            5.7688481110107836e-08,
            -3.326025188782888e-08,
            8.482441701608538e-09,
            -1.312547101758235e-09,
            1.186337273157865e-10,
            -4.832654942827939e-12,
        ),
    },
}
"""Of polynomials, that of the constant first; tests/coefficients.py computes them.

exponential  (eʳ − 1 − r)/r² on |r| ≤ ln 2/2
logarithm    (2·artanh s − 2s)/s³ in z = s², |s| ≤ 3 − 2√2
tangent      (tanh(x)/x − 1)/z in z = x², tanh x ≤ ½
error        erf(x)/x − 1 in z = x², x ≤ 1
tail         log(erfc(1 + v)/erfc(1))/v on 0 ≤ v ≤ 3 (float32), 5 (float64)
"""
LN2 = {
    "float32": (355 / 512, -0.00021219444005469057),
    "float64": (math.floor(math.log(2) * 2**32) / 2**32, 1.9082149292705877e-10),
}
"""ln 2 in two parts, the first so short that its product with an exponent is exact."""


class Value:
    """A number in generated code, or a vector of them: its operators write LLVM's instructions."""

    def __init__(self, build: ir.IRBuilder, node: Any):
        self.build, self.node = build, node
        self.lanes = node.type.count if isinstance(node.type, ir.VectorType) else 0
        single = isinstance(node.type.element if self.lanes else node.type, ir.FloatType)
        self.number = np.float32 if single else np.float64
        self.width, self.digits = (32, 23) if single else (64, 52)
        self.bias: int = (1 << self.width - self.digits - 2) - 1
        word = ir.IntType(self.width)
        self.word = ir.VectorType(word, self.lanes) if self.lanes else word

    def constant(self, number: float) -> Any:
        """A number of this type."""
        value = float(self.number(number))
        return self.node.type([value] * self.lanes if self.lanes else value)

    def whole(self, number: int) -> Any:
        """A whole number of the same width."""
        return self.word([number] * self.lanes if self.lanes else number)

    def of(self, single: float, double: float) -> float:
        """What belongs to this type."""
        return single if self.number is np.float32 else double

    def polynomial(self, name: str) -> Value:
        """A polynomial of COEFFICIENTS at this number, by Horner's rule."""
        *rest, last = COEFFICIENTS[self.number.__name__][name]
        value = last * self + rest.pop()
        for coefficient in reversed(rest):
            value = value * self + coefficient
        return value

    def _with(self, operation: str, left: Any, right: Any) -> Value:
        left, right = (v.node if isinstance(v, Value) else self.constant(v) for v in (left, right))
        return Value(self.build, getattr(self.build, operation)(left, right, flags=FLAGS))

    def __add__(self, other: Value | float) -> Value:
        return self._with("fadd", self, other)

    def __radd__(self, other: float) -> Value:
        return self._with("fadd", other, self)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("fsub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self._with("fsub", other, self)

    def __mul__(self, other: Value | float) -> Value:
        return self._with("fmul", self, other)

    def __rmul__(self, other: float) -> Value:
        return self._with("fmul", other, self)

    def __truediv__(self, other: Value | float) -> Value:
        return self._with("fdiv", self, other)

    def _compare(self, relation: str, other: float) -> Any:
        return self.build.fcmp_ordered(relation, self.node, self.constant(other), flags=FLAGS)

    def __lt__(self, other: float) -> Any:
        return self._compare("<", other)

    def __gt__(self, other: float) -> Any:
        return self._compare(">", other)

    def equals(self, other: float) -> Any:
        return self._compare("==", other)

    @property
    def bits(self) -> Any:
        return self.build.bitcast(self.node, self.word)

    def from_bits(self, bits: Any) -> Value:
        """The number of this type with the given bits."""
        return Value(self.build, self.build.bitcast(bits, self.node.type))

    def __abs__(self) -> Value:
        largest = (1 << self.width - 1) - 1
        return self.from_bits(self.build.and_(self.bits, self.whole(largest)))

    def signed_as(self, other: Value) -> Value:
        """This number, which has no sign, with the sign of another."""
        sign = self.build.and_(other.bits, self.whole(1 << self.width - 1))
        return self.from_bits(self.build.or_(self.bits, sign))

    def select(self, condition: Any, then: Value | float, other: Value | float) -> Value:
        nodes = (v.node if isinstance(v, Value) else self.constant(v) for v in (then, other))
        return Value(self.build, self.build.select(condition, *nodes))

    def limited(self, least: float, most: float) -> Value:
        """The nearest number between two; NaN stays."""
        return self.select(self > most, most, self.select(self < least, least, self))

    @property
    def rounder(self) -> float:
        """A number plus this is rounded to an integer n, which stands in its last bits."""
        return float(1.5 * 2**self.digits)

    def rounded(self) -> Value:
        return self + self.rounder - self.rounder

    def power_of_two(self) -> Value:
        """2ⁿ of an integer n, where that is a normal number."""
        n = self.build.add((self + self.rounder).bits, self.whole(self.bias))
        return self.from_bits(self.build.shl(n, self.whole(self.digits)))

    def split(self) -> tuple[Value, Value]:
        """m and e of this positive normal number 2ᵉ·m, √½ ≤ m < √2."""
        above = round((1 - math.sqrt(0.5)) * 2 ** (self.digits + 1))  # bits from √½ to 1
        biased = self.build.add(self.bits, self.whole(above))
        biased = self.build.lshr(biased, self.whole(self.digits))
        start = self.build.bitcast(self.constant(2**self.digits), self.word)
        e = self.from_bits(self.build.or_(biased, start)) - (2**self.digits + self.bias)
        n = self.build.sub(biased, self.whole(self.bias))
        m = self.build.sub(self.bits, self.build.shl(n, self.whole(self.digits)))
        return self.from_bits(m), e


def _function(formula: Callable[[Value], Value]) -> Any:
    """A formula as a function for Numba, of a number of either type."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def function(_context: Any, x: Any) -> Any:
        def generate(_context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            return formula(Value(build, given[0])).node

        return x(x), generate

    return function


def _reduced(x: Value) -> tuple[Value, Value]:
    """n and p of eˣ = 2ⁿ·(1 + p), with what rounding takes from r = x − n·ln 2."""
    high, low = LN2[x.number.__name__]
    n = (x * (1 / math.log(2))).rounded()
    first = x - n * high
    r = first - n * low
    lost = first - r - n * low
    return n, r + (lost + r * r * r.polynomial("exponential"))


def _exp(x: Value) -> Value:
    """eˣ, the power of two in two factors: it may be subnormal. Within 1 ulp."""
    n, p = _reduced(x.limited(x.of(-104, -746), x.of(89, 710)))
    half = (n * 0.5).rounded()
    return (1 + p) * half.power_of_two() * (n - half).power_of_two()


def _normal_exp(x: Value) -> Value:
    """eˣ where that is a normal number."""
    n, p = _reduced(x)
    scale = n.power_of_two()
    return scale * p + scale


def _expm1(x: Value) -> Value:
    """eˣ − 1. Within 2 ulp."""
    n, p = _reduced(x.limited(x.of(-20, -40), x.of(89, 710)))
    half = (n - 1).power_of_two()
    value = 2 * (half * p + (half - 0.5))
    return x.select(abs(x) < x.of(2**-26, 2**-55), x, value)


def _tanh(x: Value) -> Value:
    """tanh x, in terms of e^(−2|x|) where it is above ½. Within 2 ulp."""
    size = abs(x)
    z = size * size
    near = size + size * z * z.polynomial("tangent")
    power = _normal_exp(-2 * size.limited(0, 20))
    far = 1 - 2 * power / (1 + power)
    return x.select(size < math.log(3) / 2, near, far).signed_as(x)


def _composed(f: Value, e: Value, lost: Value | float) -> Value:
    """e·ln 2 + log(1 + f) + lost by artanh(f/(2 + f)), added as in fdlibm's log."""
    high, low = LN2[f.number.__name__]
    s = f / (2 + f)
    z, square = s * s, 0.5 * f * f
    return e * high - (
        square - (s * (square + z * z.polynomial("logarithm")) + (e * low + lost)) - f
    )


def _defined(value: Value, x: Value, u: Value) -> Value:
    """A logarithm of u = x or 1 + x where u is positive and finite, and its limits elsewhere."""
    value = x.select(x < math.inf, value, x)
    return x.select(u > 0, value, x.select(u.equals(0), -math.inf, math.nan))


def _log(x: Value) -> Value:
    """log x. Within 1 ulp."""
    small = x < float(np.finfo(x.number).smallest_normal)
    m, e = x.select(small, x * 2.0**x.digits, x).split()
    return _defined(_composed(m - 1, e - x.select(small, x.digits, 0), 0), x, x)


def _log1p(x: Value) -> Value:
    """log(1 + x), with what rounding takes from u = 1 + x. Within 1 ulp."""
    u = 1 + x
    m, e = u.split()
    lost = x.select(x > 1, 1 - (u - x), x - (u - 1)) / u
    near = e.equals(0)
    value = _composed(x.select(near, x, m - 1), e, x.select(near, 0, lost))
    return x.select(abs(x) < x.of(2**-26, 2**-55), x, _defined(value, x, u))


def _erf(x: Value) -> Value:
    """erf x, beyond 1 in terms of log(1 − erf x). Within 2 ulp."""
    size = abs(x)
    near = size + size * (size * size).polynomial("error")
    v = size.limited(0, x.of(4, 6)) - 1
    far = 1 - _normal_exp(v * v.polynomial("tail") + math.log(math.erfc(1)))
    return x.select(size < 1, near, far).signed_as(x)


FUNCTIONS = {f.__name__[1:]: _function(f) for f in (_erf, _exp, _expm1, _log, _log1p, _tanh)}
erf, exp, expm1, log, log1p, tanh = FUNCTIONS.values()


def version() -> str:
    """A digest of this file, which compiled code depends on."""
    return hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()
