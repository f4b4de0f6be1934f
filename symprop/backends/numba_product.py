"""Matrix products in vector instructions: a block of sums stays in registers.

    C[i, j] = Σ_s A[i, s] · B[s, j]        or a multiple of it added to what C holds

``j`` runs along vectors: it is the last axis of B and of C. A is read one number at a time, so its
axes may lie in any order. A block of ROWS rows and two vectors of columns is summed up by ROWS × 2
accumulators; each pass of the loop over s loads two vectors of B and as many numbers of A as the
block has rows, and makes ROWS × 2 fused multiply-adds. Columns beyond the last whole vector are
masked. A matrix of few columns is taken in the shortest vectors that hold them: more of these are
multiplied at once than long ones.

Larger matrices are taken strip by strip: see ``numba_strips``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from symprop.backends import shuffle
from symprop.backends.numba_kernels import compiled, inlined, least
from symprop.backends.numba_vector import (
    LANES,
    call_llvm,
    lane_mask,
    prefetch,
    read,
    splat,
    vector_bytes,
    write,
)

INDEX = ir.IntType(64)
LANE = ir.IntType(32)
LATENCY = 4
"""Multiply-adds that must be under way so that none waits for another."""


def tile_rows() -> int:
    """Rows of a block: its accumulators, two vectors of B and one number of A fill the registers,
    of which there are 32 with AVX-512 and NEON, else 16.
    """
    return 8 if vector_bytes() != 32 else 6


class Tile:
    """The instructions of one block of C: ``rows`` rows, ``vectors`` vectors of columns, which fill
    registers or have so many ``lanes``.
    """

    def __init__(
        self,
        build: ir.IRBuilder,
        number: Any,
        rows: int,
        vectors: int,
        masked: bool,
        lanes: int = 0,
    ):
        self.build, self.number = build, number
        self.size = 4 if isinstance(number, ir.FloatType) else 8
        self.lanes = lanes or vector_bytes() // self.size
        self.vector = ir.VectorType(number, self.lanes)
        self.rows, self.vectors, self.masked = rows, vectors, masked

    def at(self, start: Any, offset: Any) -> Any:
        """The place so many numbers after another."""
        offset = INDEX(offset) if isinstance(offset, int) else offset
        return self.build.gep(start, [offset], source_etype=self.number)

    def places(self, context: Any, kinds: Any, arrays: Any, begins: Any) -> Iterator[Any]:
        """Where some arrays of these types are, each so many numbers after its first."""
        for kind, value, begin in zip(kinds, arrays, begins, strict=True):
            yield self.at(context.make_array(kind)(context, self.build, value=value).data, begin)

    def mask(self, columns: Any) -> Any:
        """The lanes of the last vector that hold columns."""
        count = self.build.sub(columns, INDEX((self.vectors - 1) * self.lanes))
        return lane_mask(self.build, count, self.lanes)

    def load(self, place: Any, mask: Any) -> Any:
        return read(self.build, place, self.vector, mask)

    def store(self, value: Any, place: Any, mask: Any) -> None:
        write(self.build, value, place, mask)

    def masks(self, columns: Any) -> list[Any]:
        last = self.mask(columns) if self.masked else None
        return [None] * (self.vectors - 1) + [last]

    def write(
        self, a: Any, b: Any, c: Any, count: Any, columns: Any, add: Any, factor: Any
    ) -> None:
        """Sum up the block; a, b and c are each a start and the distances between rows, and for a
        also between summed numbers.

        Of a block with few sums several are kept, of every second number, say: a multiply-add takes
        as long as LATENCY others.
        """
        build, masks = self.build, self.masks(columns)
        with build.if_then(add):
            self._expect(c)
        sets = [self._zeros() for _ in range(max(1, LATENCY // (self.rows * self.vectors)))]
        starts = [self.at(a[0], build.mul(a[1], INDEX(i))) for i in range(self.rows)]
        whole = build.and_(count, INDEX(-len(sets)))
        for first, end, sums in ((INDEX(0), whole, sets), (whole, count, sets[:1])):
            step = INDEX(len(sums))
            with cgutils.for_range_slice(build, first, end, step, INDEX) as (index, _):
                for n, totals in enumerate(sums):
                    self._add_term(build.add(index, INDEX(n)), starts, a, b, masks, totals)
            if len(sets) == 1:
                break
        sums = self._joined(sets)
        with build.if_else(add) as (more, new):
            with more:
                self._put(sums, c, masks, splat(build, factor, self.lanes))
            with new:
                self._put(sums, c, masks)

    def _expect(self, c: Any) -> None:
        """Let what the sums are added to be fetched meanwhile: it may be far away."""
        for i in range(self.rows):
            row = self.at(c[0], self.build.mul(c[1], INDEX(i)))
            for n in range(self.vectors):
                prefetch(self.build, self.at(row, n * self.lanes))

    def _zeros(self) -> list[list[Any]]:
        """Places for the sums, which LLVM makes registers of."""
        return [
            [
                cgutils.alloca_once_value(self.build, self.vector([0.0] * self.lanes))
                for _ in range(self.vectors)
            ]
            for _ in range(self.rows)
        ]

    def _add_term(
        self, k: Any, starts: list[Any], a: Any, b: Any, masks: list[Any], sums: list[list[Any]]
    ) -> None:
        """Add A[i, k]·B[k, j] to every sum."""
        build = self.build
        row, place = self.at(b[0], build.mul(k, b[1])), build.mul(k, a[2])
        right = [self.load(self.at(row, n * self.lanes), mask) for n, mask in enumerate(masks)]
        for start, totals in zip(starts, sums, strict=True):
            left = splat(build, build.load(self.at(start, place), typ=self.number), self.lanes)
            self._accumulate(left, right, totals)

    def _joined(self, sets: list[list[list[Any]]]) -> list[list[Any]]:
        """The first of several sets of sums, the others added to it."""
        first, *others = sets
        for other in others:
            for totals, more in zip(first, other, strict=True):
                for total, value in zip(totals, more, strict=True):
                    both = (self.build.load(place, typ=self.vector) for place in (total, value))
                    self.build.store(self.build.fadd(*both), total)
        return first

    def _accumulate(self, left: Any, right: list[Any], totals: list[Any]) -> None:
        for column, total in zip(right, totals, strict=True):
            before = self.build.load(total, typ=self.vector)
            value = call_llvm(self.build, "fma", self.vector, left, column, before)
            self.build.store(value, total)

    def _put(self, sums: list[list[Any]], c: Any, masks: list[Any], factor: Any = None) -> None:
        """Store the sums, or add them to what is there, each times the factor."""
        for i, totals in enumerate(sums):
            row = self.at(c[0], self.build.mul(c[1], INDEX(i)))
            for n, (total, mask) in enumerate(zip(totals, masks, strict=True)):
                place, value = self.at(row, n * self.lanes), self.build.load(total, typ=self.vector)
                if factor is not None:
                    before = self.load(place, mask)
                    value = call_llvm(self.build, "fma", self.vector, value, factor, before)
                self.store(value, place, mask)

    def transpose(self, a: Any, c: Any, rows: Any, columns: Any) -> None:
        """A square of lanes × lanes numbers; if masked, those beyond the given rows and columns are
        left out.

        In round d, rows i and i + d exchange the halves of their groups of 2d lanes.
        """
        build, every = self.build, range(self.lanes)
        none = ir.VectorType(ir.IntType(1), self.lanes)([0] * self.lanes)
        inside = self._square_masks(rows, columns, none)
        lines = [self.load(self.at(a[0], build.mul(a[1], INDEX(i))), inside[i]) for i in every]
        distance = 1
        while distance < self.lanes:
            lines = self._exchanged(lines, distance)
            distance *= 2
        inside = self._square_masks(columns, rows, none)
        for i, line in enumerate(lines):
            place = self.at(c[0], build.mul(c[1], INDEX(i)))
            self.store(line, place, inside[i])

    def _square_masks(self, rows: Any, columns: Any, none: Any) -> list[Any]:
        if not self.masked:
            return [None] * self.lanes
        inside = self.mask(columns)
        return [self._within(i, rows, inside, none) for i in range(self.lanes)]

    def _within(self, i: int, rows: Any, inside: Any, none: Any) -> Any:
        """The mask for row i, no lane if there is no such row."""
        return self.build.select(self.build.icmp_signed("<", INDEX(i), rows), inside, none)

    def _exchanged(self, lines: list[Any], distance: int) -> list[Any]:
        lanes, every = ir.VectorType(LANE, self.lanes), range(self.lanes)
        low = lanes([self.lanes + n - distance if n & distance else n for n in every])
        high = lanes([self.lanes + n if n & distance else n + distance for n in every])
        result = list(lines)
        for i in every:
            if not i & distance:
                pair = lines[i], lines[i + distance]
                result[i] = self.build.shuffle_vector(*pair, low)
                result[i + distance] = self.build.shuffle_vector(*pair, high)
        return result


def _tile(rows: int, vectors: int, masked: bool, lanes: int) -> Any:
    """A block of C as a function for Numba.

    An array is followed by where the block begins in it and by the distances, in numbers, between
    its rows and, for A, between the numbers that are summed up.
    """

    @intrinsic  # type: ignore[misc, unused-ignore]
    def tile(
        _context: Any, a: Any, a_at: Any, a_row: Any, a_sum: Any, b: Any, b_at: Any, b_row: Any,
        c: Any, c_at: Any, c_row: Any, count: Any, columns: Any, add: Any, factor: Any,
    ) -> Any:  # fmt: skip
        whole, kinds = types.intp, (a, b, c)
        signature = types.void(
            a, whole, whole, whole, b, whole, whole, c, whole, whole, whole, whole, types.boolean,
            c.dtype,
        )  # fmt: skip

        def generate(context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            *arrays, count, columns, add, factor = given
            a, a_at, a_row, a_sum, b, b_at, b_row, c, c_at, c_row = arrays
            tile = Tile(build, context.get_value_type(kinds[0].dtype), rows, vectors, masked, lanes)
            x, y, z = tile.places(context, kinds, (a, b, c), (a_at, b_at, c_at))
            places = (x, a_row, a_sum), (y, b_row), (z, c_row)
            if not masked:
                tile.write(*places, count, columns, add, factor)
                return context.get_dummy_value()
            filled = build.icmp_signed("==", columns, INDEX(vectors * tile.lanes))
            with build.if_else(filled) as (whole_vectors, some_lanes):
                with whole_vectors:
                    Tile(build, tile.number, rows, vectors, masked=False, lanes=lanes).write(
                        *places, count, columns, add, factor
                    )
                with some_lanes:
                    tile.write(*places, count, columns, add, factor)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _panel(vectors: int, masked: bool, lanes: int = 0) -> Any:
    """The rows of C from i on, in blocks, for the columns of so many vectors that begin at j of C;
    a_at and b_at are where A and B begin.
    """
    m = tile_rows()
    most, two, one = (_tile(rows, vectors, masked, lanes) for rows in (m, 2, 1))

    @inlined
    def panel(A, a_at, a, s, B, b_at, b, C, c, i, rows, j, columns, count, add, factor):  # type: ignore[no-untyped-def]
        while rows - i >= m:
            most(A, a_at + i * a, a, s, B, b_at, b, C, i * c + j, c, count, columns, add, factor)
            i += m
        while rows - i >= 2:
            two(A, a_at + i * a, a, s, B, b_at, b, C, i * c + j, c, count, columns, add, factor)
            i += 2
        if rows - i >= 1:
            one(A, a_at + i * a, a, s, B, b_at, b, C, i * c + j, c, count, columns, add, factor)

    return panel


pair, single = _panel(2, masked=False), _panel(1, masked=True)


def _product(lanes: int) -> Any:
    """C[i, j] (+)= Σ_s A[i, s]·B[s, j] for ranges of i and j with so many lanes in a vector: two
    vectors of columns at a time, then one after the other, filled or not.
    """

    @compiled
    def product(A, a, s, B, b, C, c, start, stop, left, right, count, add, factor):  # type: ignore[no-untyped-def]
        j = left
        while right - j >= 2 * lanes:
            pair(A, 0, a, s, B, j, b, C, c, start, stop, j, 2 * lanes, count, add, factor)
            j += 2 * lanes
        while right - j > 0:
            some = least(lanes, right - j)
            single(A, 0, a, s, B, j, b, C, c, start, stop, j, some, count, add, factor)
            j += lanes

    return product


def _short_product(lanes: int) -> Any:
    """The same for no more columns than such a vector has lanes."""
    some = _panel(1, masked=True, lanes=lanes)

    @compiled
    def product(A, a, s, B, b, C, c, start, stop, left, right, count, add, factor):  # type: ignore[no-untyped-def]
        columns = right - left
        some(A, 0, a, s, B, left, b, C, c, start, stop, left, columns, count, add, factor)

    return product


def square(masked: bool) -> Any:
    """A square of a matrix, transposed in registers, as a function for Numba."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def square(
        _context: Any, a: Any, a_at: Any, a_row: Any, c: Any, c_at: Any, c_row: Any,
        rows: Any, columns: Any,
    ) -> Any:  # fmt: skip
        whole, kinds = types.intp, (a, c)
        signature = types.void(a, whole, whole, c, whole, whole, whole, whole)

        def generate(context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
            a, a_at, a_row, c, c_at, c_row, rows, columns = given
            tile = Tile(build, context.get_value_type(kinds[0].dtype), 1, 1, masked)
            x, z = tile.places(context, kinds, (a, c), (a_at, c_at))
            tile.transpose((x, a_row), (z, c_row), rows, columns)
            return context.get_dummy_value()

        return signature, generate

    return square


def _transpose(lanes: int) -> Any:
    """C[j, i] = A[i, j] for a range of i, by squares of so many lanes; small matrices number by
    number.
    """
    whole, part = square(masked=False), square(masked=True)

    @compiled
    def transpose(A, a_row, C, c_row, start, stop, columns):  # type: ignore[no-untyped-def]
        if (stop - start) * columns < 8 * lanes:
            for j in range(columns):
                for i in range(start, stop):
                    C[j, i] = A[i, j]
            return
        for i in range(start, stop, lanes):
            for j in range(0, columns, lanes):
                a, c, down, right = i * a_row + j, j * c_row + i, stop - i, columns - j
                if down >= lanes and right >= lanes:
                    whole(A, a, a_row, C, c, c_row, down, right)
                else:
                    part(A, a, a_row, C, c, c_row, down, right)

    return transpose


begin_epoch = compiled(shuffle.begin_epoch)
product32, product64 = map(_product, LANES.values())
product32x2, product32x4, product32x8 = map(_short_product, (2, 4, 8))
product64x2, product64x4 = map(_short_product, (2, 4))
transpose32, transpose64 = map(_transpose, LANES.values())
