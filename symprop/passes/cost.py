"""What a scalar value costs: the work of computing it, and its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from sympy import Add, Expr, Idx, Indexed, Mul, Pow, Symbol, exp, preorder_traversal

from symprop.passes.signs import sign_of
from symprop.primitives import KINKED
from symprop.tensor import accesses


@lru_cache(maxsize=65536)
def cost(value: Expr) -> int:
    """The work of computing a value once, in tenths of an addition; a repeated part counts once."""
    return sum(_node_cost(node) for node in _parts(value)) + (1000 if overflows(value) else 0)


def overflows(value: Expr) -> bool:
    """Whether the same exponential stands above and below a fraction bar: ∞/∞ where the value is
    finite.
    """
    if not value.has(exp):
        return False
    below = {power for power in _parts(value) if isinstance(power, Pow) and power.exp.is_negative}
    inside = {leaf for power in below for leaf in _exponentials(power.base) if not is_decay(leaf)}
    above = value.xreplace({power: Symbol("ratio") for power in below}) if inside else value
    return bool(inside & set(_exponentials(above)))


def _exponentials(value: Expr) -> Iterator[Expr]:
    """The exponentials of a value, those in the exponents of others left out."""
    if isinstance(value, exp):
        yield value
    else:
        for part in value.args:
            yield from _exponentials(part)


def is_decay(leaf: Expr) -> bool:
    """Whether an exponential is exp(−|u|), exp(−u²), exp(−eᵘ): at most 1."""
    return sign_of(leaf.args[0]) == -1


@lru_cache(maxsize=65536)
def _parts(value: Expr) -> frozenset[Expr]:
    if isinstance(value, (Indexed, Idx)) or not value.args:
        return frozenset((value,))
    return frozenset((value,)).union(*(_parts(argument) for argument in value.args))


def _node_cost(node: Expr) -> int:
    if not accesses_elements(node):
        return 1 if node.args else 0  # depends on numbers and sizes only: computed once
    if isinstance(node, (Indexed, Symbol)):
        return 10
    if isinstance(node, (Add, Mul)):
        division = 30 if any(is_divisor(argument) for argument in node.args) else 0
        fixed = [argument for argument in node.args if not accesses_elements(argument)]
        scaling = 10 * any(argument != -1 for argument in fixed) + (-1 in fixed)
        return 10 * (len(node.args) - len(fixed) - 1) + scaling + division
    if isinstance(node, Pow):
        return _power_cost(node.exp) - (30 if is_divisor(node) else 0)
    return 10 if isinstance(node, KINKED) else 200


def is_divisor(node: Expr) -> bool:
    """Whether a power in a product is a divisor: all of them together cost one division."""
    negative = isinstance(node, Pow) and node.exp.is_Integer and node.exp.is_negative
    return negative and accesses_elements(node) and not node.has(exp)


def _power_cost(exponent: Expr) -> int:
    if exponent.is_Integer:
        return 20 * (abs(int(exponent)) - 1) + (40 if exponent < 0 else 0)
    return 60 if exponent.is_Rational and exponent.q == 2 else 200


def accesses_elements(value: Expr) -> bool:
    """Whether a value depends on elements of tensors, not on numbers and sizes alone."""
    return any(not access.is_integer for access in accesses(value))


def cheapest(values: Iterable[Expr]) -> Expr:
    """The one of least effort; of those, the first."""
    return min(values, key=effort)


def effort(value: Expr) -> tuple[int, int]:
    """What decides between equal values: the cost, then the length as it is written."""
    return cost(value), parts_of(value)


def parts_of(value: Expr) -> int:
    """The length of a value as it is written: every symbol, number and operation."""
    return sum(1 for _ in preorder_traversal(value))
