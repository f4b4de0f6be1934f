"""Layout: matrices that lie transposed in memory, where products would copy them transposed.

The first layer's weights, say, are read by one product only, z[b, j] += W[j, k]·x[b, k] over k,
which runs along vectors of j. With V[k, j] in the place of W[j, k], and for all that is updated
with it element by element (its gradient, the optimizer's state), there is nothing to copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from sympy import Expr, Symbol

from symprop.equation import Equation, Recurrence
from symprop.passes.orient import copied_operand, turned_tensor
from symprop.program import Program
from symprop.tensor import Tensor, accesses, label_of, subscripts_of

Layout = Mapping[Symbol, Tensor]
"""The tensor that takes the place of another, by the label of that."""


def layout(program: Program, lanes: int) -> Layout:
    """The parameters that every product would copy, and what is updated with them, each with the
    tensor of reversed axes that takes its place; products run in vectors of so many ``lanes``.
    """
    copied, read = set[Symbol](), set[Symbol]()
    for equation in program.flat:
        if equation.over and subscripts_of(equation.target):  # a sum of all elements is as fast
            found = copied_operand(equation, lanes)
            copied |= {label_of(found)} if found is not None else set()
            read |= {label_of(access) for access in equation.reads if access != found}
    parameters = {t.label for t in program.with_role("parameter")}
    names = {tensor.name for tensor in program.tensors}
    together = _with_companions(program, parameters & copied - read)
    return {t.label: turned_tensor(t, names) for t in program.tensors if t.label in together}


def laid_out(program: Program, found: Layout) -> Program:
    """The program with the tensors of a layout in the place of its own."""
    if not found:
        return program
    return replace(
        program,
        tensors=tuple(found.get(tensor.label, tensor) for tensor in program.tensors),
        outputs=tuple(found.get(tensor.label, tensor) for tensor in program.outputs),
        equations=tuple(_turned(group, found) for group in program.equations),
    )


def _with_companions(program: Program, labels: set[Symbol]) -> set[Symbol]:
    """The tensors, and the matrices whose elements are computed one by one with theirs."""
    pairs = [set(_elements(e)) for e in program.flat if not e.over] if labels else []
    found, grown = set(labels), True
    while grown:
        added = {label for pair in pairs if pair & found for label in pair} - found
        found |= added
        grown = bool(added)
    return found


def _elements(equation: Equation) -> Iterator[Symbol]:
    """The matrices of which an equation uses the same element as of its target."""
    if len(subscripts_of(equation.target)) == 2:
        for access in (equation.target, *equation.reads):
            if subscripts_of(access) == subscripts_of(equation.target):
                yield label_of(access)


def _turned(group: Equation | Recurrence, found: Layout) -> Equation | Recurrence:
    if isinstance(group, Recurrence):
        return replace(group, equations=tuple(_turned_equation(e, found) for e in group.equations))
    return _turned_equation(group, found)


def _turned_equation(equation: Equation, found: Layout) -> Equation:
    places = dict(_places((equation.target, *accesses(equation.value)), found))
    if not places:
        return equation
    target, value = (e.xreplace(places) for e in (equation.target, equation.value))
    return replace(equation, target=target, value=value)


def _places(used: Iterable[Expr], found: Layout) -> Iterator[tuple[Expr, Expr]]:
    for access in used:
        if label_of(access) in found:
            yield access, found[label_of(access)][tuple(reversed(subscripts_of(access)))]
