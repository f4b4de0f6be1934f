"""What is measured at each snapshot of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symprop.backends import Array
from symprop.backends.numpy import run
from symprop.model import Model
from symprop.passes import lower
from symprop.program import Program
from symprop.recorder import MOST_ROWS, WORK, Recorder, Snapshot, most_rows, subset
from symprop.report.mountain import POINTS, Mountain, mountain, plane_of

DELTA_WORK = 2_000_000
"""What WORK is, for δ, which the interpreter computes."""


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
        self.rows = recorder.rows or len(given[0])
        self.data = subset(given, most_rows(WORK, size))
        self.few = subset(given, min(most_rows(DELTA_WORK, size), len(self.data[0])))
        self.held_out = None if held_out is None else subset(held_out, MOST_ROWS)
        self.program: Program = lower(self.network.inference_gradients)
        self.states = tuple(model.network.statistics.with_role("state"))

    def series(self) -> Series:
        """All numbers at all snapshots."""
        found = [self._at(snapshot) for snapshot in self.snapshots]
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
            [column(f"delta {n}") for n in range(len(self.network.inference.preactivations))],
        )

    def _at(self, snapshot: Snapshot) -> dict[str, float]:
        self._set(snapshot.values)
        found = self.model.evaluate(*self.data)
        if self.held_out is not None:
            measured = self.model.evaluate(*self.held_out)
            found |= {f"validation_{name}": value for name, value in measured.items()}
        x, y = self.few
        values = run(self.program, {"x": x, "y": y, **snapshot.values})
        for name, array in self._gradients(values).items():
            found[f"gradient {name}"] = _mean_size(array)
            found[f"size {name}"] = _mean_size(snapshot.parameters[name])
        for n, tensor in enumerate(self.network.inference.preactivations):
            delta = values.get(str(tensor.cotangent(1).label), np.zeros(1))
            # of a sample's own loss, which the mean over the samples divides by their number
            found[f"delta {n}"] = _mean_size(delta) * len(x)
        return found

    @property
    def gradient_rows(self) -> int:
        """How many samples the gradients are those of."""
        return len((self.data if self._is_trained_as_it_predicts else self.few)[0])

    def _gradients(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """∂L/∂W of prediction; compiled code has those of training, which may be others."""
        if self._is_trained_as_it_predicts:
            return self.model.loss_and_gradients(*self.data)[1]
        labels = {t.name: str(t.cotangent(1).label) for t in self.network.parameters}
        return {name: values.get(label, np.zeros(1)) for name, label in labels.items()}

    @property
    def _is_trained_as_it_predicts(self) -> bool:
        return self.network.inference is self.network.forward

    def _set(self, values: Mapping[str, Array]) -> None:
        """Set the parameters and the running statistics."""
        self.model.set_parameters({t.name: values[t.name] for t in self.network.parameters})
        for tensor in self.states:
            self.model.values[tensor.name][...] = values[tensor.name]

    def predictions(self, x: Array) -> Array:
        """The predictions for rows of x at every snapshot: (snapshots, rows, outputs)."""
        found = []
        for snapshot in self.snapshots:
            self._set(snapshot.values)
            found.append(self.model.predict(x))
        return np.stack(found)

    def mountain(self) -> Mountain:
        """The loss on the sheet through the path."""
        names = [tensor.name for tensor in (*self.network.parameters, *self.states)]
        path = np.stack(
            [np.concatenate([s.values[n].ravel() for n in names]) for s in self.snapshots]
        )
        size = sum(array.size for array in self.snapshots[0].parameters.values())
        return mountain(plane_of(path, size), self._loss, POINTS)

    def _loss(self, row: Array) -> float:
        """The loss with all parameters and states in one row; NaN where they are too large."""
        with np.errstate(over="ignore"):
            row = row.astype(self.model.dtype)
        if not np.isfinite(row).all():
            return math.nan
        self._set(self._values(row))
        return self.model.evaluate(*self.data)["loss"]

    def _values(self, row: Array) -> dict[str, Any]:
        found, first = {}, 0
        for tensor in (*self.network.parameters, *self.states):
            shape = tuple(int(size) for size in tensor.shape)
            count = int(np.prod(shape))
            found[tensor.name] = row[first : first + count].reshape(shape)
            first += count
        return found


def _mean_size(array: Array) -> float:
    return float(np.mean(np.abs(array), dtype=np.float64))
