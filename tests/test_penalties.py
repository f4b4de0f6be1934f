"""Penalties: terms of the loss, in values, gradients, training and the derivation."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import SGD, Adam, Dense, Network, check_gradients, load
from symprop.backends.numpy import run
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.lowering import Lowering
from symprop.passes.rows_first import rows_first
from symprop.scope import BATCH

from cases import draw

X, Y = draw(1, 20, 3), draw(2, 20, 2)


def network(**penalties):
    layers = [Dense(4, "tanh", l1=penalties.pop("own_l1", None)), Dense(2)]
    return Network(layers, inputs=3, loss="mse", **penalties)


PENALTIES = {
    "l2": ({"l2": 0.1}, lambda w1, w2: 0.1 * ((w1**2).sum() + (w2**2).sum())),
    "l1": ({"l1": 0.1}, lambda w1, w2: 0.1 * (abs(w1).sum() + abs(w2).sum())),
    "both": (
        {"l1": 0.1, "l2": 0.2},
        lambda w1, w2: sum(0.1 * abs(w).sum() + 0.2 * (w**2).sum() for w in (w1, w2)),
    ),
    "own": ({"own_l1": 0.3}, lambda w1, w2: 0.3 * abs(w1).sum()),
    "own-instead": (
        {"l1": 0.1, "own_l1": 0.3},
        lambda w1, w2: 0.3 * abs(w1).sum() + 0.1 * abs(w2).sum(),
    ),
    "own-none": ({"l1": 0.1, "own_l1": 0}, lambda w1, w2: 0.1 * abs(w2).sum()),
}
NAMES = pytest.mark.parametrize("name", PENALTIES)


@NAMES
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_loss_is_that_of_the_data_and_the_penalty_of_the_weights(name, backend):
    given, formula = PENALTIES[name]
    models = [n.compile(dtype="float64", backend=backend) for n in (network(**given), network())]
    models[1].set_parameters(models[0].parameters)
    penalty = formula(models[0].parameters["W1"], models[0].parameters["W2"])
    losses = [model.evaluate(X, Y)["loss"] for model in models]
    assert losses[0] == pytest.approx(losses[1] + penalty, rel=1e-13)
    (loss, found), (_, plain) = (model.loss_and_gradients(X, Y) for model in models)
    assert loss == pytest.approx(losses[0], rel=1e-13)
    assert all((found[b] == plain[b]).all() for b in ("b1", "b2"))


@NAMES
def test_its_gradient_matches_complex_step(name):
    assert check_gradients(network(**PENALTIES[name][0]), X, Y) < 1e-12


def test_at_a_weight_of_zero_the_gradient_of_l1_is_zero():
    net = network(l1=0.5)
    model = net.compile(dtype="float64", backend="numba")
    model.set_parameters({"W2": np.zeros((2, 4))})
    plain = network().compile(dtype="float64", backend="numba")
    plain.set_parameters(model.parameters)
    pair = [m.loss_and_gradients(X, Y)[1]["W2"] for m in (model, plain)]
    assert (pair[0] == pair[1]).all()


LOWERINGS = {
    "everything": Lowering(),
    "four-threads": Lowering(threads=4),
    "no-blocks": Lowering(blocks=False),
    "no-fusion": Lowering(fusion=False),
}


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("given", [SGD(0.1), Adam(0.01)], ids=["sgd", "adam"])
def test_compiled_training_equals_the_interpreter(given, lowering):
    net = Network(
        [Dense(64, "relu"), Dense(5, "softmax")], inputs=64, loss="cross_entropy", l1=1e-3, l2=1e-2
    )
    x, y = draw(3, 300, 64), np.arange(300) % 5
    slow = net.compile(given, dtype="float64", backend="numpy")
    fast = net.compile(given, dtype="float64", lowering=LOWERINGS[lowering])
    losses = [model.fit(x, y, epochs=2, batch_size=150).loss for model in (slow, fast)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    for name, expected in slow.parameters.items():
        np.testing.assert_allclose(fast.parameters[name], expected, rtol=1e-11, atol=1e-14)


def test_the_loss_of_an_epoch_has_the_penalty():
    """One batch of all rows: the loss of the epoch is the loss before the step."""
    model = network(l1=0.3, l2=0.2).compile(SGD(0.01), dtype="float64")
    before = model.evaluate(X, Y)["loss"]
    assert model.fit(X, Y, epochs=1, batch_size=20).loss[0] == pytest.approx(before, rel=1e-13)


def test_weight_decay_of_plain_descent_is_twice_l2():
    """One step from the same weights: w ← (1 − 2 α l2) w − α ∂L/∂w."""
    model = network(l2=0.2).compile(SGD(0.1), dtype="float64")
    plain = network().compile(SGD(0.1), dtype="float64")
    plain.set_parameters(model.parameters)
    before, (_, slope) = model.parameters["W1"], plain.loss_and_gradients(X, Y)
    model.fit(X, Y, batch_size=20)
    expected = (1 - 2 * 0.1 * 0.2) * before - 0.1 * slope["W1"]
    np.testing.assert_allclose(model.parameters["W1"], expected, rtol=1e-12)


@pytest.mark.parametrize("detail", ["summary", "standard", "full"])
def test_the_derivation_shows_it_and_holds(detail):
    derivation = network(l1=0.01, l2=0.1).derive(detail)
    text = str(derivation)
    assert "L = 1/(2·m)·Σ_{b, j} (ŷ[b, j] - y[b, j])² + R" in text
    assert "W⁽²⁾[j, k]/5 +" in text
    assert "sign(W⁽²⁾[j, k])/100" in text
    assert "the one of the formula: sign(0) =" in text
    assert r"\operatorname{sign}" in derivation.latex()
    derivation.verify(points=1)


def test_without_a_penalty_nothing_changes():
    assert str(network(l1=0, l2=0).gradients) == str(network().gradients)
    assert "R" not in {tensor.name for tensor in network().forward.tensors}


def test_terms_without_rows_move_behind_sums_over_rows_and_change_no_value():
    program = network(l1=0.1, l2=0.2).step("sgd")
    moved = rows_first(program, BATCH)
    assert moved.equations != program.equations
    assert set(moved.equations) == set(program.equations)
    arrays = {"x": X, "y": Y, "alpha": 0.1}
    arrays |= {p.name: draw(9, *map(int, p.shape)) for p in program.with_role("parameter")}
    one, other = run(program, arrays), run(moved, arrays)
    for label, expected in one.items():
        np.testing.assert_allclose(other[label], expected, rtol=1e-14)
    weight = next(p for p in program.with_role("parameter") if p.name == "W2")
    overs = [bool(e.over) for e in moved.defined[weight.cotangent(1).label]]
    assert overs == [True, False]


def test_penalties_are_saved(tmp_path):
    model = network(l1=0.1, own_l1=0.2).compile()
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").network == model.network


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(2, l1=-1), ArgumentError, "Dense: l1: expected at least 0, got -1"),
        (lambda: Dense(2, l2=np.nan), ArgumentError, "Dense: l2: expected a finite number"),
        (lambda: Dense(2, l2="x"), ArgumentTypeError, "Dense: l2: expected a number, got str"),
        (lambda: network(l2=-1), ArgumentError, "Network: l2: expected at least 0, got -1"),
    ],
)
def test_a_penalty_outside_its_range_is_refused(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(message)
