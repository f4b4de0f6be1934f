"""Models and data that several test files train."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
from symprop import SGD, Dense, Network

BACKENDS = ["numpy"] + ["numba"] * bool(importlib.util.find_spec("symprop.backends.numba"))
RNG = np.random.default_rng(7)
X = RNG.normal(size=(50, 3))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0.5)
ONE_HOT = np.eye(3)[CLASSES]


def raises(error, words):
    return pytest.raises(error, match=re.escape(words))


def classifier(**settings):
    layers = [Dense(8, activation="tanh"), Dense(3, activation="softmax")]
    return Network(layers, inputs=3, loss="cross_entropy").compile(
        **{"optimizer": "adam", "dtype": "float64", "backend": "numpy", **settings}
    )


def line(weight=1.0, bias=0.0, **settings):
    """ŷ = w x + b with the squared error."""
    model = Network([Dense(1)], inputs=1, loss="mse").compile(
        **{"optimizer": SGD(0.1), "dtype": "float64", "backend": "numpy", **settings}
    )
    model.set_parameters({"W1": [[weight]], "b1": [bias]})
    return model


def state(model):
    """Everything that training changes."""
    values = {label: array.tobytes() for label, array in model.values.items()}
    return values, model.generator.bit_generator.state, list(model.history.records)
