"""Networks: names, shapes, refusals, and derivations that do not depend on width or recursion."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import sympy
from symprop import SGD, Adam, Dense, Network
from symprop.activations import ACTIVATIONS
from symprop.backends.numpy import run
from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError, UnknownNameError
from symprop.scope import BATCH

from cases import draw, network, network_case
from oracles import complex_step, gradients, worst_error


def test_parameters_are_named_by_letter_and_layer_and_laid_out_units_first():
    net = Network([Dense(4), Dense(3, bias=False), Dense(2)], inputs=5, loss="mse")
    shapes = {p.name: tuple(map(int, p.shape)) for p in net.parameters}
    assert shapes == {"W1": (4, 5), "b1": (4,), "W2": (3, 4), "W3": (2, 3), "b3": (2,)}
    assert net.named("x").shape == (BATCH, 5)
    assert net.named("y").shape == net.named("yhat").shape == (BATCH, 2)
    assert [t.name for t in net.forward.outputs] == ["yhat", "L"]
    assert [t.name for t in net.raw_gradients.outputs] == list(shapes)


def test_a_dense_layer_computes_its_formula():
    x, y = draw(1, 6, 5), draw(2, 6, 2)
    net = Network([Dense(4, activation="tanh"), Dense(2)], inputs=5, loss="mse")
    case = network_case(net, x, y)
    a = case.arrays
    hidden = np.tanh(x @ a["W1"].T + a["b1"])
    expected = hidden @ a["W2"].T + a["b2"]
    values = run(net.forward, a)
    np.testing.assert_allclose(values["yhat"], expected, rtol=1e-14)
    np.testing.assert_allclose(values["L"], np.mean((expected - y) ** 2), rtol=1e-14)


def test_weights_start_by_the_activation_biases_from_zero():
    layers = [
        *(Dense(2, activation="relu"), Dense(2, activation="selu"), Dense(2, activation="tanh")),
        *(Dense(2, initializer="he_normal"), Dense(2, activation=sympy.Symbol("z") ** 2)),
    ]
    inits = {p.name: p.init for p in Network(layers, inputs=2, loss="mse").parameters}
    assert [inits[f"W{n}"] for n in range(1, 6)] == [
        *("he_normal", "lecun_normal", "glorot_uniform", "he_normal", "glorot_uniform")
    ]
    assert {inits[f"b{n}"] for n in range(1, 6)} == {"zeros"}


def test_one_layer_object_used_twice_is_two_layers():
    layer = Dense(3, activation="tanh")
    net = Network([layer, layer], inputs=3, loss="mse")
    assert [p.name for p in net.parameters] == ["W1", "b1", "W2", "b2"]


@pytest.mark.parametrize("activations", [("softmax", "softmax"), ("tanh", "softmax")])
def test_layers_whose_units_interact_can_be_stacked(activations):
    layers = [Dense(3, activation=name) for name in activations]
    net = Network([*layers, Dense(2, activation="softmax")], inputs=2, loss="cross_entropy")
    case = network_case(net, draw(1, 4, 2), np.eye(2)[[0, 1, 1, 0]])
    assert worst_error(gradients(case), complex_step(case)) < 1e-12


def test_equal_declarations_are_equal_networks():
    assert network() == network()
    assert network() != network("relu")


def test_the_gradients_in_shortest_form_are_those_of_the_rule():
    for name in ACTIVATIONS:
        net = Network([Dense(4, activation=name), Dense(3)], inputs=2, loss="huber")
        case = network_case(net, draw(1, 5, 2), draw(2, 5, 3))
        values = run(net.gradients, case.arrays)
        labels = [str(output.label) for output in net.raw_gradients.outputs]
        found = {p.name: values[key] for p, key in zip(net.parameters, labels, strict=True)}
        assert worst_error(found, gradients(case)) < 1e-13, name


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dense(0), ArgumentError, "Dense: units: expected at least 1, got 0"),
        (lambda: Dense(-3), ArgumentError, "Dense: units: expected at least 1, got -3"),
        (lambda: Dense(2.0), ArgumentTypeError, "Dense: units: expected a whole number, got float"),
        (lambda: Dense(True), ArgumentTypeError, "Dense: units: expected a whole number, got bool"),
        (lambda: Dense("3"), ArgumentTypeError, "Dense: units: expected a whole number, got str"),
        (lambda: Dense(2, initializer="He_norm"), UnknownNameError, "did you mean 'he_normal'?"),
        (lambda: Dense(2, initializer=3), ArgumentTypeError, "Dense: initializer: expected a name"),
        (
            lambda: Network([], 1, "mse"),
            DeclarationError,
            "Network: layers: expected at least one layer, got none",
        ),
        (
            lambda: Network(Dense(1), 1, "mse"),
            ArgumentTypeError,
            "Network: layers: expected a list of layers, got Dense",
        ),
        (
            lambda: Network(None, 1, "mse"),
            ArgumentTypeError,
            "Network: layers: expected a list of layers, got None",
        ),
        (
            lambda: Network([Dense(1), "relu"], 1, "mse"),
            ArgumentTypeError,
            "Network: layers[1]: expected a layer such as Dense(32), got 'relu'",
        ),
        (
            lambda: Network([Dense], 1, "mse"),
            ArgumentTypeError,
            "Network: layers[0]: expected a layer such as Dense(32), got <class",
        ),
        (
            lambda: Network([Dense(1)], 0, "mse"),
            ArgumentError,
            "Network: inputs: expected at least 1, got 0",
        ),
        (
            lambda: Network([Dense(1)], 2.5, "mse"),
            ArgumentTypeError,
            "Network: inputs: expected a whole number, got float 2.5",
        ),
        (
            lambda: Network([Dense(1)], 1, "msee"),
            UnknownNameError,
            "loss: unknown name 'msee'; did you mean 'mse'?",
        ),
        (
            lambda: network().named("W9"),
            DeclarationError,
            "no tensor 'W9' of order 0; there are ['x', 'W1'",
        ),
    ],
)
def test_what_is_no_network_is_refused(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize("number", [np.int64(3), np.int8(3)])
def test_numpy_integers_count(number):
    assert Dense(number).units == 3
    assert type(Network([Dense(1)], number, "mse").inputs) is int


# -- size of a derivation -------------------------------------------------------------------------


def counts(widths, inputs):
    layers = [Dense(width, activation="relu") for width in widths]
    net = Network([*layers[:-1], Dense(widths[-1], activation="softmax")], inputs, "cross_entropy")
    return len(net.forward.flat), len(net.raw_gradients.flat), len(net.gradients.flat)


def test_a_derivation_does_not_depend_on_the_widths():
    assert counts((4096, 4096, 1000), 784) == counts((4, 5, 3), 2)


def test_a_derivation_grows_by_the_same_for_every_layer():
    sizes = [counts((3,) * depth, 3) for depth in (3, 4, 5, 6)]
    steps = {tuple(b - a for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(sizes)}
    assert len(steps) == 1


DEEP = """
import sys
from dataclasses import dataclass
from symprop import Dense, Network
assert sys.getrecursionlimit() == 1000
net = Network([Dense(4, activation="tanh")] * 200, inputs=4, loss="mse")
print(len(net.forward.flat), len(net.raw_gradients.flat), len(net.raw_gradients.outputs))
assert sys.getrecursionlimit() == 1000
"""


def test_two_hundred_layers_are_derived_with_the_recursion_limit_untouched():
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [sys.executable, "-c", DEEP], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["601", "801", "400"]


def test_updates_read_the_gradients_and_write_the_parameters():
    net = network()
    for given in (SGD(0.1), SGD(0.1, momentum=0.9), Adam()):
        update = net.update(given)
        written = {str(e.label) for e in update.flat}
        assert {p.name for p in net.parameters} <= written
        read = {str(a.base.label) for e in update.flat for a in e.reads if hasattr(a, "base")}
        assert {str(output.label) for output in net.raw_gradients.outputs} <= read
        assert set(net.parameters) <= set(update.outputs)
    assert {output.label for output in update.outputs} == update.assigned


def test_bias_is_true_or_false():
    with pytest.raises(ArgumentTypeError, match="Dense: bias: expected True or False, got 'yes'"):
        Dense(4, bias="yes")


def test_the_update_of_an_optimizer_is_written_once():
    net = Network([Dense(1)], inputs=1, loss="mse")
    assert net.update("adam") is net.update(Adam())
    assert net.update(Adam(0.1)) is net.update(Adam(0.1)) is not net.update(Adam())


def test_the_update_of_a_users_own_optimizer_is_written_each_time():
    class Own:
        rate = 1

        def update(self, scope, parameters, gradients):
            for w, g in zip(parameters, gradients, strict=True):
                scope.define(w[w.axes], w[w.axes] - self.rate * g[g.axes], reduce="set")

    net, own = Network([Dense(1)], inputs=1, loss="mse"), Own()
    before, own.rate = net.update(own), 2
    assert net.update(own) != before


def test_an_optimizer_that_holds_a_users_own_object_is_written_each_time():
    """Neither equal declarations nor a hash say that it means the same again."""

    class Scaled(SGD):
        def __init__(self, factor):
            super().__init__(0.1)
            object.__setattr__(self, "factor", factor)

        def _step(self, scope, w, g, rate, shared):
            scope.define(w[w.axes], w[w.axes] - self.factor * rate * g, reduce="set")

    @dataclass
    class Rate:
        base: float

        def __call__(self, t):
            return self.base / (1 + t)

    net, rate = Network([Dense(1)], inputs=1, loss="mse"), Rate(0.5)
    assert net.update(Scaled(3)) != net.update(Scaled(7))
    before, rate.base = net.update(SGD(rate)), 0.25
    assert net.update(SGD(rate)) != before
    net.update(SGD(lambda t: 1 / (1 + t)))
    assert pickle.dumps(net)
