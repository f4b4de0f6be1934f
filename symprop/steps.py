"""What a schedule is made of, and what its steps read and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

from sympy import Expr, Idx, S, Symbol

from symprop.equation import Equation, Reduce
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of


@dataclass(frozen=True)
class Statement:
    """At each point of the loops, put ``value`` into ``target`` as the equation ``source`` says.

    ``fresh``: the target holds nothing yet, so that it is assigned. ``stored`` is False for a
    target that lives only within its nest, as a local scalar.
    """

    target: Expr
    value: Expr
    loops: tuple[Idx, ...]
    reduce: Reduce
    source: Equation
    fresh: bool = False
    stored: bool = True

    @cached_property
    def label(self) -> Symbol:
        return label_of(self.target)

    @cached_property
    def reads(self) -> tuple[Expr, ...]:
        """The elements that are read, those inside subscripts included."""
        found = dict.fromkeys(accesses(self.value))
        for access in (self.target, *found):
            found.update(dict.fromkeys(_inside(access)))
        return tuple(found)


@dataclass(frozen=True)
class Nest:
    """Loops, outermost first, around statements that run one after the other at each point."""

    loops: tuple[Idx, ...]
    statements: tuple[Statement, ...]

    def depth(self, statement: Statement) -> int:
        """After how many loops the target is fixed; the loops inside reduce into a local scalar."""
        if statement.reduce == "set":
            return len(self.loops)
        own = set(indices(statement.target))
        return max((n for n, index in enumerate(self.loops, start=1) if index in own), default=0)


@dataclass(frozen=True)
class Gemm:
    """target ← left · right, summed over one index, for every value of the batch indices.

    The accesses may begin with subscripts that are fixed within a recurrence, then come the
    ``batch`` indices, then those of the product: (row, summed) or (summed, row), (summed, column)
    or (column, summed). ``vectors``: by vector instructions, along the last axis of target and
    ``right``, else by BLAS. ``fresh``: the target holds nothing yet; else ``factor`` times the
    product is added.
    """

    target: Expr
    left: Expr
    right: Expr
    summed: Idx
    batch: tuple[Idx, ...]
    fixed: Idx | None
    source: Equation
    vectors: bool = False
    fresh: bool = True
    factor: Expr = S.One


@dataclass(frozen=True)
class Transpose:
    """target[i, j] ← source[j, i]."""

    target: Expr
    source: Expr
    equation: Equation


@dataclass(frozen=True)
class Gather:
    """The rows of a batch of a tensor, picked from all rows that there are."""

    label: Symbol


@dataclass(frozen=True)
class Draw:
    """The rows of a batch of a noise tensor, drawn for it."""

    label: Symbol


@dataclass(frozen=True)
class Fill:
    """Every element of the tensor ← value."""

    label: Symbol
    value: Expr


@dataclass(frozen=True)
class Loop:
    """The steps of a recurrence, for one value of its index after the other."""

    index: Idx
    reverse: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Rows:
    """The steps for one block of rows after the other.

    Every step treats the rows of a batch alike; what it sums over rows grows from block to block.
    ``index`` counts the rows of a block.
    """

    index: Idx
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Divided:
    """A product with picked rows whose sum is divided: each part of a batch gathers a range of the
    summed numbers, of all rows, and sums these up; then the parts' sums are added. ``others`` holds
    those of all parts but the first.
    """

    product: Gemm
    others: Expr


Step = Nest | Gemm | Transpose | Fill | Gather | Draw | Loop | Rows | Divided


@dataclass(frozen=True)
class Schedule:
    """Steps in their order, the given tensors that they use, and those that need a buffer: for the
    whole batch, or ``local``, for a block of rows only.
    """

    steps: tuple[Step, ...]
    given: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    local: tuple[Tensor, ...] = ()


class Fused(Protocol):
    """A nest, finished or not."""

    @property
    def statements(self) -> Sequence[Statement]: ...


def touched(step: Step | Fused) -> tuple[Symbol, ...]:
    """The labels of the tensors and sizes that a step reads or writes, each once."""
    if isinstance(step, (Loop, Rows)):
        return tuple(dict.fromkeys(label for inner in step.steps for label in touched(inner)))
    if isinstance(step, (Fill, Gather, Draw)):
        return (step.label,)
    if isinstance(step, Transpose):
        return (label_of(step.target), label_of(step.source))
    if isinstance(step, Gemm):
        used = (step.target, step.left, step.right, *accesses(step.factor))
        return tuple(dict.fromkeys(map(label_of, used)))
    if isinstance(step, Divided):
        return (*touched(step.product), label_of(step.others))
    found = (access for s in step.statements for access in (s.target, *s.reads))
    return tuple(dict.fromkeys(map(label_of, found)))


def written(step: Step | Fused) -> set[Symbol]:
    if isinstance(step, (Loop, Rows)):
        return {label for inner in step.steps for label in written(inner)}
    if isinstance(step, (Fill, Gather, Draw)):
        return {step.label}
    if isinstance(step, (Gemm, Transpose)):
        return {label_of(step.target)}
    if isinstance(step, Divided):
        return set(map(label_of, (step.product.left, step.product.target, step.others)))
    return {statement.label for statement in step.statements}


def conflict(step: Step | Fused, statement: Statement) -> bool:
    """Whether a statement may not move before a step: one writes what the other reads or writes."""
    own = {statement.label, *map(label_of, statement.reads)}
    return bool(written(step) & own) or statement.label in touched(step)


def apart(one: Step, other: Step) -> bool:
    """Whether two steps may change places: neither writes what the other reads or writes."""
    return written(one).isdisjoint(touched(other)) and written(other).isdisjoint(touched(one))


class Gathered:
    """Some steps, with what they use: told without looking at each whether another is apart."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.touched: set[Symbol] = set()
        self._written: set[Symbol] = set()

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.touched.update(touched(step))
        self._written.update(written(step))

    def apart_from(self, step: Step) -> bool:
        """Whether a step may change places with all of them."""
        mine = self._written.isdisjoint(touched(step))
        return mine and self.touched.isdisjoint(written(step))


