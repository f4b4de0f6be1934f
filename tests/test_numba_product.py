"""Products and transpositions in vectors: the right numbers, and nothing beside them."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numba
import numpy as np
import pytest
from symprop.backends import numba_product as kernels
from symprop.backends import numba_strips

SIZES = (0, 1, 2, 3, 7, 8, 13, 16, 17, 31, 33, 50)
CANARY = 12345.0


@pytest.fixture(scope="module", params=["float32", "float64"])
def compiled(request: pytest.FixtureRequest) -> tuple[np.dtype[Any], Any, Any]:
    bits = request.param[-2:]
    multiply, turn = getattr(kernels, f"product{bits}"), getattr(kernels, f"transpose{bits}")

    @numba.njit
    def call(A, a_row, a_sum, B, C, start, stop, columns, count, factor):
        b, c, add = B.shape[1], C.shape[1], factor != 0
        for left, right in ((0, columns // 2), (columns // 2, columns)):
            multiply(A, a_row, a_sum, B, b, C, c, start, stop, left, right, count, add, factor)

    @numba.njit
    def transposed(A, C, start, stop, columns):
        turn(A, A.shape[1], C, C.shape[1], start, stop, columns)

    return np.dtype(request.param), call, transposed


def numbers(seed: int, *shape: int) -> Any:
    """Whole numbers, whose sums are exact in every type."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(float)


