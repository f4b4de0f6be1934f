"""Initializers: how a parameter starts, as a function of its shape and a random generator.

A weight W has shape (units out, units in, …): fan_in is shape[1] and fan_out shape[0], each times
the product of the further axes (the window of a convolution).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symprop.activations import known_name
from symprop.errors import ArgumentTypeError, DataError, ShapeError

Array = np.ndarray[Any, np.dtype[np.float64]]
Shape = tuple[int, ...]
Initializer = Callable[[Shape, np.random.Generator], Array]


def fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out: how many inputs a unit has, and how many units an input."""
    window = math.prod(shape[2:])
    return shape[min(1, len(shape) - 1)] * window, shape[0] * window


def zeros(shape: Shape, generator: np.random.Generator) -> Array:
    """All 0: the start of a bias. Weights that all start alike stay alike."""
    return np.zeros(shape)


def normal(shape: Shape, generator: np.random.Generator) -> Array:
    """Normal with mean 0 and deviation 0.05, whatever the shape; Keras's "random_normal"."""
    return generator.normal(0.0, 0.05, shape)


def uniform(shape: Shape, generator: np.random.Generator) -> Array:
    """Uniform on ±0.05, whatever the shape; Keras's "random_uniform"."""
    return generator.uniform(-0.05, 0.05, shape)


def glorot_uniform(shape: Shape, generator: np.random.Generator) -> Array:
    """Uniform on ±√(6 / (fan_in + fan_out)): keeps variance forward and backward where f(z) ≈ z.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", (16).
    """
    return _uniform(shape, 2 / sum(fans(shape)), generator)


def glorot_normal(shape: Shape, generator: np.random.Generator) -> Array:
    """Normal with variance 2 / (fan_in + fan_out).

    Source: Glorot and Bengio 2010, (12). Keras cuts the normal off at two deviations.
    """
    return _normal(shape, 2 / sum(fans(shape)), generator)


def he_uniform(shape: Shape, generator: np.random.Generator) -> Array:
    """Uniform on ±√(6 / fan_in), of variance 2 / fan_in, as ``he_normal``."""
    return _uniform(shape, 2 / fans(shape)[0], generator)


def he_normal(shape: Shape, generator: np.random.Generator) -> Array:
    """Normal with variance 2 / fan_in: makes up for the half of the signal that ReLU cuts off.

    Source: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", (10).
    """
    return _normal(shape, 2 / fans(shape)[0], generator)


def lecun_uniform(shape: Shape, generator: np.random.Generator) -> Array:
    """Uniform on ±√(3 / fan_in), of variance 1 / fan_in, as ``lecun_normal``."""
    return _uniform(shape, 1 / fans(shape)[0], generator)


def lecun_normal(shape: Shape, generator: np.random.Generator) -> Array:
    """Normal with variance 1 / fan_in: what selu's fixed point at mean 0 and variance 1 assumes.

    Sources: LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", (16); Klambauer et al. 2017,
    "Self-normalizing neural networks", section "Initialization".
    """
    return _normal(shape, 1 / fans(shape)[0], generator)


def orthogonal(shape: Shape, generator: np.random.Generator) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer: keeps lengths and angles.

    It is drawn evenly among all of them: Q of the QR decomposition of a normal matrix, its columns
    multiplied by the signs of R's diagonal. Further axes count as columns.

    Sources: Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", section 3; Mezzadri 2007, "How to generate random
    matrices from the classical compact groups", section 5 (the signs).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = generator.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if rows >= columns else q.T).reshape(shape)


def _normal(shape: Shape, variance: float, generator: np.random.Generator) -> Array:
    return generator.normal(0.0, np.sqrt(variance), shape)


def _uniform(shape: Shape, variance: float, generator: np.random.Generator) -> Array:
    limit = np.sqrt(3 * variance)
    return generator.uniform(-limit, limit, shape)


INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        *(zeros, normal, uniform, lecun_normal, lecun_uniform, glorot_normal, glorot_uniform),
        *(he_normal, he_uniform, orthogonal),
    )
}


def initializer(what: str, given: Any) -> Any:
    """An initializer's name, checked, or a function (shape, generator) -> array.

    Raises UnknownNameError, or ArgumentTypeError for anything else.
    """
    if isinstance(given, str):
        return known_name(what, given, INITIALIZERS)
    if not callable(given) or isinstance(given, type):
        raise ArgumentTypeError(
            f"{what}: expected a name or a function (shape, generator) -> array, got {given!r}"
        )
    return given


def drawn(name: str, given: Any, shape: Shape, generator: np.random.Generator) -> Array:
    """The start of a parameter called ``name``, by an initializer's name or a function.

    Raises ArgumentTypeError, ShapeError or DataError for what a function gives that is no array of
    finite numbers of this shape.
    """
    if isinstance(given, str):
        return INITIALIZERS[given](shape, generator)
    array = np.asarray(given(shape, generator))
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            f"initializer of {name}: expected an array of numbers, got dtype {array.dtype}"
        )
    if array.shape != shape:
        raise ShapeError(
            f"initializer of {name}: expected an array of shape {shape}, got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise DataError(f"initializer of {name}: expected finite numbers, got NaN or infinity")
    return array.astype(np.float64)
