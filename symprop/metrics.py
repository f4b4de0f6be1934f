"""Metrics: functions of targets and predictions, beside the loss.

In formulas i counts the n samples, y are targets and ŷ predictions. Targets of classes are class
numbers (N,) or one-hot rows (N, K), predictions one score for each class (N, K).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symprop.activations import known_name
from symprop.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from symprop.layers.base import positive_integer
from symprop.losses import Labels

Array = np.ndarray[Any, Any]
Metric = Callable[[Array, Array], Any]


def accuracy(y: Any, predicted: Any, labels: Labels = "classes") -> float:
    """The share of right answers.

    Right is, by what the loss declares about its targets (``labels``), the largest output
    ("classes"), ŷ > ½ where y > ½ ("probability"), or ŷ > 0 where y > 0 ("sign"); with several
    outputs in the latter two, the mean over them. Of equal largest outputs the first counts.

    >>> accuracy([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    0.6666666666666666
    """
    known_name("labels", labels, RIGHT)
    if labels == "classes":
        classes, scores = _classes(y, predicted)
        return float(np.mean(scores.argmax(axis=-1) == classes))
    return float(np.mean(RIGHT[labels](*_alike(y, predicted))))


RIGHT: dict[str, Callable[[Array, Array], Any]] = {
    "classes": lambda y, predicted: predicted.argmax(axis=-1) == y.argmax(axis=-1),
    "probability": lambda y, predicted: (predicted > 0.5) == (y > 0.5),
    "sign": lambda y, predicted: (predicted > 0) == (y > 0),
}
"""Which answers count as right, by what the loss declares about its targets."""


def top_k(y: Any, predicted: Any, k: int = 5) -> float:
    """The share of samples whose class is among the k with the largest outputs.

    5 by default, as in the ImageNet challenge (Russakovsky et al. 2015). Right if fewer than k
    outputs are larger than that of the class, or equal and before it.

    >>> top_k([2, 0], [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], k=2)
    0.5
    """
    classes, scores = _classes(y, predicted)
    own = np.take_along_axis(scores, classes[..., None], axis=-1)
    before = np.arange(scores.shape[-1]) < classes[..., None]
    ahead = (scores > own) | ((scores == own) & before) | np.isnan(own)
    return float(np.mean(ahead.sum(axis=-1) < positive_integer("top_k: k", k)))


def mae(y: Any, predicted: Any) -> float:
    """The mean absolute error, mean |ŷ − y| over samples and outputs.

    >>> mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    y, predicted = _alike(y, predicted)
    return float(np.mean(np.abs(predicted - y)))


def mse(y: Any, predicted: Any) -> float:
    """The mean squared error, mean (ŷ − y)² over samples and outputs.

    >>> mse([1.0, 2.0], [1.5, 2.0])
    0.125
    """
    y, predicted = _alike(y, predicted)
    return float(np.mean((predicted - y) ** 2))


def r2(y: Any, predicted: Any) -> float:
    """The coefficient of determination, the mean over outputs of

        R² = 1 − Σ_i (ŷ_i − y_i)² / Σ_i (y_i − ȳ)²,   ȳ the mean of y

    1 is exact, 0 as good as ȳ. An output whose y are all equal has 1 if ŷ is exact, else 0, as in
    scikit-learn.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    y, predicted = _alike(y, predicted)
    left = np.sum((predicted - y) ** 2, axis=0)
    whole = np.sum((y - y.mean(axis=0)) ** 2, axis=0)
    constant = np.where(left == 0, 1.0, np.where(np.isnan(left), np.nan, 0.0))
    varied = np.where(whole > 0, whole, 1.0)
    return float(np.mean(np.where(whole > 0, 1 - left / varied, constant)))


def confusion_matrix(y: Any, predicted: Any, labels: Labels = "classes") -> Array:
    """How many samples of class i were taken for class j: row i, column j.

    With ``labels`` "probability" or "sign" there are two classes, told by ½ or by 0.

    >>> confusion_matrix([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    array([[1, 0],
           [1, 1]])
    """
    known_name("labels", labels, RIGHT)
    if labels == "classes":
        classes, scores = _classes(y, predicted)
        found, size = scores.argmax(axis=-1), scores.shape[-1]
    else:
        y, predicted = _alike(y, predicted)
        middle = 0.5 if labels == "probability" else 0.0
        classes, found, size = y > middle, predicted > middle, 2
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (np.ravel(classes).astype(int), np.ravel(found).astype(int)), 1)
    return matrix


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "top_k": top_k,
    "mae": mae,
    "mse": mse,
    "r2": r2,
}
"""The metrics by name; ``top_3`` and the like are ``top_k`` with that k."""
RECORDED = ("loss", "learning_rate")
"""What every record of a history has under its own name."""
LARGER_IS_BETTER = r"accuracy|top_(k|\d+)|r2"


def larger_is_better(name: str) -> bool | None:
    """Whether a record's number should grow in training; None for one that symprop does not know.

    >>> larger_is_better("validation_accuracy"), larger_is_better("loss"), larger_is_better("mine")
    (True, False, None)
    """
    name = name.removeprefix("validation_")
    if re.fullmatch(LARGER_IS_BETTER, name):
        return True
    return False if name == "loss" or name in METRICS else None


def metric_functions(given: Any, labels: Labels) -> dict[str, Metric]:
    """The metrics that a user means, by name: a name, a function, several in a list, or a dict.

    None means the accuracy, where ``labels`` say what is right.

    Raises UnknownNameError, ArgumentError or ArgumentTypeError.
    """
    if given is None:
        given = ["accuracy"] if labels in RIGHT else []
    if isinstance(given, str) or callable(given):
        given = [given]
    if not isinstance(given, (Mapping, Sequence)):
        raise ArgumentTypeError(
            f"metrics: expected names or functions (y, predicted), got {given!r}"
        )
    pairs = given.items() if isinstance(given, Mapping) else ((_name(m), m) for m in given)
    found: dict[str, Metric] = {}
    for name, metric in pairs:
        if name in found or name in RECORDED or str(name).startswith("validation_"):
            raise ArgumentError(f"metrics: the name {name!r} is taken; give each its own")
        found[str(name)] = _function(metric, labels)
    return found


def _name(given: Any) -> str:
    name = given if isinstance(given, str) else getattr(given, "__name__", "")
    if not str(name).isidentifier():
        raise ArgumentTypeError(
            f"metrics: expected a name or a function with a name, got {given!r}; write a dict "
            "{name: function} for others"
        )
    return str(name)


def _function(given: Any, labels: Labels) -> Metric:
    if isinstance(given, str) and re.fullmatch(r"top_[1-9]\d{0,8}", given):
        k = int(given.removeprefix("top_"))
        return lambda y, predicted: top_k(y, predicted, k)
    if isinstance(given, str):
        given = METRICS[known_name("metrics", given, METRICS)]
    if not callable(given):
        raise ArgumentTypeError(f"metrics: expected a name or a function, got {given!r}")
    if given is accuracy:
        if labels not in RIGHT:
            raise ArgumentError("metrics: 'accuracy' needs a loss for classes; try 'mae' or 'r2'")
        return lambda y, predicted: accuracy(y, predicted, labels)
    return given  # type: ignore[no-any-return]


def measured(metrics: Mapping[str, Metric], y: Array, predicted: Array) -> dict[str, float]:
    """Each metric's number.

    Raises ArgumentTypeError for a function that gives none.
    """
    return {name: _number(name, metric(y, predicted)) for name, metric in metrics.items()}


def _number(name: str, given: Any) -> float:
    if np.ndim(given) == 0 and np.asarray(given).dtype.kind in "biuf":
        return float(given)
    raise ArgumentTypeError(f"metrics: {name} gave {given!r}, expected a number")


def _alike(y: Any, predicted: Any) -> tuple[Array, Array]:
    """Both as arrays of float64 and one shape."""
    y, predicted = np.asarray(y, np.float64), np.asarray(predicted, np.float64)
    if not y.size:
        raise DataError("y: expected at least one row, got none")
    if y.size == predicted.size and 1 in (y.ndim, predicted.ndim):  # (N,) and (N, 1)
        y, predicted = y.reshape(len(y), -1), predicted.reshape(len(predicted), -1)
    if y.shape != predicted.shape:
        raise ShapeError(f"y and predicted: shapes {y.shape} and {predicted.shape} differ")
    return y, predicted


def _classes(y: Any, predicted: Any) -> tuple[Array, Array]:
    """Class numbers and scores."""
    y, scores = np.asarray(y), np.asarray(predicted)
    if y.shape == scores.shape:
        y = y.argmax(axis=-1) if y.size else y[..., 0]
    if scores.ndim < 2 or y.shape != scores.shape[:-1]:
        raise ShapeError(
            f"y and predicted: expected class numbers or one-hot rows, and scores (N, K), got "
            f"shapes {y.shape} and {scores.shape}"
        )
    if not y.size:
        raise DataError("y: expected at least one row, got none")
    whole = y.astype(np.int64)
    if (whole != y).any() or whole.min() < 0 or whole.max() >= scores.shape[-1]:
        raise DataError(f"y: expected class numbers 0 … {scores.shape[-1] - 1}, found others")
    return whole, scores
