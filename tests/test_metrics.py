"""Metrics against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import Dense, Network, metrics
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)
from symprop.metrics import metric_functions

from models import BACKENDS, CLASSES, ONE_HOT, X, classifier, line, raises

RNG = np.random.default_rng(2)
SCORES = RNG.uniform(size=(40, 4))
LABELS = RNG.integers(0, 4, 40)
Y, PREDICTED = RNG.normal(size=(30, 2)), RNG.normal(size=(30, 2))
learn = pytest.importorskip("sklearn.metrics")


def test_metrics_are_scikit_learns():
    assert metrics.accuracy(LABELS, SCORES) == learn.accuracy_score(LABELS, SCORES.argmax(1))
    for k in (1, 2, 3, 4, 9):
        expected = learn.top_k_accuracy_score(LABELS, SCORES, k=k) if k < 4 else 1
        assert metrics.top_k(LABELS, SCORES, k) == expected
    assert metrics.mae(Y, PREDICTED) == pytest.approx(learn.mean_absolute_error(Y, PREDICTED))
    assert metrics.mse(Y, PREDICTED) == pytest.approx(learn.mean_squared_error(Y, PREDICTED))
    assert metrics.r2(Y, PREDICTED) == pytest.approx(learn.r2_score(Y, PREDICTED), rel=1e-13)
    matrix = metrics.confusion_matrix(LABELS, SCORES)
    assert (matrix == learn.confusion_matrix(LABELS, SCORES.argmax(1))).all()


@pytest.mark.parametrize("predicted", [[1.0, 1.0], [1.0, 2.0]])
def test_r2_of_equal_targets_is_scikit_learns(predicted):
    y = [1.0, 1.0]
    assert metrics.r2(y, predicted) == learn.r2_score(y, predicted)


def test_one_hot_rows_are_class_numbers():
    one_hot = np.eye(4)[LABELS]
    for metric in (metrics.accuracy, metrics.top_k, metrics.confusion_matrix):
        assert np.array_equal(metric(one_hot, SCORES), metric(LABELS, SCORES))


def test_ties_belong_to_the_first_class_in_both():
    tied = [[0.5, 0.5, 0.0]]
    assert [metrics.accuracy([n], tied) for n in range(3)] == [1, 0, 0]
    assert [metrics.top_k([n], tied, 1) for n in range(3)] == [1, 0, 0]
    assert [metrics.top_k([n], tied, 2) for n in range(3)] == [1, 1, 0]
    assert metrics.top_k([1], [[0.0, np.nan, 0.0]], 2) == 0


def test_one_column_is_one_number():
    assert metrics.mae([1.0, 3.0], [[1.0], [2.0]]) == 0.5


@pytest.mark.parametrize(
    ("labels", "y", "predicted", "expected"),
    [
        ("probability", [0, 1, 1], [0.2, 0.5, 0.6], [[1, 0], [1, 1]]),
        ("sign", [-1, 1, 1], [-0.2, 0.0, 0.6], [[1, 0], [1, 1]]),
    ],
)
def test_two_classes_are_told_by_the_middle(labels, y, predicted, expected):
    assert metrics.confusion_matrix(y, predicted, labels).tolist() == expected
    assert metrics.accuracy(y, predicted, labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: metrics.mae([1.0], [1.0, 2.0]), ShapeError, "shapes (1,) and (2,) differ"),
        (lambda: metrics.mae([], []), DataError, "at least one row"),
        (lambda: metrics.accuracy([0.5], [[1, 0]]), DataError, "expected class numbers 0 … 1"),
        (lambda: metrics.accuracy([2], [[1, 0]]), DataError, "expected class numbers 0 … 1"),
        (lambda: metrics.accuracy([0], [1.0, 0.0]), ShapeError, "scores (N, K)"),
        (lambda: metrics.accuracy([0], [[1, 0]], "clases"), UnknownNameError, "classes"),
        (lambda: metrics.top_k([0], [[1, 0]], 0), ArgumentError, "top_k: k: expected at least 1"),
        (lambda: metric_functions("acuracy", "classes"), UnknownNameError, "accuracy"),
        (lambda: metric_functions("top_0", "classes"), UnknownNameError, "metrics"),
        (lambda: metric_functions("accuracy", ""), ArgumentError, "needs a loss for classes"),
        (lambda: metric_functions(3, ""), ArgumentTypeError, "metrics: expected names or"),
        (lambda: metric_functions([3], ""), ArgumentTypeError, "metrics: expected a name or"),
        (lambda: metric_functions(lambda y, p: 0, ""), ArgumentTypeError, "write a dict"),
        (lambda: metric_functions(["mae", "mae"], ""), ArgumentError, "name 'mae' is taken"),
        (lambda: metric_functions({"loss": "mae"}, ""), ArgumentError, "name 'loss' is taken"),
        (lambda: metric_functions({"learning_rate": "mae"}, ""), ArgumentError, "is taken"),
        (lambda: line().confusion_matrix([[1.0]], [1.0]), ArgumentError, "are no classes"),
    ],
)
def test_what_is_no_metric_is_told(call, error, words):
    with raises(error, words):
        call()


def largest_error(y, predicted):
    return np.abs(y - predicted).max()


def test_models_measure_by_name_and_by_function():
    model = line(2.0, 1.0)
    x, y = [[0.0], [1.0], [2.0]], [1.0, 4.0, 5.0]
    found = model.evaluate(x, y, metrics=["mae", "mse", largest_error])
    assert found == {"loss": 1 / 3, "mae": 1 / 3, "mse": 1 / 3, "largest_error": 1.0}
    assert model.evaluate(x, y, metrics={"worst": largest_error})["worst"] == 1.0
    assert model.evaluate(x, y) == {"loss": 1 / 3}
    with raises(ArgumentTypeError, "metrics: word gave 'no', expected a number"):
        model.evaluate(x, y, metrics={"word": lambda y, predicted: "no"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_history_has_metrics_of_both_sets_for_each_epoch(backend):
    model = classifier(backend=backend)
    history = model.fit(X, CLASSES, 3, validation=0.2, metrics=["accuracy", "top_2", "r2"])
    names = ["accuracy", "top_2", "r2"]
    assert list(history.metrics) == [*names, *(f"validation_{name}" for name in names)]
    assert {len(series) for series in history.metrics.values()} == {3}
    kept = np.sort(np.random.default_rng(0).permutation(50)[10:])
    found = model.evaluate(X[kept], CLASSES[kept], metrics=names)
    assert {name: history.metrics[name][-1] for name in names} == {n: found[n] for n in names}
    held = np.sort(np.random.default_rng(0).permutation(50)[:10])
    found = model.evaluate(X[held], CLASSES[held])
    assert history.metrics["validation_accuracy"][-1] == found["accuracy"]
    assert model.fit(X, CLASSES, 1, metrics=[]).metrics == {}


def test_confusion_matrix_of_a_model():
    model = classifier()
    found = model.confusion_matrix(X, CLASSES)
    assert found.shape == (3, 3)
    assert found.sum() == 50
    assert np.trace(found) / 50 == model.evaluate(X, ONE_HOT)["accuracy"]
    signs = Network([Dense(1)], inputs=1, loss="hinge").compile(backend="numpy")
    signs.set_parameters({"W1": [[1.0]], "b1": [0.0]})
    assert signs.confusion_matrix([[2.0], [-1.0]], [1, 1]).tolist() == [[0, 0], [1, 1]]
