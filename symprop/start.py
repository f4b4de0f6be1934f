"""What training changes, and how it starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from symprop.backends import Array
from symprop.backends.memory import copied
from symprop.initializers import drawn
from symprop.network import Network
from symprop.optimizers import Optimizer
from symprop.tensor import Tensor

STATES = ("state", "counter", "scheduled")
"""The roles of what is kept from step to step beside the parameters."""


def trained(network: Network, optimizer: Optimizer) -> tuple[Tensor, ...]:
    """What training changes: parameters and states."""
    steps = network.statistics, network.update(optimizer)
    states = (t for program in steps for t in program.tensors if t.role in STATES)
    return (*network.parameters, *dict.fromkeys(states))


def start_values(
    tensors: tuple[Tensor, ...], dtype: np.dtype[Any], generator: np.random.Generator
) -> dict[str, Array]:
    """Each tensor as its ``init`` says: an initializer's name, a function, or a number.

    Initializers draw in float64, so that a float32 model starts from the same parameters, rounded.
    """
    return copied({str(t.label): _start_value(t, type_of(t, dtype), generator) for t in tensors})


def type_of(tensor: Tensor, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a tensor's array in a model of a dtype: counters are whole numbers."""
    return np.dtype(np.int64) if tensor.role == "counter" else dtype


def _start_value(tensor: Tensor, dtype: np.dtype[Any], generator: np.random.Generator) -> Array:
    shape = tuple(int(size) for size in tensor.shape)
    if isinstance(tensor.init, (int, float, type(None))):
        return np.full(shape, tensor.init or 0.0, dtype)
    return drawn(tensor.name, tensor.init, shape, generator).astype(dtype)
