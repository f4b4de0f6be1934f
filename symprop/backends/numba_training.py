"""The body of the entry that trains: batch after batch, several threads on the rows of each.

Every thread runs this function. It takes its share of a batch's rows, with memory of its own for
what lives in a block of rows and for the sums over rows; these are added up afterwards. What comes
before and after is shared out by elements, or left to the first thread. Between steps of which one
uses what another thread has written, all wait for each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import groupby
from math import prod
from typing import Literal

from sympy import Symbol

from symprop.backends.numba_body import Body, Kernels, arguments, batch_tensors
from symprop.backends.numba_calls import Call
from symprop.backends.numba_nest import INDENT, Names
from symprop.blocks import ROWS
from symprop.loops import flattened
from symprop.program import Program
from symprop.scope import BATCH
from symprop.steps import Fill, Nest, Rows, Schedule, Step, Transpose, apart, touched, written
from symprop.tensor import Tensor, extent

LEADING = (
    *("first", "last", "stride", "rows_all", "order", "seeds", "losses"),
    *("thread", "threads", "barrier"),
)
"""The parameters that every training has: the range of batches, counted through all epochs, the
rows of a batch, all rows, an array for their order, seeds and losses of the epochs; which thread
this is of how many, and where they wait for each other.
"""


def sums_over_rows(plan: Schedule) -> tuple[Tensor, ...]:
    """What each thread has a part of its own of: the sums that grow from block to block."""
    labels = {label for step in plan.steps if isinstance(step, Rows) for label in written(step)}
    return tuple(t for t in plan.buffers if t.label in labels and t.shape[:1] != (BATCH,))


class TrainingBody(Body):
    """Writes the entry that trains; before its own arguments come LEADING and the whole data."""

    def __init__(self, module: Kernels, program: Program, plan: Schedule):
        super().__init__(module, program, plan)
        self._labels = [label for label in arguments(program, plan) if label != BATCH]
        self._names = Names((BATCH, ROWS, *self._labels))
        self._sums = {t.label: t for t in sums_over_rows(plan)}
        self._shares: dict[int, None] = {}
        inner = {label: f"{self._names[label]}_own" for label in self._sums}
        self._own = self._names.but(inner, within_block=False)

    @property
    def parameters(self) -> list[str]:
        gathered = batch_tensors(self.program, self.plan)
        every = (f"all_{self._names[tensor.label]}" for tensor in gathered)
        return [*LEADING, *every, *map(self._given, self._labels)]

    def _given(self, label: Symbol) -> str:
        return f"{self._names[label]}_parts" if label in self._sums else self._names[label]

    def text(self, loss: Symbol) -> Iterator[str]:
        """All lines."""
        m, loop = self._names[BATCH], [INDENT + line for line in self._batch(loss)]
        for label in self._sums:
            name = self._names[label]
            yield f"{name}, {name}_own = {name}_parts[0], {name}_parts[thread]"
        for size in self._shares:
            yield f"start_{size}, stop_{size} = share({size}, thread, threads)"
        yield "count = (rows_all.size + stride - 1) // stride"
        yield "for step in range(first, last):"
        yield f"{INDENT}epoch, batch = step // count, step % count"
        yield f"{INDENT}if batch == 0:"
        yield f"{INDENT * 2}if thread == 0:"
        yield f"{INDENT * 3}begin_epoch(order, rows_all, seeds, epoch)"
        yield f"{INDENT * 2}wait(barrier, threads)"
        yield f"{INDENT}begin = batch * stride"
        yield f"{INDENT}{m} = min(stride, rows_all.size - begin)"
        yield f"{INDENT}low, high, active = share_of_rows({m}, thread, threads)"
        yield from loop

    def _batch(self, loss: Symbol) -> Iterator[str]:
        """The lines for one batch."""
        for steps in self._rounds():
            yield from self._round(steps)
            yield "wait(barrier, threads)"
            yield from self._stages(list(map(self._added, self._summed(steps))))
        names = self._names
        yield "if thread == 0:"
        yield f"{INDENT}losses[epoch] += np.float64({names[loss]}[0]) * {names[BATCH]}"
        yield "wait(barrier, threads)"

    def _rounds(self) -> Iterator[list[Step]]:
        """The steps between which all threads wait for each other; blocks of rows end a round."""
        steps: list[Step] = []
        added: list[Symbol] = []
        for step in self.plan.steps:
            waits = not all(self._may_follow(step, other) for other in steps)
            if waits or not all(self._may_use(step, label) for label in added):
                yield steps
                steps, added = [], []
            steps.append(step)
            if isinstance(step, Rows):
                yield steps
                steps, added = [], self._summed(steps)
        if steps:
            yield steps

    def _round(self, steps: list[Step]) -> Iterator[str]:
        """The lines of steps between which nobody waits."""
        for way, found in groupby(steps, self._way):
            names = self._own if way == "own" else self._names
            lines = self.lines(found, names)
            if way == "first":
                yield "if thread == 0:"
                lines = (INDENT + line for line in lines)
            yield from lines

    def _way(self, step: Step) -> Literal["own", "shared", "first"]:
        """Whether every thread does a step with tensors of its own, its share of it, or the first
        thread does all of it.
        """
        if isinstance(step, Rows) or (isinstance(step, Fill) and step.label in self._sums):
            return "own"
        return "shared" if self._shared_by(step) else "first"

    def _may_follow(self, step: Step, other: Step) -> bool:
        """Whether a step need not wait for another: they use different tensors, or each thread does
        the same elements of both.
        """
        ways = self._way(step), self._way(other)
        same = ways[0] == ways[1] and self._shared_by(step) == self._shared_by(other)
        return same or apart(step, other)

    def _shared_by(self, step: Step) -> Hashable:
        """What a step is shared out by, such as the number of elements; None if it is not."""
        if isinstance(step, Transpose):
            return str(step.target)
        flat = None
        if isinstance(step, Nest) and self._module.lanes:
            flat = flattened(step, self.program)
        return int(extent(flat.loops[0])) if flat else None

    def _may_use(self, step: Step, label: Symbol) -> bool:
        """Whether a step need not wait until a sum is added up: each thread uses the elements that
        it has added up itself.
        """
        return label not in touched(step) or self._shared_by(step) == self._size(label)

    def _size(self, label: Symbol) -> int:
        return prod(int(extent(axis)) for axis in self._sums[label].axes)

    def _summed(self, steps: list[Step]) -> list[Symbol]:
        """The sums over rows that are complete but for being added up."""
        labels = {label for s in steps if isinstance(s, Rows) for label in written(s)}
        return sorted(labels & set(self._sums), key=str)

    def _added(self, label: Symbol) -> Call:
        """Add up what the threads have summed."""
        return Call("add_up", (self._given(label), "active", *self.bounds(self._size(label))))

    def bounds(self, size: int) -> tuple[str, str]:
        """The range of a loop of so many turns: this thread's share."""
        self._shares[size] = None
        return f"start_{size}", f"stop_{size}"

    def row_bounds(self, names: Names) -> tuple[str, str]:
        return "low", "high"
