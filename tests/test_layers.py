"""Dropout, batch normalization, residual connections, activations as layers: in training, in
prediction, and in derivations.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from symprop import (
    SGD,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Network,
    Residual,
    check_backends,
    check_gradients,
    load,
)
from symprop.backends import memory
from symprop.backends.noise import drawn, noise_source
from symprop.backends.numpy import run
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeclarationError,
    ShapeError,
    UnknownNameError,
)
from symprop.lowering import Lowering
from symprop.steps import Rows, touched

from models import raises

NORMAL = [Dense(4, bias=False), BatchNorm(), Activation("tanh"), Dense(3)]
DROPPED = [Dropout(0.2), Dense(4, "tanh"), Dropout(0.5), Dense(3)]
RESIDUAL = [Dense(4, "tanh"), Residual([Dense(5, "tanh"), Dropout(0.5), Dense(4)]), Dense(3)]
STACKS = {
    "batchnorm": NORMAL,
    "batchnorm-first-and-last": [BatchNorm(), Dense(3, "tanh"), BatchNorm(0.5, 1e-3)],
    "dropout": DROPPED,
    "dropout-last": [Dense(3, "tanh"), Dropout(0.5)],
    "residual": RESIDUAL,
    "activation": [Dense(4), Activation("gelu"), Dense(3), Activation("softmax")],
    "all": [
        *(Dense(4, "tanh"), Dropout(0.3), Residual([BatchNorm(), Activation("softplus")])),
        *(Residual([Residual([Dense(4, "tanh")]), Dropout(0.3)]), Dense(3)),
    ],
}
RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(23, 3)), RNG.normal(size=(23, 3))


def net(layers, loss="mse", inputs=3):
    return Network(layers, inputs=inputs, loss=loss)


def model(layers, backend="numpy", **settings):
    return net(layers).compile(
        **{"optimizer": SGD(0.1), "dtype": "float64", "backend": backend, **settings}
    )


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_gradients_match_the_complex_step(layers):
    assert check_gradients(net(layers), X, Y, method="complex") < 1e-12
    assert check_gradients(net(layers), X, Y, method="central") < 1e-6


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_every_line_of_a_derivation_holds(layers):
    derivation = net(layers).derive("full")
    assert len(derivation.verify(points=1).checks) > 50


@pytest.mark.parametrize("name", ["batchnorm-first-and-last", "dropout", "all"])
def test_backends_agree_after_epochs_with_a_short_last_batch(name):
    here, there = (model(STACKS[name], backend) for backend in ("numpy", "numba"))
    losses = [m.fit(X, Y, epochs=2, batch_size=9, validation=0.2).records for m in (here, there)]
    for one, other in zip(*losses, strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    for label, array in here.values.items():
        np.testing.assert_allclose(there.values[label], array, rtol=1e-11, atol=1e-13)
    assert check_backends(here.network, X, Y) < 1e-12


def test_threads_and_blocks_change_no_bit():
    layers = [Dropout(0.2), Dense(128, "tanh"), BatchNorm(), Residual([Dense(128), Dropout(0.5)])]
    x = RNG.normal(size=(500, 64))
    y = np.eye(10)[RNG.integers(10, size=500)]
    network = net([*layers, Dense(10, "softmax")], "cross_entropy", 64)
    found = []
    for threads in (1, 3):
        trained = network.compile(SGD(0.1), "float32", lowering=Lowering(threads=3))
        executable = trained._executable
        assert executable._entry("train").parts(192) == 3
        executable._threads.run = lambda run, a, b, _parts, n=threads: run(a, b, n)
        trained.fit(x, y, epochs=3, batch_size=192)
        found.append(trained.values)
    for label, array in found[0].items():
        np.testing.assert_array_equal(found[1][label], array)
    whole = network.compile(SGD(0.1), "float32", lowering=Lowering(threads=1, blocks=False))
    whole.fit(x, y, epochs=3, batch_size=192)
    for label, array in found[0].items():
        np.testing.assert_allclose(whole.values[label], array, rtol=1e-4, atol=2e-5)


def test_threads_that_do_not_wait_share_no_memory():
    """Of steps up to the end of the next blocks, threads may do different ones at a time."""
    layers = [Dense(8), BatchNorm(), Activation("relu"), Dense(8), BatchNorm(), Dense(3)]
    executable = net(layers).compile("adam")._executable
    entry, plan = executable._entry("train"), executable._programs.planned("train").plan
    (arrays, *_) = entry.work.arrays(64, parts=2)
    local = {tensor.label for tensor in plan.local}
    together = set()
    assert sum(isinstance(step, Rows) for step in plan.steps) > 2
    for step in plan.steps:
        together |= {str(x) for x in touched(step) if x not in local and str(x) in arrays}
        for one in together:
            for other in together - {one}:
                assert not np.shares_memory(arrays[one], arrays[other]), (one, other)
        if isinstance(step, Rows):
            together = set()
    assert memory.lives(plan, ()) != memory.lives(plan, (), together=True)


# -- batch normalization --------------------------------------------------------------------------

TORCH = {
    "W1": [
        [0.1057422491206773, -0.08138790502087023, -0.09111811327671095],
        [-0.03149417795411788, 0.12018573104401174, -0.025066749621900936],
        [0.004108898466626586, -0.012487946286836048, 0.04568347163062628],
    ],
    "gamma2": [0.15436968572347498, -0.08014421227770677, -0.05159200995348798],
    "beta2": [-0.23742908021209636, -0.13373535998469568, 0.08853563712927968],
}
"""Gradients by PyTorch 2 (float64): Linear, BatchNorm1d, tanh, mean squared error."""
LOSS = 1.2519561431775459
RUNNING = {
    "mu2_running": [0.035375000000000004, -0.002250000000000005, 0.019875],
    "v2_running": [0.953555625, 0.9819941666666667, 1.149800625],
}
EVALUATED = [
    [0.9755595380319363, -0.4433342282354691, 0.8969057894999128],
    [0.0072585874496506105, 0.41732626552386426, 0.954119711186249],
    [-0.32601336205473697, -0.511435025282288, -0.9997098724631829],
    [0.45510989681116076, -0.2395297619624604, 0.7409461256060063],
]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_batch_normalization_agrees_with_pytorch(backend):
    x = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [-0.75, 2.0, 1.0], [0.1, -0.4, 0.3]]
    y = [[1.0, 0.0, 0.5], [0.0, 1.0, -1.0], [2.0, -1.0, 0.0], [0.3, 0.2, 0.1]]
    layers = [Dense(3, bias=False), BatchNorm(), Activation("tanh")]
    trained = model(layers, backend, optimizer=SGD(1e-300))
    parameters = {"gamma2": [1.5, 0.5, -2.0], "beta2": [0.1, -0.2, 0.3]}
    weight = [[0.2, -0.3, 0.5], [0.7, 0.1, -0.4], [-0.6, 0.9, 0.3]]
    trained.set_parameters({"W1": weight, **parameters})
    loss, gradients = trained.loss_and_gradients(x, y)
    assert loss == pytest.approx(LOSS, rel=1e-14)
    for name, expected in TORCH.items():
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-12, atol=1e-15)
    assert not trained.values["mu2_running"].any()  # gradients move nothing
    trained.fit(x, y, batch_size=4, shuffle=False)
    for label, expected in RUNNING.items():
        np.testing.assert_allclose(trained.values[label], expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(trained.predict(x), EVALUATED, rtol=1e-12)
    expected = np.mean((np.array(EVALUATED) - y) ** 2)
    assert trained.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_batch_of_one_row_is_finite_and_moves_no_running_statistics(backend):
    trained = model(NORMAL, backend)
    trained.fit(X[:4], Y[:4], batch_size=4)
    before = {label: trained.values[label].copy() for label in ("mu2_running", "v2_running")}
    history = trained.fit(X[:1], Y[:1], batch_size=4)
    assert np.isfinite(history.loss).all()
    assert all(np.isfinite(array).all() for array in trained.values.values())
    for label, array in before.items():
        np.testing.assert_array_equal(trained.values[label], array)


def test_the_delta_below_batch_normalization_is_the_papers():
    """Ioffe and Szegedy: with the sums that are the gradients of γ and β."""
    found = str(net(NORMAL).gradients)
    assert "∂L/∂γ2[j] = Σ_b ∂L/∂z2[b, j]·x̂2[b, j]" in found
    assert (
        "∂L/∂z1[b, j] = γ2[j]·(m·∂L/∂z2[b, j] - ∂L/∂β2[j] - ∂L/∂γ2[j]·x̂2[b, j])/(m·σ2[j])" in found
    )
    text = net(NORMAL).derive().text()
    assert "deviations from a mean sum to 0" in text
    assert "Running statistics" in text
    assert "one sample" not in text.split("Forward pass")[1]


def test_one_sample_of_a_normalized_batch_is_not_followed_alone():
    with raises(ArgumentError, "derive: batch=False: this network normalizes over the batch"):
        net(NORMAL).derive(batch=False)
    with raises(DeclarationError, "worked: this network drops units at random or normalizes"):
        net(DROPPED).derive().worked(X[0], Y[0])


# -- dropout --------------------------------------------------------------------------------------


def masks(layers, **settings):
    """The masks of one epoch's batches, by what ŷ = mask shows: gradients of a linear layer."""
    trained = model(layers, **settings)
    found = []
    for _ in range(3):
        noise = noise_source(trained.seed, trained.step)
        found.append(drawn(trained.network.forward.tensors, noise, 23, np.float64)["u1"])
        trained.fit(X, Y, batch_size=23)
    return found


