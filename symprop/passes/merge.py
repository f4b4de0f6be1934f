"""Merging: equations that add to the same elements without a sum become one, in the shortest form.

δ += a/m,  δ += −y/m    →    δ += (a − y)/m
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add

from symprop.equation import Equation
from symprop.passes.algebra import tidy
from symprop.passes.rewrite import bind, blocks, in_derivatives, is_settled, replaced
from symprop.program import Program


def merge(program: Program) -> Program:
    """Merge the equations of each cotangent that have the same loops and no sum."""
    inside = blocks(program)
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, equation in enumerate(program.flat):
        if program.by_label[equation.label].order > 0 and _mergeable(program, equation):
            groups.setdefault((equation.label, inside[position]), []).append(position)
    changes: dict[int, tuple[Equation, ...]] = {}
    for positions in groups.values():
        changes.update(_merged(program, positions))
    return replaced(program, changes)


def _mergeable(program: Program, equation: Equation) -> bool:
    once = not equation.over and bind(equation.target, equation.target) is not None
    settled = equation.label not in program.assigned and is_settled(program, equation)
    return equation.reduce == "sum" and once and settled


def _merged(program: Program, positions: list[int]) -> dict[int, tuple[Equation, ...]]:
    equations = [program.flat[position] for position in positions]
    *_, last = equations
    if len(equations) == 1:
        return {}
    values = [e.value.xreplace(bind(e.target, last.target) or {}) for e in equations]
    one = replace(last, value=tidy(Add(*values)))
    return {**dict.fromkeys(positions[:-1], ()), positions[-1]: (one,)}


def tidy_values(program: Program) -> Program:
    """Bring every derivative into its cheapest form."""
    return in_derivatives(program, lambda e: replace(e, value=tidy(e.value)))
