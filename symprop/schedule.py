"""The schedule of a program: which loops run, in which order, over which statements.

A Program says *what* each tensor is, a Schedule *how* it is computed. Equations become loop nests,
fused where they run over the same points, or matrix products. Only the shape of an equation
decides; what is not recognized runs as plain loops and costs speed, never correctness.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from sympy import Add, Expr, Idx, Indexed, IndexedBase, Integer, Symbol

from symprop.accumulation import accumulated
from symprop.blocks import in_blocks, local_tensors
from symprop.division import divided
from symprop.equation import Equation, Recurrence, Reduce
from symprop.loops import covers, ordered, start_value, without_stores
from symprop.lowering import EVERYTHING, Lowering
from symprop.passes.contraction import contraction
from symprop.passes.orient import way
from symprop.program import Program
from symprop.steps import (
    Draw,
    Fill,
    Gather,
    Gemm,
    Loop,
    Nest,
    Schedule,
    Statement,
    Step,
    Transpose,
    conflict,
    fusable,
    is_plain,
    touched,
)
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of

SHORT = 2
"""Sums of so few terms are written out, as those over the inputs of a network with two."""
REACH = 12
"""How many steps back an equation may move to join loops that it shares."""


@dataclass(frozen=True)
class Target:
    """What a schedule is made for: the settings, the lanes of a vector (0: no vector kernels), the
    size that counts the rows of a batch, and the tensors whose rows are picked or drawn for each
    batch.
    """

    lowering: Lowering = EVERYTHING
    lanes: int = 0
    size: Symbol | None = None
    gathered: frozenset[Symbol] = frozenset()

    @property
    def divides(self) -> bool:
        """Whether threads may share the sum or the columns of a product of a batch's rows."""
        lowering = self.lowering
        return lowering.divided_products and lowering.blocks and lowering.threads != 1

    @property
    def product_lanes(self) -> int:
        return self.lanes if self.lowering.vector_products else 0

    @property
    def loop_lanes(self) -> int:
        return self.lanes if self.lowering.vector_loops else 0


PLAIN = Target()


