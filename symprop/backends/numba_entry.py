"""The entries of generated code: schedules, and the arrays that they are called with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.backends import Array, memory
from symprop.backends.memory import Life
from symprop.backends.numba_body import batch_tensors, block_rows
from symprop.backends.numba_tables import Signature
from symprop.backends.numba_threads import rows_of_part
from symprop.backends.numba_training import begun_before_rows, sums_over_rows
from symprop.backends.numba_vector import LANES
from symprop.backends.numpy import Evaluator
from symprop.errors import DataError
from symprop.lowering import Lowering
from symprop.passes import lower
from symprop.passes.layout import Layout, laid_out, layout
from symprop.passes.orient import orient
from symprop.passes.prune import prune
from symprop.passes.rows_first import rows_first
from symprop.passes.stabilize import EXACT_SLOPES, RULES
from symprop.program import Program
from symprop.schedule import Target, schedule
from symprop.scope import BATCH
from symprop.steps import Gemm, Schedule, effort
from symprop.tensor import Tensor, extent, indices, subscript_bounds, subscripts_of

Dtype = np.dtype[Any]
Sizes = Mapping[Symbol, int]

WORTH_A_THREAD = 16384
"""Vector instructions, some 5 µs, for which another thread is worth the waits at barriers."""
MOST_THREADS, LEAST_SHARE = 16, 16
"""How many parts of a batch at most, and how many rows each should have at least."""


def target_of(lowering: Lowering, dtype: Dtype, size: Symbol | None = None) -> Target:
    return Target(lowering, LANES[dtype.name], size)


def oriented(program: Program, target: Target) -> Program:
    lanes = target.product_lanes
    return orient(program, lanes) if lanes and target.lowering.orientation else program


def stored(program: Program, target: Target) -> Layout:
    """How the matrices of a program lie."""
    lanes = target.product_lanes
    return layout(program, lanes) if lanes and target.lowering.orientation else {}


def bound(
    signature: Signature, values: Mapping[str, Array], sizes: Sizes, parts: int = 1
) -> list[Any]:
    """The arguments of a compiled entry; a 0-d array goes as one element in the same memory."""
    found: list[Any] = []
    for label in signature.labels:
        value = sizes[label] if label in sizes else values[label.name]
        found.append(
            value.reshape(1) if isinstance(value, np.ndarray) and not value.ndim else value
        )
    return [*found, *(table.addresses(values, parts) for table in signature.tables)]


def buffers_of(tensors: Iterable[Tensor], sizes: Sizes, dtype: Dtype) -> dict[str, Array]:
    return {str(tensor.label): np.empty(shape_of(tensor, sizes), dtype) for tensor in tensors}


def shape_of(tensor: Tensor, sizes: Sizes) -> tuple[int, ...]:
    return tuple(int(size.xreplace(dict(sizes))) for size in tensor.shape)


@dataclass(frozen=True)
class Subscript:
    """A subscript that a program cannot check: a gathered integer, or bounds that sizes decide."""

    tensor: Tensor
    axis: Idx
    subscript: Expr
    text: str


def unsafe(program: Program) -> tuple[Subscript, ...]:
    found: dict[Subscript, None] = {}
    for equation in program.flat:
        for access in (equation.target, *equation.reads):
            tensor = program.tensor(access)
            for axis, subscript in zip(
                tensor.axes if tensor else (), subscripts_of(access), strict=True
            ):
                bounds = subscript_bounds(subscript)
                known = bounds and all(bound.is_Integer for bound in bounds)
                if tensor and not isinstance(subscript, Idx) and not known:
                    found[Subscript(tensor, axis, subscript, str(access))] = None
    return tuple(found)


def check_subscripts(
    subscripts: Iterable[Subscript], values: Mapping[str, Array], sizes: Sizes
) -> None:
    """Refuse subscripts that leave their axis: compiled code would use foreign memory.

    Raises DataError, naming the access, the value and the range.
    """
    for found in subscripts:
        loops = indices(found.subscript)
        grid = np.ix_(*(np.arange(int(extent(i).xreplace(dict(sizes)))) for i in loops))
        evaluate = Evaluator(values, sizes, dict(zip(loops, grid, strict=True)), np.float64)
        number, size = evaluate.subscript(found.subscript), shape_of(found.tensor, sizes)
        last = size[found.tensor.axes.index(found.axis)] - 1
        outside = number[(number < 0) | (number > last)]
        if outside.size:
            raise DataError(
                f"{found.text}: {found.subscript} is {outside.flat[0]}, but axis {found.axis} of "
                f"{found.tensor.label} runs from 0 to {last}"
            )


class Work:
    """Work buffers: allocated for the most rows seen so far, and used for that many or fewer."""

    def __init__(
        self,
        plan: Schedule,
        dtype: Dtype,
        integers: frozenset[Symbol],
        lives: Callable[[bool], Mapping[Symbol, Life]],
    ):
        self._plan, self._dtype, self._integers, self._lives_if = plan, dtype, integers, lives
        self._rows, self._arrays = 0, tuple[dict[str, Array], ...]()
        self._parts = 0

    @property
    def width(self) -> int:
        """How many numbers the buffers for the whole batch hold for each row."""
        return sum(math.prod(shape_of(t, {BATCH: 1})) for t in self._plan.buffers)

    def arrays(self, rows: int, parts: int = 0) -> tuple[dict[str, Array], ...]:
        """An array for each tensor, by label, with room for at least so many rows.

        For batches in parts, a dict for each thread that may do one: what lives in blocks differs,
        the rest is the same, with sums over rows for each part.
        """
        if rows > self._rows or parts != self._parts:
            self._rows, self._parts = rows, parts
            self._lives = self._lives_if(parts > 1)
            sums = sums_over_rows(self._plan) if parts else ()
            shapes = {t: shape_of(t, {BATCH: rows}) for t in self._plan.buffers}
            shapes |= {t: (parts, *(shapes[t] or (1,))) for t in sums}
            shared = self._made(shapes)
            _, part = rows_of_part.py_func(rows, 0, max(1, parts))  # the first is the longest
            block = min(part, block_rows(self._plan, self._dtype))
            local = {t: shape_of(t, {BATCH: block}) for t in self._plan.local}
            self._arrays = tuple(shared | self._made(local) for _ in range(max(1, parts)))
        return self._arrays

    def _made(self, shapes: Mapping[Tensor, tuple[int, ...]]) -> dict[str, Array]:
        types = {t: np.int64 if t.label in self._integers else self._dtype for t in shapes}
        return memory.arrays(shapes, types, self._lives)


class Entry:
    """One of a network's programs: its schedule, and the arrays that it works in."""

    def __init__(
        self,
        name: str,
        program: Program,
        outputs: Iterable[Tensor],
        dtype: Dtype,
        lowering: Lowering,
        stored: Layout,
        gathers: bool = False,
    ):
        target = target_of(lowering, dtype, BATCH)
        rules = EXACT_SLOPES if lowering.exact_slopes else RULES
        lowered = laid_out(lower(program, tuple(outputs), rules), stored)
        outputs = lowered.outputs
        lowered = oriented(rows_first(prune(lowered), BATCH), target)
        data = frozenset(t.label for t in lowered.tensors if t.role in ("input", "target"))
        if gathers:
            noise = (tensor.label for tensor in lowered.with_role("noise"))
            target = replace(target, gathered=data.union(noise))
        self.name, self.program, self.dtype, self._lowering = name, lowered, dtype, lowering
        self.plan = schedule(lowered, keep={tensor.label for tensor in outputs}, target=target)
        self.batches = batch_tensors(self.program, self.plan)
        self._kept = frozenset(tensor.label for tensor in outputs)
        self.work = Work(self.plan, dtype, lowered.integers, self._lives)
        self._parts: dict[int, int] = {}
        self._unsafe = unsafe(self.program)
        self.signature = Signature(())  # that of the generated function, once there is one

    def data(self, **arrays: Array) -> dict[str, Array]:
        """The given rows by label, those used as subscripts as whole numbers and checked."""
        found = {}
        for tensor in self.batches:
            array = arrays[tensor.name]
            integer = tensor.label in self.program.gathers
            found[str(tensor.label)] = array.astype(np.int64) if integer else array
        if self._unsafe:
            check_subscripts(self._unsafe, found, {BATCH: len(next(iter(arrays.values())))})
        return found

    def arguments(self, values: Mapping[str, Array], rows: int) -> list[Any]:
        """What the entry is called with, to run on so many rows."""
        (work,) = self.work.arrays(rows)
        return bound(self.signature, {**work, **values}, {BATCH: rows})

    def training(self, values: Mapping[str, Array], rows: int, parts: int) -> list[list[Any]]:
        """What each thread calls the entry with after the leading arguments, to train with batches
        of so many rows at most.
        """
        found = self.work.arrays(rows, parts)
        return [bound(self.signature, {**work, **values}, {}, parts) for work in found]

    def parts(self, rows: int) -> int:
        """Into how many parts a batch of so many rows is cut: as many as threads would pay for."""
        if rows not in self._parts:
            self._parts[rows] = self._parts_of(rows)
        return self._parts[rows]

    def _lives(self, together: bool) -> Mapping[Symbol, Life]:
        """When each tensor is needed; nothing is said of those that share no memory."""
        shared = self._lowering.shared_memory
        return memory.lives(self.plan, self._kept, together) if shared else {}

    def _parts_of(self, rows: int) -> int:
        most = self._lowering.threads or processors()
        products = (step for step in self.plan.steps if isinstance(step, Gemm))
        if not all(step.vectors for step in products):  # BLAS has threads of its own
            return 1
        if begun_before_rows(self.plan):
            return 1
        paying = effort(self.plan, rows, LANES[self.dtype.name]) // WORTH_A_THREAD
        return max(1, min(most, MOST_THREADS, rows // LEAST_SHARE, paying))


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
