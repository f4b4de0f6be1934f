"""Noise: the same bits in both backends, by the numbers of key, step, tensor and element."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from symprop.backends.noise import drawn, key_of, mixed, noise_source, tensor_number
from symprop.backends.numba_noise import draw32, draw64, noise_key
from symprop.scope import BATCH, index
from symprop.tensor import Tensor

U = Tensor("u1", (index("b", BATCH), index("j", 7)), role="noise")
OTHER = Tensor("u2", U.axes, role="noise")


def test_the_mixing_function_is_splitmix64s():
    """The first outputs for the seed 1234567, as published with the reference code."""
    with np.errstate(over="ignore"):
        found = mixed(np.uint64(1234567), np.arange(3, dtype=np.uint64))
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("dtype", "draw"), [("float32", draw32), ("float64", draw64)])
def test_compiled_code_draws_the_same_bits_in_any_pieces(dtype, draw):
    import numba

    @numba.njit
    def filled(into, source, step, tensor, first, count):
        draw(into, noise_key(source, step, tensor), first, count)

    noise = noise_source(3, 5)
    expected = drawn([U], noise, 11, dtype, step=2)["u1"]
    found = np.empty((11, 7), dtype)
    for low, high in ((6, 11), (0, 6)):
        filled(found[low:high], noise, 2, tensor_number(U), low * 7, (high - low) * 7)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype == np.dtype(dtype)


def test_draws_are_apart_for_each_step_tensor_and_seed():
    arrays = [drawn([U], noise_source(0), 50, "float64", step)["u1"] for step in range(3)]
    arrays += [drawn([U, OTHER], noise_source(0), 50, "float64")["u2"]]
    arrays += [drawn([U], noise_source(1), 50, "float64")["u1"]]
    assert len(np.unique(np.stack(arrays))) == 5 * 350
    later = drawn([U], noise_source(0, 2), 50, "float64")["u1"]
    np.testing.assert_array_equal(later, arrays[2])


def test_draws_are_even_on_0_to_1_in_both_types():
    wide = Tensor("u", (index("b", BATCH), index("j", 1000)), role="noise")
    double, single = (drawn([wide], noise_source(0), 200, t)["u"] for t in ("float64", "float32"))
    counts, _ = np.histogram(double, bins=50, range=(0, 1))
    assert ((counts - 4000) ** 2 / 4000).sum() < 100  # χ² of 49 degrees: 1 in 30,000 is larger
    assert single.min() >= 0
    assert single.max() < 1
    np.testing.assert_allclose(single, double, atol=2**-24)


def test_keys_of_neighbours_have_nothing_in_common():
    noise = noise_source(0)
    with np.errstate(over="ignore"):
        keys = [int(key_of(noise, step, 1)) for step in range(100)]
    ones = [(a ^ b).bit_count() for a, b in itertools.pairwise(keys)]
    assert 28 < np.mean(ones) < 36
