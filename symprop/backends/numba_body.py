"""The body of an entry: the statements that run the steps of a schedule."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, cached_property
from math import prod
from typing import Protocol

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.backends.numba_calls import OFTEN, Call, arguments_of, repeated, stage_kernel
from symprop.backends.numba_nest import INDENT, Kernel, Names, NestWriter, gather_kernel
from symprop.backends.numba_scalar import ScalarPrinter, subscript
from symprop.backends.numba_tables import Piece, Table
from symprop.backends.numba_vector import LANES, shortest
from symprop.backends.numba_vector_nest import START, STOP, vector_kernel
from symprop.blocks import ROWS, numbers_of
from symprop.errors import LoweringError
from symprop.loops import flattened
from symprop.program import Program
from symprop.schedule import split
from symprop.scope import BATCH
from symprop.steps import (
    Draw,
    Fill,
    Gather,
    Gemm,
    Loop,
    Nest,
    Rows,
    Schedule,
    Step,
    Transpose,
    touched,
)
from symprop.tensor import Tensor, accesses, extent, label_of, subscripts_of

CACHE = 48 * 1024
"""Bytes that the tensors of a block of rows should not exceed: what the nearest cache holds."""
SECOND_CACHE = 1 << 19
"""Bytes of a matrix that each block reads anew from far away."""
PAGE = 4096
"""Bytes of memory that one address is looked up for."""
LEAST, MOST = 32, 512
"""Rows of a block: fewer would not fill the tiles of products, more than this gains nothing."""


VIEWS = ("line", "matrix", "cube")
"""The functions that make an array of an address, by the number of its axes."""


class Kernels(Protocol):
    """What a body needs of its module: the type of numbers, the functions of its own, the lanes of
    a vector, and a place for kernels, where equal ones are written once.
    """

    dtype: np.dtype[np.generic]
    own: Collection[str]
    lanes: int

    def shared(self, prefix: str, kernel: Kernel) -> str: ...


class Body:
    """Writes the statements of an entry, which runs all steps one after the other."""

    def __init__(self, module: Kernels, program: Program, plan: Schedule):
        self._module, self.program, self.plan = module, program, plan
        self._flat: dict[Nest, tuple[int, Kernel] | None] = {}
        self.tables: list[Table] = []
        self._local = {tensor.label for tensor in plan.local}
        self._often = OFTEN
        self._sizes: dict[Symbol, str] = {}

    def lines(self, steps: Iterable[Step], names: Names) -> Iterator[str]:
        """The statements that run the steps."""
        calls: list[Call] = []
        for step in steps:
            if isinstance(step, (Loop, Rows)):
                yield from self.stages(calls, names, self._often)
                calls = []
            if isinstance(step, Loop):
                yield from self._loop(step, names)
            elif isinstance(step, Rows):
                yield from self._rows(step, names)
            else:
                calls.append(self.call(step, names))
        yield from self.stages(calls, names, self._often)

    def bounds(self, size: int) -> tuple[str, str]:
        """The range of a loop of so many turns: all of them."""
        return "0", str(size)

    def columns(self, step: Gemm, names: Names) -> tuple[str, str]:
        """The range of columns of a product: all of them."""
        return "0", _extent(subscripts_of(step.target)[-1], names)

    def row_bounds(self, names: Names) -> tuple[str, str]:
        """The range of the rows: all of them."""
        return "0", names[BATCH]

    def _loop(self, step: Loop, names: Names) -> Iterator[str]:
        yield f"for {names[step.index]} in {_range(step, names)}:"
        yield from (INDENT + line for line in self.lines(step.steps, names))

    def _rows(self, step: Rows, names: Names) -> Iterator[str]:
        """One block after the other, each with its rows of the tensors for the whole batch."""
        (low, high), most = self.row_bounds(names), self._height
        yield f"height = {most}"
        yield f"for block in range({low}, {high}, height):"
        yield f"{INDENT}{names[ROWS]} = least(height, {high} - block)"
        used = set(touched(step))
        tensors = [*self.plan.given, *self.plan.buffers]
        parts = [t for t in tensors if t.label in used and t.shape[:1] == (BATCH,)]
        inner = names.but({t.label: f"{names[t.label]}_part" for t in parts})
        for tensor in parts:
            name = names[tensor.label]
            yield f"{INDENT}{inner[tensor.label]} = rows_from({name}, block, {names[ROWS]})"
        yield from (INDENT + line for line in self.lines(step.steps, inner))

    def stages(self, calls: Sequence[Call], names: Names, often: int) -> Iterator[str]:
        """The calls, those of equal layers in a loop over a table of their arrays, if there are so
        many.
        """

        @cache
        def kind(text: str) -> object:
            piece = self.piece(text, names)
            return self._view(piece) if piece else text

        for run in repeated(calls, kind, often):
            if len(run) == 1 or None in map(kind, arguments_of(run[0])):
                yield from (str(call) for sequence in run for call in sequence)
                continue
            stage = run[0][0].name
            if len(run[0]) > 1:
                stage = self._module.shared("stage", stage_kernel(run[0]))
            yield f"for layer in range({len(run)}):"
            yield f"{INDENT}{Call(stage, self._picked(run, names))}"

    def _picked(self, run: Sequence[Sequence[Call]], names: Names) -> tuple[str, ...]:
        """The arguments of equal layers, those that differ picked from a new table."""
        single = len(run[0]) == 1
        rows = [s[0].arguments if single else arguments_of(s) for s in run]
        columns = list(zip(*rows, strict=True))
        varying = list(dict.fromkeys(c for c in columns if len(set(c)) > 1))
        name, pieces = f"table_{len(self.tables)}", []
        for column in varying:
            found = (self.piece(text, names) for text in column)
            pieces.append([piece for piece in found if piece is not None])
        table = Table(tuple(zip(*pieces, strict=True)))
        self.tables.append(table)
        picked = {}
        for number, column in enumerate(varying):
            function, sizes = self._view(pieces[number][0]) or ("", ())
            address = f"{name}[{table.place(number)}]"
            picked[column] = str(Call(function, (address, *sizes)))
        return tuple(picked.get(column, column[0]) for column in columns)

    def piece(self, text: str, names: Names) -> Piece | None:
        """The array that a variable holds, if its address is the same all the time."""
        label = names.labels.get(text)
        return Piece(label) if isinstance(label, Symbol) and label in self._arrays else None

    @cached_property
    def _height(self) -> int:
        return block_rows(self.plan, self._module.dtype)

    @cached_property
    def _arrays(self) -> dict[Symbol, Tensor]:
        """The arrays of floating-point numbers that an entry is called with, by label."""
        every = (*self.plan.given, *self.plan.buffers, *self.plan.local)
        return {t.label: t for t in every if t.label not in self.program.integers}

    def _view(self, piece: Piece | None) -> tuple[str, tuple[str, ...]] | None:
        """The function that makes an array of an address, and the sizes that it is given."""
        if piece is None:
            return None
        tensor = self._arrays[piece.label]
        sizes = [self._sizes.get(size, str(size)) for size in tensor.shape]
        if piece.label in self._local:
            sizes[0] = str(self._height)
        sizes = ["parts"] * (piece.kind == "parts") + (sizes or ["1"])
        known = all(s.isdigit() or s in ("parts", *self._sizes.values()) for s in sizes)
        if not known or len(sizes) > len(VIEWS):
            return None
        return self._own_kernel(VIEWS[len(sizes) - 1]), tuple(sizes)

    def call(self, step: Step, names: Names) -> Call:
        if isinstance(step, Nest):
            return self._nest(step, names)
        if isinstance(step, Gemm):
            return self._vector_product(step, names) if step.vectors else self._product(step, names)
        if isinstance(step, Transpose):
            rows, columns = (str(extent(i)) for i in subscripts_of(step.source))
            pair = names[label_of(step.source)], columns, names[label_of(step.target)], rows
            return Call(self._own_kernel("transpose"), (*pair, *self.bounds(int(rows)), columns))
        if isinstance(step, Gather):
            return self._gather(self.program.by_label[step.label], names)
        if isinstance(step, Draw):
            return self._draw(self.program.by_label[step.label], names)
        if isinstance(step, Fill):
            value = ScalarPrinter(self._module.dtype, str).literal(step.value)
            kernel = Kernel((f"{INDENT}‹0›.fill({value})",), (Symbol("a"),), (0,))
            return Call(self._module.shared("fill", kernel), (names[step.label],))
        raise LoweringError(f"{type(step).__name__} cannot be inside a block of rows")

    def flat(self, step: Nest) -> tuple[int, Kernel] | None:
        """A nest over the elements as they lie in memory, if it may be and has vectors: how many,
        and a kernel for a range of them.
        """
        if step not in self._flat:
            module, found = self._module, flattened(step, self.program)
            kernel = None
            if found and module.lanes:
                kernel = vector_kernel(
                    found, self.program, module.dtype, module.lanes, module.own, ranged=True
                )
            size = int(extent(found.loops[0])) if found else 0
            self._flat[step] = (size, kernel) if kernel else None
        return self._flat[step]

    def _nest(self, step: Nest, names: Names) -> Call:
        """The call of a nest: over the elements as they lie in memory, in vectors along its inner
        loop, or in plain loops.
        """
        module, flat = self._module, self.flat(step)
        if flat:
            size, kernel = flat
            ends = dict(zip((START, STOP), self.bounds(size), strict=True))
        else:
            along = vector_kernel(step, self.program, module.dtype, module.lanes, module.own)
            kernel = along or NestWriter(step, self.program, module.dtype, module.own).write()
            ends = {}
        arguments = tuple(ends.get(x) or names[x] for x in kernel.arguments)
        return Call(module.shared("nest", kernel), arguments)

    def _own_kernel(self, name: str) -> str:
        """The name of a vector kernel for this type."""
        return f"{name}{8 * self._module.dtype.itemsize}"

    def _product(self, step: Gemm, names: Names) -> Call:
        """The call of BLAS."""
        parts = (step.left, step.right, step.target)
        slices = tuple(_slice(part, step, names) for part in parts)
        return Call(self._module.shared("product", _product_kernel(step)), slices)

    def _vector_product(self, step: Gemm, names: Names, summed: str = "") -> Call:
        """C (+)= A · B: A with the distances between its rows and between its summed numbers, B and
        C with those between their rows; ranges of rows and columns, how many numbers are summed up,
        if not all; whether to add, and how many times.
        """
        (left, right, target) = (
            split(p, step.fixed)[1] for p in (step.left, step.right, step.target)
        )
        row, column = target
        known = extent(row).is_Integer and extent(step.summed) != ROWS
        rows = self.bounds(int(extent(row))) if known else ("0", _extent(row, names))
        length = [_extent(subscripts[1], names) for subscripts in (left, right, target)]
        distances = (length[0], "1") if left[0] == row else ("1", length[0])
        a, b, c = (_slice(part, step, names) for part in (step.left, step.right, step.target))
        grows = extent(step.summed) == ROWS
        add = (
            "True"
            if not step.fresh
            else f"block > {self.row_bounds(names)[0]}"
            if grows
            else "False"
        )
        factor = self._number(step.factor, names)
        straight = right[1] == column
        if straight and not self._is_far(column):
            kernel, apart = self._own_kernel("product") + self._short(column), [length[1]]
        else:
            kernel = self._own_kernel("strips")
            apart = [length[1], "1"] if straight else ["1", length[1]]
        places = (a, *distances, b, *apart, c, length[2])
        ranges = (*rows, *self.columns(step, names), summed or _extent(step.summed, names))
        return Call(kernel, (*places, *ranges, add, factor))

    def _short(self, column: Idx) -> str:
        """What the name of a product says of the lanes of its vectors, if few hold its columns."""
        most, size = LANES[self._module.dtype.name], extent(column)
        lanes = shortest(int(size), most) if size.is_Integer else most
        return f"x{lanes}" if lanes < most else ""

    def _is_far(self, column: Expr) -> bool:
        """Whether the rows of a matrix with such columns lie in different pages."""
        size = extent(column)
        return bool(size.is_Integer) and int(size) * self._module.dtype.itemsize >= PAGE

    def _number(self, value: Expr, names: Names) -> str:
        """An expression of tensors without axes."""
        held = {access: Symbol(f"{names[access]}[0]") for access in accesses(value)}
        return ScalarPrinter(self._module.dtype, str)(value.xreplace(held))

    def _draw(self, tensor: Tensor, names: Names) -> Call:
        """The call that draws the noise of a batch, or of a block of it."""
        width = prod(int(extent(axis)) for axis in tensor.axes[1:])
        first, rows = (f"block * {width}", ROWS) if names.within_block else ("0", BATCH)
        key = f"key_{self.program.with_role('noise').index(tensor)}"
        given = names[tensor.label], key, first, f"{names[rows]} * {width}"
        return Call(self._own_kernel("draw"), given)

    def _gather(self, tensor: Tensor, names: Names, ends: tuple[str, ...] = ()) -> Call:
        """The call of the kernel that copies the rows of a batch, or of a block of it, from one
        number to another, if not all of them.
        """
        kernel = gather_kernel([int(extent(axis)) for axis in tensor.axes[1:]], bool(ends))
        name = self._module.shared("gather", kernel)
        into, within = names[tensor.label], names.within_block
        start, rows = ("begin + block", ROWS) if within else ("begin", BATCH)
        every = f"all_{into.removesuffix('_part')}"
        return Call(name, (every, "order", start, names[rows], into, *ends))


def block_rows(plan: Schedule, dtype: np.dtype[np.generic]) -> int:
    """How many rows a block has: what it computes should stay in the nearest cache."""
    width = sum(prod(int(size) for size in tensor.shape[1:]) for tensor in plan.local)
    fitting = CACHE // max(1, width * dtype.itemsize)
    far = _largest_factor(plan) * dtype.itemsize > SECOND_CACHE
    return MOST if far else max(LEAST, min(MOST, fitting // 8 * 8))


def _largest_factor(plan: Schedule) -> int:
    """How many numbers the largest matrix has by which blocks of rows are multiplied."""
    inner = (step for rows in plan.steps if isinstance(rows, Rows) for step in rows.steps)
    return max((numbers_of(step.right) for step in inner if isinstance(step, Gemm)), default=0)


def arguments(program: Program, plan: Schedule) -> tuple[Symbol, ...]:
    """What a compiled schedule is called with: sizes, given tensors, buffers."""
    tensors = (*plan.given, *plan.buffers, *plan.local)
    return (*program.sizes, *(tensor.label for tensor in tensors))


def batch_tensors(program: Program, plan: Schedule) -> tuple[Tensor, ...]:
    """The tensors of which each batch takes its rows."""
    used = {tensor.label for tensor in (*plan.given, *plan.buffers, *plan.local)}
    return tuple(t for t in program.tensors if t.role in ("input", "target") and t.label in used)


def _extent(index: Expr, names: Names) -> str:
    return subscript(extent(index), lambda size: names[size])


def _range(step: Loop, names: Names) -> str:
    count = subscript(extent(step.index), lambda size: names[size])
    return f"range({count} - 1, -1, -1)" if step.reverse else f"range({count})"


def _slice(access: Expr, step: Gemm, names: Names) -> str:
    lead, rest = split(access, step.fixed)
    name = names[label_of(access)]
    picks = [subscript(s, lambda leaf: names[leaf]) for s in lead]
    if not step.vectors and rest and extent(rest[0]) == BATCH:  # its buffer may have more rows
        picks.append(f":{names[BATCH]}")
    return f"{name}[{', '.join(picks)}]" if picks else name


def _product_kernel(step: Gemm) -> Kernel:
    """out ← left · right, or of their transposes, for each of the leading batch indices."""
    picks = ", ".join(f"i{n}" for n in range(len(step.batch)))
    lines = [
        f"{INDENT * (n + 1)}for i{n} in range(‹2›.shape[{n}]):" for n in range(len(step.batch))
    ]
    own = [split(part, step.fixed)[1][len(step.batch) :] for part in (step.left, step.right)]
    turned = (own[0][-1] != step.summed, own[1][0] != step.summed)
    left, right, out = (f"‹{n}›[{picks}]" if picks else f"‹{n}›" for n in range(3))
    left, right = (
        f"{name}.T" if t else name for name, t in zip((left, right), turned, strict=True)
    )
    lines.append(f"{INDENT * (len(step.batch) + 1)}np.dot({left}, {right}, {out})")
    labels = (Symbol("A"), Symbol("B"), Symbol("C"))
    note = "C = " + " · ".join(f"{x}ᵀ" if t else x for x, t in zip("AB", turned, strict=True))
    return Kernel(tuple(lines), labels, (0, 1, 2), (note,), "blas")


def words(lines: Iterable[str]) -> set[str]:
    """The names in some lines."""
    return {word for line in lines for word in re.findall(r"\w+", line)}