def test_a_mask_has_its_rate_and_keeps_the_mean():
    network = net([Dropout(0.3)], inputs=100)
    noise = drawn(network.forward.tensors, noise_source(0), 1000, np.float64)
    x = np.full((1000, 100), 2.0)
    found = run(network.forward, {"x": x, "y": x, **noise})
    dropped = found["yhat"] == 0
    assert abs(dropped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1e5)
    np.testing.assert_allclose(found["yhat"][~dropped], 2 / 0.7, rtol=1e-15)
    assert abs(found["yhat"].mean() - 2) < 0.03
    assert abs(np.corrcoef(dropped[:, 0], dropped[:, 1])[0, 1]) < 0.13


def test_each_batch_has_a_mask_of_its_own_and_the_seed_repeats_them():
    layers = [Dense(3), Dropout(0.5)]
    first, second = masks(layers), masks(layers)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    assert not any((one == other).any() for one, other in itertools.pairwise(first))
    assert not (masks(layers, seed=1)[0] == first[0]).any()


def test_dropout_is_off_to_predict_and_to_measure():
    plain = [Dense(4, "tanh"), Dense(3)]
    dropped = net(DROPPED)
    assert dropped.inference == net(plain).forward
    assert net([Dense(3), Dropout(0.5)]).inference.with_role("noise") == ()
    here, there = model(DROPPED), model(plain)
    there.set_parameters(here.parameters)
    np.testing.assert_array_equal(here.predict(X), there.predict(X))
    assert here.evaluate(X, Y) == there.evaluate(X, Y)
    assert here.loss_and_gradients(X, Y)[0] != there.loss_and_gradients(X, Y)[0]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients_are_those_of_the_step_that_follows(backend):
    trained = model(DROPPED, backend, optimizer=SGD(1.0))
    trained.fit(X, Y, batch_size=5)
    before = trained.parameters
    _, gradients = trained.loss_and_gradients(X, Y)
    trained.fit(X, Y, batch_size=23, shuffle=False)
    for name, array in trained.parameters.items():
        np.testing.assert_allclose(before[name] - array, gradients[name], atol=1e-14)


