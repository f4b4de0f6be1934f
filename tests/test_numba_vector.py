"""Vectors as a type of Numba's: lane by lane what NumPy computes, NaN included."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from symprop.backends import numba_vector as v
from symprop.backends.numba_lanes import (
    either,
    every,
    first,
    largest,
    load,
    load_some,
    sqrt,
    store,
    store_some,
    total,
    where,
)
from symprop.backends.numba_math import exp, tanh

CANARY = -77.0


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return np.dtype(request.param)


@pytest.fixture(params=[2, 4, 0], ids=["2 lanes", "4 lanes", "all lanes"])
def short(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def filled(dtype: Any) -> tuple[int, Any]:
    lanes = v.LANES[dtype.name]
    x = np.random.default_rng(0).normal(size=lanes).astype(dtype)
    x[-2:] = np.nan, np.inf
    return lanes, x


def test_arithmetic_and_choices_are_numpys(dtype: Any) -> None:
    two = dtype.type(2)

    @numba.njit(error_model="numpy")
    def run(x, y):
        u = load(x, 0)
        store(y, (0, 0), u + two * u - u / two)
        store(y, (1, 0), where(either(u > -u, u != u), abs(-u), two))
        store(y, (2, 0), where(u <= two, sqrt(u * u), u))
        store(y, (3, 0), two)

    lanes, x = filled(dtype)
    y = np.zeros((4, lanes), dtype)
    run(x, y)
    with np.errstate(invalid="ignore"):
        expected = (
            x + 2 * x - x / 2,
            np.where((x > -x) | np.isnan(x), abs(x), 2),
            np.where(x <= 2, np.sqrt(x * x), x),
            np.full(lanes, 2),
        )
    np.testing.assert_allclose(y, np.array(expected, dtype), rtol=4 * np.finfo(dtype).eps)


def test_a_partly_filled_vector_touches_only_its_lanes(dtype: Any, short: int) -> None:
    lanes = short or v.LANES[dtype.name]

    @numba.njit
    def run(count, x, y, z):
        store_some(count, y, 1, load_some(count, x, 0, lanes), lanes)
        store_some(count, z, 1, x[0], lanes)
        vector = load(x, 0, lanes) * x[0] / x[0]
        return total(first(count, vector, every(x[0] - x[0], lanes)))

    x = np.arange(1, lanes + 1, dtype=dtype)
    for count in range(1, lanes + 1):
        y, z = np.full((2, lanes + 2), CANARY, dtype)
        assert run(count, x, y, z) == x[:count].sum()
        assert (y[1 : count + 1] == x[:count]).all()
        assert (z[1 : count + 1] == x[0]).all()
        for written in (y, z):
            assert (np.delete(written, np.s_[1 : count + 1]) == CANARY).all()


def test_a_short_vector_is_chosen_where_it_holds_all_numbers() -> None:
    sizes = (1, 2, 3, 4, 5, 8, 9, 40)
    assert [v.shortest(size, 16) for size in sizes] == [2, 2, 4, 4, 8, 8, 16, 16]
    assert [v.shortest(size, 2) for size in (1, 2, 3)] == [2, 2, 2]


def test_sums_and_maxima_are_over_all_lanes(dtype: Any, short: int) -> None:
    lanes = short or v.LANES[dtype.name]

    @numba.njit
    def run(x):
        u = load(x, 0, lanes)
        return total(u), largest(u), largest(every(x[0], lanes))

    for place in range(lanes):
        x = np.full(lanes, -3, dtype)
        x[place] = 5
        assert run(x) == (5 - 3 * (lanes - 1), 5, x[0])
        x[place] = np.nan
        assert np.isnan(run(x)[1])


def test_functions_are_the_same_for_a_vector_and_for_a_number(dtype: Any) -> None:
    @numba.njit
    def run(x, y):
        store(y, (0, 0), tanh(load(x, 0)))
        store(y, (1, 0), exp(load(x, 0)))
        for i in range(len(x)):
            y[2, i], y[3, i] = tanh(x[i]), exp(x[i])

    lanes, x = filled(dtype)
    y = np.empty((4, lanes), dtype)
    run(x, y)
    np.testing.assert_array_equal(y[:2], y[2:])
