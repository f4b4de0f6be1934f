"""Initializers: their variance, their shape, their seed."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import Dense, Network
from symprop.errors import ArgumentTypeError, DataError, ShapeError, UnknownNameError
from symprop.initializers import INITIALIZERS, fans

SHAPE = (400, 300)  # units out, units in
VARIANCE = {
    "zeros": 0.0,
    "normal": 0.05**2,
    "uniform": 0.05**2 / 3,
    "lecun_normal": 1 / 300,
    "lecun_uniform": 1 / 300,
    "glorot_normal": 2 / (400 + 300),
    "glorot_uniform": 2 / (400 + 300),
    "he_normal": 2 / 300,
    "he_uniform": 2 / 300,
    "orthogonal": 1 / 400,
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


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 7), (4, 3, 2, 2)])
def test_orthogonal_rows_or_columns_have_length_one_and_right_angles(shape):
    drawn = INITIALIZERS["orthogonal"](shape, np.random.default_rng(1)).reshape(shape[0], -1)
    fewer = drawn if drawn.shape[0] <= drawn.shape[1] else drawn.T
    np.testing.assert_allclose(fewer @ fewer.T, np.eye(len(fewer)), atol=1e-14)


def test_orthogonal_is_drawn_evenly():
    """Without the signs of R, LAPACK's Q has a diagonal of mostly one sign."""
    generator = np.random.default_rng(0)
    traces = [np.trace(INITIALIZERS["orthogonal"]((3, 3), generator)) for _ in range(2000)]
    assert abs(np.mean(traces)) < 5 / np.sqrt(2000)


def test_the_window_of_a_convolution_counts():
    assert fans((8, 4, 3, 3)) == (36, 72)
    assert fans((8, 4)) == (4, 8)


def network(initializer):
    return Network([Dense(3, initializer=initializer)], inputs=2, loss="mse")


def test_a_function_starts_a_weight_with_the_models_seed():
    model = network(lambda shape, generator: generator.normal(size=shape)).compile(
        dtype="float64", seed=4
    )
    expected = np.random.default_rng(4).normal(size=(3, 2))
    np.testing.assert_array_equal(model.parameters["W1"], expected)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            lambda s, g: np.zeros((2, 3)),
            ShapeError,
            "expected an array of shape (3, 2), got (2, 3)",
        ),
        (lambda s, g: np.full(s, np.nan), DataError, "expected finite numbers, got NaN"),
        (lambda s, g: "zeros", ArgumentTypeError, "expected an array of numbers, got dtype"),
    ],
)
def test_what_a_function_gives_is_checked(given, error, message):
    with pytest.raises(error) as caught:
        network(given).compile()
    assert str(caught.value).startswith(f"initializer of W1: {message}")


@pytest.mark.parametrize(
    ("given", "error"),
    [("he", UnknownNameError), (3, ArgumentTypeError), (np.ndarray, ArgumentTypeError)],
)
def test_what_is_no_initializer_is_refused(given, error):
    with pytest.raises(error, match="Dense: initializer"):
        network(given)


def test_a_function_cannot_be_saved(tmp_path):
    model = network(lambda shape, generator: np.ones(shape)).compile()
    with pytest.raises(ArgumentTypeError, match="save: cannot store the function <lambda>: a file"):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())