def test_a_saved_model_goes_on_with_the_next_mask(tmp_path):
    trained = model(STACKS["all"], optimizer="adam")
    trained.fit(X, Y, batch_size=5)
    trained.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert (loaded.step, loaded.network) == (5, trained.network)
    assert loaded.fit(X, Y, epochs=2).loss == trained.fit(X, Y, epochs=2).loss
    for label, array in trained.values.items():
        np.testing.assert_array_equal(loaded.values[label], array)


def test_the_error_of_one_sample_is_blamed_as_the_network_predicts():
    trained = model(STACKS["all"])
    trained.fit(X, Y, batch_size=5)
    found = trained.blame(X[0], Y[0])
    np.testing.assert_allclose(found.prediction, trained.predict(X[:1])[0], rtol=1e-13)
    assert all(np.abs(delta).sum() > 0 for delta in found.deltas.values())


def test_a_hand_derivation_without_the_mask_is_told_so():
    check = net(DROPPED).check_hand_derivation(
        {
            "delta2": lambda yhat, y, m: 2 / 3 * (yhat - y) / m,
            "delta1": lambda delta2, W2, a1: (delta2 @ W2) * (1 - a1**2),
        }
    )
    assert check.wrong == "delta1"
    assert "r⁽¹⁾ is missing" in str(check.slip)


