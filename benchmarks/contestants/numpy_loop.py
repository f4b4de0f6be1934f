"""Plain NumPy, written for speed: arrays made once, every result into one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.workloads import LEARNING_RATES, Array, Workload


@dataclass
class Layer:
    """Views of one layer: W of shape (in, out), b, their gradients, and buffers of a batch."""

    activation: str
    weight: Array
    bias: Array
    weight_gradient: Array
    bias_gradient: Array
    output: Array
    delta: Array
    scratch: Array


def views(flat: Array, sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """(W, b) of each layer within one array."""
    found, first = [], 0
    for k, n in pairwise(sizes):
        found.append((flat[first : first + k * n].reshape(k, n), flat[first + k * n :][:n]))
        first += k * n + n
    return found


def activate(name: str, z: Array) -> None:
    """f(z) in place; softmax leaves e^(z − max z)."""
    if name == "tanh":
        np.tanh(z, out=z)
    elif name == "relu":
        np.maximum(z, 0, out=z)
    elif name == "softmax":
        z -= z.max(axis=1, keepdims=True)


def times_slope(name: str, output: Array, delta: Array, scratch: Array) -> None:
    """delta ← delta · f′(z), in terms of the output."""
    if name == "tanh":
        np.multiply(output, output, out=scratch)
        np.subtract(1, scratch, out=scratch)
        delta *= scratch
    elif name == "relu":
        np.multiply(delta, output > 0, out=delta)


class Update:
    """The optimizer on all parameters at once."""

    def __init__(self, optimizer: str, flat: Array, gradient: Array):
        self.optimizer, self.flat, self.gradient = optimizer, flat, gradient
        self.first, self.second = np.zeros_like(flat), np.zeros_like(flat)
        self.scratch, self.steps = np.empty_like(flat), 0

    def __call__(self) -> None:
        if self.optimizer == "adam":
            self._adam()
        else:
            np.multiply(self.gradient, LEARNING_RATES["sgd"], out=self.gradient)
            np.subtract(self.flat, self.gradient, out=self.flat)

    def _adam(self) -> None:
        g, m, v, scratch = self.gradient, self.first, self.second, self.scratch
        self.steps += 1
        m *= 0.9
        m += np.multiply(g, 0.1, out=scratch)
        v *= 0.999
        g *= g
        v += np.multiply(g, 0.001, out=scratch)
        np.multiply(v, 1 / (1 - 0.999**self.steps), out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += 1e-8
        np.divide(m, scratch, out=scratch)
        scratch *= LEARNING_RATES["adam"] / (1 - 0.9**self.steps)
        self.flat -= scratch


class NumpyLoop:
    """Forward, backward and update of each batch, with ``out=`` throughout."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1):
        self.workload = workload
        self.x, self.y = workload.arrays()
        self.generator = np.random.default_rng(0)
        flat, gradient = (np.zeros(workload.parameters, workload.dtype) for _ in range(2))
        self.layers = self._layers(flat, gradient)
        self.update = Update(optimizer, flat, gradient)
        self.batch_x = np.empty((workload.batch, workload.inputs), workload.dtype)
        self.batch_y = np.empty((workload.batch, *self.y.shape[1:]), self.y.dtype)

    def _layers(self, flat: Array, gradient: Array) -> list[Layer]:
        w, layers = self.workload, []
        for (_, name), (weight, bias), gradients, start in zip(
            w.layers, views(flat, w.sizes), views(gradient, w.sizes), w.start(), strict=True
        ):
            weight[...], bias[...] = start[0].T, start[1]
            buffers = [np.empty((w.batch, len(bias)), w.dtype) for _ in range(3)]
            layers.append(Layer(name, weight, bias, *gradients, *buffers))
        return layers

    def run(self, epochs: int, shuffle: bool) -> float:
        loss = math.nan
        for _ in range(epochs):
            loss = self._epoch(shuffle)
        return loss

    def _epoch(self, shuffle: bool) -> float:
        rows, batch, total = self.workload.rows, self.workload.batch, 0.0
        order = self.generator.permutation(rows) if shuffle else None
        for first in range(0, rows, batch):
            chosen = slice(first, first + batch) if order is None else order[first : first + batch]
            x, y = self._batch(chosen)
            self._forward(x)
            total += self._loss(y)
            self._backward(x)
            self.update()
        return total / rows

    def _batch(self, chosen: slice | Array) -> tuple[Array, Array]:
        if isinstance(chosen, slice):
            return self.x[chosen], self.y[chosen]
        m = len(chosen)
        # mode="clip" writes into out; the default makes a copy first, for the sake of errors
        x = np.take(self.x, chosen, axis=0, out=self.batch_x[:m], mode="clip")
        return x, np.take(self.y, chosen, axis=0, out=self.batch_y[:m], mode="clip")

    def _forward(self, x: Array) -> None:
        for layer in self.layers:
            z = np.dot(x, layer.weight, out=layer.output[: len(x)])
            z += layer.bias
            activate(layer.activation, z)
            x = z

    def _loss(self, y: Array) -> float:
        """The sum of the rows' losses; leaves ∂L/∂z of the last layer in its delta."""
        last, m = self.layers[-1], len(y)
        output, delta = last.output[:m], last.delta[:m]
        if self.workload.loss == "mse":
            np.subtract(output, y, out=delta)
            n = output.shape[1]
            total = float(np.vdot(delta, delta) / n)
            delta *= 2 / (m * n)
            times_slope(last.activation, output, delta, last.scratch[:m])
            return total
        rows = np.arange(m)
        np.exp(output, out=delta)
        sums = delta.sum(axis=1, keepdims=True)
        delta /= sums * m
        total = float(np.log(sums).sum() - output[rows, y].sum())
        delta[rows, y] -= 1 / m
        return total

    def _backward(self, x: Array) -> None:
        m = len(x)
        for number in reversed(range(len(self.layers))):
            layer, delta = self.layers[number], self.layers[number].delta[:m]
            source = self.layers[number - 1].output[:m] if number else x
            np.dot(source.T, delta, out=layer.weight_gradient)
            np.sum(delta, axis=0, out=layer.bias_gradient)
            if number:
                below = self.layers[number - 1]
                np.dot(delta, layer.weight.T, out=below.delta[:m])
                times_slope(below.activation, source, below.delta[:m], below.scratch[:m])
