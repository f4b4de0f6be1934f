"""The functions on vectors that generated code calls: reading and writing memory, choices, sums.

Vectors fill a register, or have as many lanes as a constant at the end: ``load(a, (b, 0), 4)``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from symprop.backends.numba_vector import (
    FLAGS,
    Mask,
    Vector,
    call_llvm,
    lane_mask,
    prefetch,
    read,
    splat,
    vector_of,
    widened,
    write,
)

LINE, LINES = 64, 8
"""Bytes of a cache line, and how many of a row are asked for."""
FULL = types.Omitted(None)
"""The number of lanes where the text names none."""


def _place(
    context: Any, build: ir.IRBuilder, kind: Any, array: Any, index_kind: Any, index: Any
) -> Any:
    """Where an element lies."""
    whole = isinstance(index_kind, types.BaseTuple)
    picks = cgutils.unpack_tuple(build, index, len(index_kind)) if whole else [index]
    struct = context.make_array(kind)(context, build, value=array)
    return cgutils.get_item_pointer(context, build, kind, struct, picks, wraparound=False)


def _vector(dtype: Any, lanes: Any) -> Vector:
    """The vector with so many lanes, a constant of the text, if they are given."""
    return Vector(dtype, lanes.literal_value if lanes else 0)


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def load(_context: Any, a: Any, at: Any, lanes: Any = None) -> Any:
    """The vector that begins at an element."""

    def generate(context: Any, build: ir.IRBuilder, sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[0], at, given[1])
        return read(build, place, context.get_value_type(sig.return_type))

    return _vector(a.dtype, lanes)(a, at, lanes or FULL), generate


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def load_some(_context: Any, count: Any, a: Any, at: Any, lanes: Any = None) -> Any:
    """The first numbers of the vector that begins at an element, then zeros."""
    vector = _vector(a.dtype, lanes)

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[1], at, given[2])
        mask = lane_mask(build, given[0], vector.lanes)
        return read(build, place, context.get_value_type(vector), mask)

    return vector(types.intp, a, at, lanes or FULL), generate


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def store(_context: Any, a: Any, at: Any, value: Any, lanes: Any = None) -> Any:
    """Put a vector from an element on."""
    width = _vector(a.dtype, lanes).lanes

    def generate(context: Any, build: ir.IRBuilder, sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[0], at, given[1])
        (vector,) = widened(build, [value], [given[2]], width)
        write(build, vector, place)
        return context.get_dummy_value()

    return types.void(a, at, value, lanes or FULL), generate


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def store_some(_context: Any, count: Any, a: Any, at: Any, value: Any, lanes: Any = None) -> Any:
    """Put the first numbers of a vector from an element on."""
    width = _vector(a.dtype, lanes).lanes

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        place = _place(context, build, a, given[1], at, given[2])
        (vector,) = widened(build, [value], [given[3]], width)
        write(build, vector, place, lane_mask(build, given[0], width))
        return context.get_dummy_value()

    return types.void(types.intp, a, at, value, lanes or FULL), generate


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def every(_context: Any, number: Any, lanes: Any = None) -> Any:
    """A vector with the same number in every lane."""
    vector = _vector(number, lanes)

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        return splat(build, given[0], vector.lanes)

    return vector(number, lanes or FULL), generate


@intrinsic(prefer_literal=True)  # type: ignore[misc, unused-ignore]
def fetch(_context: Any, a: Any, row: Any, size: Any) -> Any:
    """Ask for the start of a row of so many numbers, which will be read: the processor itself goes
    on with a longer one.
    """
    lines = min(LINES, -(-size.literal_value * a.dtype.bitwidth // (8 * LINE)))

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        struct = context.make_array(a)(context, build, value=given[0])
        distance = build.mul(given[1], cgutils.unpack_tuple(build, struct.strides)[0])
        for n in range(lines):
            offset = build.add(distance, distance.type(n * LINE))
            prefetch(build, cgutils.pointer_add(build, struct.data, offset), written=False)
        return context.get_dummy_value()

    return types.void(a, types.uintp, size), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def where(_context: Any, condition: Any, u: Any, v: Any) -> Any:
    """u in the lanes where the condition holds, else v."""
    kinds = (condition, u, v)
    masked = next((k for k in kinds if isinstance(k, (Mask, Vector))), None)
    result = vector_of(kinds) or (Vector(u, masked.lanes) if masked else u)

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        if masked is None:
            return build.select(*given)
        values = widened(build, kinds[1:], given[1:], masked.lanes)
        return build.select(given[0], *values)

    return result(*kinds), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def either(_context: Any, u: Any, v: Any) -> Any:
    """Whether one of two conditions holds."""
    masked = next((k for k in (u, v) if isinstance(k, Mask)), None)

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        values = widened(build, (u, v), given, masked.lanes) if masked else given
        return build.or_(*values)

    return (masked or types.boolean)(u, v), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def first(_context: Any, count: Any, value: Any, other: Any) -> Any:
    """The first lanes of a value, those of a vector of other numbers after them."""
    vector = other

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        u, v = widened(build, (value, other), given[1:], vector.lanes)
        return build.select(lane_mask(build, given[0], vector.lanes), u, v)

    return vector(types.intp, value, other), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def total(_context: Any, value: Any) -> Any:
    """The sum of the lanes."""

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        number = context.get_value_type(value.dtype)
        return call_llvm(
            build, "vector.reduce.fadd", number, number(0.0), given[0], flags=("reassoc",)
        )

    return value.dtype(value), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def largest(_context: Any, value: Any) -> Any:
    """The largest lane; NaN if there is one."""

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        found, distance = given[0], value.lanes // 2
        lanes = ir.VectorType(ir.IntType(32), value.lanes)
        while distance:
            moved = lanes([(n + distance) % value.lanes for n in range(value.lanes)])
            other = build.shuffle_vector(found, found, moved)
            undefined = build.fcmp_unordered("uno", other, other)
            larger = build.or_(build.fcmp_ordered(">", other, found), undefined)
            found, distance = build.select(larger, other, found), distance // 2
        return build.extract_element(found, ir.IntType(32)(0))

    return value.dtype(value), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def sqrt(_context: Any, value: Any) -> Any:
    """The square root of a number or of every lane."""

    def generate(_context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        return call_llvm(build, "sqrt", given[0].type, given[0], flags=FLAGS)

    return value(value), generate
