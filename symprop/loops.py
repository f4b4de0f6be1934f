"""The loops of a nest: their order, who assigns first, and what needs no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf, prod

from sympy import Expr, Idx, S, Symbol

from symprop.program import Program
from symprop.steps import Nest, Statement, Step, is_plain, touched
from symprop.tensor import extent, indices, label_of, subscripts_of

SHORT = 16
"""A reduction over at most so many points goes innermost, where the compiler unrolls it."""


def start_value(program: Program, label: Symbol) -> Expr:
    """The value that a tensor starts from: 0, or −∞ under a maximum."""
    maxima = any(equation.reduce == "max" for equation in program.defined.get(label, ()))
    return S.NegativeInfinity if maxima else S.Zero


def _known(loops: Iterable[Idx]) -> float:
    """How many points the loops have; infinitely many if a size is known only at run time."""
    return prod(int(extent(i)) if extent(i).is_Integer else inf for i in loops)


def covers(nest: Nest, statement: Statement, fixed: Idx | None, program: Program) -> bool:
    """Whether a first writer puts a value into each element of its target, each exactly once."""
    outer = set(nest.loops[: nest.depth(statement)])
    starts = (statement.reduce == "max") == (start_value(program, statement.label) != 0)
    return (
        (starts or statement.reduce == "set")
        and is_plain(statement.target)
        and set(indices(statement.target)) - {fixed} == outer
    )


def ordered(statements: list[Statement]) -> tuple[Idx, ...]:
    """The loops in order: innermost the index that most elements have as last subscript.

    If that index is reduced, the other reduced ones come just outside it, so that the sum stays in
    a register. A short reduction comes innermost of all.
    """
    for statement in statements:
        if statement.reduce == "set" and not is_plain(statement.target):
            return statement.loops
    loops, written = statements[0].loops, indices(statements[0].target)
    own = [index for index in loops if index in written]
    over = [index for index in loops if index not in written]
    if not loops:
        return ()
    weight = dict.fromkeys((*reversed(own), *reversed(over)), 0)
    for access in dict.fromkeys(access for s in statements for access in (s.target, *s.reads)):
        last = subscripts_of(access)[-1:]
        for index in indices(last[0]) if last else ():
            if index in weight and extent(index) != 1 and last[0].coeff(index) == 1:
                weight[index] += len(indices(access))
    inner = max(weight, key=lambda index: weight[index])
    if inner in own and over and _known(over) <= SHORT:
        return (*(i for i in own if i != inner), inner, *over)
    return (*(i for i in own if i != inner), *(i for i in over if i != inner), inner)


def flattened(nest: Nest, program: Program) -> Nest | None:
    """The nest as one loop over the elements as they lie in memory; None where it has others.

    Every element is that of the loop's point, whatever the shape, or the same at all points.
    """
    if not nest.loops or not all(extent(index).is_Integer for index in nest.loops):
        return None
    size = prod(int(extent(index)) for index in nest.loops)
    one = Idx("n", size)
    names = {}
    for access in {a for s in nest.statements for a in (s.target, *s.reads)}:
        found = indices(access)
        tensor = program.by_label.get(label_of(access))
        if found and tensor and subscripts_of(access) == nest.loops:
            if (
                tensor.shape != tuple(map(extent, nest.loops))
                or label_of(access) in program.integers
            ):
                return None
            names[access] = access.base[(S.Zero,) * (len(nest.loops) - 1) + (one,)]
        elif found:
            return None
    if any(nest.depth(s) < len(nest.loops) or s.reduce == "max" for s in nest.statements):
        return None
    values = [s.value.xreplace(names) for s in nest.statements]
    if not names or any(set(indices(value)) - {one} for value in values):
        return None
    return Nest(
        (one,),
        tuple(
            replace(s, target=s.target.xreplace(names), value=value, loops=(one,))
            for s, value in zip(nest.statements, values, strict=True)
        ),
    )


def without_stores(
    steps: tuple[Step, ...], kept: set[Symbol]
) -> tuple[tuple[Step, ...], set[Symbol]]:
    """The steps, with tensors that live at one point of one nest only made local; their labels."""
    uses: dict[Symbol, int] = {}
    for step in steps:
        for label in touched(step):
            uses[label] = uses.get(label, 0) + 1
    local = {
        label
        for nest in _nests(steps)
        for label in _only_here(nest)
        if label not in kept and uses[label] == 1
    }
    return tuple(_unstored(step, local) for step in steps), local


def _only_here(nest: Nest) -> Iterator[Symbol]:
    """The tensors that the nest defines from nothing and whose accesses are all at one point."""
    for statement in nest.statements:
        touching = {
            access
            for other in nest.statements
            for access in (other.target, *other.reads)
            if label_of(access) == statement.label
        }
        if statement.fresh and len(touching) == 1 and nest.depth(statement) == len(nest.loops):
            yield statement.label


def _unstored(step: Step, local: set[Symbol]) -> Step:
    if isinstance(step, Nest):
        return replace(
            step,
            statements=tuple(replace(s, stored=s.label not in local) for s in step.statements),
        )
    return step


def _nests(steps: Iterable[Step]) -> Iterator[Nest]:
    """The nests outside recurrences."""
    return (step for step in steps if isinstance(step, Nest))
