"""Clipping: by value each element, by norm all gradients together; finite where it can be."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import SGD, Adam, Dense, Network
from symprop.backends import numba, numpy
from symprop.scope import Scope, index

from cases import draw

SHAPES = {"w": (3, 2), "u": (4,)}


def clipped(given, gradients, run=numpy.run, dtype=np.float64):
    """What plain descent with α = 1 subtracts from each parameter."""
    scope = Scope()
    axes = {n: tuple(index("jk"[i], size) for i, size in enumerate(s)) for n, s in SHAPES.items()}
    parameters = tuple(scope.tensor(n, a, role="parameter") for n, a in axes.items())
    slopes = tuple(scope.tensor(f"d{n}", a, role="input") for n, a in axes.items())
    given.update(scope, parameters, slopes)
    arrays = {"alpha": 1.0} | {n: np.zeros(s) for n, s in SHAPES.items()}
    arrays |= {f"d{n}": gradients[n] for n in SHAPES}
    after = run(scope.freeze(parameters), arrays, dtype)
    return {name: -after[name] for name in SHAPES}


def drawn(scale=1.0):
    return {name: scale * draw(n, *shape) for n, (name, shape) in enumerate(SHAPES.items())}


def norm(arrays):
    return np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays.values()))


BACKENDS = pytest.mark.parametrize("run", [numpy.run, numba.run], ids=["numpy", "numba"])


@BACKENDS
def test_each_element_is_between_the_bounds(run):
    found = clipped(SGD(1.0, clip_value=0.25), drawn(), run)
    for name, gradient in drawn().items():
        np.testing.assert_array_equal(found[name], np.clip(gradient, -0.25, 0.25))


@BACKENDS
def test_all_gradients_are_scaled_together_to_the_norm(run):
    bound = 0.5
    found, gradients = clipped(SGD(1.0, clip_norm=bound), drawn(), run), drawn()
    assert norm(gradients) > bound
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient * bound / norm(gradients), rtol=1e-14)


@BACKENDS
def test_a_norm_within_the_bound_changes_no_bit(run):
    found = clipped(SGD(1.0, clip_norm=50.0), drawn(), run)
    for name, gradient in drawn().items():
        np.testing.assert_array_equal(found[name], gradient)


@BACKENDS
def test_no_gradient_at_all_stays_none(run):
    found = clipped(SGD(1.0, clip_norm=0.1), drawn(0.0), run)
    assert all((array == 0).all() for array in found.values())


@BACKENDS
def test_values_come_before_the_norm(run):
    found = clipped(SGD(1.0, clip_norm=0.3, clip_value=0.25), drawn(), run)
    bounded = {name: np.clip(g, -0.25, 0.25) for name, g in drawn().items()}
    for name, gradient in bounded.items():
        np.testing.assert_allclose(found[name], gradient * 0.3 / norm(bounded), rtol=1e-14)


@BACKENDS
@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e30), ("float64", 1e250)])
def test_a_norm_whose_square_overflows_is_clipped_all_the_same(run, dtype, scale):
    found = clipped(SGD(1.0, clip_norm=1.0), drawn(scale), run, np.dtype(dtype))
    for name, gradient in drawn().items():
        expected = gradient / norm(drawn())
        np.testing.assert_allclose(
            found[name], expected, rtol=2e-6 if dtype == "float32" else 1e-13
        )


def test_keras_published_numbers():
    """``test_clip_norm`` and ``test_clip_value`` of Keras: the gradient (100, 100)."""
    gradients = {"w": np.zeros((3, 2)), "u": np.array([100.0, 100.0, 0.0, 0.0])}
    by_norm = clipped(SGD(1.0, clip_norm=1.0), gradients)["u"]
    by_value = clipped(SGD(1.0, clip_value=1.0), gradients)["u"]
    np.testing.assert_allclose(by_norm[:2], [2**0.5 / 2] * 2, rtol=1e-15)
    assert by_value[:2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("given", [Adam(0.01, clip_norm=0.05), Adam(0.01, clip_value=0.01)])
def test_training_in_parts_clips_as_the_interpreter_does(given):
    from symprop.lowering import Lowering

    net = Network([Dense(64, "relu"), Dense(3, "softmax")], inputs=64, loss="cross_entropy")
    x, y = draw(1, 200, 64), np.arange(200) % 3
    models = [
        net.compile(given, dtype="float64", backend=backend, lowering=Lowering(threads=4))
        for backend in ("numpy", "numba")
    ]
    for model in models:
        model.fit(x, y, epochs=2, batch_size=100)
    for name, expected in models[0].parameters.items():
        np.testing.assert_allclose(models[1].parameters[name], expected, rtol=1e-11, atol=1e-13)
