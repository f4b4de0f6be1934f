"""Products with large matrices: strips of B, two vectors wide, are copied together first.

    C[i, j] = Σ_s A[i, s] · B[s, j]        or a multiple of it added to what C holds

Rows of a large B lie in different pages, and at distances that meet in few places of a cache. A
strip of it, DEPTH numbers long, is read from the nearest caches for every block of rows. The copy
costs little more where B lies transposed, which then needs no transposed copy as a whole.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from symprop.backends.numba_kernels import compiled, inlined, least
from symprop.backends.numba_product import INDEX, Tile, pair, product32, product64, single, square
from symprop.backends.numba_vector import LANES, vector_bytes
from symprop.backends.numba_views import columns_from, matrix32, matrix64

DEPTH = 512
"""Numbers that are summed up from one strip: it takes 64 KiB, some of the second cache."""
WORTH_A_COPY = 64
"""Rows of C from which on copying a strip costs less than it gains."""


@intrinsic  # type: ignore[misc, unused-ignore]
def _room(_context: Any) -> Any:
    """The address of memory for a strip, on the stack."""

    def generate(_context: Any, build: ir.IRBuilder, _signature: Any, _given: Any) -> Any:
        with build.goto_entry_block():
            memory = build.alloca(ir.ArrayType(ir.IntType(8), DEPTH * 2 * vector_bytes()))
            memory.align = vector_bytes()
        return build.ptrtoint(memory, INDEX)

    return types.int64(), generate


def _line(vectors: int, masked: bool) -> Any:
    """Copy numbers that lie side by side: so many vectors, the last filled or not."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def line(_context: Any, a: Any, a_at: Any, c: Any, c_at: Any, columns: Any) -> Any:
        kinds = (a, c)

        def generate(context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            a, a_at, c, c_at, columns = given
            tile = Tile(build, context.get_value_type(kinds[0].dtype), 1, vectors, masked)
            x, z = tile.places(context, kinds, (a, c), (a_at, c_at))
            for n, mask in enumerate(tile.masks(columns)):
                value = tile.load(tile.at(x, n * tile.lanes), mask)
                tile.store(value, tile.at(z, n * tile.lanes), mask)
            return context.get_dummy_value()

        return types.void(a, types.intp, c, types.intp, types.intp), generate

    return line


def _straight(lanes: int) -> Any:
    """strip[s, j] = B[s, j] for so many s and columns j, from a place in B on."""
    whole, part = _line(2, masked=False), _line(1, masked=True)

    @inlined
    def straight(B, at, b, strip, count, columns):  # type: ignore[no-untyped-def]
        for s in range(count):
            if columns == 2 * lanes:
                whole(B, at + s * b, strip, s * 2 * lanes, columns)
            else:
                for j in range(0, columns, lanes):
                    part(B, at + s * b + j, strip, s * 2 * lanes + j, least(lanes, columns - j))

    return straight


def _turned(lanes: int) -> Any:
    """strip[s, j] = B[j, s] for so many s and columns j, from a place in B on."""
    whole, part = square(masked=False), square(masked=True)

    @inlined
    def turned(B, at, b, strip, count, columns):  # type: ignore[no-untyped-def]
        for j in range(0, columns, lanes):
            for s in range(0, count, lanes):
                down, right = columns - j, count - s
                x, z = at + j * b + s, s * 2 * lanes + j
                if down >= lanes and right >= lanes:
                    whole(B, x, b, strip, z, 2 * lanes, down, right)
                else:
                    part(B, x, b, strip, z, 2 * lanes, down, right)

    return turned


def _strips(lanes: int, product: Any, matrix: Any) -> Any:
    """C[i, j] (+)= Σ_s A[i, s]·B[s, j] for a range of i and one of j, with the distances b between
    the rows of B and t between its columns, of which one is 1. Whether strips are copied changes no
    bit: the rows of C may be some of those that threads share.
    """
    straight, turned = _straight(lanes), _turned(lanes)

    @compiled
    def strips(A, a, s, B, b, t, C, c, start, stop, left, right, count, add, factor):  # type: ignore[no-untyped-def]
        wide = 2 * lanes
        strip = matrix(_room(), DEPTH, wide)  # type: ignore[call-arg, unused-ignore]
        scale = factor if add else B.dtype.type(1)
        for first in range(0, count if count > 0 else 1, DEPTH):
            some, more = least(DEPTH, count - first), add or first > 0
            if t == 1 and stop - start < WORTH_A_COPY:
                x, y = columns_from(A, first * s), columns_from(B, first * b)  # type: ignore[call-arg, unused-ignore]
                product(x, a, s, y, b, C, c, start, stop, left, right, some, more, scale)
                continue
            for j in range(left, right, wide):
                width = least(wide, right - j)
                if t == 1:
                    straight(B, first * b + j, b, strip, some, width)
                else:
                    turned(B, first + j * t, t, strip, some, width)
                if width == wide:
                    pair(
                        A, first * s, a, s, strip, 0, wide,
                        C, c, start, stop, j, wide, some, more, scale,
                    )  # fmt: skip
                    continue
                for v in range(0, width, lanes):
                    single(
                        A, first * s, a, s, strip, v, wide,
                        C, c, start, stop, j + v, least(lanes, width - v), some, more, scale,
                    )  # fmt: skip

    return strips


strips32 = _strips(LANES["float32"], product32, matrix32)
strips64 = _strips(LANES["float64"], product64, matrix64)
