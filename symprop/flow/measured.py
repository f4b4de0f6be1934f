"""Signals measured: pre-activations and cotangents of a network, for drawn or given numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Symbol

from symprop.backends import Array
from symprop.data import random_targets
from symprop.network import Network
from symprop.passes import lower, simplify_gradients
from symprop.program import Program
from symprop.tensor import Tensor, accesses

ROWS = 64
"""Samples drawn for each seed: what varies most are the weights, not the samples."""


@dataclass(frozen=True)
class Signals:
    """The program that computes a network's z and δ, and where the way back begins.

    ``start`` are the last pre-activation and what behind it is reached by a way round it.
    """

    network: Network

    @cached_property
    def forward(self) -> Program:
        return self.network.forward

    @cached_property
    def layers(self) -> tuple[Tensor, ...]:
        return self.forward.preactivations

    @cached_property
    def start(self) -> tuple[Tensor, ...]:
        last = self.layers[-1]
        place = max(n for n, e in enumerate(self.forward.flat) if e.label == last.label)
        behind = dict.fromkeys(e.label for e in self.forward.flat[place + 1 :])
        round_it = {
            e.label
            for e in self.forward.flat[place + 1 :]
            for tensor in map(self.forward.tensor, accesses(e.value))
            if tensor is not None
            and tensor.role == "intermediate"
            and tensor.label not in (*behind, last.label)
        }
        return (last, *(self.forward.by_label[label] for label in behind if label in round_it))

    @cached_property
    def program(self) -> Program:
        wanted = {t.cotangent(1): None for t in (*self.layers, *self.start)}
        short = self.network.gradients
        if not wanted.keys() <= set(short.tensors):
            whole = self.forward + self.network.raw_gradients
            short = simplify_gradients(whole, [t for t in whole.tensors if t in wanted])
        kept = [t for t in short.tensors if t in wanted]
        return lower(short, (*self.layers, *kept))

    def measure(self, arrays: Mapping[str, Array], backend: str) -> dict[Symbol, Array]:
        """The values of z and of m δ, by label: those of single samples' losses."""
        if backend == "numpy":
            from symprop.backends.numpy import run
        else:
            from symprop.backends.numba import run
        names = {str(t.label) for t in self.program.tensors}
        values = run(self.program, {name: a for name, a in arrays.items() if name in names})
        rows, found = len(arrays["x"]), {t.label: values[str(t.label)] for t in self.layers}
        for tensor in (*self.layers, *self.start):
            bar = tensor.cotangent(1).label
            if str(bar) in values:
                found[bar] = rows * values[str(bar)]
        return found


def drawn(
    network: Network, seed: int, x: Array | None, y: Array | None
) -> Iterator[tuple[str, Array]]:
    """What a network reads besides its parameters: x and y where they are given, else unit normal
    inputs and targets that suit the loss; noise.
    """
    generator = np.random.default_rng([seed, 1])  # not the numbers that the weights are made of
    rows = ROWS if x is None else len(x)
    for tensor in network.forward.tensors:
        shape = [int(size) if size.is_Integer else rows for size in tensor.shape]
        if tensor.role == "target":
            labels = network.loss.labels
            yield tensor.name, random_targets(labels, shape, generator) if y is None else y
        elif tensor.name == "x":
            yield tensor.name, generator.normal(size=shape) if x is None else x
        elif tensor.role == "input":
            yield tensor.name, np.ones(shape)
        elif tensor.role == "noise":
            yield tensor.name, generator.random(shape)
        elif tensor.role == "state":
            start = tensor.init if isinstance(tensor.init, (int, float)) else 0.0
            yield tensor.name, np.full(shape, float(start))


def mean_square(values: list[Array]) -> float:
    """Over all elements."""
    return float(np.mean([np.mean(value**2) for value in values]))


def size(value: Array) -> float:
    """|δ|: the root of the mean over samples of Σ_j δ[b, j]²."""
    return math.sqrt(float(np.sum(value**2)) / len(value))
