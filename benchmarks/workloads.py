"""What is trained: networks, data, start parameters, and the operations that a step takes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LEARNING_RATES = {"sgd": 0.01, "adam": 0.001}
"""Plain SGD, and Adam with β₁ = 0.9, β₂ = 0.999, ε = 1e-8, as in the paper."""


@dataclass(frozen=True)
class Workload:
    """A network, its loss and its data: whole epochs of mini-batches are what is timed.

    ``layers`` holds (units, activation) of each dense layer: tanh, relu, linear, or softmax in the
    last. ``loss`` is mse, (1/m) Σ_b (1/n) Σ_j (ŷ − y)², or cross_entropy with class numbers.
    ``data`` is "normal", inputs and targets drawn from N(0, 1) (classes evenly), or "digits", the
    1,797 handwritten digits of scikit-learn. A batch of all rows is trained without shuffling, by
    every contestant alike.
    """

    name: str
    inputs: int
    layers: tuple[tuple[int, str], ...]
    loss: str
    batch: int
    rows: int
    dtype: str = "float32"
    data: str = "normal"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, then the units of each layer."""
        return (self.inputs, *(units for units, _ in self.layers))

    @property
    def batches(self) -> int:
        """Batches an epoch; the last may be shorter."""
        return math.ceil(self.rows / self.batch)

    @property
    def shuffle(self) -> bool:
        """Whether the order of the rows matters."""
        return self.batch < self.rows

    @property
    def operations(self) -> int:
        """Floating-point operations of an epoch's matrix products.

        2 m n k for a product; one forward, one for ∂L/∂W, and one for the cotangent of the layer's
        input, which the first layer does not need.
        """
        pairs = pairwise(self.sizes)
        products = [(2 if number == 0 else 3) * n * k for number, (k, n) in enumerate(pairs)]
        return 2 * self.rows * sum(products)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(n * (k + 1) for k, n in pairwise(self.sizes))

    def arrays(self) -> tuple[Array, Array]:
        """Inputs (rows, inputs) and targets: numbers (rows, outputs) or classes (rows,)."""
        if self.data == "digits":
            return self._digits()
        generator = np.random.default_rng(0)
        x = generator.normal(size=(self.rows, self.inputs)).astype(self.dtype)
        if self.loss == "cross_entropy":
            return x, generator.integers(0, self.sizes[-1], self.rows)
        return x, generator.normal(size=(self.rows, self.sizes[-1])).astype(self.dtype)

    def _digits(self) -> tuple[Array, Array]:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return (x[: self.rows] / 16).astype(self.dtype), y[: self.rows].astype(np.int64)

    def start(self) -> list[tuple[Array, Array]]:
        """(W, b) of each layer, W of shape (units out, units in); the same for all contestants."""
        generator, layers = np.random.default_rng(1), []
        for k, n in pairwise(self.sizes):
            limit = math.sqrt(6 / (k + n))  # Glorot and Bengio 2010, (16)
            weight = generator.uniform(-limit, limit, (n, k)).astype(self.dtype)
            layers.append((weight, generator.normal(0, 0.1, n).astype(self.dtype)))
        return layers

    def __str__(self) -> str:
        """Such as "8-64-64-1 tanh, batch 64"; float64 and Adam are said where they differ."""
        hidden = "-".join(map(str, self.sizes))
        if len(self.layers) > 6:
            hidden = f"{self.inputs}-{self.layers[0][0]}×{len(self.layers) - 1}-{self.sizes[-1]}"
        names = " ".join(dict.fromkeys(a for _, a in self.layers if a != "linear"))
        batch = f"batch {self.batch:,}" if self.shuffle else f"full batch {self.batch:,}"
        return f"{hidden} {names}, {batch}" + (", float64" if self.dtype == "float64" else "")

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def from_plain(fields: dict[str, Any]) -> Workload:
    """A workload from what ``plain`` gave, after JSON."""
    return Workload(**{**fields, "layers": tuple((u, a) for u, a in fields["layers"])})


def stack(units: tuple[int, ...], hidden: str, last: str) -> tuple[tuple[int, str], ...]:
    """Dense layers with one activation, and another in the last."""
    return (*((u, hidden) for u in units[:-1]), (units[-1], last))


TABLE = (
    Workload("W1", 2, stack((16, 1), "tanh", "linear"), "mse", 32, 1024),
    Workload("W2", 8, stack((64, 64, 1), "tanh", "linear"), "mse", 64, 4096),
    Workload(
        "W3", 64, stack((64, 10), "relu", "softmax"), "cross_entropy", 64, 1797, data="digits"
    ),
    Workload("W4", 784, stack((128, 10), "relu", "softmax"), "cross_entropy", 128, 12800),
    Workload("W5", 784, stack((1024, 1024, 10), "relu", "softmax"), "cross_entropy", 256, 2560),
    Workload("W6", 1, stack((32, 32, 1), "tanh", "linear"), "mse", 1000, 1000, dtype="float64"),
    Workload("W7", 4, stack((32, 16, 4), "tanh", "linear"), "mse", 10000, 10000),
)
"""W3 is real data, W4 has the shape of MNIST, W7 that of SimpleChains.jl's published comparison."""


def with_rows(workload: Workload, operations: float = 1e9) -> Workload:
    """The workload with data of about so many operations: 4 to 64 batches, or 1,024 rows."""
    one = replace(workload, rows=workload.batch).operations
    most = max(64, 1024 // workload.batch)
    batches = max(4, min(most, int(operations / one)))
    return replace(workload, rows=batches * workload.batch)
