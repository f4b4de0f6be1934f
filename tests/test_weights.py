"""Weights of samples and classes: L = (1/m) Σ_b w_b ℓ_b."""

from __future__ import annotations

import numpy as np
import pytest
import symprop
from symprop import SGD, Dense, Network, check_program
from symprop.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from symprop.losses import LOSSES
from symprop.scope import BATCH

from models import BACKENDS, CLASSES, ONE_HOT, X, classifier, line, raises, state

W = np.random.default_rng(4).uniform(0, 2, 50)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_weighted_losses_match_finite_differences(loss):
    ends = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "poisson": "softplus"}
    net = Network([Dense(4, "tanh"), Dense(3, ends.get(loss))], inputs=2, loss=loss).weighted
    draw = np.random.default_rng(3)
    sizes = {BATCH: 5}
    arrays = {
        t.name: draw.uniform(0.2, 0.9, [int(n.subs(sizes)) for n in t.shape])
        for t in net.forward.tensors
        if t.role in ("input", "target", "parameter")
    }
    if LOSSES[loss].labels in ("classes", "sign"):
        arrays["y"] = np.eye(3)[draw.integers(0, 3, 5)]
        arrays["y"] = 2 * arrays["y"] - 1 if loss == "hinge" else arrays["y"]
    found = check_program(net.forward, arrays, net.named("L"), net.parameters)
    assert found < 1e-9


def test_the_weight_stands_in_the_gradient_and_nothing_else_is_new():
    net = Network([Dense(4, "tanh"), Dense(3, "softmax")], inputs=2, loss="cross_entropy")
    plain, weighted = str(net.gradients).splitlines(), str(net.weighted.gradients).splitlines()
    different = [pair for pair in zip(plain, weighted, strict=True) if pair[0] != pair[1]]
    assert different == [
        ("L = -1/m·Σ_{b, j} y[b, j]·log(ŷ[b, j])", "L = -1/m·Σ_{b, j} w[b]·y[b, j]·log(ŷ[b, j])"),
        ("∂L/∂z2[b, j] = (ŷ[b, j] - y[b, j])/m", "∂L/∂z2[b, j] = w[b]·(ŷ[b, j] - y[b, j])/m"),
    ]
    assert repr(net.weighted.loss) == "weighted 'cross_entropy'"


def test_a_weighted_step_is_that_of_the_formula(backend):
    model = line(2.0, 1.0, backend=backend)
    x, y, w = np.array([1.0, 3.0, -1.0]), np.array([2.0, 9.0, 0.0]), np.array([1.0, 0.5, 3.0])
    history = model.fit(x[:, None], y, batch_size=3, sample_weight=w, shuffle=False)
    errors = 2 * x + 1 - y
    assert history.loss == [pytest.approx((w * errors**2).mean(), rel=1e-14)]
    weight = 2.0 - 0.1 * (2 * w * errors * x).mean()
    assert model.parameters["W1"][0, 0] == pytest.approx(weight, rel=1e-14)
    assert model.parameters["b1"][0] == pytest.approx(
        1.0 - 0.1 * (2 * w * errors).mean(), rel=1e-14
    )


def test_shuffled_rows_keep_their_weights(backend):
    """Against the interpreter on rows sorted by hand."""
    model, other = classifier(backend=backend), classifier()
    model.fit(X, CLASSES, 3, 8, validation=0.2, sample_weight=W)
    other.fit(X, CLASSES, 3, 8, validation=0.2, sample_weight=W)
    for label, array in other.values.items():
        np.testing.assert_allclose(model.values[label], array, rtol=1e-9, atol=1e-12)


def test_whole_weights_are_repeated_samples(backend):
    """A sample of weight 2 in one batch of all counts as two, but for the number of rows."""
    twice, weighted = (classifier(backend=backend, optimizer=SGD(0.1)) for _ in range(2))
    times = np.arange(50) % 3
    rows = np.repeat(np.arange(50), times)
    weighted.fit(X, CLASSES, 5, 50, sample_weight=times * 50 / len(rows))
    twice.fit(X[rows], CLASSES[rows], 5, len(rows))
    for name, array in twice.parameters.items():
        np.testing.assert_allclose(weighted.parameters[name], array, rtol=1e-9)


def test_weights_of_one_change_nothing(backend):
    plain, weighted = classifier(backend=backend), classifier(backend=backend)
    plain.fit(X, CLASSES, 2, 8)
    weighted.fit(X, CLASSES, 2, 8, sample_weight=np.ones(50), class_weight={})
    for name, array in plain.parameters.items():
        np.testing.assert_allclose(weighted.parameters[name], array, rtol=1e-12)


