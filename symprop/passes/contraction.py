"""Is this equation a matrix product, and of which transposes? Asked once, for printing and for
BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Idx, Indexed, Mul

from symprop.equation import Equation
from symprop.tensor import indices


@dataclass(frozen=True)
class Contraction:
    """target[…, row, column] += scale · Σ_summed left · right, where ``left`` has the row index and
    ``right`` the column.

    ``left`` and ``right`` are plain accesses whose subscripts are distinct indices. ``row`` is None
    where the target and ``left`` have no such index (vector times matrix), ``column`` likewise;
    ``batch`` are the indices shared by all. ``scale`` holds the remaining factors, none of which
    depends on the summed index.
    """

    scale: Expr
    left: Expr
    right: Expr
    summed: Idx
    row: Idx | None
    column: Idx | None
    batch: tuple[Idx, ...]


def contraction(equation: Equation) -> Contraction | None:
    """The equation as a product of two accesses summed over one index; None if it is not of that
    form.
    """
    if equation.reduce != "sum" or len(equation.over) != 1 or not _plain(equation.target):
        return None
    (summed,) = equation.over
    inside = [factor for factor in Mul.make_args(equation.value) if summed in indices(factor)]
    if len(inside) != 2 or not all(_plain(factor) for factor in inside):
        return None
    scale = Mul(
        *(factor for factor in Mul.make_args(equation.value) if summed not in indices(factor))
    )
    target = indices(equation.target)
    first, second = ({*indices(factor)} - {summed} for factor in inside)
    if (first | second) - set(target) or not set(target) <= first | second:
        return None
    batch = tuple(index for index in target if index in first & second)
    rest = [index for index in target if index not in batch]
    if len(rest) > 2 or len(first - {*batch}) > 1 or len(second - {*batch}) > 1:
        return None
    return _oriented(scale, inside, summed, rest, batch)


def _oriented(
    scale: Expr, factors: list[Expr], summed: Idx, rest: list[Idx], batch: tuple[Idx, ...]
) -> Contraction:
    """Put the factor that has the target's first free index on the left."""
    left, right = factors
    own = [[index for index in rest if index in indices(factor)] for factor in (left, right)]
    if (len(rest) == 2 and own[0] != rest[:1]) or (
        len(rest) == 1 and not own[0] and len(indices(left)) < len(indices(right))
    ):
        left, right, own = right, left, own[::-1]
    row, column = (found[0] if found else None for found in own)
    return Contraction(scale, left, right, summed, row, column, batch)


def _plain(access: Expr) -> bool:
    """Whether an access has distinct indices as subscripts, and nothing else."""
    subscripts = access.indices if isinstance(access, Indexed) else ()
    return (
        bool(subscripts)
        and all(isinstance(s, Idx) for s in subscripts)
        and len(set(subscripts)) == len(subscripts)
    )
