"""Exponentials, logarithms, tanh, erf and erfc that LLVM can vectorize; ``math``'s are calls, one
number at a time.

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
        "exponential": (0.5, 0.16666578, 0.041666556, 0.008363173, 0.0013926176),
        "logarithm": (0.6666667, 0.40000123, 0.28550822, 0.23330468),
        "error": (
            0.12837917,
            -0.37612626,
            0.11283594,
            -0.026854211,
            0.0051890872,
            -0.00080168643,
            7.875875e-05,
        ),
        "tangent above": (0.016646687,),
        "tangent below": (2.0, 0.19995992),
        "upper above": (0.8716211, 0.83608246, 0.39107683, 0.09412062, 0.008541682),
        "upper below": (1.0, 2.4010987, 2.479138, 1.3981116, 0.44092852, 0.06653054),
    },
    "float64": {
        "exponential": (
            0.5000000000000001,
            0.16666666666666669,
            0.041666666666624164,
            0.008333333333330065,
            0.0013888888917196719,
            0.00019841269863040545,
            2.4801521322368692e-05,
            2.7557268480310024e-06,
            2.7620075879983367e-07,
            2.5100375832561234e-08,
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
        "tangent above": (0.027774837073948584, 6.608858983932707e-05),
        "tangent below": (2.0, 0.22221634081456088, 0.001983538914461538),
        "upper above": (
            0.8716208329044818,
            1.6538302057472596,
            1.5701006671239883,
            0.9536149598599291,
            0.4032513565474141,
            0.12226474425185986,
            0.026479877951116275,
            0.003942235334203801,
            0.00036528604270519955,
            1.588591929859118e-05,
        ),
        "upper below": (
            1.0,
            3.3392828969438444,
            5.184622585366147,
            4.941778625693561,
            3.212410296014927,
            1.4937990685127305,
            0.5056185089497084,
            0.12375912096143162,
            0.021136878293337488,
            0.0023015571346423733,
            0.00012374219009418384,
        ),
    },
}
"""Of polynomials, that of the constant first; tests/coefficients.py computes them.

exponential  (eʳ − 1 − r)/r² on |r| ≤ ln 2/2
logarithm    (2·artanh s − 2s)/s³ in z = s², |s| ≤ 3 − 2√2
error        erf(x)/x − 1 in z = x², x ≤ 1
tangent      tanh(r/2)/r = (1 + z·above)/below in z = r², |r| ≤ ln 2/2
upper        exp(x²)·erfc(x)·(1 + 2x) = 1 + x·above/below up to where erfc x is 0
"""
LN2 = {
    "float32": (355 / 512, -0.00021219444005469057),
    "float64": (math.floor(math.log(2) * 2**32) / 2**32, 1.9082149292705877e-10),
}
"""ln 2 in two parts, the first so short that its product with an exponent is exact."""


class Value:
    """A number in generated code: its operators write LLVM's instructions."""

    def __init__(self, build: ir.IRBuilder, node: Any):
        self.build, self.node = build, node
        single = isinstance(node.type, ir.FloatType)
        self.number = np.float32 if single else np.float64
        self.word, self.digits = (ir.IntType(32), 23) if single else (ir.IntType(64), 52)
        self.bias: int = (1 << self.word.width - self.digits - 2) - 1

    def constant(self, number: float) -> Any:
        """A number of this type."""
        return self.node.type(float(self.number(number)))

    def of(self, single: float, double: float) -> float:
        """What belongs to this type."""
        return single if self.number is np.float32 else double

    def polynomial(self, name: str) -> Value:
        """A polynomial of COEFFICIENTS at this number, by Horner's rule."""
        *rest, last = COEFFICIENTS[self.number.__name__][name]
        value = Value(self.build, self.constant(last))
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
        largest = (1 << self.word.width - 1) - 1
        return self.from_bits(self.build.and_(self.bits, self.word(largest)))

    def signed_as(self, other: Value) -> Value:
        """This number, which has no sign, with the sign of another."""
        sign = self.build.and_(other.bits, self.word(1 << self.word.width - 1))
        return self.from_bits(self.build.or_(self.bits, sign))

    def shortened(self) -> Value:
        """This number without the lower half of its digits: its square is exact."""
        kept = -1 << (self.digits + 2) // 2
        return self.from_bits(self.build.and_(self.bits, self.word(kept)))

    def select(self, condition: Any, then: Value | float, other: Value | float) -> Value:
        nodes = (v.node if isinstance(v, Value) else self.constant(v) for v in (then, other))
        return Value(self.build, self.build.select(condition, *nodes))

    def limited(self, least: float, most: float) -> Value:
        """The nearest number between two; NaN stays."""
        return self.select(self < least, least, self).most(most)

    def most(self, most: float) -> Value:
        """The lesser of this number and another; NaN stays."""
        return self.select(self > most, most, self)

    def nearest(self, factor: float, offset: int) -> tuple[Value, Value]:
        """n, the integer nearest to factor times this number, and a number whose last bits are
        n + offset: so large that its fraction is rounded away.
        """
        large = 1.5 * 2**self.digits + offset
        ending = self * factor + large
        return ending - large, ending

    def power(self) -> Value:
        """2^(n − bias) of a number whose last bits are n, from 1 to 2·bias."""
        return self.from_bits(self.build.shl(self.bits, self.word(self.digits)))

    def powers(self) -> tuple[Value, Value]:
        """Two powers of 2 with the product 2^(n − 2·bias), for exponents out of range."""
        half = self.build.lshr(self.bits, self.word(1))
        rest = self.build.sub(self.bits, half)
        return self.from_bits(half).power(), self.from_bits(rest).power()

    def split(self) -> tuple[Value, Value]:
        """m and e of this positive normal number 2ᵉ·m, √½ ≤ m < √2."""
        above = round((1 - math.sqrt(0.5)) * 2 ** (self.digits + 1))  # bits from √½ to 1
        biased = self.build.add(self.bits, self.word(above))
        biased = self.build.lshr(biased, self.word(self.digits))
        start = self.constant(2**self.digits).bitcast(self.word)
        e = self.from_bits(self.build.or_(biased, start)) - (2**self.digits + self.bias)
        n = self.build.sub(biased, self.word(self.bias))
        m = self.build.sub(self.bits, self.build.shl(n, self.word(self.digits)))
        return self.from_bits(m), e


