"""The entries of generated code, and the arrays that they are called with."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from symprop.backends import Array, memory
from symprop.backends.memory import Life
from symprop.backends.numba_body import batch_tensors, block_rows
from symprop.backends.numba_compile import Compiled, load
from symprop.backends.numba_plan import Dtype, Planned, Subscript, unsafe
from symprop.backends.numba_tables import Signature
from symprop.backends.numba_threads import UNIT, share
from symprop.backends.numba_training import others_of, sums_over_rows
from symprop.backends.numba_vector import LANES
from symprop.backends.numpy import Evaluator
from symprop.errors import DataError
from symprop.passes.layout import Layout
from symprop.scope import BATCH
from symprop.steps import effort
from symprop.tensor import Tensor, extent, indices

Sizes = Mapping[Symbol, int]

WORTH_A_THREAD = 16384
"""Vector instructions, some 5 µs, for which another thread is worth the waits at barriers."""
MOST_THREADS, LEAST_SHARE = 16, 8
"""How many parts of a batch at most, and how many rows each should have at least."""


def bound(
    signature: Signature, values: Mapping[str, Array], sizes: Sizes, parts: int = 1
) -> list[Any]:
    """The arguments of a compiled entry; a 0-d array goes as one element in the same memory."""
    found: list[Any] = []
    for label in signature.labels:
        value = values[label.name] if label.name in values else sizes[label]
        found.append(
            value.reshape(1) if isinstance(value, np.ndarray) and not value.ndim else value
        )
    return [*found, *(table.addresses(values, parts) for table in signature.tables)]


def buffers_of(tensors: Iterable[Tensor], sizes: Sizes, dtype: Dtype) -> dict[str, Array]:
    return {str(tensor.label): np.empty(shape_of(tensor, sizes), dtype) for tensor in tensors}


def shape_of(tensor: Tensor, sizes: Sizes) -> tuple[int, ...]:
    return tuple(int(size.xreplace(dict(sizes))) for size in tensor.shape)


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


@dataclass(frozen=True)
class Lowered:
    """One of a network's programs as generated code, with all that it takes to run it.

    It holds no equations, so that it is soon read from a file. ``layout`` tells how matrices lie;
    ``data`` and ``noise`` are what each batch is given, ``outputs`` what is read afterwards.
    ``buffers`` are for a whole batch, ``sums`` those of them that every part of a batch has for
    itself, ``others`` those of each part but the first, with how much they sum up, ``local`` those
    for a block of at most ``block`` rows; ``lives`` says when each is needed, by whether threads
    work together. ``effort`` is that of ``steps``.
    """

    name: str
    dtype: Dtype
    text: str
    signature: Signature
    layout: Layout
    data: tuple[Tensor, ...]
    noise: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]
    others: tuple[tuple[Tensor, int], ...]
    local: tuple[Tensor, ...]
    block: int
    lives: Mapping[bool, Mapping[Symbol, Life]]
    integers: frozenset[Symbol]
    unsafe: tuple[Subscript, ...]
    effort: tuple[int, ...]
    threads: int
    """How many may work on a batch, 0 for as many as pay."""

    @classmethod
    def of(cls, planned: Planned, text: str, signature: Signature, layout: Layout) -> Lowered:
        program, plan = planned.program, planned.plan
        return cls(
            name=planned.name,
            dtype=planned.dtype,
            text=text,
            signature=signature,
            layout={label: _bare(tensor) for label, tensor in layout.items()},
            data=_all_bare(batch_tensors(program, plan)),
            noise=_all_bare(program.with_role("noise")),
            outputs=_all_bare(planned.outputs),
            buffers=_all_bare(plan.buffers),
            sums=_all_bare(sums_over_rows(plan)),
            others=tuple((_bare(tensor), summed) for tensor, summed in others_of(plan)),
            local=_all_bare(plan.local),
            block=block_rows(plan, planned.dtype),
            lives={together: planned.lives(together) for together in (False, True)},
            integers=program.integers,
            unsafe=unsafe(program),
            effort=effort(plan, LANES[planned.dtype.name]),
            threads=planned.lowering.threads if planned.divisible else 1,
        )


def _bare(tensor: Tensor) -> Tensor:
    """A tensor without what fills it at the start, which may be any function."""
    return replace(tensor, init=None)


def _all_bare(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return tuple(map(_bare, tensors))


class Work:
    """Work buffers: allocated for the most rows seen so far, and used for that many or fewer."""

    def __init__(self, lowered: Lowered):
        self._lowered = lowered
        self._held = 0, 0, tuple[dict[str, Array], ...]()
        """For how many rows and parts, and the arrays: changed at once, for Ctrl-C may come."""

    @cached_property
    def width(self) -> int:
        """How many numbers the buffers for the whole batch hold for each row."""
        return sum(math.prod(shape_of(t, {BATCH: 1})) for t in self._lowered.buffers)

    def arrays(self, rows: int, parts: int = 0) -> tuple[dict[str, Array], ...]:
        """An array for each tensor, by label, with room for at least so many rows.

        For batches in parts, a dict for each thread that may do one: what lives in blocks differs,
        the rest is the same, with sums over rows for each part.
        """
        room, cut, _ = self._held
        if rows > room or parts != cut:
            self._held = rows, parts, self._new(rows, parts)
        return self._held[2]

    def _new(self, rows: int, parts: int) -> tuple[dict[str, Array], ...]:
        sums = self._lowered.sums if parts else ()
        shapes = {t: shape_of(t, {BATCH: rows}) for t in self._lowered.buffers}
        shapes |= {t: (parts, *(shapes[t] or (1,))) for t in sums}
        more = max(0, parts - 1)
        for tensor, summed in self._lowered.others:
            _, *width = shapes[tensor]
            shapes[tensor] = (more, min(rows, summed // max(1, more)), *width)
        shared = self._made(shapes, parts)
        _, part = share.py_func(rows, UNIT, 0, max(1, parts))  # the first is the longest
        block = min(part, self._lowered.block)
        local = {t: shape_of(t, {BATCH: block}) for t in self._lowered.local}
        return tuple(shared | self._made(local, parts) for _ in range(max(1, parts)))

    def _made(self, shapes: Mapping[Tensor, tuple[int, ...]], parts: int) -> dict[str, Array]:
        integers, dtype = self._lowered.integers, self._lowered.dtype
        types = {t: np.int64 if t.label in integers else dtype for t in shapes}
        return memory.arrays(shapes, types, self._lowered.lives[parts > 1])


class Entry:
    """One of a network's programs: its code, and the arrays that it works in."""

    def __init__(self, lowered: Lowered):
        self.lowered, self.work = lowered, Work(lowered)
        self.module: Compiled = load(lowered.text)
        self._parts: dict[int, int] = {}

    def call(self, given: list[Any]) -> None:
        self.module.call(self.lowered.name, given)

    def prepare(self, given: list[Any]) -> None:
        """Compile it, or load it, if that was not done."""
        self.module.prepare(self.lowered.name, given)

    def data(self, **arrays: Array) -> dict[str, Array]:
        """The given rows by label, those used as subscripts as whole numbers and checked."""
        found = {}
        for tensor in self.lowered.data:
            array = arrays[tensor.name]
            integer = tensor.label in self.lowered.integers
            found[tensor.label.name] = array.astype(np.int64) if integer else array
        if self.lowered.unsafe:
            check_subscripts(self.lowered.unsafe, found, {BATCH: len(next(iter(arrays.values())))})
        return found

    def arguments(self, values: Mapping[str, Array], rows: int) -> list[Any]:
        """What the entry is called with, to run on so many rows."""
        (work,) = self.work.arrays(rows)
        return bound(self.lowered.signature, {**work, **values}, {BATCH: rows})

    def training(self, values: Mapping[str, Array], rows: int, parts: int) -> list[list[Any]]:
        """What each thread calls the entry with after the leading arguments, to train with batches
        of so many rows at most.
        """
        found = self.work.arrays(rows, parts)
        return [bound(self.lowered.signature, {**work, **values}, {}, parts) for work in found]

    def parts(self, rows: int) -> int:
        """Into how many parts a batch of so many rows is cut: as many as threads would pay for."""
        if rows not in self._parts:
            most = self.lowered.threads or processors()
            instructions = sum(n * rows**power for power, n in enumerate(self.lowered.effort))
            paying = instructions // WORTH_A_THREAD
            self._parts[rows] = max(1, min(most, MOST_THREADS, rows // LEAST_SHARE, paying))
        return self._parts[rows]


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
