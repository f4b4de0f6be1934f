"""Formulas as functions of a point: an expression is read once, into nested Python functions.

Numbers are whole numbers, fractions, or, where a function or a root leads out of the rationals,
real numbers of 120 digits. A point holds the elements of all tensors and the values of the indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any, Protocol

from mpmath import MPContext
from sympy import Expr, Idx, Indexed, Rational, Symbol

from symprop.equation import Equation
from symprop.errors import DerivationError, LoweringError
from symprop.tensor import label_of, subscripts_of

Number = Any
"""int, Fraction or a real number of ``REALS``."""
Key = tuple[int, ...]

REALS = MPContext()
"""Real numbers of our own precision: that of other users of mpmath stays as it is."""
REALS.dps = 120
REALS.trap_complex = True

HALF = 2**100
STEP = Fraction(1, HALF)
"""Central differences with this step are right to 2⁻²⁰⁰ ≈ 10⁻⁶⁰ times the third derivative."""
LARGEST = 10**100
"""A larger number is as good as infinite: what follows from it means nothing."""
LONG = 4096
"""A fraction with more bits below the line goes on as a real number."""


class Point(Protocol):
    """Where formulas are evaluated."""

    values: dict[str, Any]
    """An object array for every tensor, by label."""
    at: dict[Expr, int]
    """The values of indices and sizes."""
    kinks: int
    """How many comparisons of real numbers found both sides equal."""

    def extent(self, index: Idx) -> int: ...
    def defining(self, label: str) -> tuple[Equation, ...]: ...


Term = Callable[[Point], Number]


@lru_cache(maxsize=65536)
def compiled(node: Expr) -> Term:
    """The formula as a function of a point."""
    if isinstance(node, Idx):
        return lambda point: point.at[node]
    if isinstance(node, Indexed):
        return _element(node)
    if isinstance(node, Symbol):
        return _scalar(node)
    if node.is_Number or node.is_NumberSymbol:
        number = exact_number(node)
        return lambda point: number
    build = FORMS.get(type(node).__name__)
    if build is not None:
        return build(*node.args)
    if type(node).__name__ in FUNCTIONS:
        return _applied(FUNCTIONS[type(node).__name__], *map(compiled, node.args))
    raise LoweringError(f"{type(node).__name__} cannot be evaluated: {node}")


def exact_number(node: Expr) -> Number:
    """A number of SymPy: 3, 2/3, and π or √2 as real numbers."""
    if node.is_Integer:
        return int(node)
    if node.is_Rational or node.is_Float:
        return Fraction(*map(int, Rational(node).as_numer_denom()))
    return REALS.mpf(str(node.evalf(REALS.dps + 5)))


def subscript_key(access: Expr) -> Callable[[Point], Key]:
    """Which element of its tensor an access means."""
    subscripts = subscripts_of(access)
    if all(isinstance(subscript, Idx) for subscript in subscripts):
        return lambda point: tuple([point.at[subscript] for subscript in subscripts])
    terms = tuple(map(compiled, subscripts))

    def key(point: Point) -> Key:
        found = tuple(int(term(point)) for term in terms)
        if any(number < 0 for number in found):
            raise DerivationError(f"{access}: there is no element {found}")
        return found

    return key


def _element(node: Expr) -> Term:
    label, key = str(label_of(node)), subscript_key(node)
    return lambda point: point.values[label][key(point)]


def _scalar(node: Expr) -> Term:
    """A size, or a tensor without axes."""
    label = str(node)

    def scalar(point: Point) -> Number:
        return point.at[node] if node in point.at else point.values[label][()]

    return scalar


def _applied(function: Callable[..., Number], *arguments: Term) -> Term:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda point: function(only(point))
    return lambda point: function(*(argument(point) for argument in arguments))


def _sum(*arguments: Expr) -> Term:
    first, *rest = map(compiled, arguments)

    def total(point: Point) -> Number:
        found = first(point)
        for term in rest:
            found = found + term(point)
        return found

    return total


def _product(*arguments: Expr) -> Term:
    first, *rest = map(compiled, arguments)

    def multiplied(point: Point) -> Number:
        found = first(point)
        for term in rest:
            found = found * term(point)
        return found

    return multiplied


def _power(base: Expr, exponent: Expr) -> Term:
    return _applied(power, compiled(base), compiled(exponent))


def power(base: Number, exponent: Number) -> Number:
    """u to the power of v: of rationals with a whole exponent a rational."""
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        exponent = exponent.numerator
    if not isinstance(exponent, int):
        return _root_or_power(base, exponent)
    if isinstance(base, int):
        base = Fraction(base)
    if isinstance(base, Fraction) and abs(exponent) * base.denominator.bit_length() > LONG:
        base = REALS.convert(base)
    return base**exponent


def _root_or_power(base: Number, exponent: Number) -> Number:
    if exponent in (Fraction(1, 2), Fraction(-1, 2)):
        root = REALS.sqrt(base)
        return root if exponent > 0 else 1 / root
    return REALS.power(base, REALS.convert(exponent))


def real(name: str) -> Callable[[Number], Number]:
    """mpmath's function of that name; what overflows is refused before it takes for ever."""
    function = getattr(REALS, name)

    def value(u: Number) -> Number:
        if not -LARGEST < u < LARGEST or (name in STEEP and abs(u) > 10**6):
            raise OverflowError(f"{name} of a number as large as {float(u)}")
        return function(u)

    return value


STEEP = ("exp", "sinh", "cosh")


def sign(u: Number) -> int:
    """−1, 0 or 1."""
    return int(u > 0) - int(u < 0)


def _compared(holds: Callable[[int], bool], kinked: bool = True) -> Callable[..., Term]:
    """The indicator that the sign of u − v holds."""

    def build(left: Expr, right: Expr) -> Term:
        gap = _gap(left, right, kinked)
        return lambda point: int(holds(sign(gap(point))))

    return build


