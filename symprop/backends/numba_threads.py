"""Threads that work on one batch: they meet at barriers, spinning for a while and then yielding.

They are ordinary threads of Python that run the same compiled function without the interpreter's
lock, each on its share of the rows. None outlives its call, so that a process may fork between two.
"""

from __future__ import annotations

import sys
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from symprop.backends.numba_kernels import compiled, inlined

SPINS = 2000
"""Looks at the barrier, some 50 µs, before the processor is offered to others."""
COUNT, ROUND = 0, 8
"""Where a barrier's array counts the threads that have come, and the rounds: in different cache
lines.
"""
ROOM = 16
UNIT = 8
"""Rows of a batch, or numbers of a sum, of which each part has a multiple."""


def _place(context: Any, build: ir.IRBuilder, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, build, value=array).data
    return build.gep(data, [index], source_etype=ir.IntType(64))


@intrinsic  # type: ignore[misc, unused-ignore]
def _added(_context: Any, a: Any, at: Any, number: Any) -> Any:
    """Add to an entry in one step; what it held before."""

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[0], given[1])
        return build.atomic_rmw("add", place, given[2], "acq_rel")

    return types.int64(a, at, types.int64), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def _read(_context: Any, a: Any, at: Any) -> Any:
    """An entry as it is now, and all that was written before it."""

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[0], given[1])
        return build.load_atomic(place, "acquire", 8, typ=ir.IntType(64))

    return types.int64(a, at), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def _pause(_context: Any) -> Any:
    """Tell the processor that this thread waits."""
    machine = llvmlite.binding.get_process_triple().partition("-")[0]

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, _given: Any) -> Any:
        if machine in HINTS:
            name, given = HINTS[machine]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
            build.call(cgutils.get_or_insert_function(build.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(), generate


HINTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (ir.IntType(32)(1),)),
    "arm64": ("llvm.aarch64.hint", (ir.IntType(32)(1),)),
}
"""The instruction by which a processor is told that a thread waits."""
_give_way = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@intrinsic  # type: ignore[misc, unused-ignore]
def _number(_context: Any, a: Any, at: Any) -> Any:
    """The number so many places after the first, whatever the shape of the array."""

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        data = context.make_array(a)(context, build, value=given[0]).data
        kind = context.get_value_type(a.dtype)
        return build.load(build.gep(data, [given[1]], source_etype=kind), typ=kind)

    return a.dtype(a, types.intp), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def put(_context: Any, a: Any, at: Any, number: Any) -> Any:
    """Put a number so many places after the first."""

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        data = context.make_array(a)(context, build, value=given[0]).data
        kind = context.get_value_type(a.dtype)
        build.store(given[2], build.gep(data, [given[1]], source_etype=kind))
        return context.get_dummy_value()

    return types.void(a, types.intp, a.dtype), generate


@compiled
def _meet(barrier, threads):  # type: ignore[no-untyped-def]
    now = _read(barrier, ROUND)  # type: ignore[call-arg, var-annotated, unused-ignore]
    if _added(barrier, COUNT, 1) == threads - 1:
        _added(barrier, COUNT, -threads)
        _added(barrier, ROUND, 1)
        return
    looks = 0
    while _read(barrier, ROUND) == now:
        looks += 1
        if looks < SPINS:
            _pause()
        else:
            _give_way()


@inlined
def wait(barrier, threads):  # type: ignore[no-untyped-def]
    """Until all threads have come here."""
    if threads > 1:
        _meet(barrier, threads)


@compiled
def add_up(total, parts, first, end, start, stop):  # type: ignore[no-untyped-def]
    """total += parts[first] + … + parts[end − 1] for the elements of a range."""
    size = parts.size // parts.shape[0]
    for part in range(first, end):
        for n in range(start, stop):
            more = _number(parts, part * size + n)  # type: ignore[call-arg, var-annotated, unused-ignore]
            put(total, n, _number(total, n) + more)


@inlined
def join(parts, active, start, stop):  # type: ignore[no-untyped-def]
    """parts[0] += parts[1] + …, if more than one part is at work."""
    if active > 1:
        add_up(parts, parts, 1, active, start, stop)


@inlined
def join_others(total, others, count, start, stop):  # type: ignore[no-untyped-def]
    """total += others[0] + …, of so many, if there are any."""
    if count > 0:
        add_up(total, others, 0, count, start, stop)


@compiled
def share(size, unit, number, count):  # type: ignore[no-untyped-def]
    """From where to where one of so many threads, or parts of a batch, has its share: whole units,
    such as cache lines, the columns of a strip (each is summed up as by one thread then), or the
    rows of a block of a product.
    """
    step = (size + unit * count - 1) // (unit * count) * unit
    start, stop = number * step, number * step + step
    return size if start > size else start, size if stop > size else stop


@compiled
def sums_beside(rows, parts, summed):  # type: ignore[no-untyped-def]
    """How many parts have sums of their own beside the first's where a sum of so many numbers is
    divided: none where these would take more memory than the matrix.
    """
    return parts - 1 if (parts - 1) * rows <= summed else 0


@compiled
def parts_used(rows, parts):  # type: ignore[no-untyped-def]
    """How many parts of a batch have rows."""
    step = (rows + UNIT * parts - 1) // (UNIT * parts) * UNIT
    return (rows + step - 1) // step