# -- declarations ---------------------------------------------------------------------------------


def test_without_such_layers_prediction_is_the_forward_pass():
    plain = net([Dense(4, "tanh"), Residual([Dense(4)]), Dense(3)])
    assert plain.inference is plain.forward
    assert plain.statistics.equations == ()
    assert "noise" not in plain.compile().source


def test_layers_that_have_parameters_are_counted_and_the_others_take_their_numbers():
    network = net(STACKS["all"])
    names = [t.name for t in network.parameters]
    assert names == ["W1", "b1", "gamma2", "beta2", "W3", "b3", "W4", "b4"]
    stored = [t.name for t in network.forward.tensors if t.role == "intermediate"]
    assert {"d1", "r1", "a2", "h2", "h3", "d3", "h3_b"} <= set(stored)
    assert str(network) == (
        "3 inputs, Dense 4 (tanh), Dropout 0.3, Residual [BatchNorm, Activation (softplus)], "
        "Residual [Residual [Dense 4 (tanh)], Dropout 0.3], Dense 3 (linear), loss mse"
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dropout(1.0), ArgumentError, "Dropout: rate: expected at least 0 and less than 1"),
        (lambda: Dropout(-0.1), ArgumentError, "Dropout: rate: expected at least 0"),
        (lambda: Dropout(float("nan")), ArgumentError, "Dropout: rate: expected a finite number"),
        (lambda: Dropout("a"), ArgumentTypeError, "Dropout: rate: expected a number, got str 'a'"),
        (lambda: BatchNorm(1.0), ArgumentError, "BatchNorm: momentum: expected at least 0"),
        (lambda: BatchNorm(0.9, 0), ArgumentError, "BatchNorm: epsilon: expected more than 0"),
        (lambda: Activation("tan"), UnknownNameError, "did you mean 'tanh'?"),
        (lambda: Residual([]), DeclarationError, "Residual: layers: expected at least one layer"),
        (lambda: Residual(Dense(1)), ArgumentTypeError, "Residual: layers: expected a list"),
        (lambda: Residual([3]), ArgumentTypeError, "Residual: layers[0]: expected a layer such as"),
        (
            lambda: net([Dense(4), Residual([Dense(5)])]),
            ShapeError,
            "Residual: its layers take a1 of 4 units and give a2 of 5",
        ),
    ],
)
def test_what_cannot_be_a_layer_is_refused(make, error, words):
    with raises(error, words):
        make()


def test_batch_normalization_follows_upon_batch_normalization():
    x = RNG.normal(size=(20, 2))
    network = net([Dense(2), BatchNorm(), BatchNorm(), Dense(1)], "mse", 2)
    assert check_gradients(network, x, x[:, :1] ** 2) < 1e-10
    assert check_backends(network, x, x[:, :1] ** 2) < 1e-10
    assert network.derive().verify()  # that of the first shift is 0: the second takes it off
