"""Slopes by a probability, told apart by what they are where the target is at each end.

    δ = F′(z)·(p − y)/(p·(1 − p)),  p = F(z)   →   δ = (1 − y)·F′(z)/(1 − F(z)) − y·F′(z)/F(z)

Where p has been rounded to 1 or has underflowed, the pole is 0/0 in p; in what p is computed from
each end is a quotient that other rules know, such as exp(−u²)/erfc(u).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sympy import (
    Add,
    Expr,
    Integer,
    Mul,
    Poly,
    Pow,
    Symbol,
    cancel,
    erf,
    erfc,
    exp,
    factor,
    fraction,
)

from symprop.passes.algebra import LARGEST, leaves
from symprop.passes.cost import parts_of
from symprop.passes.powers import HALF
from symprop.passes.rewrite import Stored, computed, replaced, stored_value
from symprop.passes.rule import Rule
from symprop.program import Program
from symprop.tensor import accesses, label_of

Range = tuple[Expr, Expr]


def by_ends(program: Program) -> Program:
    """Every slope that is linear in a target, with a pole at a probability, by its ends."""
    targets = {tensor.label for tensor in program.with_role("target")}
    stored = {
        label: known
        for label in (program.defined if targets else ())
        if (known := stored_value(program, label)) is not None and _is_tail(known.value)
    }
    changes = {}
    for position, equation in enumerate(program.flat if targets else ()):
        given = [access for access in accesses(equation.value) if label_of(access) in targets]
        if len(given) == 1 and equation.value.has(Pow):
            for p, inner, ends in _probabilities(equation.value, stored):
                value = _told_apart(equation.value, p, inner, ends, given[0])
                if value is not None:
                    changes[position] = (replace(equation, value=value),)
    return replaced(program, changes)


def _probabilities(
    value: Expr, stored: Mapping[Symbol, Stored]
) -> Iterator[tuple[Expr, Expr, Range]]:
    """The leaves of a value that are erf(u), … or stored, what each is computed from, and between
    which ends it is.
    """
    for leaf in leaves(value):
        inner = computed(leaf, stored) if leaf in accesses(leaf) else None
        if inner is not None:
            yield leaf, inner, (Integer(0), Integer(1))
        elif isinstance(leaf, (erf, erfc)):
            middle = Integer(isinstance(leaf, erfc))
            yield leaf, leaf, (middle - 1, middle + 1)


def _is_tail(value: Expr) -> bool:
    """Whether a value is erfc(u)/2, exp(−exp(v)), or what one of them leaves of 1."""
    number, rest = value.as_content_primitive()
    if isinstance(rest, Add) and len(rest.args) == 2:
        constant, (scale, function) = rest.args[0], rest.args[1].as_coeff_Mul()
        if isinstance(function, erf):
            return bool(constant == 1 and number == HALF)
        return bool(number * constant == 1) and _is_tail(-number * scale * function)
    if isinstance(rest, erfc):
        return bool(number == HALF)
    rate, power = rest.args[0].as_coeff_Mul() if isinstance(rest, exp) else (number, rest)
    return bool(number == 1 and rate.is_negative) and isinstance(power, exp)


def _told_apart(value: Expr, p: Expr, inner: Expr, ends: Range, y: Expr) -> Expr | None:
    """A value that is linear in y, by what it is where it has no pole at one end of p and at the
    other; None where it has no pole.
    """
    names = {leaf: Symbol(f"u{n}") for n, leaf in enumerate(leaves(value))}
    plain = value.xreplace(names)
    if y not in names or parts_of(plain) > LARGEST:
        return None
    at, target = names[p], names[y]
    above, below = fraction(cancel(plain))
    poles = below.has(at) and 0 in (below.subs(at, end) for end in ends)
    if not poles or below.has(target) or Poly(above, target).degree() != 1:
        return None
    low, high = (_root(above.subs(at, end), target) for end in ends)
    if low is None or high is None or low == high:
        return None
    known = {symbol: leaf for leaf, symbol in names.items()} | {at: inner}
    first, last = (_lowest(above.subs(target, end) / below).xreplace(known) for end in (low, high))
    return ((high - y) * first + (y - low) * last) / (high - low)


def _root(linear: Expr, y: Symbol) -> Expr | None:
    """The number y at which a linear value is 0."""
    slope = linear.diff(y)
    root = None if slope == 0 else cancel(y - linear / slope)
    return root if root is not None and root.is_number else None


def _lowest(quotient: Expr) -> Expr:
    """A quotient in lowest terms, and factored."""
    above, below = fraction(cancel(quotient))
    return Mul(factor(above), 1 / factor(below))


ENDS = Rule(
    "slope by its ends",
    "F′(z)·(p − y)/(p·(1 − p)), where p = F(z) is erfc(z)/2, exp(−exp(z)), …",
    "(1 − y)·F′(z)/(1 − F(z)) − y·F′(z)/F(z)",
    "every p: 0/0 where p has been rounded to 1 or has underflowed to 0",
    by_ends,
    "program",
)
"""The rule for programs with slopes by a probability."""
