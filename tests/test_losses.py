"""Losses: values against formulas, gradients with every activation, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.special
import sympy
from symprop import (
    Activation,
    BatchNorm,
    Dense,
    Network,
    Residual,
    check_backends,
    prediction,
    target,
)
from symprop.activations import ACTIVATIONS
from symprop.backends.numpy import run
from symprop.errors import ArgumentTypeError, DeclarationError, UnknownNameError
from symprop.losses import LOSSES, Loss, loss, outputs
from symprop.scope import BATCH, Scope, index

from cases import draw, network_case
from oracles import complex_step, gradients, worst_error

FORMULAS = {
    "mse": lambda p, y: np.mean((p - y) ** 2),
    "mae": lambda p, y: np.mean(np.abs(p - y)),
    "huber": lambda p, y: np.mean(np.sum(scipy.special.huber(1.0, p - y), axis=1)),
    "log_cosh": lambda p, y: np.mean(np.sum(np.log(np.cosh(p - y)), axis=1)),
    "hinge": lambda p, y: np.mean(np.sum(np.clip(1 - y * p, 0, None), axis=1)),
    "binary_cross_entropy": lambda p, y: np.mean(
        np.sum(-scipy.special.xlogy(y, p) - scipy.special.xlog1py(1 - y, -p), axis=1)
    ),
    "cross_entropy": lambda p, y: np.mean(np.sum(-scipy.special.xlogy(y, p), axis=1)),
    "poisson": lambda p, y: np.mean(np.sum(p - scipy.special.xlogy(y, p), axis=1)),
}


def labels(name, rows=6, columns=3):
    """Targets in the range that the loss declares, none of them at a kink."""
    generator = np.random.default_rng(8)
    return {
        "hinge": generator.choice([-1.0, 1.0], (rows, columns)),
        "binary_cross_entropy": generator.uniform(0.1, 0.9, (rows, columns)),
        "cross_entropy": np.eye(columns)[generator.integers(0, columns, rows)],
        "poisson": generator.integers(0, 4, (rows, columns)).astype(float),
    }.get(name, 2.5 * generator.normal(size=(rows, columns)))


def value_of(given, predicted, wanted):
    """The loss of the given predictions, through the interpreter."""
    scope = Scope()
    p = scope.tensor("p", (index("b", BATCH), index("j", predicted.shape[1])), role="input")
    y, total = loss(given).declare(scope, p)
    return run(scope.freeze(), {"p": predicted, y.name: wanted})[total.name]


def test_every_loss_has_its_formula_here():
    assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_has_the_value_of_its_formula(name):
    predicted = draw(4, 6, 3, low=0.05, high=0.95)
    wanted = labels(name)
    expected = FORMULAS[name](predicted, wanted)
    np.testing.assert_allclose(value_of(name, predicted, wanted), expected, rtol=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_every_activation_with_every_loss_has_the_gradient_of_complex_step(name, record_property):
    """Predictions that a loss takes the logarithm of are made positive by an exponential layer."""
    z = sympy.Symbol("z")
    worst = {}
    for activation in ACTIVATIONS:
        first, last = activation, activation
        if name in ("binary_cross_entropy", "cross_entropy", "poisson"):
            last = activation if activation in ("sigmoid", "softmax", "softplus") else None
            if name == "binary_cross_entropy" and last == "softplus":
                last = None
            last = last or (1 + sympy.tanh(z)) / 2
        net = Network([Dense(4, activation=first), Dense(3, activation=last)], inputs=2, loss=name)
        case = network_case(net, draw(6, 6, 2), labels(name), seed=11)
        worst[activation] = worst_error(gradients(case), complex_step(case))
    record_property("worst", max(worst.values()))
    assert max(worst.values()) < 1e-12, worst


CUSTOM = {
    "quartic": (prediction - target) ** 4,
    "weighted": sympy.exp(-(target**2)) * sympy.Abs(prediction - target),
    "pinball": sympy.Max(sympy.Rational(9, 10) * (target - prediction), (prediction - target) / 10),
    "per output": sympy.log(sympy.cosh(prediction - target)) / outputs,
    "without target": prediction**2,
    "decimal": 0.5 * (prediction - target) ** 2,
    "piecewise": sympy.Piecewise(
        ((prediction - target) ** 2, prediction > target), (target - prediction, True)
    ),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_a_custom_loss_has_the_value_and_gradient_of_its_expression(name):
    predicted, wanted = draw(1, 4, 2), draw(2, 4, 2)
    at = sympy.lambdify((prediction, target, outputs), CUSTOM[name], "numpy")
    expected = np.mean(np.sum(np.broadcast_to(at(predicted, wanted, 2), (4, 2)), axis=1))
    np.testing.assert_allclose(value_of(CUSTOM[name], predicted, wanted), expected, rtol=1e-13)
    net = Network([Dense(3, activation="tanh"), Dense(2)], inputs=2, loss=CUSTOM[name])
    case = network_case(net, draw(3, 4, 2), wanted)
    assert worst_error(gradients(case), complex_step(case)) < 1e-12


@pytest.mark.parametrize(
    "loss",
    [sympy.Abs((target - prediction) / target), sympy.Abs(sympy.log(prediction / target))],
)
def test_a_loss_with_a_pole_at_0_is_trained(loss):
    """None of its forms is taken at 0, where it is not defined."""
    net = Network([Dense(1, activation=sympy.Max(0.5, 1 / sympy.Symbol("z")))], inputs=2, loss=loss)
    assert check_backends(net, draw(1, 4, 2), 1 + draw(2, 4, 1) ** 2) < 1e-12


def test_what_a_loss_says_about_its_targets():
    assert {name: given.labels for name, given in LOSSES.items() if given.labels} == {
        "hinge": "sign",
        "binary_cross_entropy": "probability",
        "cross_entropy": "classes",
        "poisson": "count",
    }
    net = Network([Dense(3, activation="softmax")], inputs=2, loss="cross_entropy")
    (fact,) = net.forward.facts
    assert (str(fact.value), fact.equals) == ("y[b, j]", 1)


def test_a_loss_is_itself():
    assert loss(LOSSES["mse"]) is LOSSES["mse"]
    assert isinstance(loss((prediction - target) ** 2), Loss)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            prediction - sympy.Symbol("y"),
            "unknown symbol y; use symprop.prediction and symprop.targ",
        ),
        (sympy.Symbol("prediction") ** 2, "unknown symbol prediction; use symprop.prediction"),
        (target**2, "does not depend on symprop.prediction, so there is nothing to train"),
        (sympy.Integer(1), "does not depend on symprop.prediction"),
        (sympy.floor(prediction), "cannot compute floor in floor(prediction)"),
        (sympy.I * prediction, "is complex for a real argument"),
    ],
)
def test_a_loss_that_cannot_be_computed_is_refused(given, words):
    with pytest.raises(DeclarationError) as caught:
        Network([Dense(1)], inputs=1, loss=given)
    assert words in str(caught.value)


@pytest.mark.parametrize("given", [2, None, prediction > target, lambda p, y: p - y, Loss])
def test_what_is_no_loss_is_refused_by_type(given):
    with pytest.raises(ArgumentTypeError, match="loss: expected a name or a SymPy expression in"):
        Network([Dense(1)], inputs=1, loss=given)


@pytest.mark.parametrize(
    ("given", "near"),
    [("MSE", "mse"), ("crossentropy", "cross_entropy"), ("bce", None), ("logcosh", "log_cosh")],
)
def test_an_unknown_loss_is_refused_with_the_nearest(given, near):
    with pytest.raises(UnknownNameError) as caught:
        Network([Dense(1)], inputs=1, loss=given)
    assert f"loss: unknown name {given!r}; " in str(caught.value)
    assert near is None or f"did you mean {near!r}?" in str(caught.value)


def test_losses_read_as_they_were_declared():
    assert repr(Network([Dense(1)], inputs=1, loss="huber")).endswith(
        "loss='huber', l1=0.0, l2=0.0)"
    )
    assert repr(loss((prediction - target) ** 4)) == "(prediction - target)**4"


def test_a_formula_in_quotes_is_told_how_to_be_written():
    with pytest.raises(UnknownNameError, match=r"in symprop\.prediction and symprop\.target"):
        loss("(prediction - target)**2")


Z = sympy.Symbol("z")
SIGMOID = 1 / (1 + sympy.exp(-Z))


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        *product(("cross_entropy", "binary_cross_entropy", "poisson"), (None, "relu", "tanh")),
        ("cross_entropy", 2 * SIGMOID - 1),
        ("binary_cross_entropy", "softplus"),
        (-target * sympy.log(prediction), "gelu"),
        (sympy.sqrt(prediction) - target, None),
    ],
)
def test_predictions_for_which_a_loss_has_no_value_are_refused(loss, last):
    with pytest.raises(DeclarationError, match=r"has no finite value at prediction = .*ŷ\[b, j\] "):
        Network([Dense(4, "tanh"), Dense(3, last)], inputs=2, loss=loss)


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        *product(("cross_entropy", "binary_cross_entropy"), ("sigmoid", SIGMOID, "softmax")),
        ("cross_entropy", sympy.sqrt(1 + Z**2) / 7),
        ("poisson", Z**2),  # 0 at one place only
        ("poisson", sympy.exp(Z)),
        (sympy.log(prediction - target) ** 2, None),  # of targets that are lower
        (prediction / target, sympy.log(Z)),  # which has no value is not the loss
    ],
)
def test_predictions_for_which_a_loss_may_have_a_value_are_not_refused(loss, last):
    assert Network([Dense(4, "tanh"), Dense(3, last)], inputs=2, loss=loss).parameters


def test_a_prediction_is_followed_through_whatever_defines_it():
    def difference(x):
        return Dense(3, "softplus")(x) - Dense(3, "sigmoid")(x)

    def gated(x):
        return Dense(3, "softmax")(x) * Dense(3)(x)

    for layers in (difference, [Dense(3), Residual([Dense(3)])], [Dense(3), BatchNorm()]):
        with pytest.raises(DeclarationError, match=r"end with activation='softmax'"):
            Network(layers, inputs=2, loss="cross_entropy")
    for layers in (gated, [Activation("linear")], [Residual([Dense(2, "relu")])]):
        assert Network(layers, inputs=2, loss="cross_entropy").forward


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [
        ("sparse_categorical_crossentropy", "cross_entropy"),
        ("categorical_crossentropy", "cross_entropy"),
        ("BCE", "binary_cross_entropy"),
        ("mean_squared_error", "mse"),
    ],
)
def test_names_of_other_libraries_are_told_the_one_here(elsewhere, here):
    with pytest.raises(UnknownNameError, match=f"did you mean '{here}'"):
        Network([Dense(1)], inputs=1, loss=elsewhere)


@pytest.mark.parametrize(
    ("activation", "loss", "slope"),
    [
        (
            "tanh",
            -(1 + target) / 2 * sympy.log((1 + prediction) / 2)
            - (1 - target) / 2 * sympy.log((1 - prediction) / 2),
            "(ŷ[b, j] - y[b, j])/m",
        ),
        (
            1 - sympy.exp(-sympy.exp(sympy.Symbol("z"))),
            "binary_cross_entropy",
            "(1 - y[b, j]/ŷ[b, j])·exp(z1[b, j])/m",
        ),
    ],
)
def test_what_cancels_up_to_its_sign_is_cancelled(activation, loss, slope):
    net = Network([Dense(2, activation=activation)], inputs=2, loss=loss)
    assert f"∂L/∂z1[b, j] = {slope}\n" in str(net.gradients)
