"""Sums over the rows of a batch come before the other terms of the same tensor.

They are what a block of rows adds to; the rest, such as the gradient of a penalty, which reads the
weight alone, then joins the loop that uses the whole sum.
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Symbol

from symprop.equation import Equation, Recurrence, flat
from symprop.program import Program
from symprop.tensor import extent, label_of


def rows_first(program: Program, size: Symbol) -> Program:
    """The program; a term without rows that stands before a sum over rows into its tensor moves to
    where the tensor is used.
    """
    groups = list(program.equations)
    for place in reversed(range(len(groups))):
        later = _place(groups, place, size)
        if later is not None:
            groups.insert(later, groups.pop(place))
    return replace(program, equations=tuple(groups))


def _place(groups: list[Equation | Recurrence], place: int, size: Symbol) -> int | None:
    """The last place that a term may move to, if it then stands behind a sum over rows."""
    term = groups[place]
    if not isinstance(term, Equation) or term.reduce != "sum" or _has_rows(term, size):
        return None
    read = {label_of(access) for access in term.reads}
    behind = False
    for later, group in enumerate(groups[place + 1 :], start=place):
        for equation in flat((group,)):
            if equation.label in read or term.label in map(label_of, equation.reads):
                return later if behind else None
            behind |= equation.label == term.label and _has_rows(equation, size)
    return len(groups) - 1 if behind else None


def _has_rows(equation: Equation, size: Symbol) -> bool:
    return any(extent(index) == size for index in equation.over)
