"""The schedule of a program: which loops run, in which order, over which statements.

A Program says *what* each tensor is, a Schedule *how* it is computed. Equations become loop nests,
fused where they run over the same points, or matrix products. Only the shape of an equation
decides; what is not recognized runs as plain loops and costs speed, never correctness.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from math import inf, prod

from sympy import Expr, Idx, IndexedBase, S, Symbol

from symprop.equation import Equation, Recurrence, Reduce
from symprop.passes.contraction import Contraction, contraction
from symprop.program import Program
from symprop.steps import (
    Fill,
    Gemm,
    Loop,
    Nest,
    Schedule,
    Statement,
    Step,
    conflict,
    fusable,
    is_plain,
    touched,
)
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of

SHORT = 16
"""A reduction over at most so many points goes innermost, where the compiler unrolls it."""
REACH = 12
"""How many steps back an equation may move to join loops that it shares."""
PRODUCT_WORTH = 256
"""A product whose known extents multiply to less stays in plain loops: calling BLAS costs more."""


def schedule(
    program: Program,
    given: Collection[Symbol] | None = None,
    keep: Collection[Symbol] | None = None,
) -> Schedule:
    """The steps that run a program.

    ``given`` are the labels of the tensors that hold values before (by default all but the
    intermediate and constant ones); ``keep`` those that must hold theirs after (by default all).
    """
    if given is None:
        given = {t.label for t in program.tensors if t.role not in ("intermediate", "constant")}
    planner = _Planner(program, frozenset(given))
    planner.groups(program.equations)
    kept = [t.label for t in program.tensors if keep is None or t.label in keep]
    planner.touch(kept)
    steps, local = _without_stores(tuple(_finished(planner.items, program)), {*kept, *given})
    used = {label for step in steps for label in touched(step)} - local
    tensors = [t for t in (*program.tensors, *planner.temporaries) if t.label in used]
    return Schedule(
        steps,
        tuple(tensor for tensor in tensors if tensor.label in given),
        tuple(tensor for tensor in tensors if tensor.label not in given),
    )


class _Group:
    """A nest in the making: statements over the same set of loops."""

    def __init__(self, statement: Statement, fixed: Idx | None):
        self.statements = [statement]
        self.points = frozenset(statement.loops)
        self.fixed = fixed

    def takes(self, statement: Statement) -> bool:
        """Whether a statement may run at the same points, after those that are here, and uses some
        of their elements: arrays of its own, as for another parameter, would only crowd the loop.
        """
        return (
            self.points == set(statement.loops)
            and (not statement.loops or any(_shares(s, statement) for s in self.statements))
            and all(fusable(earlier, statement) for earlier in self.statements)
        )


def _shares(earlier: Statement, later: Statement) -> bool:
    """Whether two statements use the same element of an array."""
    elements = {a for a in (earlier.target, *earlier.reads) if subscripts_of(a)}
    return not elements.isdisjoint((later.target, *later.reads))


_Item = _Group | Gemm | Fill | Loop


class _Planner:
    """Turns equations into groups, products and fills, in order."""

    def __init__(self, program: Program, started: frozenset[Symbol], fixed: Idx | None = None):
        self.program, self.fixed = program, fixed
        self.started = set(started)
        self.items: list[_Item] = []
        self.temporaries: list[Tensor] = []
        self.stepwise: frozenset[Symbol] = frozenset()

    def groups(self, equations: Iterable[Equation | Recurrence]) -> None:
        for group in equations:
            if isinstance(group, Recurrence):
                self.recurrence(group)
            else:
                self.equation(group)

    def touch(self, labels: Iterable[Symbol]) -> None:
        """Fill the tensors that are used before any equation has given them a value."""
        for label in labels:
            if label in self.program.by_label and label not in self.started:
                self.started.add(label)
                self.items.append(Fill(label, _start(self.program, label)))

    def recurrence(self, group: Recurrence) -> None:
        """Its body is planned by itself; what it touches first is filled before its first step."""
        inner = _Planner(self.program, frozenset(), group.index)
        inner.stepwise = _stepwise(group, self.program) - self.started
        self.touch(
            label
            for equation in group.equations
            for label in (equation.label, *map(label_of, equation.reads))
            if label not in inner.stepwise
        )
        self.started |= inner.stepwise
        inner.started = self.started - inner.stepwise
        inner.temporaries = self.temporaries
        inner.groups(group.equations)
        steps = tuple(_finished(inner.items, self.program))
        self.items += [step for step in steps if isinstance(step, Fill)]
        body = tuple(step for step in steps if not isinstance(step, Fill))
        self.items.append(Loop(group.index, group.reverse, body))

    def equation(self, equation: Equation) -> None:
        self.touch(map(label_of, equation.reads))
        fresh = equation.label not in self.started
        self.started.add(equation.label)
        if not self.product(equation, fresh):
            loops = tuple(index for index in equation.loops if index != self.fixed)
            self.statement(
                Statement(equation.target, equation.value, loops, equation.reduce, equation, fresh)
            )

    def product(self, equation: Equation, fresh: bool) -> bool:
        """Plan a matrix product, then its scale or its sum with what is there; False if none."""
        found = _product(equation, self.fixed)
        if found is None:
            return False
        gemm, scale = found
        target, value = equation.target, equation.target
        if not fresh:
            tensor = self.program.by_label[equation.label]
            temporary = replace(tensor, order=-1 - len(self.temporaries), role="intermediate")
            self.temporaries.append(temporary)
            self.started.add(temporary.label)
            value = temporary[subscripts_of(target)]
        self.items.append(replace(gemm, target=value))
        if scale != 1 or not fresh:
            reduce: Reduce = "set" if fresh else "sum"
            loops = tuple(index for index in indices(target) if index != self.fixed)
            self.statement(Statement(target, value * scale, loops, reduce, equation))
        return True

    def statement(self, statement: Statement) -> None:
        """Join the nearest earlier nest over the same points that nothing in between forbids."""
        for item in reversed(self.items[-REACH:]):
            if isinstance(item, _Group) and item.takes(statement):
                item.statements.append(statement)
                return
            if conflict(item, statement):
                break
        self.items.append(_Group(statement, self.fixed))


def _start(program: Program, label: Symbol) -> Expr:
    """The value that a tensor starts from: 0, or −∞ under a maximum."""
    maxima = any(equation.reduce == "max" for equation in program.defined.get(label, ()))
    return S.NegativeInfinity if maxima else S.Zero


def _stepwise(group: Recurrence, program: Program) -> frozenset[Symbol]:
    """Tensors of which each step writes, before it reads, the elements of its own step only.

    Such a tensor needs no start: its subscripts are t and other distinct indices, and t runs along
    its whole axis.
    """
    first: dict[Symbol, Equation] = {}
    spoiled: set[Symbol] = set()
    for equation in group.equations:
        spoiled |= {label_of(access) for access in equation.reads} - first.keys()
        first.setdefault(equation.label, equation)
    for equation in group.equations:
        for access in (equation.target, *equation.reads):
            writer = first.get(label_of(access))
            if writer is not None and access != writer.target:
                spoiled.add(label_of(access))
    return frozenset(
        label
        for label, equation in first.items()
        if label not in spoiled
        and is_plain(equation.target)
        and group.index in indices(equation.target)
        and tuple(map(extent, indices(equation.target))) == program.by_label[label].shape
        and equation.reduce != "max"
    )


def _product(equation: Equation, fixed: Idx | None) -> tuple[Gemm, Expr] | None:
    """The equation as a product of contiguous matrices, and its scale; None if none that pays."""
    over = tuple(index for index in equation.over if index != fixed)
    if equation.reduce != "sum" or not over:
        return None
    read = {access: _slice(access, fixed) for access in accesses(equation.value)}
    target, value = _slice(equation.target, fixed), equation.value.xreplace(read)
    if fixed in (*indices(target), *indices(value)):
        return None
    found = contraction(Equation(target, value, over))
    if found is None or found.row is found.column or not _pays(found):
        return None
    batch = subscripts_of(target)[: len(found.batch)]
    for operand in (target, found.left, found.right):
        if set(batch) != set(found.batch) or subscripts_of(operand)[: len(batch)] != batch:
            return None
    whole = {short: access for access, short in read.items()}
    left, right = whole[found.left], whole[found.right]
    gemm = Gemm(equation.target, left, right, found.summed, found.batch, fixed, equation)
    return gemm, found.scale.xreplace(whole)


def split(access: Expr, fixed: Idx | None) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """The leading subscripts, those fixed within a recurrence over ``fixed``, and the others."""
    subscripts = subscripts_of(access)
    count = next((n for n, s in enumerate(subscripts) if indices(s) != (fixed,)), len(subscripts))
    return subscripts[:count], subscripts[count:]


def _slice(access: Expr, fixed: Idx | None) -> Expr:
    """The element as one of the slice that its leading subscripts pick."""
    lead, rest = split(access, fixed)
    if not lead:
        return access
    label = Symbol(f"{access}")
    return IndexedBase(label)[rest] if rest else label


def _pays(product: Contraction) -> bool:
    """Whether a product is large enough for BLAS, going by its known extents."""
    loops = [index for index in (product.summed, product.row, product.column) if index is not None]
    return prod(int(extent(i)) for i in loops if extent(i).is_Integer) >= PRODUCT_WORTH


def _known(loops: Iterable[Idx]) -> float:
    """How many points the loops have; infinitely many if a size is known only at run time."""
    return prod(int(extent(i)) if extent(i).is_Integer else inf for i in loops)


def _finished(items: Iterable[_Item], program: Program) -> Iterator[Step]:
    """The items as steps: loops ordered, first writers assigning where they can, else a fill."""
    for item in items:
        if not isinstance(item, _Group):
            yield item
            continue
        nest = Nest(_ordered(item.statements), tuple(item.statements))
        statements = []
        for statement in item.statements:
            if statement.fresh and not _covers(nest, statement, item.fixed, program):
                yield Fill(statement.label, _start(program, statement.label))
                statement = replace(statement, fresh=False)
            statements.append(statement)
        yield replace(nest, statements=tuple(statements))


def _covers(nest: Nest, statement: Statement, fixed: Idx | None, program: Program) -> bool:
    """Whether a first writer puts a value into each element of its target, each exactly once."""
    outer = set(nest.loops[: nest.depth(statement)])
    starts = (statement.reduce == "max") == (_start(program, statement.label) != 0)
    return (
        (starts or statement.reduce == "set")
        and is_plain(statement.target)
        and set(indices(statement.target)) - {fixed} == outer
    )


def _ordered(statements: list[Statement]) -> tuple[Idx, ...]:
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


def _without_stores(
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
