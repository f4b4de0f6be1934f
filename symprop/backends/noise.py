"""Noise: numbers on [0, 1), each by a number of its own, so that nothing depends on who draws them
and in which order.

The number of an element is SplitMix64's output (Steele, Lea and Flood 2014) after so many steps
from a key; the key mixes that of the model, how many batches the model has been trained on, and the
tensor. The function that mixes is run by the interpreter on whole arrays, and compiled by others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from symprop.backends import Array
from symprop.backends.shuffle import BY_27, BY_30, BY_31, FIRST, GAMMA, ONE, SECOND
from symprop.scope import BATCH
from symprop.tensor import Tensor

BITS = {"float32": 24, "float64": 53}
"""How many bits of a draw a number keeps: as many as it has, so that it stays below 1."""


def mixed(key: Any, number: Any) -> Any:
    """64 bits by a key and a number.

    >>> with np.errstate(over="ignore"):  # the arithmetic is that of 64 bits
    ...     print(mixed(np.uint64(0), np.arange(2, dtype=np.uint64)))
    [16294208416658607535  7960286522194355700]
    """
    bits = key + (number + ONE) * GAMMA
    bits = (bits ^ (bits >> BY_30)) * FIRST
    bits = (bits ^ (bits >> BY_27)) * SECOND
    return bits ^ (bits >> BY_31)


def key_of(noise: Any, step: Any, tensor: Any) -> Any:
    """The key of a tensor's elements: ``noise`` holds the model's key and the number of batches
    before the first, ``step`` counts from there.
    """
    return mixed(mixed(noise[0], noise[1] + np.uint64(step)), np.uint64(tensor))


def noise_source(seed: int, step: int = 0) -> Array:
    """The key that a seed gives, and how many batches a model has been trained on."""
    sequence = np.random.SeedSequence(seed, spawn_key=(1,))  # apart from what parameters start from
    return np.array([sequence.generate_state(1, np.uint64)[0], step], np.uint64)


def tensor_number(tensor: Tensor) -> int:
    """The number that stands for a tensor: its name's."""
    return zlib.crc32(str(tensor.label).encode())


def drawn(
    tensors: Iterable[Tensor], noise: Array, rows: int, dtype: Any, step: int = 0
) -> dict[str, Array]:
    """The noise of a step for those of the tensors that are noise, by label."""
    found, kind = {}, np.dtype(dtype)
    bits = BITS[kind.name]
    for tensor in tensors:
        if tensor.role == "noise":
            shape = tuple(int(size.xreplace({BATCH: rows})) for size in tensor.shape)
            with np.errstate(over="ignore"):
                key = key_of(noise, step, tensor_number(tensor))
                number = mixed(key, np.arange(np.prod(shape), dtype=np.uint64))
            kept = (number >> np.uint64(64 - bits)).astype(kind)
            found[str(tensor.label)] = (kept * kind.type(0.5**bits)).reshape(shape)
    return found
