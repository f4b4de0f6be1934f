"""Sizes as factors of sums: a/m − y/m as (a − y)/m.

Rules that know a difference, such as 1 − a² or eᵘ − 1, then find it without the number of rows.
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr, Mul, Pow, Symbol

from symprop.passes.rewrite import in_derivatives
from symprop.program import Program
from symprop.tensor import accesses


def sizes_outside(program: Program) -> Program:
    """Take the sizes that all terms of a sum share out of it, in every derivative."""
    return in_derivatives(program, lambda e: replace(e, value=without_sizes(e.value)))


def without_sizes(value: Expr) -> Expr:
    """u/m + v/m as (u + v)/m, in a product of sums and powers of them.

    >>> from sympy import symbols
    >>> m, u, v = symbols("m", integer=True), *symbols("u v")
    >>> without_sizes(v * (u**2 / m - 1 / m))
    v*(u**2 - 1)/m
    """
    if not any(access.is_integer for access in accesses(value)):
        return value
    if isinstance(value, Pow) and value.exp.is_Integer:
        return without_sizes(value.base) ** value.exp
    if isinstance(value, Mul):
        return Mul(*map(without_sizes, value.args))
    if isinstance(value, Add):
        terms = [without_sizes(term) for term in value.args]
        first, *others = map(_size_of, terms)
        if first != 1 and all(size == first for size in others):
            return first * Add(*(term / first for term in terms))
        return Add(*terms)
    return value


def _size_of(term: Expr) -> Expr:
    """The sizes among the factors of a term."""
    parts = ((part, part.as_base_exp()) for part in Mul.make_args(term))
    return Mul(*(p for p, (base, _) in parts if isinstance(base, Symbol) and base.is_integer))