def schedule(
    program: Program,
    given: Collection[Symbol] | None = None,
    keep: Collection[Symbol] | None = None,
    target: Target = PLAIN,
) -> Schedule:
    """The steps that run a program.

    ``given`` are the labels of the tensors that hold values before (by default all but the
    intermediate and constant ones); ``keep`` those that must hold theirs after (by default all).
    """
    if given is None:
        given = {t.label for t in program.tensors if t.role not in ("intermediate", "constant")}
    planner = _Planner(program, target, frozenset(given))
    planner.items += [
        Draw(t.label) if t.role == "noise" else Gather(t.label)
        for t in program.tensors
        if t.label in target.gathered
    ]
    planner.groups(program.equations)
    kept = [t.label for t in program.tensors if keep is None or t.label in keep]
    planner.touch(kept)
    held = {*kept, *given} - target.gathered
    steps, scalars = without_stores(tuple(_finished(planner.items, program)), held)
    if target.divides:
        steady = (tensor for tensor in program.tensors if tensor.label in given)
        steps = divided(steps, steady, target.gathered, planner.another)
    tensors = (*program.tensors, *planner.temporaries)
    if target.size is not None and target.lowering.blocks:
        together = bool(target.gathered) and target.divides
        steps = tuple(in_blocks(steps, tensors, target.size, together))
    if target.lowering.accumulation:
        numbers = {t.label for t in program.tensors if not t.axes} - scalars
        steps = accumulated(steps, held, numbers)
    used = {label for step in steps for label in touched(step)} - scalars
    found = [t for t in tensors if t.label in used]
    buffers = [t for t in found if t.label not in given or t.label in target.gathered]
    local = set(local_tensors(steps, buffers, held, target.size)) if target.size else set()
    return Schedule(
        steps,
        tuple(tensor for tensor in found if tensor not in buffers),
        tuple(tensor for tensor in buffers if tensor not in local),
        tuple(tensor for tensor in buffers if tensor in local),
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


_Item = _Group | Gemm | Transpose | Fill | Gather | Draw | Loop


class _Planner:
    """Turns equations into groups, products and fills, in order."""

    def __init__(
        self,
        program: Program,
        target: Target,
        started: frozenset[Symbol],
        fixed: Idx | None = None,
    ):
        self.program, self.target, self.fixed = program, target, fixed
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
                self.items.append(Fill(label, start_value(self.program, label)))

    def recurrence(self, group: Recurrence) -> None:
        """Its body is planned by itself; what it touches first is filled before its first step."""
        inner = _Planner(self.program, self.target, frozenset(), group.index)
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
        may_turn = self.target.product_lanes and fresh and self.fixed is None
        turned = _transposed(equation) if may_turn else None
        if turned:
            self.items.append(turned)
        elif _is_short(equation) or not self.product(equation, fresh):
            short = set(equation.over) if _is_short(equation) else set()
            loops = tuple(i for i in equation.loops if i != self.fixed and i not in short)
            value = _terms(equation) if short else equation.value
            self.statement(
                Statement(equation.target, value, loops, equation.reduce, equation, fresh)
            )

    def product(self, equation: Equation, fresh: bool) -> bool:
        """Plan a matrix product, then its scale or its sum with what is there; False if none."""
        found = _product(equation, self.fixed, self.target.product_lanes, self.target.size)
        if found is None:
            return False
        gemm, scale = found
        if gemm.vectors and scale == 1:
            self.items.append(replace(gemm, fresh=fresh))
            return True
        target, value = equation.target, equation.target
        if not fresh:
            value = self.another(target)
            self.started.add(label_of(value))
        self.items.append(replace(gemm, target=value))
        if scale != 1 or not fresh:
            reduce: Reduce = "set" if fresh else "sum"
            loops = tuple(index for index in indices(target) if index != self.fixed)
            self.statement(Statement(target, value * scale, loops, reduce, equation))
        return True

    def another(self, element: Expr) -> Expr:
        """The element with the same subscripts of a new tensor like its own."""
        tensor = self.program.by_label[label_of(element)]
        temporary = replace(tensor, order=-1 - len(self.temporaries), role="intermediate")
        self.temporaries.append(temporary)
        return temporary[subscripts_of(element)]

    def statement(self, statement: Statement) -> None:
        """Join the nearest earlier nest over the same points that nothing in between forbids."""
        reach = REACH if self.target.lowering.fusion else 0
        for item in reversed(self.items[max(0, len(self.items) - reach) :]):
            if isinstance(item, _Group) and item.takes(statement):
                item.statements.append(statement)
                return
            if conflict(item, statement):
                break
        self.items.append(_Group(statement, self.fixed))


def _is_short(equation: Equation) -> bool:
    """Whether an equation sums up so few terms that it is written out."""
    sizes = [extent(index) for index in equation.over]
    known = equation.reduce == "sum" and all(size.is_Integer for size in sizes)
    return known and prod(map(int, sizes)) <= SHORT


def _terms(equation: Equation) -> Expr:
    """The sum of an equation, written out."""
    points = product(*(range(int(extent(index))) for index in equation.over))
    numbers = ({i: Integer(n) for i, n in zip(equation.over, at, strict=True)} for at in points)
    return Add(*(equation.value.xreplace(found) for found in numbers))


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


def _transposed(equation: Equation) -> Transpose | None:
    """The equation as a transposition of a matrix of known extents."""
    target, source = equation.target, equation.value
    turned = isinstance(source, Indexed) and subscripts_of(source) == subscripts_of(target)[::-1]
    if not turned or equation.over or equation.reduce != "sum" or not is_plain(target):
        return None
    loops = indices(target)
    if len(loops) != 2 or not all(extent(index).is_Integer for index in loops):
        return None
    return Transpose(target, source, equation)


def _product(
    equation: Equation, fixed: Idx | None, lanes: int, size: Symbol | None
) -> tuple[Gemm, Expr] | None:
    """The equation as a product of contiguous matrices, and its scale; None if none that pays."""
    over = tuple(index for index in equation.over if index != fixed)
    if equation.reduce != "sum" or not over:
        return None
    read = {access: _slice(access, fixed) for access in accesses(equation.value)}
    target, value = _slice(equation.target, fixed), equation.value.xreplace(read)
    if fixed in (*indices(target), *indices(value)):
        return None
    found = contraction(Equation(target, value, over))
    if found is None or found.row is found.column:
        return None
    chosen = way(found, target, lanes)
    batch = subscripts_of(target)[: len(found.batch)]
    for operand in (target, found.left, found.right):
        if set(batch) != set(found.batch) or subscripts_of(operand)[: len(batch)] != batch:
            return None
    if chosen == "loops" or any(
        extent(i) == size for p in (target, found.left, found.right) for i in indices(p)[1:]
    ):
        return None
    whole = {short: access for access, short in read.items()}
    left, right = whole[found.left], whole[found.right]
    vectors = chosen == "vectors"
    gemm = Gemm(equation.target, left, right, found.summed, found.batch, fixed, equation, vectors)
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


def _finished(items: Iterable[_Item], program: Program) -> Iterator[Step]:
    """The items as steps: loops ordered, first writers assigning where they can, else a fill."""
    for item in items:
        if not isinstance(item, _Group):
            yield item
            continue
        nest = Nest(ordered(item.statements), tuple(item.statements))
        statements = []
        for statement in item.statements:
            if statement.fresh and not covers(nest, statement, item.fixed, program):
                yield Fill(statement.label, start_value(program, statement.label))
                statement = replace(statement, fresh=False)
            statements.append(statement)
        yield replace(nest, statements=tuple(statements))
