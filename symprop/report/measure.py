"""What is measured at each snapshot of a training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symprop.backends import Array
from symprop.backends.numpy import run
from symprop.model import Model
from symprop.passes import lower
from symprop.program import Program
from symprop.report.mountain import POINTS, Mountain, mountain, plane_of
from symprop.report.recorder import Recorder, Snapshot, subset

WORK = 50_000_000
"""Rows times parameters that one loss is measured on: some milliseconds."""
DELTA_WORK = 2_000_000
"""The same for δ, which the interpreter computes."""
MOST_ROWS, FEWEST_ROWS = 10_000, 16


@dataclass(frozen=True)
class Series:
    """One number for each snapshot."""

    loss: list[float]
    accuracy: list[float]
    validation_loss: list[float]
    validation_accuracy: list[float]
    gradient: dict[str, list[float]]
    """The mean of |∂L/∂W| over the elements of each parameter."""
    size: dict[str, list[float]]
    """The mean of |W|."""
    delta: list[list[float]]
    """For each layer the mean of |δ| over its units and over samples, each with its own loss."""


class Measurement:
    """Measures with a model of its own, so that the given one stays as it is."""

    def __init__(self, model: Model, recorder: Recorder):
        self.snapshots: list[Snapshot] = recorder.snapshots
        self.network = model.network
        self.model = Model(
            model.network, model.optimizer, model.dtype, model.seed, model.backend, model.lowering
        )
        given, held_out = recorder.data(model)
        size = sum(array.size for array in model.parameters.values())
        self.rows = len(given[0])
        self.data = subset(given, _most(WORK, size))
        self.few = subset(given, min(_most(DELTA_WORK, size), len(self.data[0])))
        self.held_out = None if held_out is None else subset(held_out, MOST_ROWS)
        self.program: Program = lower(self.network.gradients)

    def series(self) -> Series:
        """All numbers at all snapshots."""
        found = [self._at(snapshot.parameters) for snapshot in self.snapshots]
        names = [tensor.name for tensor in self.network.parameters]

        def column(name: str) -> list[float]:
            return [row[name] for row in found if name in row]

        return Series(
            column("loss"),
            column("accuracy"),
            column("validation_loss"),
            column("validation_accuracy"),
            {name: column(f"gradient {name}") for name in names},
            {name: column(f"size {name}") for name in names},
            [column(f"delta {n}") for n in range(len(self.network.forward.preactivations))],
        )

    def _at(self, parameters: Mapping[str, Array]) -> dict[str, float]:
        self.model.set_parameters(parameters)
        found = self.model.evaluate(*self.data)
        if self.held_out is not None:
            measured = self.model.evaluate(*self.held_out)
            found |= {f"validation_{name}": value for name, value in measured.items()}
        _, gradients = self.model.loss_and_gradients(*self.data)
        for name, array in gradients.items():
            found[f"gradient {name}"] = _mean_size(array)
            found[f"size {name}"] = _mean_size(parameters[name])
        for n, delta in enumerate(self._deltas(parameters)):
            found[f"delta {n}"] = _mean_size(delta)
        return found

    def _deltas(self, parameters: Mapping[str, Array]) -> Iterator[Array]:
        """δ of each layer; of a sample's own loss, which the mean over m samples divides by m."""
        x, y = self.few
        values = run(self.program, {"x": x, "y": y, **parameters})
        for tensor in self.network.forward.preactivations:
            label = str(tensor.cotangent(1).label)
            yield values.get(label, np.zeros(1)) * len(x)

    def predictions(self, x: Array) -> Array:
        """The predictions for rows of x at every snapshot: (snapshots, rows, outputs)."""
        found = []
        for snapshot in self.snapshots:
            self.model.set_parameters(snapshot.parameters)
            found.append(self.model.predict(x))
        return np.stack(found)

    def mountain(self) -> Mountain:
        """The loss on the sheet through the path."""
        names = [tensor.name for tensor in self.network.parameters]
        path = np.stack(
            [np.concatenate([s.parameters[n].ravel() for n in names]) for s in self.snapshots]
        )
        return mountain(plane_of(path), self._loss, POINTS)

    def _loss(self, row: Array) -> float:
        """The loss with all parameters in one row; NaN where they are too large for the type."""
        with np.errstate(over="ignore"):
            row = row.astype(self.model.dtype)
        if not np.isfinite(row).all():
            return math.nan
        self.model.set_parameters(self._parameters(row))
        return self.model.evaluate(*self.data)["loss"]

    def _parameters(self, row: Array) -> dict[str, Any]:
        found, first = {}, 0
        for tensor in self.network.parameters:
            shape = tuple(int(size) for size in tensor.shape)
            count = int(np.prod(shape))
            found[tensor.name] = row[first : first + count].reshape(shape)
            first += count
        return found


def _most(work: int, size: int) -> int:
    return min(MOST_ROWS, max(FEWEST_ROWS, work // max(size, 1)))


def _mean_size(array: Array) -> float:
    return float(np.mean(np.abs(array), dtype=np.float64))
