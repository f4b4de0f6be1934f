"""Initializers: how a parameter starts, as a function of its shape and a random generator.

A weight W has shape (units out, units in): fan_out = shape[0], fan_in = shape[1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Initializer = Callable[
    [tuple[int, ...], np.random.Generator], "np.ndarray[Any, np.dtype[np.float64]]"
]


def zeros(
    shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All 0: the start of a bias."""
    return np.zeros(shape)


def glorot_uniform(
    shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Uniform on ±√(6 / (fan_in + fan_out)): keeps variance forward and backward where f(z) ≈ z.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", (16).
    """
    limit = np.sqrt(6 / (shape[0] + shape[1]))
    return generator.uniform(-limit, limit, shape)


def he_normal(
    shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Normal with variance 2 / fan_in: makes up for the half of the signal that ReLU cuts off.

    Source: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", (10).
    """
    return generator.normal(0.0, np.sqrt(2 / shape[1]), shape)


def lecun_normal(
    shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Normal with variance 1 / fan_in: what selu's fixed point at mean 0 and variance 1 assumes.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks", section "Initialization".
    """
    return generator.normal(0.0, np.sqrt(1 / shape[1]), shape)


INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f for f in (zeros, glorot_uniform, he_normal, lecun_normal)
}
