"""How much each sample counts: weights by sample and by class, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from symprop.data import Array, check_finite, convert, number_array
from symprop.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from symprop.losses import Labels
from symprop.settings import setting

CLASSES: dict[Labels, tuple[int, int]] = {"probability": (0, 1), "sign": (-1, 1)}
"""The two classes of targets that are one number."""
BY_LABEL = "; the number of a label is its place in classes, y = np.unique(y, return_inverse=True)"


def weight_array(
    labels: Labels, y: Array, sample_weight: Any, class_weight: Any, dtype: np.dtype[Any]
) -> Array | None:
    """w[b], one number for each row of the checked targets y; None if nothing was given.

    A sample's weight times that of its class; a target between classes has the mean of theirs. A
    class that is not named has the weight 1.

    Raises ShapeError, DataError, ArgumentError or ArgumentTypeError.

    >>> y = np.array([[0.0], [1.0], [1.0]])
    >>> weight_array("probability", y, [1, 2, 0], {1: 3}, np.dtype("float64"))
    array([1., 6., 0.])
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y)) if sample_weight is None else _by_sample(sample_weight, len(y))
    if class_weight is not None:
        weights = weights * _by_class(class_weight, labels, y)
    if not weights.any():
        raise DataError("sample_weight and class_weight: every row has the weight 0")
    return convert("sample_weight", weights.astype(np.float64), dtype)


def _by_sample(given: Any, rows: int) -> Array:
    weights = number_array("sample_weight", given)
    if weights.shape != (rows,):
        raise ShapeError(
            f"sample_weight: expected one number a row, shape ({rows},), got {weights.shape}"
        )
    check_finite("sample_weight", weights)
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise DataError(
            f"sample_weight: expected weights of at least 0, found {weights[row]} at row {row}"
        )
    return weights


def _by_class(given: Any, labels: Labels, y: Array) -> Array:
    """Σ_k c_k y[b, k], with the weight c_k of class k."""
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"class_weight: expected a dict of weights by class, got {type(given).__name__}"
        )
    if labels == "classes" and y.ndim == 2:
        known = tuple(range(y.shape[1]))
    elif labels in CLASSES and y.shape[1:] == (1,):
        known = CLASSES[labels]
    else:
        raise ArgumentError(
            "class_weight: the targets of this network are no classes; use sample_weight"
        )
    weights = dict.fromkeys(known, 1.0)
    for name, weight in given.items():
        what = f"class_weight: of class {name}"
        weights[_class(name, known)] = float(setting(what, weight, 0, low_included=True))
    if labels == "classes":
        return np.asarray(y.astype(np.float64) @ np.array(list(weights.values())))
    low, high = known
    share = (y[:, 0].astype(np.float64) - low) / (high - low)
    return np.asarray((1 - share) * weights[low] + share * weights[high])


def _class(given: Any, known: tuple[int, ...]) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentTypeError(
            f"class_weight: expected class numbers as keys, got {type(given).__name__} {given!r}"
            f"{BY_LABEL if isinstance(given, str) else ''}"
        )
    number = int(given.__index__())
    if number not in known:
        shown = ", ".join(map(str, known)) if len(known) <= 2 else f"0 … {known[-1]}"
        raise ArgumentError(f"class_weight: there is no class {number}; the classes are {shown}")
    return number
