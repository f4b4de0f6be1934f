"""The body of the entry that trains: batch after batch, several threads on the rows of each.

The rows of a batch are cut into parts, each with sums over rows of its own, which are added up
afterwards: so the bits depend on the number of parts, but not on that of the threads that do them.
Every thread runs this function, with memory of its own for what lives in a block of rows. What
comes before and after the parts is shared out by elements, by the columns of a product or by ranges
of its sum, of which each part has one, or left to the first thread. Between steps of which one uses
what another thread has written, all wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby
from math import prod
from typing import Literal

from sympy import Symbol

from symprop.backends.noise import tensor_number
from symprop.backends.numba_body import Body, Kernels, arguments, batch_tensors, words
from symprop.backends.numba_calls import OFTEN, Call
from symprop.backends.numba_nest import INDENT, Names, Passage
from symprop.backends.numba_tables import Kind, Piece, Signature
from symprop.backends.numba_threads import UNIT
from symprop.backends.numba_vector import LANES
from symprop.blocks import ROWS
from symprop.program import Program
from symprop.scope import BATCH
from symprop.steps import (
    Divided,
    Fill,
    Gathered,
    Gemm,
    Nest,
    Rows,
    Schedule,
    Step,
    Transpose,
    apart,
    touched,
    written,
)
from symprop.tensor import Tensor, extent, label_of, subscripts_of

WAIT = Call("wait", ("barrier", "threads"))
SELDOM = 6
"""How often calls must repeat to become a loop within a passage, where there are several: those of
equal layers are equal then, with no tables of their own.
"""
LEADING = (
    *("first", "last", "stride", "rows_all", "order", "seeds", "rates", "losses", "done"),
    *("parts", "thread", "threads", "barrier"),
)
"""The parameters that every training has: the range of batches, counted through all epochs, the
rows of a batch, all rows, an array for their order, seeds of the epochs, rates of the batches,
losses of the epochs, how many batches are done; how many parts a batch has, which thread this is
of how many, and where they wait for each other.
"""


def sums_over_rows(plan: Schedule) -> tuple[Tensor, ...]:
    """The sums that grow from block to block: each part of a batch has its own."""
    labels = {label for step in plan.steps if isinstance(step, Rows) for label in written(step)}
    return tuple(t for t in plan.buffers if t.label in labels and t.shape[:1] != (BATCH,))


def _divided(steps: Iterable[Step]) -> Iterator[Divided]:
    return (step for step in steps if isinstance(step, Divided))


def others_of(plan: Schedule) -> tuple[tuple[Tensor, int], ...]:
    """What each part of a batch but the first has of its own, of all rows: its divided sums, each
    with the number of what is summed up.
    """
    found = {label_of(s.others): int(extent(s.product.summed)) for s in _divided(plan.steps)}
    return tuple((t, found[t.label]) for t in plan.buffers if t.label in found)


def begun_before_rows(plan: Schedule) -> bool:
    """Whether a sum over rows holds something before its first row: parts of it would not."""
    begun: set[Symbol] = set()
    for step in plan.steps:
        if isinstance(step, Rows) and begun & {t.label for t in sums_over_rows(plan)} & written(
            step
        ):
            return True
        if not isinstance(step, (Fill, Rows)):
            begun |= written(step)
    return False


class TrainingBody(Body):
    """Writes the entry that trains; before its own arguments come LEADING and the whole data."""

    def __init__(self, module: Kernels, program: Program, plan: Schedule):
        super().__init__(module, program, plan)
        self._labels = [label for label in arguments(program, plan) if label != BATCH]
        self._names = Names((BATCH, ROWS, *self._labels))
        self._sums = {t.label: t for t in sums_over_rows(plan)}
        self._divided = {label_of(step.product.target) for step in _divided(plan.steps)}
        self._shares: dict[int, None] = {}
        self._columns: dict[int, None] = {}
        self._sizes = {BATCH: self._names[BATCH]}

    @property
    def _drawing(self) -> tuple[str, ...]:
        """What noise is drawn from, where there is some: see ``noise.key_of``."""
        return ("noise",) if self.program.with_role("noise") else ()

    def _given(self, label: Symbol) -> str:
        return f"{self._names[label]}_parts" if label in self._sums else self._names[label]

    def piece(self, text: str, names: Names) -> Piece | None:
        """The array that a variable holds: of a sum, the part's own, or those of all parts."""
        kinds: tuple[tuple[str, Kind], ...] = (("_own", "own"), ("_parts", "parts"))
        for ending, kind in kinds:
            label = self._names.labels.get(text.removesuffix(ending))
            if text.endswith(ending) and isinstance(label, Symbol) and label in self._sums:
                return Piece(label, kind)
        return super().piece(text, names)

    def written(self, loss: Symbol) -> tuple[list[str], list[str], Signature]:
        """The names of the parameters, all lines, and what the entry is called with after the
        leading arguments and the data.
        """
        lines = list(self._text(loss))
        used = words(lines)
        labels = tuple(label for label in self._labels if self._given(label) in used)
        gathered = batch_tensors(self.program, self.plan)
        every = (f"all_{self._names[tensor.label]}" for tensor in gathered)
        tables = (f"table_{number}" for number in range(len(self.tables)))
        names = [*LEADING, *self._drawing, *every, *map(self._given, labels), *tables]
        return names, lines, Signature(labels, tuple(self.tables))

    def _text(self, loss: Symbol) -> Iterator[str]:
        """All lines."""
        m, loop = self._names[BATCH], [INDENT + line for line in self._batch(loss)]
        used = words(loop)
        for label in self._sums:
            if self._names[label] in used:
                yield f"{self._names[label]} = entry_at({self._given(label)}, 0)"
        for size in self._shares:
            yield f"start_{size}, stop_{size} = share({size}, 16, thread, threads)"
        wide = 2 * LANES[self._module.dtype.name]
        for size in self._columns:
            yield f"left_{size}, right_{size} = share({size}, {wide}, thread, threads)"
        yield "count = (rows_all.size + stride - 1) // stride"
        yield "epoch, batch = first // count, first % count - 1"
        yield "for step in range(first, last):"
        yield f"{INDENT}batch += 1"
        yield f"{INDENT}if batch == count:"
        yield f"{INDENT * 2}epoch, batch = epoch + 1, 0"
        yield f"{INDENT}if batch == 0:"
        yield f"{INDENT * 2}if thread == 0:"
        yield f"{INDENT * 3}begin_epoch(order, rows_all, seeds, epoch)"
        yield f"{INDENT * 2}wait(barrier, threads)"
        yield f"{INDENT}begin = batch * stride"
        yield f"{INDENT}{m} = least(stride, rows_all.size - begin)"
        yield f"{INDENT}active = parts_used({m}, parts)"
        for n, tensor in enumerate(self.program.with_role("noise")):
            yield f"{INDENT}key_{n} = noise_key(noise, step, {tensor_number(tensor)})"
        yield from (INDENT + line for line in self._scheduled())
        yield from loop

    def _scheduled(self) -> Iterator[str]:
        """What has a number of its own for each batch takes it."""
        found = [self._names[tensor.label] for tensor in self.program.with_role("scheduled")]
        if found:
            yield "if thread == 0:"
            yield from (f"{INDENT}{name}[0] = rates[step]" for name in found)
            yield str(WAIT)

    def _batch(self, loss: Symbol) -> Iterator[str]:
        """The lines for one batch; passages that occur again become functions."""
        found = list(self._pieces(loss))
        often = Counter(piece.key for piece in found if isinstance(piece, Passage))
        calls: list[Call] = []
        for piece in found:
            if isinstance(piece, Passage) and often[piece.key] > 1:
                piece = Call(self._module.shared("phase", piece), tuple(map(str, piece.arguments)))
            if isinstance(piece, Call):
                calls.append(piece)
                continue
            yield from self.stages(calls, self._names, OFTEN)
            calls = []
            yield from piece.plain if isinstance(piece, Passage) else [piece]
        yield from self.stages(calls, self._names, OFTEN)

    def _pieces(self, loss: Symbol) -> Iterator[Call | Passage | str]:
        """What one batch takes: calls, passages and other lines."""
        rounds = list(self._rounds())
        several = sum(isinstance(step, Rows) for step in self.plan.steps) > 1
        self._often = SELDOM if several else OFTEN
        holding = [n for n, steps in enumerate(rounds) if any(loss in written(s) for s in steps)]
        for number, steps in enumerate(rounds):
            yield from self._round(steps)
            yield WAIT
            yield from self._added(self._summed(steps), list(_divided(steps)))
            if number == holding[-1]:
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
        fills = [s for s in self.plan.steps if isinstance(s, Fill) and s.label in self._sums]
        found, added = Gathered(), set[Symbol]()
        for step in self.plan.steps:
            if step in fills:
                continue
            while not self._may_join(found, step) or not self._may_use(step, added):
                yield found.steps
                found, added = Gathered(), self._joined(found.steps)
            if isinstance(step, Rows):
                grown = (fill for fill in fills if fill.label in written(step))
                last = [*found.steps, *grown, step]
                yield last
                found, added = Gathered(), self._joined(last)
            else:
                found.add(step)
        if found.steps:
            yield found.steps

    def _round(self, steps: list[Step]) -> Iterator[Call | Passage | str]:
        """Steps between which nobody waits."""
        for way, found in groupby(steps, self._way):
            if way == "parts":
                yield Passage.of(self._parts(list(found)), "The parts of a batch.")
            elif way == "divided":
                for divided in _divided(found):
                    yield from self._ranges(divided)
            elif way == "shared":
                yield from (self.call(step, self._names) for step in found)
            else:
                yield "if thread == 0:"
                yield from (INDENT + line for line in self.lines(found, self._names))

    def _ranges(self, divided: Divided) -> Iterator[str]:
        """The parts of a thread, one after the other: each takes a range of the summed numbers, or
        of the rows where these are so many that sums of its own would take too much memory.
        """
        step = divided.product
        others = self._names[label_of(divided.others)]
        yield f"others = sums_beside({self._names[BATCH]}, parts, {extent(step.summed)})"
        yield "for part in range(thread, parts, threads):"
        yield f"{INDENT}if others > 0:"
        yield from (INDENT * 2 + line for line in self._range_of_sum(step, others))
        yield f"{INDENT}else:"
        yield from (INDENT * 2 + line for line in self._range_of_rows(step))

    def _range_of_sum(self, step: Gemm, others: str) -> Iterator[str]:
        rows, matrix, result = (label_of(p) for p in (step.left, step.right, step.target))
        own = {
            rows: f"columns_from({self._names[rows]}, low)",
            matrix: f"rows_from({self._names[matrix]}, low, high - low)",
            result: f"{self._names[result]}_own",
        }
        yield f"low, high = share({extent(step.summed)}, {UNIT}, part, parts)"
        first = f"{self._names[result]} if part == 0"
        yield f"{own[result]} = {first} else entry_at({others}, part - 1)"
        yield str(self._gather(self.program.by_label[rows], self._names, ("low", "high")))
        yield str(self._vector_product(step, self._names.but(own, False), "high - low"))

    def _range_of_rows(self, step: Gemm) -> Iterator[str]:
        rows, result = label_of(step.left), label_of(step.target)
        own = {x: f"rows_from({self._names[x]}, low, high - low)" for x in (rows, result)}
        yield f"low, high = share({self._names[BATCH]}, {UNIT}, part, parts)"
        gather = self._gather(self.program.by_label[rows], self._names)
        given = (*gather.arguments[:2], "begin + low", "high - low", own[rows])
        yield str(Call(gather.name, given))
        names = self._names.but({**own, BATCH: "high - low"}, False)
        yield str(self._vector_product(step, names))

    def _rows_of_parts(self) -> Iterator[str]:
        """The head of a loop over the parts of a thread, with the rows of each."""
        yield "for part in range(thread, active, threads):"
        yield f"{INDENT}low, high = share({self._names[BATCH]}, {UNIT}, part, parts)"

    def _parts(self, steps: list[Step]) -> Iterator[str]:
        """The parts of a thread, one after the other."""
        yield from self._rows_of_parts()
        summed = self._summed(steps)
        inner = {label: f"{self._names[label]}_own" for label in summed}
        own = self._names.but(inner, within_block=False)
        lines = list(self.lines(steps, own))
        used = words(lines)
        for label in summed:
            if own[label] in used:
                yield f"{INDENT}{own[label]} = entry_at({self._given(label)}, part)"
        yield from (INDENT + line for line in lines)

    def _way(self, step: Step) -> Literal["parts", "divided", "shared", "first"]:
        """Whether a step is done for each part, by rows or by a divided sum, each thread does its
        share of it, or the first thread does all of it.
        """
        if isinstance(step, Divided):
            return "divided"
        if isinstance(step, Rows) or (isinstance(step, Fill) and step.label in self._sums):
            return "parts"
        return "shared" if self._shared_by(step) else "first"

    def _may_join(self, found: Gathered, step: Step) -> bool:
        """Whether a step need not wait for any of those of a round."""
        return found.apart_from(step) or all(self._may_follow(step, s) for s in found.steps)

    def _may_follow(self, step: Step, other: Step) -> bool:
        """Whether a step need not wait for another: they use different tensors, or each thread does
        the same elements of both.
        """
        ways = self._way(step), self._way(other)
        same = ways[0] == ways[1] and self._shared_by(step) == self._shared_by(other)
        return same or apart(step, other)

    def _shared_by(self, step: Step) -> Hashable:
        """What a step is shared out by, such as the number of elements; None if it is not."""
        if isinstance(step, Transpose) or (isinstance(step, Gemm) and self._rows_known(step)):
            return str(step.target)
        if isinstance(step, Gemm) and self._all_rows(step):
            return f"columns of {step.target}"
        flat = self.flat(step) if isinstance(step, Nest) else None
        return flat[0] if flat else None

    def _rows_known(self, step: Gemm) -> bool:
        """Whether the rows of a product can be shared out."""
        return step.vectors and extent(subscripts_of(step.target)[0]).is_Integer

    def _all_rows(self, step: Gemm) -> bool:
        """Whether a product is of all rows at once, so that its columns can be shared out."""
        row, column = subscripts_of(step.target)[-2:] if not step.batch else (None, None)
        known = column is not None and extent(column).is_Integer
        return known and step.vectors and step.fixed is None and extent(row) == BATCH

    def columns(self, step: Gemm, names: Names) -> tuple[str, str]:
        if not self._all_rows(step) or label_of(step.target) in self._divided:
            return super().columns(step, names)
        size = int(extent(subscripts_of(step.target)[-1]))
        self._columns[size] = None
        return f"left_{size}", f"right_{size}"

    def _may_use(self, step: Step, added: set[Symbol]) -> bool:
        """Whether a step need not wait until sums are added up: each thread uses the elements that
        it has added up itself.
        """
        used = added.intersection(touched(step))
        return all(self._alike(step, label) for label in used)

    def _alike(self, step: Step, label: Symbol) -> bool:
        """Whether a step is shared out as a sum is added up."""
        if label in self._divided:
            return self._way(step) == "parts"
        return self._shared_by(step) == self._size(label)

    def _size(self, label: Symbol) -> int:
        return prod(int(extent(axis)) for axis in self._sums[label].axes)

    def _summed(self, steps: list[Step]) -> list[Symbol]:
        """The sums over rows that are complete but for being added up."""
        labels = {label for step in steps if isinstance(step, Rows) for label in written(step)}
        return [label for label in self._sums if label in labels]

    def _joined(self, steps: list[Step]) -> set[Symbol]:
        """What is added up after a round."""
        divided = (label_of(step.product.target) for step in _divided(steps))
        return {*self._summed(steps), *divided}

    def _added(self, labels: list[Symbol], divided: list[Divided]) -> Iterator[Call | str]:
        """Add up the sums of the parts: those over rows, and those that were divided, by rows."""
        for label in labels:
            yield Call("join", (self._given(label), "active", *self.bounds(self._size(label))))
        if divided:
            yield from self._rows_of_parts()
        for step in divided:
            result, others = (self._names[label_of(e)] for e in (step.product.target, step.others))
            width = extent(subscripts_of(step.product.target)[-1])
            ends = f"low * {width}", f"high * {width}"
            yield f"{INDENT}{Call('join_others', (result, others, 'others', *ends))}"

    def bounds(self, size: int) -> tuple[str, str]:
        """The range of a loop of so many turns: this thread's share."""
        self._shares[size] = None
        return f"start_{size}", f"stop_{size}"

    def row_bounds(self, names: Names) -> tuple[str, str]:
        return "low", "high"
