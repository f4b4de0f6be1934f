"""Blocks of rows: steps that treat the rows of a batch alike run together, one block after the
other.

What a block computes is then still in the nearest cache when the next step reads it, and needs
memory for a block only, whatever the batch. Sums over rows grow from block to block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from math import prod

from sympy import Expr, Idx, Indexed, S, Symbol

from symprop.steps import (
    Draw,
    Fill,
    Gather,
    Gathered,
    Gemm,
    Nest,
    Rows,
    Statement,
    Step,
    touched,
    written,
)
from symprop.tensor import Tensor, extent, indices, label_of, subscripts_of

ROWS = Symbol("rows", integer=True, positive=True)
"""The number of rows of a block."""
LARGE = 1 << 14
"""Numbers of a sum over rows that does not grow from block to block, but is done after all blocks:
each part of a batch would need so much memory of its own, each block would read and write it.
"""


FACTOR = 1 << 18
"""Numbers of a matrix with which threads that work together rather multiply all rows, each by its
share of the columns: else each would read all of it for its share of the rows.
"""


def in_blocks(
    steps: Iterable[Step], tensors: Iterable[Tensor], size: Symbol, together: bool = False
) -> Iterator[Step]:
    """The steps, those that treat rows alike in blocks; ``size`` is the number of all rows,
    ``tensors`` are all that the steps use. Of threads that work ``together``, each takes some rows
    of a block, but some columns of what large matrices give.
    """
    waiting = tuple(steps)
    finder = _Finder(tensors, size, together)
    while waiting:
        before, run, waiting = finder.split(waiting)
        yield from before
        if run:
            fills, inner = finder.prepared(run)
            yield from fills
            yield Rows(Idx("b", ROWS), inner)


def local_tensors(
    steps: Iterable[Step], tensors: Iterable[Tensor], kept: Collection[Symbol], size: Symbol
) -> Iterator[Tensor]:
    """The tensors that live in one block only: nothing outside of its steps uses them."""
    steps = tuple(steps)
    users: dict[Symbol, list[Step]] = {}
    for step in steps:
        for label in touched(step):
            users.setdefault(label, []).append(step)
    for tensor in tensors:
        found = users.get(tensor.label, [])
        alone = len(found) == 1 and isinstance(found[0], Rows)
        if alone and tensor.label not in kept and tensor.shape[:1] == (size,):
            yield tensor


class _Finder:
    """Tells which steps treat rows alike, and makes them steps of a block."""

    def __init__(self, tensors: Iterable[Tensor], size: Symbol, together: bool):
        self.size, self._together = size, together
        self._rows = {t.label for t in tensors if t.shape[:1] == (size,)}

    def split(
        self, steps: tuple[Step, ...]
    ) -> tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]:
        """Steps that may come before the first block, those of the block, and those after it."""
        before: list[Step] = []
        run, after = Gathered(), Gathered()
        sums: set[Symbol] = set()
        for step in steps:
            free = after.apart_from(step)
            if free and self._takes(run, sums, step):
                run.add(step)
                sums.update(self._sums(step))
            elif free and run.apart_from(step):
                before.append(step)
            else:
                after.add(step)
        return tuple(before), tuple(run.steps), tuple(after.steps)

    def _takes(self, run: Gathered, sums: set[Symbol], step: Step) -> bool:
        """Whether a step treats rows alike and uses no sum over rows of the run: that is not
        complete before the last block.
        """
        if not self._by_rows(step):
            return False
        own = set(self._sums(step))
        return sums.isdisjoint(set(touched(step)) - own) and own.isdisjoint(run.touched - sums)

    def _sums(self, step: Step) -> Iterator[Symbol]:
        """The tensors without rows that a step writes."""
        return (label for label in written(step) if not self._has_rows(label))

    def _has_rows(self, label: Symbol) -> bool:
        return label in self._rows

    def _by_rows(self, step: Step) -> bool:
        """Whether a step treats rows alike: every element that it uses is of its own row."""
        if isinstance(step, (Gather, Draw, Fill)):
            return self._has_rows(step.label)
        if isinstance(step, Gemm):
            return step.vectors and not self._is_large(step) and self._product_by_rows(step)
        return isinstance(step, Nest) and self._nest_by_rows(step)

    def _is_large(self, step: Gemm) -> bool:
        """Whether a product gives a large sum over rows, or has a matrix that threads share."""
        shared = self._together and numbers_of(step.right) >= FACTOR
        return shared or numbers_of(step.target) >= LARGE

    def _product_by_rows(self, step: Gemm) -> bool:
        parts = (step.target, step.left, step.right)
        rows = {i for part in parts for i in indices(part) if extent(i) == self.size}
        if len(rows) != 1 or step.fixed is not None:
            return False
        (row,) = rows
        holders = [step.left, step.right] if step.summed == row else [step.target, step.left]
        return all(self._of_row(part, row, part in holders) for part in parts)

    def _nest_by_rows(self, nest: Nest) -> bool:
        rows = [index for index in nest.loops if extent(index) == self.size]
        if len(rows) != 1:
            return False
        (row,) = rows
        return all(
            all(
                self._of_row(access, row, self._has_rows(label_of(access)))
                for access in (statement.target, *statement.reads)
            )
            and row not in _bare(statement.value)
            and (self._has_rows(statement.label) or statement.reduce != "set")
            for statement in nest.statements
        )

    def _of_row(self, access: Expr, row: Idx, has_rows: bool) -> bool:
        """Whether an element is of the row, or of a tensor without rows."""
        first, rest = subscripts_of(access)[:1], subscripts_of(access)[1:]
        if not has_rows:
            return row not in indices(access)
        return first == (row,) and all(row not in indices(other) for other in rest)

    def prepared(self, run: tuple[Step, ...]) -> tuple[list[Step], tuple[Step, ...]]:
        """Fills of what grows from block to block, and the steps with rows of a block for rows."""
        fills: list[Step] = []
        inner: list[Step] = []
        for step in run:
            if isinstance(step, Nest):
                fills += self._fills(step)
                step = replace(step, statements=tuple(map(self._growing, step.statements)))
            inner.append(self._within(step))
        return fills, tuple(inner)

    def _fills(self, nest: Nest) -> Iterator[Fill]:
        for statement in nest.statements:
            if statement.fresh and not self._has_rows(statement.label):
                start = S.NegativeInfinity if statement.reduce == "max" else S.Zero
                yield Fill(statement.label, start)

    def _growing(self, statement: Statement) -> Statement:
        return replace(statement, fresh=statement.fresh and self._has_rows(statement.label))

    def _within(self, step: Step) -> Step:
        """A step with the rows of a block in place of all rows."""
        if isinstance(step, Nest):
            names = self._names(step.loops)
            return Nest(
                tuple(names.get(i, i) for i in step.loops),
                tuple(_renamed(statement, names) for statement in step.statements),
            )
        if isinstance(step, Gemm):
            names = self._names((*indices(step.left), *indices(step.right)))
            return replace(
                step,
                target=step.target.xreplace(names),
                left=step.left.xreplace(names),
                right=step.right.xreplace(names),
                summed=names.get(step.summed, step.summed),
            )
        return step

    def _names(self, found: Iterable[Idx]) -> dict[Idx, Idx]:
        return {i: Idx(i.label, ROWS) for i in found if extent(i) == self.size}


def numbers_of(element: Expr) -> int:
    """How many numbers an element's matrix has; 0 if that depends on the rows."""
    sizes = [extent(index) for index in indices(element)]
    return prod(map(int, sizes)) if all(size.is_Integer for size in sizes) else 0


def _bare(value: Expr) -> set[Idx]:
    """The indices that a value uses as numbers, not as subscripts."""
    if isinstance(value, (Idx, Indexed)):
        return {value} if isinstance(value, Idx) else set()
    return set().union(*map(_bare, value.args))


def _renamed(statement: Statement, names: dict[Idx, Idx]) -> Statement:
    return replace(
        statement,
        target=statement.target.xreplace(names),
        value=statement.value.xreplace(names),
        loops=tuple(names.get(i, i) for i in statement.loops),
    )
