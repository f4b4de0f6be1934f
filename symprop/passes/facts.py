"""Declared facts: where a sum that is known occurs, its value takes its place.

Σ_k y[b, k] = 1:    x̄[s] += C · y[b, k] over k    →    x̄[s] += C
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Expr, Idx, Mul

from symprop.adjoint import partial
from symprop.equation import Equation, Fact
from symprop.passes.rewrite import replaced
from symprop.program import Program
from symprop.tensor import accesses, indices, label_of, subscripts_of


def apply_facts(program: Program) -> Program:
    """Use every declared fact wherever a derivative sums what it is about."""
    changes: dict[int, tuple[Equation, ...]] = {}
    for position, equation in enumerate(program.flat):
        if program.by_label[equation.label].order > 0:
            known = _with_facts(equation, program.facts)
            if known != equation:
                alone = len(program.defined[equation.label]) == 1
                changes[position] = (known,) if known.value != 0 or alone else ()
    return replaced(program, changes)


def _with_facts(equation: Equation, facts: tuple[Fact, ...]) -> Equation:
    for fact in facts:
        first = next(a for a in accesses(fact.value) if {*fact.over} <= {*subscripts_of(a)})
        for access in accesses(equation.value):
            if label_of(access) == label_of(first):
                names = dict(zip(subscripts_of(first), subscripts_of(access), strict=True))
                if not all(isinstance(name, Idx) for name in names.values()):
                    continue
                summed = tuple(names[index] for index in fact.over)
                if fact.value == first:
                    equation = _with_sum(equation, access, summed, fact, names)
                else:
                    equation = _with_total(equation, summed, fact, names)
    return equation


def _with_total(
    equation: Equation, summed: tuple[Idx, ...], fact: Fact, names: dict[Expr, Expr]
) -> Equation:
    """The same where the fact is about a value of several elements, here a factor of the sum's."""
    known = fact.value.xreplace(names)
    factors = Mul.make_args(equation.value)
    found = next((f for f in factors if f in (known, -known)), None)
    if found is None or not set(summed) <= set(equation.over):
        return equation
    rest = equation.value / found
    if set(summed) & set(indices(rest)):
        return equation
    over = tuple(index for index in equation.over if index not in summed)
    sign = 1 if found == known else -1
    return replace(equation, value=sign * rest * fact.equals.xreplace(names), over=over)


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
