"""Initializers: their variance, their shape, their seed."""

from __future__ import annotations

import numpy as np
import pytest
from symprop.initializers import INITIALIZERS

SHAPE = (400, 300)  # units out, units in
VARIANCE = {
    "zeros": 0.0,
    "glorot_uniform": 2 / (400 + 300),
    "he_normal": 2 / 300,
    "lecun_normal": 1 / 300,
}


def test_every_initializer_has_its_variance_here():
    assert set(VARIANCE) == set(INITIALIZERS)


@pytest.mark.parametrize("name", VARIANCE)
def test_mean_zero_and_the_variance_of_the_paper(name):
    drawn = INITIALIZERS[name](SHAPE, np.random.default_rng(0))
    assert drawn.shape == SHAPE
    assert drawn.dtype == np.float64
    deviation = np.sqrt(VARIANCE[name])
    assert abs(drawn.mean()) <= 5 * deviation / np.sqrt(drawn.size)
    np.testing.assert_allclose(drawn.var(), VARIANCE[name], rtol=0.02)


def test_glorot_stays_within_its_limit():
    drawn = INITIALIZERS["glorot_uniform"]((20, 10), np.random.default_rng(0))
    assert np.abs(drawn).max() <= np.sqrt(6 / 30)


@pytest.mark.parametrize("name", VARIANCE)
def test_the_same_seed_gives_the_same_bits(name):
    first, second = (INITIALIZERS[name]((7, 5), np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