def test_class_weights_are_weights_of_their_samples(backend):
    first, second, third = (classifier(backend=backend) for _ in range(3))
    by_class = np.array([1.0, 3.0, 0.5])[CLASSES]
    first.fit(X, CLASSES, 2, 8, class_weight={1: 3, 2: 0.5})
    second.fit(X, ONE_HOT, 2, 8, sample_weight=by_class)
    assert state(first) == state(second)
    first.fit(X, CLASSES, 1, 8, class_weight={1: 3, 2: 0.5}, sample_weight=W)
    second.fit(X, ONE_HOT, 1, 8, sample_weight=by_class * W)
    assert state(first) == state(second)
    third.fit(X, CLASSES, 2, 8)
    assert state(third) != state(first)


@pytest.mark.parametrize(("loss", "low"), [("binary_cross_entropy", 0), ("hinge", -1)])
def test_two_classes_have_the_numbers_of_their_targets(loss, low):
    net = Network([Dense(1, "sigmoid")], inputs=3, loss=loss)
    y = np.where(X[:, 0] > 0, 1, low)
    first, second = net.compile(backend="numpy"), net.compile(backend="numpy")
    first.fit(X, y, class_weight={low: 2, 1: 5})
    second.fit(X, y, sample_weight=np.where(y == 1, 5, 2))
    assert state(first) == state(second)


def test_unweighted_networks_keep_their_code():
    net = Network([Dense(4, "tanh"), Dense(3, "softmax")], inputs=3, loss="cross_entropy")
    model = net.compile()
    before = model.source
    model.fit(X, CLASSES, sample_weight=W)
    assert model.source == before
    assert "w" not in {t.name for t in net.forward.tensors}


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (
            {"sample_weight": W[:9]},
            ShapeError,
            "sample_weight: expected one number a row, shape (5",
        ),
        ({"sample_weight": W[:, None]}, ShapeError, "sample_weight: expected one number a row"),
        (
            {"sample_weight": -W},
            DataError,
            "sample_weight: expected weights of at least 0, found -",
        ),
        ({"sample_weight": W * np.nan}, DataError, "sample_weight: expected finite numbers"),
        ({"sample_weight": ["a"] * 50}, ArgumentTypeError, "sample_weight: expected an array"),
        ({"class_weight": [1, 2, 3]}, ArgumentTypeError, "class_weight: expected a dict"),
        ({"class_weight": {3: 1}}, ArgumentError, "no class 3; the classes are 0 … 2"),
        ({"class_weight": {-1: 1}}, ArgumentError, "no class -1; the classes are 0 … 2"),
        (
            {"class_weight": {"a": 1}},
            ArgumentTypeError,
            "'a'; the number of a label is its place",
        ),
        (
            {"class_weight": {0.5: 1}},
            ArgumentTypeError,
            "class numbers as keys, got float",
        ),
        ({"class_weight": {0: -1}}, ArgumentError, "class_weight: of class 0: expected at least 0"),
        ({"class_weight": {0: np.inf}}, ArgumentError, "of class 0: expected a finite number"),
        ({"class_weight": {0: "1"}}, ArgumentTypeError, "of class 0: expected a number, got str"),
    ],
    ids=str,
)
def test_weights_are_checked_before_anything_changes(settings, error, words):
    model = classifier()
    before = state(model)
    with raises(error, words):
        model.fit(X, CLASSES, **settings)
    assert state(model) == before


def test_class_weights_need_classes():
    with raises(ArgumentError, "class_weight: the targets of this network are no classes"):
        line().fit([[1.0]], [1.0], class_weight={0: 1})


def test_weights_too_large_for_float32_are_told():
    model = classifier(dtype="float32")
    with raises(DataError, "sample_weight: 1e+39 at row 0 does not fit float32"):
        model.fit(X, CLASSES, sample_weight=np.full(50, 1e39))


def test_a_model_is_made_of_the_network_without_weights():
    net = Network([Dense(1)], inputs=1, loss="mse").weighted
    with raises(ArgumentError, "compile the network itself"):
        net.compile()
    assert symprop.Network([Dense(1)], inputs=1, loss="mse").weighted == net


@pytest.mark.parametrize(
    "given",
    [{"sample_weight": np.zeros(50)}, {"class_weight": dict.fromkeys(range(3), 0)}],
    ids=str,
)
def test_weights_of_nothing_are_refused(given):
    with raises(DataError, "every row has the weight 0"):
        classifier().fit(X, CLASSES, **given)
