"""Networks as graphs: a function of a symbolic tensor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from symprop import (
    SGD,
    BatchNorm,
    Dense,
    Dropout,
    Network,
    Residual,
    check_backends,
    check_gradients,
    load,
)
from symprop.backends.numpy import run
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeclarationError,
    ShapeError,
    UnknownNameError,
)
from symprop.layers import Graph
from symprop.layers.graph import Node
from symprop.layers.merge import Merge
from symprop.storage import decode, encode

from cases import draw, network_case
from models import raises

X, Y = draw(1, 11, 3), np.eye(3)[np.arange(11) % 3]


def skip(x):
    h = Dense(4, "tanh")(x)
    return Dense(3, "softmax")(h + Dense(4)(h))


def fan(x):
    """Three roads from one tensor, a difference, a product, a merge as the last."""
    h = BatchNorm()(Dense(3, "tanh")(x))
    gate = Dropout(0.3)(Dense(3, "sigmoid")(h))
    return gate * h - Residual([Dense(3, "tanh")])(h)


def joined(x):
    return Dense(2)(x) + Dense(2)(x)


def with_numbers(x):
    """Every operation with a number, on either side of it, and the quotient of two tensors."""
    h, g = 2 * Dense(3, "tanh")(x), Dense(3, "sigmoid")(x)
    mixed = g * h + (1 - g) * x / 4
    return -(mixed - 0.5) / np.float64(3) * 2.0 + (np.float32(0.5) + x) / (1 / (1 + g))


def net(function, loss="cross_entropy", inputs=3):
    return Network(function, inputs=inputs, loss=loss)


def test_a_graph_computes_what_its_function_says():
    case = network_case(net(skip), X, Y)
    a = case.arrays
    h = np.tanh(X @ a["W1"].T + a["b1"])
    s = h + h @ a["W2"].T + a["b2"]
    z = s @ a["W3"].T + a["b3"]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(net(skip).forward, a)["yhat"], expected, rtol=1e-13)


def test_numbers_in_a_graph_are_those_of_its_function():
    case = network_case(net(with_numbers, "mse"), X, Y)
    a = case.arrays
    h, g = (f(X @ a[w].T + a[b]) for f, w, b in ((np.tanh, "W1", "b1"), (expit, "W2", "b2")))
    mixed = 2 * g * h + (1 - g) * X / 4
    expected = -(mixed - 0.5) / 3 * 2 + (0.5 + X) * (1 + g)
    found = run(net(with_numbers, "mse").forward, a)["yhat"]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert "2 *, " in str(net(with_numbers, "mse"))


@pytest.mark.parametrize("function", [skip, fan, joined, with_numbers])
def test_gradients_match_the_complex_step_and_derivations_hold(function):
    y = Y if function is not joined else Y[:, :2]
    network = net(function, "cross_entropy" if function is skip else "mse")
    assert check_gradients(network, X, y, method="complex") < 1e-12
    assert check_backends(network, X, y) < 1e-12
    for detail in ("standard", "full"):
        derivation = network.derive(detail)
        assert len(derivation.verify(points=1).checks) > 40
        assert all(text for text in (derivation.text(), derivation.latex(), derivation.html()))


def test_a_delta_is_the_sum_of_all_roads():
    text = net(skip).derive().text()
    assert "Σ_k δ⁽²⁾[b, k]·∂z⁽²⁾[b, k]/∂a⁽¹⁾[b, j] +" in text
    assert "∂L/∂h⁽²⁾[b, j]·∂h⁽²⁾[b, j]/∂a⁽¹⁾[b, j]" in text
    chain = text.split("The chain rule through all layers")[1].split("Delta of the output")[0]
    assert "∂L/∂W⁽²⁾ = ∂L/∂ŷ·∂ŷ/∂z⁽³⁾·∂z⁽³⁾/∂h⁽²⁾·∂h⁽²⁾/∂z⁽²⁾·∂z⁽²⁾/∂W⁽²⁾" in chain
    assert "W⁽¹⁾" not in chain  # there are two ways


def test_a_graph_is_a_value():
    assert net(skip) == net(skip)
    assert hash(net(skip)) == hash(net(skip))
    assert net(skip) != net(fan, "mse")
    assert str(net(skip)) == (
        "3 inputs, Dense 4 (tanh), Dense 4 (linear), +, Dense 3 (softmax), loss cross_entropy"
    )
    assert [t.name for t in net(skip).parameters] == ["W1", "b1", "W2", "b2", "W3", "b3"]


@pytest.mark.parametrize("function", [skip, fan, with_numbers])
def test_a_saved_graph_needs_no_function(function, tmp_path):
    model = net(function, "mse").compile(SGD(0.1), "float64", backend="numpy")
    model.fit(X, Y, batch_size=4)
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert loaded.network == model.network
    assert loaded.fit(X, Y).loss == model.fit(X, Y).loss
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_stored_graph_that_reads_ahead_is_refused():
    tree = encode(net(skip))
    tree["fields"]["layers"]["fields"]["nodes"][0]["fields"]["sources"] = [2]
    with raises(DeclarationError, "reads (2,); expected earlier nodes"):
        decode(tree)


def test_one_sample_is_worked_and_blamed_through_a_graph():
    worked = net(skip).derive().worked(X[0], 1)
    model = net(skip).compile(dtype="float64", backend="numpy")
    found = model.blame(X[0], 1)
    np.testing.assert_allclose(worked.values["delta1"], found.deltas["delta1"], rtol=1e-12)
    assert [layer.weights for layer in found.layers] == [("W1",), ("W2",), ("W3",)]


def twice(x):
    layer = Dense(3)
    return layer(layer(x))


def unused(x):
    Dense(5)(x)
    return Dense(3)(x)


def late(x):
    h = Dense(3)(x)
    Dense(5)(h)
    return h


def other(x):
    kept.append(x)
    return Dense(3)(x)


kept: list[object] = []


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: x, DeclarationError, "gives its input back"),
        (lambda _: 3, ArgumentTypeError, "Network: the function returned int 3"),
        (lambda x: x + "1", ArgumentTypeError, "+: expected a number, or a tensor of the same"),
        (lambda x: np.ones(3) * x, ArgumentTypeError, "*: expected a number, or a tensor of"),
        (lambda x: x - True, ArgumentTypeError, "got bool True"),
        (lambda x: x * np.nan, ArgumentError, "* with a number: expected a finite number"),
        (lambda x: x / 0, ArgumentError, "/ with a number: expected another than 0"),
        (lambda x: Dense(3)(np.ones(3)) + x, ArgumentTypeError, "is called on ndarray"),
        (lambda x: Dense(4)(x) + x, ShapeError, "a1 has 4 units and x has 3"),
        (twice, DeclarationError, "is called twice; layers do not share parameters"),
        (unused, DeclarationError, "output does not depend on what it gives"),
        (late, DeclarationError, "output does not depend on what it gives"),
    ],
)
def test_what_is_no_network_is_refused(function, error, words):
    with raises(error, words):
        net(function, "mse")


def test_tensors_of_two_networks_do_not_mix():
    net(other, "mse")
    (foreign,) = kept
    with raises(DeclarationError, "belong to different networks"):
        net(lambda x: x + foreign, "mse")
    with raises(DeclarationError, "a tensor of another network"):
        net(lambda _: Dense(3)(foreign), "mse")


def test_merges_and_graphs_are_checked_where_they_are_made():
    with raises(UnknownNameError, "Merge: operation: unknown name '%'"):
        Merge("%")
    with raises(DeclarationError, "1 - 2: expected a tensor on one side at least"):
        Merge("-", first=1, second=2)
    with raises(DeclarationError, "1 -: 2 tensors do not fit"):
        net(Graph((Node(Merge("-", first=1), (0, 0)),)), "mse")
    with raises(DeclarationError, "gives its input back"):
        Graph(())
    with raises(DeclarationError, "expected earlier nodes"):
        Graph((Node(Dense(1), (1,)),))
    with raises(DeclarationError, "does not depend on"):
        Graph((Node(Dense(1), (0,)), Node(Dense(1), (0,))))
