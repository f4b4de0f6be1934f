"""Signs: which sums add terms of one sign, and so cannot cancel."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from sympy import Add, Expr, Function, Mul, Pow, cosh, exp, log

from symprop.primitives import KINKED, Absolute, Indicator, Maximum, Minimum, Select


@lru_cache(maxsize=65536)
def sign_of(value: Expr) -> int | None:
    """1 where a value of real elements is never negative, −1 where it is never positive, 0 for 0;
    None where it may be both.

    >>> from sympy import Symbol
    >>> u = Symbol("u", real=True)
    >>> sign_of(-1 - u**2), sign_of(exp(u) / 2), sign_of(1 - exp(u))
    (-1, 1, None)
    """
    if value.is_number:
        return 0 if value.is_zero else _of_number(value)
    if isinstance(value, (exp, cosh, Absolute, Indicator)):
        return 1
    if isinstance(value, Pow):
        return _of_power(value)
    if isinstance(value, log):
        return sign_of(value.args[0] - 1)
    if isinstance(value, (Maximum, Minimum)):
        return _of_extreme(value)
    if not isinstance(value, (Add, Mul, Select)):
        return None
    signs = [sign_of(part) for part in value.args[isinstance(value, Select) :]]
    if None in signs:
        return None
    known = [sign for sign in signs if sign is not None]
    if isinstance(value, Mul):
        return prod(known)
    found = set(known) - {0}
    return found.pop() if len(found) == 1 else None if found else 0


def _of_extreme(value: Expr) -> int | None:
    """max(u, v) ≥ 0 where one of them is, ≤ 0 where both are; min(u, v) likewise."""
    side = 1 if isinstance(value, Maximum) else -1
    signs = {sign_of(part) for part in value.args}
    if side in signs or 0 in signs:
        return side
    return None if None in signs else -side


def _of_number(value: Expr) -> int | None:
    return 1 if value.is_positive else -1 if value.is_negative else None


def _of_power(power: Pow) -> int | None:
    """uⁿ for an even n is a square; a root and a power of a number are not negative."""
    base, exponent = power.as_base_exp()
    if not exponent.is_Integer or exponent % 2 == 0:
        return 1
    return sign_of(base)


def is_expm1(total: Expr) -> bool:
    """Whether a sum is c·eᵘ − c, which expm1 computes without a difference."""
    if not isinstance(total, Add) or len(total.args) != 2 or not total.args[0].is_number:
        return False
    return isinstance(-total.args[1] / total.args[0], exp)


def transcendental(value: Expr) -> set[Expr]:
    """The exponentials, logarithms, ... of a value: what costs more than arithmetic."""
    return {part for part in value.atoms(Function) if not isinstance(part, KINKED)}
