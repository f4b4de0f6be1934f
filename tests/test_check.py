"""The public checks: right gradients pass, every kind of wrong one is seen."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace

import numpy as np
import pytest
import sympy
from symprop import (
    Dense,
    Network,
    check_backends,
    check_gradients,
    check_program,
    errors,
    prediction,
    target,
)
from symprop.check import SAMPLES, difference
from symprop.losses import LOSSES
from symprop.scope import BATCH, Scope, index

NUMBA = bool(importlib.util.find_spec("symprop.backends.numba"))
RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 3))
METHODS = ["auto", "complex", "central"]
Z = sympy.Symbol("z")
TARGETS = {
    "": RNG.normal(size=(5, 2)),
    "classes": RNG.integers(0, 2, 5),
    "probability": RNG.random((5, 2)),
    "sign": np.sign(RNG.normal(size=(5, 2))),
    "count": RNG.integers(0, 4, (5, 2)),
}
LAST = {"classes": "softmax", "probability": "sigmoid", "count": "softplus"}


def network(hidden="tanh", loss="mse"):
    last = LAST.get(LOSSES[loss].labels)
    return Network([Dense(4, activation=hidden), Dense(2, activation=last)], inputs=3, loss=loss)


def bound(method):
    return 1e-8 if method == "central" else 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_right_gradients_pass_with_targets_as_fit_takes_them(loss, method):
    y = TARGETS[LOSSES[loss].labels]
    assert check_gradients(network(loss=loss), X, y, method=method) < bound(method)


def with_gradients(net, change):
    """The network with each equation of its gradients changed."""
    wrong = replace(net.gradients, equations=tuple(map(change, net.gradients.equations)))
    net.__dict__["gradients"] = wrong
    return net


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_each_wrong_gradient_is_seen(name, method):
    net = network()
    label = dict(zip([p.name for p in net.parameters], net.raw_gradients.outputs, strict=True))[
        name
    ].label

    def change(equation):
        factor = sympy.Rational(1001, 1000) if equation.label == label else 1
        return replace(equation, value=factor * equation.value)

    error = check_gradients(with_gradients(net, change), X, TARGETS[""], method=method)
    assert error == pytest.approx(1e-3, rel=0.01)


def test_gradient_that_is_not_finite_is_the_worst():
    net = network()
    label = net.raw_gradients.outputs[0].label

    def change(equation):
        undefined = sympy.log(-1 - equation.value**2)
        return replace(equation, value=undefined) if equation.label == label else equation

    assert check_gradients(with_gradients(net, change), X, TARGETS[""]) == np.inf


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("given", [sympy.Abs(Z), "relu", "hard_tanh", sympy.Max(Z, Z / 3)])
def test_subgradient_at_a_kink_passes(given, method):
    net = Network([Dense(2, activation=given)], inputs=1, loss="mse")
    at_kink = {"W1": [[0.5], [1.0]], "b1": [0.0, 0.0 if given != "hard_tanh" else 1.0]}
    error = check_gradients(net, [[0.0], [1.3]], [[1, 2], [2, 1]], at_kink, method=method)
    assert error < (1e-4 if method == "central" else 1e-12)


def test_complex_step_alone_takes_one_side_of_a_kink():
    net = Network([Dense(1, activation=sympy.Abs(Z), bias=True)], inputs=1, loss="mae")
    at_kink = {"W1": [[1.0]], "b1": [0.0]}
    assert check_gradients(net, [[0.0]], [[1.0]], at_kink, method="complex") > 0.5
    assert check_gradients(net, [[0.0]], [[1.0]], at_kink) < 1e-12


@pytest.mark.parametrize("method", ["auto", "central"])
def test_number_beyond_both_slopes_of_a_kink_is_wrong(method):
    net = Network([Dense(1, activation="relu")], inputs=1, loss="mse")
    label = net.raw_gradients.outputs[1].label

    def change(equation):
        return replace(equation, value=equation.value + 5) if equation.label == label else equation

    at_kink = {"W1": [[1.0]], "b1": [0.0]}
    error = check_gradients(with_gradients(net, change), [[0.0]], [[1.0]], at_kink, method=method)
    assert error > 0.1


def sum_of_squares(extent):
    """L = Σ_b Σ_i (b + 1) w[i]² x[b, i]."""
    scope = Scope()
    b, i = index("b", BATCH), index("i", extent)
    x = scope.tensor("x", (b, i), role="input")
    w = scope.tensor("w", (i,), role="parameter")
    total = scope.tensor("L")
    scope.define(total[()], (b + 1) * w[i] ** 2 * x[b, i], over=(b, i))
    return scope.freeze(outputs=(total,))


def test_programs_are_checked_with_respect_to_any_tensor():
    program = sum_of_squares(3)
    arrays = {"x": X, "w": [1, 2, -3]}
    assert check_program(program, arrays, of="L", wrt=["x", "w"]) < 1e-12
    assert check_program(program, arrays, program.named("L"), [program.named("w")]) < 1e-12


def test_large_tensors_are_sampled_with_the_seed(monkeypatch):
    from symprop import check

    moved = []
    one = check._Reference.value

    def counted(self, label, entry, step):
        moved.append((label, int(entry)))
        return one(self, label, entry, step)

    monkeypatch.setattr(check._Reference, "value", counted)
    arrays = {"x": np.ones((1, 1000)), "w": np.ones(1000)}
    assert check_program(sum_of_squares(1000), arrays, of="L", wrt=["w"]) < 1e-12
    first, moved[:] = list(moved), []
    assert len(set(first)) == SAMPLES
    check_program(sum_of_squares(1000), arrays, of="L", wrt=["w"])
    assert moved == first
    moved[:] = []
    check_program(sum_of_squares(1000), arrays, of="L", wrt=["w"], seed=1)
    assert moved != first


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: check_gradients(network(), X, TARGETS[""], method="finite"),
            errors.UnknownNameError,
            "method: unknown name 'finite'; known are auto, complex, central",
        ),
        (
            lambda: check_gradients(network(), X[:, :2], TARGETS[""]),
            errors.ShapeError,
            "x: expected shape (N, 3), got (5, 2)",
        ),
        (
            lambda: check_gradients(network(), X, TARGETS[""], {"b11": 0}),
            errors.UnknownNameError,
            "parameter: unknown name 'b11'; did you mean 'b1'?",
        ),
        (
            lambda: check_gradients(network(), X, TARGETS[""], seed=-1),
            errors.ArgumentError,
            "seed: expected at least 0, got -1",
        ),
        (
            lambda: check_program(sum_of_squares(3), {"x": X, "w": X[0]}, of="L", wrt=["ww"]),
            errors.UnknownNameError,
            "tensor: unknown name 'ww'; did you mean 'w'?",
        ),
        (
            lambda: check_program(sum_of_squares(3), {"x": X, "w": X[0]}, of=None, wrt=["w"]),
            errors.ArgumentTypeError,
            "expected a tensor or its name, got None",
        ),
        (
            lambda: check_program(sum_of_squares(3), {"x": X}, of="L", wrt=["w"]),
            errors.LoweringError,
            "w, for which no array was given",
        ),
        (
            lambda: check_gradients(network().compile(backend="numpy"), X, TARGETS[""]),
            errors.ArgumentTypeError,
            "expected a Network to check, got Model: use model.network",
        ),
        (
            lambda: check_backends(network().compile(backend="numpy"), X, TARGETS[""]),
            errors.ArgumentTypeError,
            "expected a Network to check, got Model: use model.network",
        ),
        (
            lambda: check_backends(sum_of_squares(3), X),
            errors.ArgumentTypeError,
            "check_backends(program, arrays) with a dict of the given arrays by name, got ndarray",
        ),
        (
            lambda: check_backends(sum_of_squares(3), {"x": X, "w": X[0]}, X),
            errors.ArgumentTypeError,
            "got dict and y",
        ),
    ],
)
def test_checks_check_their_arguments(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


# --- backends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected", "worst"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 3.0], [1.0, 4.0], 0.25),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan, 1.0], [0.0, 1.0], np.inf),
        ([1.0, 1.0], [np.inf, 1.0], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1e-17], [0.0], 1e-13),
    ],
)
def test_difference_is_relative_to_the_largest_and_sees_what_is_not_finite(found, expected, worst):
    assert difference(np.array(found), np.array(expected), floor=1e-4) == pytest.approx(worst)


@pytest.mark.skipif(not NUMBA, reason="the compiled backend is not there")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_agree(dtype):
    bound = 1e-12 if dtype == "float64" else 1e-4
    assert check_backends(network(), X, TARGETS[""], {"b1": np.ones(4)}, 3, dtype) < bound
    assert check_backends(sum_of_squares(3), {"x": X, "w": [1, 2, -3]}, dtype=dtype) < bound


@pytest.mark.skipif(not NUMBA, reason="the compiled backend is not there")
@pytest.mark.parametrize("label", ["L", "z1"])
def test_backend_that_differs_is_seen(monkeypatch, label):
    from symprop.backends import numba, numpy

    def other(*arguments):
        values = numpy.run(*arguments)
        values[label] = values[label] * (1 + 1e-6)
        return values

    monkeypatch.setattr(numba, "run", other)
    net = network()
    arrays = {"x": X, "y": TARGETS[""]}
    arrays |= {t.name: RNG.normal(size=tuple(map(int, t.shape))) for t in net.parameters}
    assert check_backends(net.forward, arrays) == pytest.approx(1e-6, rel=0.01)


@pytest.mark.skipif(not NUMBA, reason="the compiled backend is not there")
@pytest.mark.parametrize("method", ["predict", "loss", "gradients", "train"])
def test_every_program_of_the_backend_that_trains_is_compared(monkeypatch, method):
    from symprop.backends.numba import NumbaExecutable

    right = getattr(NumbaExecutable, method)

    def wrong(executable, *given):
        result = right(executable, *given)
        if method == "gradients":
            result[1]["W2"][...] *= 1 + 1e-6
        elif method == "train":
            given[0].losses[...] *= 1 + 1e-6
        else:
            result = result * (1 + 1e-6)
        return result

    monkeypatch.setattr(NumbaExecutable, method, wrong)
    error = check_backends(network(), X, TARGETS[""])
    assert error == pytest.approx(1e-6, rel=0.01)


@pytest.mark.skipif(not NUMBA, reason="the compiled backend is not there")
def test_backends_agree_on_a_loss_that_is_not_finite():
    net = Network([Dense(1)], inputs=1, loss=sympy.log(prediction - target))
    assert check_backends(net, [[1.0]], [1.0], {"W1": [[-1.0]]}) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_reference_that_is_not_finite_is_the_worst(monkeypatch, method, value):
    from symprop import check

    monkeypatch.setattr(check._Reference, "slope", lambda *given: value)
    assert check_gradients(network(), X, TARGETS[""], method=method) == np.inf


@pytest.mark.parametrize("method", METHODS)
def test_gradient_and_reference_that_are_both_infinite_are_the_worst(method):
    net = Network([Dense(1, activation=sympy.sqrt(Z))], inputs=1, loss="mse")
    assert check_gradients(net, [[1.0]], [[1.0]], {"W1": [[0.0]]}, method=method) == np.inf