@pytest.mark.parametrize("turned", [False, True])
def test_products_are_exact_and_touch_nothing_else(compiled: Any, turned: bool) -> None:
    dtype, call, _ = compiled
    for rows, columns, count in product(SIZES, SIZES[1:], (0, 1, 5)):
        left, right = (
            numbers(1, rows, count).astype(dtype),
            numbers(2, count, columns).astype(dtype),
        )
        C = np.full((rows + 1, columns + 3), CANARY, dtype)
        stored = np.ascontiguousarray(left.T) if turned else left
        steps = (1, rows) if turned else (count, 1)
        wide = np.concatenate([right, np.ones((count, 3), dtype)], axis=1)
        for factor in map(dtype.type, (0, 1, -3)):  # 0: what was there is lost
            whole = left @ right
            expected = C[:rows, :columns] + factor * whole if factor else whole
            for start, stop in ((0, rows // 3), (rows // 3, rows)):
                call(stored, *steps, wide, C, start, stop, columns, count, factor)
            assert (C[:rows, :columns] == expected).all(), (rows, columns, count, factor)
            assert (C[rows:] == CANARY).all()
            assert (C[:, columns:] == CANARY).all()


@pytest.mark.parametrize("name", [n for n in dir(kernels) if re.fullmatch(r"product\d+x\d", n)])
def test_products_in_short_vectors_are_exact_and_touch_nothing_else(name: str) -> None:
    multiply, lanes = getattr(kernels, name), int(name[-1])
    dtype = np.dtype(f"float{name[7:9]}").type

    @numba.njit
    def call(A, a, s, B, C, start, stop, columns, count, factor):
        b, c, add = B.shape[1], C.shape[1], factor != 0
        multiply(A, a, s, B, b, C, c, start, stop, 0, columns, count, add, factor)

    for rows, columns, count in product(SIZES, range(1, lanes + 1), (0, 1, 5)):
        left, right = (
            numbers(1, rows, count).astype(dtype),
            numbers(2, count, columns).astype(dtype),
        )
        C = np.full((rows + 1, columns), CANARY, dtype)
        for factor in map(dtype, (0, 1, -3)):
            whole = left @ right
            expected = C[:rows] + factor * whole if factor else whole
            for start, stop in ((0, rows // 3), (rows // 3, rows)):
                call(left, count, 1, right, C, start, stop, columns, count, factor)
            assert (C[:rows] == expected).all(), (rows, columns, count, factor)
            assert (C[rows:] == CANARY).all()


@pytest.mark.parametrize("bits", ["32", "64"])
@pytest.mark.parametrize("turned", [False, True])
def test_products_by_strips_are_exact_and_touch_nothing_else(turned: bool, bits: str) -> None:
    multiply, dtype = getattr(numba_strips, f"strips{bits}"), np.dtype(f"float{bits}").type

    @numba.njit
    def call(A, a, s, B, C, start, stop, columns, count, factor):
        b, t, c = B.shape[1], 1, C.shape[1]
        if turned:
            b, t = t, b
        add = factor != 0
        for left, right in ((0, columns // 2), (columns // 2, columns)):
            multiply(A, a, s, B, b, t, C, c, start, stop, left, right, count, add, factor)

    deep = numba_strips.DEPTH
    for rows, columns, count in product(
        (1, 13, 70), (1, 7, 16, 33, 90), (0, 1, 17, deep, deep + 3)
    ):
        left = numbers(1, rows, count).astype(dtype)
        right = numbers(2, count, columns).astype(dtype)
        B = np.ascontiguousarray(right.T) if turned else right
        wide = np.concatenate([B, np.full((len(B), 3), CANARY, dtype)], axis=1)
        for stored, steps in ((left, (count, 1)), (np.ascontiguousarray(left.T), (1, rows))):
            C = np.full((rows + 1, columns + 3), CANARY, dtype)
            for factor in map(dtype, (0, 1, -3)):
                before = C[:rows, :columns] if factor else 0
                expected = before + (factor or 1) * (left @ right)
                call(stored, *steps, wide, C, 0, rows, columns, count, factor)
                assert (C[:rows, :columns] == expected).all(), (rows, columns, count, factor)
                assert (C[rows:] == CANARY).all()
                assert (C[:, columns:] == CANARY).all()


@pytest.mark.parametrize("bits", ["32", "64"])
def test_no_bit_of_a_product_by_strips_depends_on_who_does_which_rows_and_strips(bits: str) -> None:
    multiply, dtype = getattr(numba_strips, f"strips{bits}"), np.dtype(f"float{bits}").type
    rows, columns, count = 139, 160, numba_strips.DEPTH + 90

    @numba.njit
    def call(A, B, C, start, stop, left, right):
        factor = dtype(1)
        multiply(A, count, 1, B, columns, 1, C, columns, start, stop, left, right, count, 0, factor)

    rng = np.random.default_rng(4)
    A, B = (rng.normal(size=s).astype(dtype) for s in ((rows, count), (count, columns)))
    whole, shared = np.empty((rows, columns), dtype), np.empty((rows, columns), dtype)
    call(A, B, whole, 0, rows, 0, columns)
    for start, stop in ((0, 48), (48, 96), (96, rows)):
        for left, right in ((0, 64), (64, columns)):
            call(A, B, shared, start, stop, left, right)
    assert (whole == shared).all()


def test_transpositions_are_exact_and_touch_nothing_else(compiled: Any) -> None:
    dtype, _, transposed = compiled
    for rows, columns in product(SIZES[1:], SIZES[1:]):
        A = numbers(3, rows, columns).astype(dtype)
        for start, stop in ((0, rows), (rows // 2, rows)):
            C = np.full((columns + 1, rows + 2), CANARY, dtype)
            transposed(A, C, start, stop, columns)
            assert (C[:columns, start:stop] == A[start:stop].T).all()
            C[:columns, start:stop] = CANARY
            assert (C == CANARY).all()


def test_a_float32_wholesums_in_order_of_a_fused_multiply_add(compiled: Any) -> None:
    """Its error is that of a sum of so many terms, not of many small pieces."""
    dtype, call, _ = compiled
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(16, 500)).astype(dtype), rng.normal(size=(500, 32)).astype(dtype)
    C = np.empty((16, 32), dtype)
    call(A, 500, 1, B, C, 0, 16, 32, 500, False)
    exact = A.astype(np.longdouble) @ B.astype(np.longdouble)
    size = abs(A).astype(np.longdouble) @ abs(B).astype(np.longdouble)
    assert (abs(C - exact) <= 500 * np.finfo(dtype).eps * size / 4).all()