def _function(formula: Callable[[Value], Value]) -> Any:
    """A formula as a function for Numba, of a number of either type."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def function(_context: Any, x: Any) -> Any:
        def generate(_context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            return formula(Value(build, given[0])).node

        return x(x), generate

    return function


def _reduced(x: Value, offset: int, rest: Value | float = 0) -> tuple[Value, Value]:
    """p of exp(x + rest) = 2ⁿ·(1 + p), and a number whose last bits are n + offset."""
    high, low = LN2[x.number.__name__]
    n, ending = x.nearest(1 / math.log(2), offset)
    r = x - n * high - n * low + rest
    return r + r * r * r.polynomial("exponential"), ending


def _exp(x: Value) -> Value:
    """eˣ, the power of two in two factors: it may be subnormal. Within 1.2 ulp."""
    p, ending = _reduced(x.limited(x.of(-104, -746), x.of(89, 710)), 2 * x.bias)
    power, rest = ending.powers()
    return (power * p + power) * rest


def _normal_exp(x: Value) -> Value:
    """eˣ where that is a normal number."""
    p, ending = _reduced(x, x.bias)
    power = ending.power()
    return power * p + power


def _expm1(x: Value) -> Value:
    """eˣ − 1. Within 2.3 ulp."""
    p, ending = _reduced(x.limited(x.of(-20, -40), x.of(89, 710)), x.bias - 1)
    half = ending.power()
    value = 2 * (half * p + (half - 0.5))
    return x.select(abs(x) < x.of(2**-26, 2**-55), x, value)


def _tanh(x: Value) -> Value:
    """tanh x by one division, within 3.4 ulp and never beyond ±1.

    With 2|x| = n·ln 2 + r, tanh(r/2) = b/a and s = 2ⁿ⁻¹ − ½, tanh |x| is the same fraction of
    s·(a + b) + b and s·(a + b) + a.
    """
    size = abs(x).most(x.of(9.02, 19.07))
    n, ending = (2 * size).nearest(1 / math.log(2), x.bias - 1)
    r = 2 * size - n * math.log(2)
    z = r * r
    a, b = z.polynomial("tangent below"), r + r * z * z.polynomial("tangent above")
    shared = (ending.power() - 0.5) * (a + b)
    return ((shared + b) / (shared + a)).signed_as(x)


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


def _upper(size: Value) -> Value:
    """erfc x of x ≥ 0, exp(−x²)/(1 + 2x)·(1 + f) with a fraction f from 0 to 0.2.

    x² is in two parts, the first of them exact.
    """
    x = size.most(size.of(10.1, 27.3))
    short = x.shortened()
    p, ending = _reduced(-1 * short * short, 2 * x.bias, (short - x) * (short + x))
    power, rest = ending.powers()
    value = (power * p + power) / (1 + 2 * x)
    f = x * x.polynomial("upper above") / x.polynomial("upper below")
    return (value + value * f) * rest


def _erf(x: Value) -> Value:
    """erf x, beyond 1 as 1 − erfc x. Within 2 ulp."""
    size = abs(x)
    near = size + size * (size * size).polynomial("error")
    return x.select(size < 1, near, 1 - _upper(size)).signed_as(x)


def _erfc(x: Value) -> Value:
    """1 − erf x, also where that is subnormal. Within 3 ulp."""
    upper = _upper(abs(x))
    return x.select(x < 0, 2 - upper, upper)


FUNCTIONS = {f.__name__[1:]: _function(f) for f in (_erf, _erfc, _exp, _expm1, _log, _log1p, _tanh)}
erf, erfc, exp, expm1, log, log1p, tanh = FUNCTIONS.values()


def version() -> str:
    """A digest of this file, which compiled code depends on."""
    return hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()
