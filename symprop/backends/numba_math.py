"""Exponentials, logarithms, hyperbolic and error functions that LLVM can vectorize; ``math``'s are
calls, one number at a time.

Each formula is a line of arithmetic and selections without branches, for every number of its type:
±0, subnormal numbers, ±∞ and NaN. LLVM may contract its products and sums, nothing else, also in a
caller that allows more: that would undo reductions in two parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from symprop.backends.numba_coefficients import COEFFICIENTS, LN2
from symprop.backends.numba_vector import vector_of, widened

FLAGS = ("contract",)


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
        """A polynomial of COEFFICIENTS at this number, by Horner's rule in its square, of pairs of
        terms: these need not wait for each other.
        """
        coefficients = COEFFICIENTS[self.number.__name__][name]
        if len(coefficients) == 1:
            return Value(self.build, self.constant(coefficients[0]))
        odd = len(coefficients) % 2
        pairs = zip(coefficients[odd::2], coefficients[odd + 1 :: 2], strict=True)
        *terms, value = [self * second + first for first, second in pairs]
        for term in reversed(terms):
            value = value * (self * self) + term
        return value * self + coefficients[0] if odd else value

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

    def __rtruediv__(self, other: float) -> Value:
        return self._with("fdiv", other, self)

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

    def shortened(self) -> Value:
        """This number without the lower half of its digits: its square is exact."""
        kept = -1 << (self.digits + 2) // 2
        return self.from_bits(self.build.and_(self.bits, self.whole(kept)))

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
        return self.from_bits(self.build.shl(self.bits, self.whole(self.digits)))

    def powers(self) -> tuple[Value, Value]:
        """Two powers of 2 with the product 2^(n − 2·bias), for exponents out of range."""
        half = self.build.lshr(self.bits, self.whole(1))
        rest = self.build.sub(self.bits, half)
        return self.from_bits(half).power(), self.from_bits(rest).power()

    def exponent(self) -> tuple[Value, Any]:
        """−e of this positive normal number 2ᵉ·m, √½ ≤ m < √2, and e in the place of exponents."""
        above = round((1 - math.sqrt(0.5)) * 2 ** (self.digits + 1))  # bits from √½ to 1
        bits = self.build.add(self.bits, self.whole(above))
        start = self.build.bitcast(self.constant(2**self.digits), self.word)
        biased = self.build.or_(self.build.lshr(bits, self.whole(self.digits)), start)
        exponent = self.build.and_(bits, self.whole(-1 << self.digits))
        shift = self.build.sub(exponent, self.whole(self.bias << self.digits))
        return (2**self.digits + self.bias) - self.from_bits(biased), shift

    def scaled(self, shift: Any) -> Value:
        """2⁻ᵉ times this number, e in the place of exponents; this number if e is 0."""
        return self.from_bits(self.build.sub(self.bits, shift))


def _function(formula: Callable[[Value], Value]) -> Any:
    """A formula as a function for Numba, of a number of either type."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def function(_context: Any, x: Any) -> Any:
        def generate(_context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            return formula(Value(build, given[0])).node

        return x(x), generate

    return function


def _function_of_product(formula: Callable[[Value, Value, Value, Value], Value]) -> Any:
    """The same of a weight and a product, each a number or a vector."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def function(_context: Any, w: Any, u: Any, low: Any, v: Any) -> Any:
        kinds = (w, u, low, v)
        vector = vector_of(kinds)

        def generate(_context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            values = widened(build, kinds, given, vector.lanes) if vector else given
            return formula(*(Value(build, value) for value in values)).node

        return (vector or v)(*kinds), generate

    return function


def _reduced(x: Value, offset: int, rest: Value | float = 0) -> tuple[Value, Value]:
    """p of exp(x − rest) = 2ⁿ·(1 + p), and a number whose last bits are n + offset."""
    high, low = LN2[x.number.__name__]
    n, ending = x.nearest(1 / math.log(2), offset)
    r = x - n * high - n * low - rest
    return r + r * r * r.polynomial("exponential"), ending


def _exp(x: Value) -> Value:
    """eˣ, the power of two in two factors: it may be subnormal. Within 1.2 ulp."""
    p, ending = _reduced(x.limited(x.of(-116, -760), x.of(89, 710)), 2 * x.bias)
    power, rest = ending.powers()
    return (power * p + power) * rest


def _expm1(x: Value) -> Value:
    """eˣ − 1. Within 2.3 ulp."""
    p, ending = _reduced(x.limited(x.of(-20, -40), x.of(89, 710)), x.bias - 1)
    half = ending.power()
    value = 2 * (half * p + (half - 0.5))
    return x.select(abs(x) < x.of(2**-26, 2**-55), x, value)


def _cosh(x: Value) -> Value:
    """cosh x as h + 1/(4h) of h = e^|x|/2. Within 1.6 ulp."""
    p, ending = _reduced(abs(x).most(x.of(90, 711)), 2 * x.bias - 1)
    power, rest = ending.powers()
    half = (power * p + power) * rest
    return half + 0.25 / half


def _sinh(x: Value) -> Value:
    """sinh x as 2q + q/(2q + ½) of q = (e^|x| − 1)/4. Within 2.6 ulp."""
    size = abs(x)
    p, ending = _reduced(size.most(x.of(89.5, 710.5)), x.bias - 2)
    quarter = ending.power()
    q = quarter * p + (quarter - 0.25)
    value = 2 * q + q / (2 * q + 0.5)
    return x.select(size < x.of(2**-26, 2**-55), size, value).signed_as(x)


def _tanh(x: Value) -> Value:
    """tanh x by one division, within 3.4 ulp and never beyond ±1.

    With 2|x| = n·ln 2 + r, tanh(r/2) = b/a and s = 2ⁿ⁻¹ − ½, tanh |x| is the same fraction of
    s·(a + b) + b and s·(a + b) + a.
    """
    size = abs(x).most(x.of(9.02, 19.07))
    n, ending = size.nearest(2 / math.log(2), x.bias - 1)
    r = size + size - n * math.log(2)
    z = r * r
    a, b = z.polynomial("tangent below"), r + r * z * z.polynomial("tangent above")
    shared = (ending.power() - 0.5) * (a + b)
    return ((shared + b) / (shared + a)).signed_as(x)


def _sech2(x: Value) -> Value:
    """1 − tanh² x, also where that is subnormal, by one division. Within 4 ulp.

    With 2|x| = n·ln 2 + r, tanh(r/2) = b/a, h = 2⁻ⁿ and d = a·(1 + h) + b·(1 − h) it is 4h·(a +
    b)·(a − b)/d².
    """
    high, low = LN2[x.number.__name__]
    size = abs(x).most(x.of(53, 373.5))
    n, ending = size.nearest(-2 / math.log(2), 2 * x.bias + 2)  # −n
    r = size + size + n * high + n * low
    z = r * r
    a, b = z.polynomial("tangent below"), r + r * z * z.polynomial("tangent above")
    power, rest = ending.powers()
    h = power * (rest * 0.25)
    inverse = 1 / (a * (1 + h) + b * (1 - h))
    return ((a + b) * inverse) * ((a - b) * inverse * power) * rest


def _composed(f: Value, e: Value) -> Value:
    """log(1 + f) − e·ln 2 by 2·artanh(s/2) of s = 2f/(2 + f)."""
    s = f / (1 + 0.5 * f)
    z = s * s
    return s + s * z * z.polynomial("logarithm") - e * math.log(2)


def _defined(value: Value, x: Value, u: Value) -> Value:
    """A logarithm of u = x or 1 + x where u is positive and finite, and its limits elsewhere."""
    value = x.select(x < math.inf, value, x)
    return x.select(u > 0, value, x.select(u.equals(0), -math.inf, math.nan))


def _log(x: Value) -> Value:
    """log x. Within 2.1 ulp."""
    small = x < float(np.finfo(x.number).smallest_normal)
    y = x.select(small, x * 2.0**x.digits, x)
    e, shift = y.exponent()
    return _defined(_composed(y.scaled(shift) - 1, e + x.select(small, x.digits, 0)), x, x)


def _log1p(x: Value) -> Value:
    """log(1 + x), of 1 + x = 2ᵉ·(1 + f) without rounding. Within 2.4 ulp."""
    u = 1 + x
    e, shift = u.exponent()
    twice = Value(x.build, x.constant(2)).scaled(shift)  # 2·2⁻ᵉ, for e up to that of the largest
    return _defined(_composed(x.scaled(shift) - (1 - 0.5 * twice), e), x, u)


def _upper(x: Value, weight: Value | float = 1, rest: Value | float = 0) -> Value:
    """w·erfc(x + d) of x ≥ 0 and a small d, exp(−(x + d)²)/(1 + 2x)·(1 + f) with a fraction f from
    0 to 0.2.

    x² is in two parts, the first of them exact; of d² nothing is left.
    """
    most = x.of(10.4, 27.5)
    size = x.most(most)
    short = size.shortened()
    square = (size - short) * (size + short) + 2 * size * rest
    p, ending = _reduced(-1 * short * short, 2 * x.bias, square)
    power, scale = ending.powers()
    value = (power * p + power) / (1 + 2 * size)
    f = size * size.polynomial("upper above") / size.polynomial("upper below")
    return x.select(x > most, 0, (value + value * f) * weight * scale)


def _erf(x: Value) -> Value:
    """erf x as 1 − exp(−y), by a polynomial y of |x|. Within 1.9 ulp and never beyond ±1."""
    size = abs(x).most(x.of(4, 6))
    p, ending = _reduced(-1 * (size + size * size.polynomial("error")), x.bias)
    power = ending.power()
    return ((1 - power) - power * p).signed_as(x)


def _erfc(x: Value) -> Value:
    """1 − erf x, also where that is subnormal. Within 3.3 ulp."""
    upper = _upper(abs(x))
    return x.select(x < 0, 2 - upper, upper)


def _parts(u: Value, low: Value, v: Value) -> tuple[Value, Value]:
    """u·v of u + low: what is exact in the digits of the type, and what is left; 0 where that does
    not matter, for it may not be a number.
    """
    short, shorter = u.shortened(), v.shortened()
    product = short * shorter
    rest = short * (v - shorter) + (u - short) * v + low * v
    return product, product.select(abs(product) < 1000, rest, 0)


def _exp_product(w: Value, u: Value, low: Value, v: Value) -> Value:
    """w·exp(u·v), also where exp(u·v) is subnormal. Within 2 ulp."""
    x, rest = _parts(u, low, v)
    least = x.of(-115, -759)
    p, ending = _reduced(x.limited(least, x.of(89, 710)), 2 * x.bias, -1 * rest)
    power, scale = ending.powers()
    return x.select(x < least, 0, (power * p + power) * w * scale)


def _erfc_product(w: Value, u: Value, low: Value, v: Value) -> Value:
    """w·erfc(u·v), also where erfc(u·v) is subnormal. Within 4 ulp."""
    exact, left = _parts(u, low, v)
    x = exact + left
    rest = (exact - x) + left
    upper = _upper(abs(x), w, x.select(x < 0, -1 * rest, rest))
    return x.select(x < 0, 2 * w - upper, upper)


FORMULAS = (_cosh, _erf, _erfc, _exp, _expm1, _log, _log1p, _sech2, _sinh, _tanh)
FUNCTIONS = {formula.__name__[1:]: _function(formula) for formula in FORMULAS}
cosh, erf, erfc, exp, expm1, log, log1p, sech2, sinh, tanh = FUNCTIONS.values()
PRODUCTS = {f.__name__[1:]: _function_of_product(f) for f in (_erfc_product, _exp_product)}
erfc_product, exp_product = PRODUCTS.values()
