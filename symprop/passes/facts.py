"""Declared facts: where a sum that is known occurs, its value takes its place.

Σ_k y[b, k] = 1:    x̄[s] += C · y[b, k] over k    →    x̄[s] += C
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Expr, Idx

from symprop.adjoint import partial
from symprop.equation import Equation, Fact
from symprop.passes.rewrite import replaced
from symprop.program import Program
from symprop.tensor import accesses, indices, label_of, subscripts_of


def apply_facts(program: Program) -> Program:
    """Use every declared fact wherever a derivative sums what it is about."""
    changes = {}
    for position, equation in enumerate(program.flat):
        if program.by_label[equation.label].order > 0:
            known = _with_facts(equation, program.facts)
            if known != equation:
                changes[position] = (known,)
    return replaced(program, changes)


def _with_facts(equation: Equation, facts: tuple[Fact, ...]) -> Equation:
    for fact in facts:
        for access in accesses(equation.value):
            if label_of(access) == label_of(fact.value):
                names = dict(zip(subscripts_of(fact.value), subscripts_of(access), strict=True))
                summed = tuple(names[index] for index in fact.over)
                equation = _with_sum(equation, access, summed, fact, names)
    return equation


def _with_sum(
    equation: Equation, access: Expr, summed: tuple[Idx, ...], fact: Fact, names: dict[Expr, Expr]
) -> Equation:
    if not set(summed) <= set(equation.over):
        return equation
    factor = partial(equation.value, access)
    alone = (factor * access - equation.value).expand() == 0
    if not alone or set(summed) & set(indices(factor)) or access in accesses(factor):
        return equation
    over = tuple(index for index in equation.over if index not in summed)
    return replace(equation, value=factor * fact.equals.xreplace(names), over=over)
