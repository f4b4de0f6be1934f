"""Signals through depth: Gaussian integrals, gains, the recursions, the bound, the measured."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
import sympy
from scipy.integrate import quad
from symprop import Dense, Network, gradient_flow
from symprop.activations import ACTIVATIONS, ARGUMENT, activation
from symprop.equation import PREACTIVATION
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeclarationError,
    ShapeError,
    UnknownNameError,
)
from symprop.flow import gains
from symprop.flow.gauss import Law, closed_form, expectation
from symprop.flow.pieces import largest, pieces
from symprop.flow.recursion import spectral
from symprop.initializers import INITIALIZERS
from symprop.scope import index
from symprop.tensor import extent

from models import raises

z = ARGUMENT
STANDARD = Law(0.0, 1.0)
STEP = activation(sympy.Heaviside(z - sympy.Rational(3, 10))).expression
ELEMENTWISE = sorted(set(ACTIVATIONS) - {"softmax"})
CLOSED = ("elu", "hard_tanh", "leaky_relu", "linear", "relu", "selu")


def expression(name):
    return activation(name).expression


def by_scipy(function, variance=1.0):
    """E[f(√q Z)] by another quadrature."""
    density = lambda t: function(math.sqrt(variance) * t) * math.exp(-t * t / 2)  # noqa: E731
    halves = (
        quad(density, *ends, epsabs=1e-14, epsrel=1e-13, limit=400)[0]
        for ends in ((-30, 0), (0, 30))
    )
    return sum(halves) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("variance", [1e-4, 1.0, 7.3, 1e5])
def test_relu_halves_the_mean_square(variance):
    law = Law(0.0, variance)
    assert expectation(expression("relu") ** 2, law) == pytest.approx(variance / 2, rel=1e-14)
    assert expectation(expression("relu").diff(z) ** 2, law) == pytest.approx(0.5, rel=1e-14)


@pytest.mark.parametrize("variance", [0.01, 1.0, 40.0])
def test_expectation_of_erf_squared_is_the_arcsine_of_williams(variance):
    """Williams 1998, "Computation with infinite neural networks", (11)."""
    known = 2 / math.pi * math.asin(2 * variance / (1 + 2 * variance))
    assert expectation(sympy.erf(z) ** 2, Law(0.0, variance)) == pytest.approx(known, rel=1e-13)


@pytest.mark.parametrize(
    ("value", "law", "known"),
    [
        (z**4, STANDARD, 3.0),
        (z**2, Law(1.5, 4.0), 6.25),
        (sympy.exp(z), STANDARD, math.exp(0.5)),
        (sympy.cos(5 * z), STANDARD, math.exp(-12.5)),
        (expression("relu"), STANDARD, 1 / math.sqrt(2 * math.pi)),
        (z**2, Law(0.5, 1 / 12, uniform=True), 1 / 3),
        (z + 2, Law(1.0, 0.0), 3.0),
        (STEP, STANDARD, math.erfc(0.3 / math.sqrt(2)) / 2),
        (STEP, Law(0.5, 1 / 12, uniform=True), 0.7),
        (activation(sympy.Abs(z - 1)).expression, Law(1.0, 1.0), math.sqrt(2 / math.pi)),
    ],
)  # fmt: skip
def test_expectations_are_the_known_ones(value, law, known):
    assert expectation(value, law) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize(
    "name", ["tanh", "sigmoid", "gelu", "softplus", "silu", "mish", "softsign"]
)
def test_expectations_agree_with_scipy(name):
    f = sympy.lambdify(z, _plain(expression(name)), "math")
    assert expectation(expression(name) ** 2, STANDARD) == pytest.approx(
        by_scipy(lambda t: f(t) ** 2), rel=1e-11
    )


def _plain(value):
    return value.replace(lambda e: e.func.__name__ == "Absolute", lambda e: sympy.Abs(e.args[0]))


def test_an_integral_that_does_not_converge_is_not_a_number():
    assert math.isnan(expectation(sympy.exp(z**2), STANDARD))
    assert math.isnan(expectation(1 / z**2, STANDARD))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_closed_form_is_the_integral(name):
    for value in (expression(name) ** 2, expression(name).diff(z) ** 2):
        exact = closed_form(value)
        assert (exact is not None) == (name in CLOSED)
        if exact is not None:
            assert float(exact.evalf(30)) == pytest.approx(expectation(value, STANDARD), rel=1e-13)


def test_pieces_are_the_function_between_its_kinks():
    value = activation(
        sympy.Max(sympy.Min(sympy.Abs(z), 2), z**2 / 8) + sympy.sign(z - 3)
    ).expression
    found = pieces(value)
    assert [piece.left for piece in found[1:]] == [-8, -4, -2, 0, 2, 3, 4, 8]
    for piece in found:
        assert not piece.function.has(sympy.Piecewise)
        for share in (0.1, 0.5, 0.9):
            low, high = max(float(piece.left), -9.0), min(float(piece.right), 9.0)
            at = sympy.Rational(str(low + share * (high - low)))
            assert piece.function.xreplace({z: at}) == value.xreplace({z: at})


def test_relu_has_the_gain_root_2_in_closed_form():
    found = gains("relu")
    assert found.exact_forward == found.exact_backward == sympy.sqrt(2)
    assert found.forward == pytest.approx(math.sqrt(2), rel=1e-15)
    for variance in (0.01, 3.0, 1e4):
        assert gains("relu", variance).forward == pytest.approx(math.sqrt(2), rel=1e-12)


def test_tanh_has_a_gain_near_five_thirds():
    """Forward 1.5925 at q = 1; 5/3 is the gain that holds the variance at 1.178, a std at 0.651."""
    assert gains("tanh").forward == pytest.approx(1.59253741972, rel=1e-11)
    assert gains("tanh").backward == pytest.approx(1.46741359163, rel=1e-11)
    assert gains("tanh", variance=1.1784804903859).forward == pytest.approx(5 / 3, rel=1e-10)
    output = expectation(sympy.tanh(z) ** 2, Law(0.0, 1.1784804903859))
    assert math.sqrt(output) == pytest.approx(0.6513, abs=1e-4)


def test_selu_keeps_mean_0_and_variance_1():
    """Its constants are made for that (Klambauer et al. 2017): the gain is 1."""
    assert float(gains("selu").exact_forward.evalf(30)) == pytest.approx(1, rel=1e-14)
    assert float(closed_form(expression("selu")).evalf(30)) == pytest.approx(0, abs=1e-14)


def test_gains_of_a_formula_are_those_of_the_name():
    t = sympy.Symbol("t")
    assert gains(sympy.tanh(t)) == gains("tanh")
    assert gains(3 * sympy.tanh(t)).forward == pytest.approx(gains("tanh").forward / 3, rel=1e-12)
    assert gains(sympy.sign(t)).backward == math.inf


SLOPES = {
    "sigmoid": 0.25,
    "tanh": 1.0,
    "relu": 1.0,
    "leaky_relu": 1.0,
    "selu": 1.0507009873554804934 * 1.6732632423543772848,
    "softplus": 1.0,
    "gelu": 0.5 + 0.5 * math.erf(1) + math.exp(-1) / math.sqrt(math.pi),
}


@pytest.mark.parametrize("name", sorted(SLOPES))
def test_largest_slope_is_the_known_one(name):
    assert gains(name).slope == pytest.approx(SLOPES[name], rel=1e-15)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_no_slope_is_larger(name):
    slope = sympy.lambdify(z, pieces(expression(name))[-1].function.diff(z), "mpmath")
    right = [abs(float(slope(t))) for t in np.linspace(1.001, 30, 997)]
    assert max(right) <= gains(name).slope * (1 + 1e-14)


def test_a_slope_without_bound_is_infinite():
    assert largest(2 * z) == math.inf
    assert largest(sympy.sin(z) + z * sympy.cos(z)) >= 1e4
    assert gains(z * sympy.tanh(z)).slope == pytest.approx(1.199678640257734, rel=1e-12)


CUSTOM = z * sympy.tanh(z) - sympy.sin(z) / 2
MIXED = ("relu", "tanh", "sigmoid", "gelu", "selu", CUSTOM)


def wide(activations, width=512):
    layers = [Dense(width, given) for given in activations]
    return Network([*layers, Dense(10, "softmax")], inputs=width, loss="cross_entropy")


def test_wide_layers_are_as_predicted():
    flow = gradient_flow(wide(MIXED))
    for layer in flow.layers[:-1]:
        assert layer.measured_variance == pytest.approx(layer.variance, rel=0.04)
        assert layer.measured_delta_square == pytest.approx(layer.delta_square, rel=0.04)
        assert layer.measured_delta < layer.bound < math.inf or layer.activation is None
    assert [gain.expression for gain in flow.gains.values()] == [
        activation(a).expression for a in MIXED
    ]


def signs(units, inputs):
    """A matrix of ±1 with as many of each, so with mean 0 and variance 1."""
    return (-1.0) ** np.add.outer(np.arange(units), np.arange(inputs))


def exact(activations, scale, width=8, loss="mse"):
    """A model whose weights have variance scale²/width exactly, and inputs of variance 1."""
    net = Network([*(Dense(width, a) for a in activations), Dense(width)], inputs=width, loss=loss)
    model = net.compile(dtype="float64", backend="numpy")
    model.set_parameters(
        {
            t.name: scale / math.sqrt(width) * signs(width, width)
            for t in net.parameters
            if len(t.axes) == 2
        }
    )
    return model, signs(6, width)


def test_the_recursion_of_relu_is_exact():
    """q⁽¹⁾ = g², q⁽ˡ⁺¹⁾ = g² q⁽ˡ⁾/2 + σ_b², χ = g²/2."""
    model, x = exact(["relu"] * 4, 1.7)
    model.set_parameters({f"b{n}": signs(1, 8)[0] / 2 for n in range(1, 6)})
    flow = gradient_flow(model, x, np.ones((6, 8)))
    q = 1.7**2 + 0.25
    for layer in flow.layers:
        assert layer.variance == pytest.approx(q, rel=1e-13)
        q = 1.7**2 * q / 2 + 0.25
    assert flow.factors == pytest.approx([1.7**2 / 2] * 4, rel=1e-13)


def test_the_recursion_of_tanh_is_the_integral():
    model, x = exact(["tanh"] * 3, 2.0)
    flow = gradient_flow(model, x, np.ones((6, 8)))
    for below, above, factor in zip(flow.layers, flow.layers[1:], flow.factors, strict=False):
        q = below.variance
        assert above.variance == pytest.approx(
            4 * by_scipy(lambda t: math.tanh(t) ** 2, q), rel=1e-11
        )
        chi = 4 * by_scipy(lambda t: (1 - math.tanh(t) ** 2) ** 2, q)
        assert factor == pytest.approx(chi, rel=1e-11)


def test_units_above_count_on_the_way_back():
    """From 3 units above to n below, E[δ²] is multiplied by 3 σ_w²."""
    net = Network([Dense(40), Dense(3)], inputs=5, loss="mse")
    model = net.compile(dtype="float64", backend="numpy")
    model.set_parameters({"W2": 0.5 * signs(3, 40)})
    assert gradient_flow(model).factors == pytest.approx([3 * 0.25], rel=1e-12)


def test_one_path_attains_the_bound():
    net = Network([Dense(1), Dense(1), Dense(1)], inputs=1, loss="mse")
    model = net.compile(dtype="float64", backend="numpy")
    model.set_parameters({"W2": [[-3.0]], "W3": [[2.0]]})
    first, second, third = gradient_flow(model, [[1.0], [2.0]], [0.0, 1.0]).layers
    assert second.bound == pytest.approx(2 * third.measured_delta, rel=1e-14)
    assert first.bound == pytest.approx(6 * third.measured_delta, rel=1e-14)
    assert first.measured_delta == pytest.approx(first.bound, rel=1e-14)


def test_the_bound_is_norms_times_slopes():
    net = Network([Dense(7, "sigmoid"), Dense(5, "sigmoid"), Dense(2)], inputs=3, loss="mse")
    model = net.compile(dtype="float64", backend="numpy", seed=4)
    flow = gradient_flow(model, np.ones((4, 3)), np.zeros((4, 2)))
    norms = {name: np.linalg.norm(model.parameters[name], 2) for name in ("W2", "W3")}
    last = flow.layers[-1].measured_delta
    assert flow.layers[1].bound == pytest.approx(norms["W3"] / 4 * last, rel=1e-12)
    assert flow.layers[0].bound == pytest.approx(norms["W2"] * norms["W3"] / 16 * last, rel=1e-12)
    assert all(layer.measured_delta <= layer.bound * (1 + 1e-12) for layer in flow.layers)


@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (4, 4)])
def test_spectral_norm_is_the_largest_singular_value(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    assert spectral(matrix) == pytest.approx(np.linalg.svd(matrix)[1][0], rel=1e-13)


def test_measured_is_what_blame_finds():
    net = Network(
        [Dense(6, "tanh"), Dense(4, "relu"), Dense(3, "softmax")], inputs=2, loss="cross_entropy"
    )
    model = net.compile(dtype="float64", backend="numpy", seed=3)
    found, flow = model.blame([0.5, -1.0], 2), gradient_flow(model, [[0.5, -1.0]], [2])
    lengths = [np.linalg.norm(delta) for delta in found.deltas.values()]
    assert [layer.measured_delta for layer in flow.layers] == pytest.approx(lengths, rel=1e-13)
    assert flow.draws == 1


def test_the_number_of_samples_does_not_scale_delta():
    model, x = exact(["tanh"] * 2, 1.0)
    one, many = (gradient_flow(model, np.repeat(x, n, axis=0), np.ones((6 * n, 8))) for n in (1, 5))
    for first, second in zip(one.layers, many.layers, strict=True):
        assert second.measured_delta == pytest.approx(first.measured_delta, rel=1e-13)


def test_weights_are_those_that_compile_draws():
    net = Network([Dense(9, "tanh"), Dense(2)], inputs=4, loss="mse")
    x, y = np.ones((3, 4)), np.zeros((3, 2))
    over_seeds = gradient_flow(net, x, y, seeds=3).layers[0].measured_variance
    one = [
        gradient_flow(net.compile(seed=n, dtype="float64"), x, y).layers[0].measured_variance
        for n in range(3)
    ]
    assert over_seeds == pytest.approx(np.mean(one), rel=1e-12)


@dataclass(frozen=True)
class Skip:
    """r = x + tanh(W x), of no class that symprop knows."""

    def declare(self, scope, source, name=""):
        with scope.layer("Skip") as number:
            b, size = source.axes[0], extent(source.axes[1])
            i, j, k = index("i", size), index("j", size), index("k", size)
            weight = scope.tensor(f"W{number}", (j, k), role="parameter", init="lecun_normal")
            u = scope.tensor(f"z{number}", (b, j))
            scope.define(u[b, j], weight[j, k] * source[b, k], over=(k,), step=PREACTIVATION)
            a = scope.tensor(f"a{number}", (b, j))
            scope.define(a[b, j], sympy.tanh(u[b, j]))
            r = scope.tensor(name or f"r{number}", (b, i))
            scope.define(r[b, i], source[b, i] + a[b, i])
        return r


def test_skips_of_any_layer_add_variances():
    """q⁽ˡ⁺¹⁾ = q⁽ˡ⁾ + E[tanh(√q⁽ˡ⁾ Z)²], and χ = 1 + E[tanh′²] for what runs along the skips."""
    assert "lecun_normal" in INITIALIZERS
    net = Network([Skip(), Skip(), Skip(), Dense(10)], inputs=512, loss="mse")
    flow = gradient_flow(net)
    q = 1.0
    for layer in flow.layers[:-1]:
        assert layer.variance == pytest.approx(q, rel=0.02)
        assert layer.measured_variance == pytest.approx(layer.variance, rel=0.04)
        assert layer.measured_delta_square == pytest.approx(layer.delta_square, rel=0.04)
        assert layer.measured_delta < layer.bound < math.inf
        q += by_scipy(lambda t: math.tanh(t) ** 2, q)


def test_the_way_round_the_last_layer_counts():
    net = Network([Dense(256, "tanh"), Skip()], inputs=256, loss="mse")
    first, last = gradient_flow(net).layers
    through_the_layer = last.delta_square * expectation(sympy.tanh(z).diff(z) ** 2, STANDARD)
    assert first.delta_square > 2 * through_the_layer
    assert first.measured_delta_square == pytest.approx(first.delta_square, rel=0.05)
    assert first.measured_delta < first.bound


def test_what_the_theory_cannot_say_is_left_open():
    net = Network([Dense(20, "tanh"), Dense(20, "softmax"), Dense(3)], inputs=10, loss="mse")
    first, hidden, last = gradient_flow(net, seeds=2).layers
    assert hidden.activation is None
    assert math.isfinite(hidden.variance)
    assert math.isnan(last.variance)
    assert math.isnan(first.delta_square)
    assert math.isnan(first.bound)
    assert first.measured_delta > 0
    assert "—" in str(gradient_flow(net, seeds=2))


def test_the_text_has_the_numbers():
    flow = gradient_flow(Network([Dense(50, "relu"), Dense(3)], inputs=20, loss="mse"), seeds=3)
    text = str(flow)
    assert text == flow.text() == repr(flow)
    assert "√2 = 1.414" in text
    for layer in flow.layers:
        for value in (layer.variance, layer.measured_variance, layer.measured_delta, layer.bound):
            assert f"{value:.4g}" in text
    with pytest.raises(FrozenInstanceError):
        flow.draws = 3


def test_of_many_layers_some_are_shown():
    layers = [Dense(4, "tanh") for _ in range(30)]
    model = Network(layers, inputs=4, loss="mse").compile(backend="numpy")
    text = str(gradient_flow(model, seeds=1))
    assert "12 of 30 layers are shown" in text
    assert "Dense 1 " in text
    assert "Dense 30" in text


def test_all_forms_are_written(tmp_path):
    flow = gradient_flow(exact(["tanh"], 1.0)[0], seeds=1)
    for suffix in (".txt", ".md", ".tex", ".html"):
        flow.save(tmp_path / f"flow{suffix}")
        assert (tmp_path / f"flow{suffix}").stat().st_size > 300


def test_the_same_seeds_give_the_same_flow():
    net = Network([Dense(6, "gelu"), Dense(2)], inputs=3, loss="mse")
    assert gradient_flow(net, seeds=2) == gradient_flow(net, seeds=2)
    assert gradient_flow(net, seeds=2) != gradient_flow(net, seeds=3)


@dataclass(frozen=True)
class Bare:
    """A layer without a pre-activation."""

    def declare(self, scope, source, name=""):
        output = scope.tensor(name or "a", source.axes)
        scope.define(output[source.axes], source[source.axes] ** 2)
        return output


SMALL = wide(["relu"], 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gradient_flow(3), ArgumentTypeError, "expected a Network or a Model, got 3"),
        (lambda: gradient_flow(SMALL, seeds=0), ArgumentError, "seeds: expected at least 1"),
        (lambda: gradient_flow(SMALL, y=[1]), ArgumentError, "y: expected x too"),
        (lambda: gradient_flow(SMALL, np.ones((2, 3))), ShapeError, "x: expected shape (N, 4)"),
        (
            lambda: gradient_flow(Network([Bare()], inputs=2, loss="mse")),
            DeclarationError,
            "no layer with a pre-activation",
        ),
        (lambda: gains("softmax"), DeclarationError, "expected a function of one number"),
        (lambda: gains("rleu"), UnknownNameError, "did you mean 'relu'"),
        (lambda: gains("relu", 0), ArgumentError, "variance: expected a number above 0, got 0"),
        (lambda: gains("relu", "1"), ArgumentTypeError, "variance: expected a number, got '1'"),
    ],
)
def test_bad_input_is_refused(call, error, words):
    with raises(error, words):
        call()
