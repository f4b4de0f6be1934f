"""Values near 0 by their Taylor polynomials, where their own form is 0/0 or cancels there.

    (e^x − 1)/x   →   1 + x/2 + x²/6 + … for |x| < r

A value of one element x is expanded as a Laurent series with rational coefficients. Where terms
cancel that are larger than their sum, or where it divides by what vanishes, it is replaced by the
polynomial that has all digits of float64 for |x| < r.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import factorial

from sympy import (
    Add,
    Expr,
    Function,
    Integer,
    Mul,
    Pow,
    Rational,
    Symbol,
    asinh,
    atan,
    cos,
    cosh,
    exp,
    log,
    sin,
    sinh,
    tanh,
)
from sympy.codegen.cfunctions import expm1, log1p

from symprop.passes.algebra import LARGEST
from symprop.passes.cost import parts_of
from symprop.passes.powers import HALF
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Greater, Select
from symprop.tensor import accesses

TERMS = 44
"""Coefficients of a series; more than any radius below needs."""
RADII = tuple(Fraction(1, 1 << n) for n in range(4))
LONGEST = 18
"""More coefficients than that are not worth a larger radius."""
ULP = Fraction(1, 1 << 54)


class _NoSeriesError(Exception):
    """A value has no series with rational coefficients at 0."""


@dataclass(frozen=True)
class Series:
    """Σ_k c_k·x^(low + k), the first coefficient not 0 (none at all: 0)."""

    low: int
    coefficients: tuple[Fraction, ...]

    @classmethod
    def of(cls, low: int, given: list[Fraction]) -> Series:
        zeros = next((n for n, c in enumerate(given) if c), len(given))
        return cls(low + zeros, tuple(given[zeros:]))

    @property
    def end(self) -> int:
        """The first power that is not known."""
        return self.low + len(self.coefficients)

    def at(self, power: int) -> Fraction:
        known = 0 <= power - self.low < len(self.coefficients)
        return self.coefficients[power - self.low] if known else Fraction(0)

    def __add__(self, other: Series) -> Series:
        low, end = min(self.low, other.low), min(self.end, other.end)
        return Series.of(low, [self.at(k) + other.at(k) for k in range(low, end)])

    def __mul__(self, other: Series) -> Series:
        a, b = self.coefficients, other.coefficients
        total = [
            sum((a[i] * b[k - i] for i in range(k + 1) if a[i] and b[k - i]), Fraction(0))
            for k in range(min(len(a), len(b)))
        ]
        return Series.of(self.low + other.low, total)

    def power(self, exponent: Fraction) -> Series:
        """(c·x^n·(1 + u))^r by the recurrence of its coefficients (Knuth, TAOCP 2, 4.7).

        √(x²) = |x| has none.
        """
        lowest = self.low * exponent
        first = _root(self.coefficients[0], exponent) if self.coefficients else None
        even = exponent.denominator % 2 == 0
        if first is None or lowest.denominator != 1 or (even and lowest.numerator % 2):
            raise _NoSeriesError
        a = [c / self.coefficients[0] for c in self.coefficients]
        found = [Fraction(1)]
        for n in range(1, len(a)):
            terms = ((exponent * k - (n - k)) * a[k] * found[n - k] for k in range(1, n + 1))
            found.append(sum(terms, Fraction(0)) / n)
        return Series.of(int(lowest), [first * c for c in found])

    def into(self, function: Callable[[int], Fraction]) -> Series:
        """f(u) = Σ_k f_k·u^k of a series u without constant term."""
        if self.low < 1:
            raise _NoSeriesError
        total = _number(Fraction(0))
        for k in range(TERMS, -1, -1):
            total = (
                total * self + _number(function(k)) if total.coefficients else _number(function(k))
            )
        return total


def _number(value: Fraction) -> Series:
    return Series.of(0, [value] + [Fraction(0)] * (TERMS - 1))


def _root(value: Fraction, exponent: Fraction) -> Fraction | None:
    found = Rational(value.numerator, value.denominator) ** Rational(
        exponent.numerator, exponent.denominator
    )
    return Fraction(int(found.p), int(found.q)) if found.is_Rational else None


def _odd(k: int) -> bool:
    return k % 2 == 1


def _sign(k: int) -> int:
    return -1 if k // 2 % 2 else 1


@lru_cache(maxsize=1)
def _tangents() -> tuple[Fraction, ...]:
    """Those of tanh, by t′ = 1 − t²."""
    found = [Fraction(0)]
    for n in range(TERMS):
        square = sum((found[i] * found[n - i] for i in range(n + 1)), Fraction(0))
        found.append(((1 if n == 0 else 0) - square) / (n + 1))
    return tuple(found)


def _asinh(k: int) -> Fraction:
    if not _odd(k):
        return Fraction(0)
    n = k // 2
    return Fraction((-1) ** n * factorial(2 * n), 4**n * factorial(n) ** 2 * k)


COEFFICIENTS: dict[type, Callable[[int], Fraction]] = {
    exp: lambda k: Fraction(1, factorial(k)),
    expm1: lambda k: Fraction(1 if k else 0, factorial(k)),
    log1p: lambda k: Fraction((-1) ** (k + 1), k) if k else Fraction(0),
    sin: lambda k: Fraction(_sign(k) if _odd(k) else 0, factorial(k)),
    cos: lambda k: Fraction(0 if _odd(k) else _sign(k), factorial(k)),
    sinh: lambda k: Fraction(int(_odd(k)), factorial(k)),
    cosh: lambda k: Fraction(int(not _odd(k)), factorial(k)),
    tanh: lambda k: _tangents()[k],
    atan: lambda k: Fraction(_sign(k), k) if _odd(k) else Fraction(0),
    asinh: _asinh,
}
"""The Taylor coefficients of functions at 0."""
X = Symbol("x")


@lru_cache(maxsize=4096)
def series(value: Expr) -> Series:
    """The series of a value in x; raises where there is none."""
    if value == X:
        return Series.of(1, [Fraction(1)] + [Fraction(0)] * (TERMS - 1))
    if value.is_Rational:
        return _number(Fraction(int(value.p), int(value.q)))
    if isinstance(value, (Add, Mul)):
        first, *rest = map(series, value.args)
        for other in rest:
            first = first + other if value.is_Add else first * other
        return first
    if isinstance(value, Pow) and value.exp.is_Rational:
        return series(value.base).power(Fraction(int(value.exp.p), int(value.exp.q)))
    if isinstance(value, log):
        return series(value.args[0] - 1).into(COEFFICIENTS[log1p])
    if type(value) in COEFFICIENTS:
        return series(value.args[0]).into(COEFFICIENTS[type(value)])
    raise _NoSeriesError


Opened = tuple[tuple[Expr, Expr], ...]
"""Stored elements, each with its value in others that are read too."""


def near_zero(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """A value, with the parts that fail near 0 as polynomials there.

    With elements as plain symbols, so that equal layers need it once.
    """
    if not value.has(Add, Pow):
        return value
    read = [access for access in dict.fromkeys(accesses(value)) if not access.is_integer]
    short = {access: Symbol(f"x{number}") for number, access in enumerate(read)}
    opened = {short[a]: v.xreplace(short) for a, v in _opened(frozenset(read), stored).items()}
    plain = value.xreplace(short)
    found = _near_zero(plain, tuple(sorted(opened.items(), key=str)))
    if found == plain:
        return value
    return found.xreplace({symbol: access for access, symbol in short.items()})


@lru_cache(maxsize=16384)
def _near_zero(value: Expr, opened: Opened) -> Expr:
    if not value.args or value in accesses(value):
        return value
    in_difference = _by_difference(value)
    if in_difference is not None:
        return in_difference
    for part, rest in _candidates(value, opened):
        found = _polynomial(part, opened)
        if found is not None:
            return value.func(found, _near_zero(rest, opened)) if rest is not None else found
    changed = [_near_zero(part, opened) for part in value.args]
    return value.func(*changed) if changed != list(value.args) else value


def _by_difference(value: Expr) -> Expr | None:
    """A value of u − v alone, such as e^(u − v) − 1 − u + v, with its polynomial in that."""
    read = sorted(_elements(value), key=str)
    if len(read) != 2 or not isinstance(value, (Add, Mul, Pow)) or not value.has(Function):
        return None
    u, v = read
    difference = Symbol("difference")
    moved = value.xreplace({u: v + difference})
    if v in moved.free_symbols:
        return None
    found = _polynomial(moved, ())
    return None if found is None else found.xreplace({difference: u - v})


def _candidates(value: Expr, opened: Opened) -> Iterator[tuple[Expr, Expr | None]]:
    """A value itself; the factors or terms that are of one element, with the others."""
    if not isinstance(value, (Add, Mul, Pow)):
        return
    yield value, None
    if isinstance(value, (Add, Mul)):
        known = dict(opened)
        groups: dict[frozenset[Expr], list[Expr]] = {}
        for part in value.args:
            bases = (_elements(known.get(access, access)) for access in _elements(part))
            groups.setdefault(frozenset().union(*bases), []).append(part)
        for read, parts in groups.items():
            if len(read) == 1 and len(groups) > 1:
                rest = [part for part in value.args if part not in parts]
                yield value.func(*parts), value.func(*rest)


def _elements(value: Expr) -> frozenset[Expr]:
    return frozenset(access for access in accesses(value) if not access.is_integer)


def _polynomial(part: Expr, opened: Opened) -> Expr | None:
    """The part with its polynomial for |x| < r; None where it keeps its digits by itself."""
    names, element = _in_one_element(part, opened) if _may_fail(part) else ({}, None)
    plain = part.xreplace(names)
    if element is None or parts_of(plain) > LARGEST:
        return None
    try:
        found = series(plain)
        if not _fails(plain) or found.low < 0 or not found.coefficients:
            return None
    except (_NoSeriesError, ZeroDivisionError):
        return None
    near = _horner(found, element)
    return None if near is None else Select(Greater(near[0], Absolute(element)), near[1], part)


def _may_fail(part: Expr) -> bool:
    """Whether a part has a sum, or divides by an element."""
    return any(
        isinstance(node, Add) or (node.is_Pow and node.exp.is_negative) for node in _nodes(part)
    )


def _nodes(part: Expr) -> Iterator[Expr]:
    yield part
    for inner in part.args if isinstance(part, (Add, Mul, Pow)) else ():
        yield from _nodes(inner)


def _opened(read: frozenset[Expr], stored: Mapping[Symbol, Stored]) -> dict[Expr, Expr]:
    """Stored elements as values of others that are read too."""
    opened = {}
    for access in read:
        inner = computed(access, stored)
        if inner is not None and _elements(inner) <= read - {access}:
            opened[access] = inner
    return opened


def _in_one_element(part: Expr, opened: Opened) -> tuple[dict[Expr, Expr], Expr | None]:
    """What stands for each element that is read, in x; and the element that x stands for."""
    read = _elements(part)
    inner = {access: value for access, value in opened if access in read}
    others = [access for access in read if access not in inner]
    if len(others) != 1:
        return {}, None
    (element,) = others
    return {a: v.xreplace({element: X}) for a, v in inner.items()} | {element: X}, element


def _fails(node: Expr) -> bool:
    """Whether a value divides by what vanishes with x, or subtracts terms that are larger."""
    if isinstance(node, Add):
        lowest = min(series(term).low for term in node.args)
        cancels = series(node).low > lowest and not _has_rule(node)
        return cancels or any(_divides(term) for term in node.args)
    if isinstance(node, Mul):
        node = _without_difference(node)
        return _divides(node) or any(map(_fails, node.args))
    return isinstance(node, Pow) and _fails(node.base)


def _without_difference(node: Expr) -> Expr:
    """A product without (e^cx − 1)/x, for which there is a rule."""
    for part in node.args:
        if isinstance(part, Add) and _has_rule(part) and 1 / X in node.args:
            _, power = part.args[1].as_coeff_Mul()
            if isinstance(power, exp) and (power.args[0] / X).is_number:
                return node * X / part
    return node


def _divides(term: Expr) -> bool:
    """Whether a product has a factor that grows without bound near 0."""
    return any(series(part).low < 0 for part in Mul.make_args(term))


def _has_rule(node: Add) -> bool:
    """c·eᵘ − c, √(c² + u²) − c, c − c·cos u: rules keep their digits for every u."""
    _, power = node.args[-1].as_coeff_Mul() if len(node.args) == 2 else (1, X)
    return node.args[0].is_number and (
        isinstance(power, (exp, cos, cosh)) or (isinstance(power, Pow) and power.exp == HALF)
    )


def _horner(found: Series, element: Expr) -> tuple[Expr, Expr] | None:
    """r, and the polynomial for |x| < r, by Horner's rule, in x² where every other one is 0."""
    step = 1 if any(found.coefficients[1::2]) else 2
    c = [abs(value / found.coefficients[0]) for value in found.coefficients[::step]]
    for radius in RADII:
        sizes = [value * radius ** (step * k) for k, value in enumerate(c)]
        tails = (n for n in range(1, LONGEST + 1) if sum(sizes[n:]) <= ULP and n < len(sizes) - 2)
        number = next(tails, None)
        if number is not None and sum(sizes[:number]) <= 4:
            value: Expr = Integer(0)
            for coefficient in reversed(found.coefficients[: number * step : step]):
                exact = Rational(coefficient.numerator, coefficient.denominator)
                value = value * element**step + exact if value else exact
            return Rational(radius.numerator, radius.denominator), element**found.low * value
    return None


NEAR_ZERO = Rule(
    "series at 0",
    "(exp(u) − 1)/u, 1 − cos(u), what else is 0/0 or cancels at u = 0",
    "its Taylor polynomial for |u| < r, with as many terms as all digits of float64 need, where r "
    "is 1, or as small as 1/8 if more than 18 were needed",
    "u near 0: 0/0, or a difference of terms that are larger than it",
    near_zero,
    "stored",
)
"""The rule for what a value is near 0."""
