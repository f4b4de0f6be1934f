"""The body of the entry that trains: batch after batch, several threads on the rows of each.

The rows of a batch are cut into parts, each with sums over rows of its own, which are added up
afterwards: so the bits depend on the number of parts, but not on that of the threads that do them.
Every thread runs this function, with memory of its own for what lives in a block of rows. What
comes before and after the parts is shared out by elements, or left to the first thread. Between
steps of which one uses what another thread has written, all wait for each other.
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
from symprop.program import Program
from symprop.scope import BATCH
from symprop.steps import Fill, Nest, Rows, Schedule, Step, Transpose, apart, touched, written
from symprop.tensor import Tensor, extent

LEADING = (
    *("first", "last", "stride", "rows_all", "order", "seeds", "losses", "done"),
    *("parts", "thread", "threads", "barrier"),
)
"""The parameters that every training has: the range of batches, counted through all epochs, the
rows of a batch, all rows, an array for their order, seeds and losses of the epochs, how many
batches are done; how many parts a batch has, which thread this is of how many, and where they wait
for each other.
"""


def sums_over_rows(plan: Schedule) -> tuple[Tensor, ...]:
    """The sums that grow from block to block: each part of a batch has its own."""
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
            yield f"{self._names[label]} = {self._given(label)}[0]"
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
        yield f"{INDENT}active = parts_used({m}, parts)"
        yield from loop

    def _batch(self, loss: Symbol) -> Iterator[str]:
        """The lines for one batch."""
        for steps in self._rounds():
            yield from self._round(steps)
            yield "wait(barrier, threads)"
            yield from self._added(self._summed(steps))
            if loss in self._summed(steps):
                yield from self._counted(loss)
        if loss not in self._sums:
            yield from self._counted(loss)

    def _counted(self, loss: Symbol) -> Iterator[str]:
        """The first thread adds the batch to the epoch's loss; it has added up the loss itself."""
        yield "if thread == 0:"
        yield f"{INDENT}losses[epoch] += np.float64({self._names[loss]}[0]) * {self._names[BATCH]}"
        yield f"{INDENT}done[0] = step + 1"

    def _rounds(self) -> Iterator[list[Step]]:
        """The steps between which all threads wait for each other; blocks of rows end a round.

        The fills of a part's sums go with the first blocks of rows.
        """
        fills = [step for step in self.plan.steps if self._way(step) == "parts"]
        fills = [step for step in fills if isinstance(step, Fill)]
        steps: list[Step] = []
        added: list[Symbol] = []
        for step in self.plan.steps:
            if step in fills:
                continue
            waits = not all(self._may_follow(step, other) for other in steps)
            if waits or not all(self._may_use(step, label) for label in added):
                yield steps
                steps, added = [], []
            if isinstance(step, Rows):
                own = [fill for fill in fills if written(fill) & written(step)]
                yield [*steps, *own, step]
                steps, added = [], self._summed([step])
            else:
                steps.append(step)
        if steps:
            yield steps

    def _round(self, steps: list[Step]) -> Iterator[str]:
        """The lines of steps between which nobody waits."""
        for way, found in groupby(steps, self._way):
            if way == "parts":
                yield from self._parts(list(found))
            elif way == "shared":
                yield from self.lines(found, self._names)
            else:
                yield "if thread == 0:"
                yield from (INDENT + line for line in self.lines(found, self._names))

    def _parts(self, steps: list[Step]) -> Iterator[str]:
        """The parts of a thread, one after the other."""
        yield "for part in range(thread, active, threads):"
        yield f"{INDENT}low, high = rows_of_part({self._names[BATCH]}, part, parts)"
        for label in self._summed(steps):
            yield f"{INDENT}{self._own[label]} = {self._given(label)}[part]"
        yield from (INDENT + line for line in self.lines(steps, self._own))

    def _way(self, step: Step) -> Literal["parts", "shared", "first"]:
        """Whether a step is done for each part, each thread does its share of it, or the first
        thread does all of it.
        """
        if isinstance(step, Rows) or (isinstance(step, Fill) and step.label in self._sums):
            return "parts"
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
        flat = self.flat(step) if isinstance(step, Nest) else None
        return flat[0] if flat else None

    def _may_use(self, step: Step, label: Symbol) -> bool:
        """Whether a step need not wait until a sum is added up: each thread uses the elements that
        it has added up itself.
        """
        return label not in touched(step) or self._shared_by(step) == self._size(label)

    def _size(self, label: Symbol) -> int:
        return prod(int(extent(axis)) for axis in self._sums[label].axes)

    def _summed(self, steps: list[Step]) -> list[Symbol]:
        """The sums over rows that are complete but for being added up."""
        labels = {label for step in steps if isinstance(step, Rows) for label in written(step)}
        return sorted(labels & set(self._sums), key=str)

    def _added(self, labels: list[Symbol]) -> Iterator[str]:
        """Add up the sums of the parts."""
        if labels:
            ends = {label: self.bounds(self._size(label)) for label in labels}
            calls = [Call("add_up", (self._given(x), "active", *ends[x])) for x in labels]
            yield "if active > 1:"
            yield from (INDENT + line for line in self._stages(calls))

    def bounds(self, size: int) -> tuple[str, str]:
        """The range of a loop of so many turns: this thread's share."""
        self._shares[size] = None
        return f"start_{size}", f"stop_{size}"

    def row_bounds(self, names: Names) -> tuple[str, str]:
        return "low", "high"