def fusable(earlier: Statement, later: Statement) -> bool:
    """Whether two statements that share a written tensor use it at the same point only.

    Both must access one element, the same, and a different one at every loop point.
    """
    for label in {earlier.label, later.label}:
        shared = [
            {access for access in (s.target, *s.reads) if label_of(access) == label}
            for s in (earlier, later)
        ]
        if all(shared):
            both = shared[0] | shared[1]
            if len(both) != 1 or not injective(next(iter(both)), later.loops):
                return False
    return True


def injective(access: Expr, loops: Iterable[Idx]) -> bool:
    """Whether loop points have elements of their own: every loop index is a subscript."""
    return set(loops) <= set(subscripts_of(access))


def is_plain(access: Expr) -> bool:
    """Whether the subscripts are distinct indices; a scalar has none."""
    subscripts = subscripts_of(access)
    return all(isinstance(s, Idx) for s in subscripts) and len(set(subscripts)) == len(subscripts)


def _inside(access: Expr) -> Iterator[Expr]:
    """The elements that are read to form an element's subscripts."""
    for subscript in subscripts_of(access):
        yield from accesses(subscript)


def effort(plan: Schedule, lanes: int) -> tuple[int, ...]:
    """About how many vector instructions a schedule takes: the coefficients of 1, rows, rows²…"""
    found: Counter[int] = Counter()
    for power, points in (pair for step in plan.steps for pair in _effort(step)):
        found[power] += points
    return tuple(found[power] // lanes for power in range(max(found, default=0) + 1))


def _effort(step: Step) -> Iterator[tuple[int, int]]:
    if isinstance(step, (Loop, Rows)):
        for inner in step.steps:
            yield from _effort(inner)
    elif isinstance(step, Divided):
        yield from _effort(step.product)
    elif isinstance(step, Gemm):
        yield _points({*indices(step.target), step.summed})
    elif isinstance(step, Nest):
        power, points = _points(step.loops)
        yield power, len(step.statements) * HEAVY * points


HEAVY = 8
"""Vector instructions for a statement of a nest: a few for sums and products, tens for tanh."""


def _points(loops: Iterable[Idx]) -> tuple[int, int]:
    """n and p, where loops have p·rowsⁿ points."""
    extents = [extent(index) for index in loops]
    known = [int(size) for size in extents if size.is_Integer]
    return len(extents) - len(known), prod(known)