def _gap(left: Expr, right: Expr, kinked: bool = True) -> Term:
    """u − v; where both are equal, and no indices, the point lies on a kink."""
    u, v = compiled(left), compiled(right)

    def gap(point: Point) -> Number:
        first, second = u(point), v(point)
        found = first + -second
        if found == 0 and kinked and not (isinstance(first, int) and isinstance(second, int)):
            point.kinks += 1
        return found

    return gap


def _sign(argument: Expr) -> Term:
    gap = _gap(argument, Rational(0))
    return lambda point: sign(gap(point))


def _absolute(argument: Expr) -> Term:
    gap = _gap(argument, Rational(0))
    return lambda point: abs(gap(point))


def _extreme(larger: bool) -> Callable[..., Term]:
    def build(left: Expr, right: Expr) -> Term:
        u, v, gap = compiled(left), compiled(right), _gap(left, right)
        return lambda point: (u if (gap(point) > 0) == larger else v)(point)

    return build


def _floor(left: Expr, right: Expr) -> Term:
    u, v = compiled(left), compiled(right)
    return lambda point: math.floor(u(point) / v(point))


def _select(condition: Expr, left: Expr, right: Expr) -> Term:
    """Only the branch taken is evaluated: the other may have no value."""
    holds, u, v = compiled(condition), compiled(left), compiled(right)
    return lambda point: u(point) if holds(point) != 0 else v(point)


def points(point: Point, loops: Iterable[Idx]) -> Iterator[None]:
    """Let the indices take all their values, one after the other."""
    loops = tuple(loops)
    outer = point.at
    point.at = inner = dict(outer)
    for numbers in product(*[range(point.extent(index)) for index in loops]):
        inner.update(zip(loops, numbers, strict=True))
        yield
    point.at = outer


def _total(body: Expr, *loops: Idx) -> Term:
    term = compiled(body)

    def total(point: Point) -> Number:
        found: Number = 0
        for _ in points(point, loops):
            found = found + term(point)
        return found

    return total


def _largest(body: Expr, *loops: Idx) -> Term:
    term = compiled(body)

    def largest(point: Point) -> Number:
        found = None
        for _ in points(point, loops):
            found = larger(point, found, term(point))
        return found

    return largest


def larger(point: Point, known: Number | None, value: Number) -> Number:
    """The larger of a number, where there is one already, and another."""
    if known is None:
        return value
    gap = value + -known
    point.kinks += gap == 0
    return value if gap > 0 else known


def _rate(body: Expr, element: Expr) -> Term:
    """The derivative by central differences: what is read is moved, not the formula."""
    label, key = str(label_of(element)), subscript_key(element)
    if not isinstance(body, (Indexed, Symbol)):
        return _slope(compiled(body), label, key)
    if str(label_of(body)) == label:
        own = subscript_key(body)
        return lambda point: int(own(point) == key(point))
    return _slope(_redefined(body), label, key)


def _slope(term: Term, label: str, key: Callable[[Point], Key]) -> Term:
    def slope(point: Point) -> Number:
        array, place = point.values[label], key(point)
        kept = array[place]
        try:
            array[place] = kept + STEP
            above = term(point)
            array[place] = kept + -STEP
            below = term(point)
        finally:
            array[place] = kept
        return (above + -below) * (HALF // 2)

    return slope


def _redefined(access: Expr) -> Term:
    """An element, computed anew by the equations that define its tensor."""
    label, key = str(label_of(access)), subscript_key(access)

    def element(point: Point) -> Number:
        place = key(point)
        equations = point.defining(label)
        if not equations:
            return point.values[label][place]
        found: Number = None if equations[0].reduce == "max" else 0
        for equation in equations:
            found = _put(point, equation, place, found)
        return found

    return element


def _put(point: Point, equation: Equation, place: Key, found: Number) -> Number:
    """What an equation makes of one element of its target that is ``found`` before."""
    if equation.reduce == "set":
        raise DerivationError(f"{equation}: the derivative of what is assigned is not defined")
    term, key = compiled(equation.value), subscript_key(equation.target)
    pairs = zip(subscripts_of(equation.target), place, strict=True)
    known = {subscript: number for subscript, number in pairs if isinstance(subscript, Idx)}
    outer = point.at
    point.at = {**outer, **known}
    for _ in points(point, [index for index in equation.loops if index not in known]):
        if key(point) == place:
            value = term(point)
            found = larger(point, found, value) if equation.reduce == "max" else found + value
    point.at = outer
    return found


FUNCTIONS: dict[str, Callable[..., Number]] = {
    name: real(name)
    for name in (
        *("exp", "log", "erf", "erfc", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "log1p", "expm1"),
    )
} | {
    "sech2": lambda u: 1 - real("tanh")(u) ** 2,
    "exp_product": lambda w, u, v: w * real("exp")(u * v),
    "erfc_product": lambda w, u, v: w * real("erfc")(u * v),
}
"""The scalar functions by the names that SymPy and mpmath share."""

FORMS: dict[str, Callable[..., Term]] = {
    "Add": _sum,
    "Mul": _product,
    "Pow": _power,
    "Greater": _compared(lambda s: s > 0),
    "GreaterEqual": _compared(lambda s: s >= 0),
    "Equal": _compared(lambda s: s == 0, kinked=False),
    "Sign": _sign,
    "Absolute": _absolute,
    "Maximum": _extreme(True),
    "Minimum": _extreme(False),
    "Floor": _floor,
    "Select": _select,
    "Total": _total,
    "Largest": _largest,
    "Rate": _rate,
}
"""What is more than a function of the values of its arguments."""
