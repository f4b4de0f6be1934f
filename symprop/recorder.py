"""What a training leaves behind on its way: the parameters, from time to time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.backends import Array
from symprop.data import TrainingData, input_array, target_array
from symprop.errors import ArgumentTypeError

if TYPE_CHECKING:
    from symprop.model import Model

MOST = 200
"""Snapshots that are kept: more than a picture's curve shows."""
FEWEST = 20
"""Snapshots that are kept of however large a model."""
MOST_BYTES = 1 << 28
"""What the snapshots of a large model may take."""
OWN_MOST, OWN_FEWEST, OWN_BYTES = 100, 3, 1 << 24
"""The same of a fit's own recorder, which nobody asked for."""
OWN_LARGEST = 1 << 22
"""Bytes of parameters above which a fit has no recorder of its own: copies would take time."""
OWN_SAMPLES = 1 << 20
"""Bytes of samples that it keeps, a fraction of a millisecond to copy."""
WORK = 50_000_000
"""Rows times parameters that one loss is measured on: some milliseconds."""
MOST_ROWS, FEWEST_ROWS = 10_000, 16


@dataclass(frozen=True)
class Snapshot:
    """The parameters by name, after so many steps (batches) of training, and running statistics."""

    step: int
    parameters: Mapping[str, Array]
    number: int
    """Which call of ``record`` this was, counted from 0."""
    states: Mapping[str, Array] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Array]:
        """The parameters and the states."""
        return {**self.parameters, **self.states}


@dataclass(eq=False, repr=False)
class Recorder:
    """Keeps the parameters of a model on the way of its training, for ``training_page``.

    As a callback of ``fit`` it records at the start, after every epoch and at the end;
    ``record(model)`` records at once, as between two calls of ``fit``. On ``x`` and ``y``, best the
    training data, the page measures the loss and the gradients; on ``validation``, a pair (x, y),
    the accuracy too, and from it takes the samples that it shows (from x and y if there is none).

    At most 200 snapshots are kept, fewer of a model with more than 300,000 parameters: where there
    would be more, every second one goes. The newest is always kept.

    Raises ArgumentTypeError for a ``validation`` that is no pair; ``record`` raises ShapeError or
    DataError for data that does not fit the model.

    >>> from symprop import Dense, Network
    >>> model = Network([Dense(1)], inputs=1, loss="mse").compile(backend="numpy")
    >>> recorder = Recorder([[0.0], [1.0]], [1.0, 3.0])
    >>> history = model.fit(recorder.x, recorder.y, epochs=5, callbacks=[recorder])
    >>> recorder
    Recorder(6 snapshots)
    """

    x: Any
    y: Any
    validation: Any = None
    snapshots: list[Snapshot] = field(default_factory=list, init=False)
    rows: int = field(default=0, init=False)
    """How many samples were trained on, where fewer are kept; else 0."""
    _own: bool = field(default=False, init=False)
    _every: int = field(default=1, init=False)
    _count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        pair = isinstance(self.validation, (tuple, list)) and len(self.validation) == 2
        if self.validation is not None and not pair:
            raise ArgumentTypeError(
                "Recorder: validation: expected None or a pair (x, y), "
                f"got {type(self.validation).__name__}"
            )

    @classmethod
    def of_fit(cls, model: Model, data: TrainingData) -> Recorder | None:
        """A fit's own recorder, with copies of some of its samples; None for a large model."""
        values = [model.values[t.name] for t in model.network.parameters]
        if sum(array.nbytes for array in values) > OWN_LARGEST:
            return None
        most = most_rows(WORK, sum(array.size for array in values))
        held_out = data.held_out
        if held_out is not None:
            held_out = _copied(*held_out, np.arange(len(held_out[0])), MOST_ROWS)
        found = cls(*_copied(data.x, data.y, data.rows, most), held_out)
        found.rows, found._own = len(data.rows), True
        return found

    def on_fit_begin(self, model: Model) -> None:
        """Record where the training starts."""
        self.record(model)

    def on_moment(self, model: Model) -> None:
        """A fit's own recorder records wherever the fit stands still and all is finite."""
        if self._own:
            self.record(model)

    def on_epoch_end(self, model: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Record what the epoch has led to."""
        self.record(model)

    def record(self, model: Model) -> None:
        """Keep the model's parameters as they are now; one snapshot a step."""
        if not (self.snapshots or self._own):
            self.data(model)
        kept, number, step = self.snapshots, self._count, model.step
        if kept and kept[-1].step == step:
            number = kept.pop().number
        elif kept and kept[-1].number % self._every:
            kept.pop()
        values, network = model.values, model.network
        parameters = {t.name: values[t.name].copy() for t in network.parameters}
        states = {t.name: values[t.name].copy() for t in network.statistics.with_role("state")}
        kept.append(Snapshot(step, parameters, number, states))
        self._count = number + 1
        if len(kept) > self._limit():
            self._every *= 2
            kept[:-1] = [snapshot for snapshot in kept[:-1] if snapshot.number % self._every == 0]

    def __repr__(self) -> str:
        count = len(self.snapshots)
        return f"Recorder({count} snapshot{'s' if count != 1 else ''})"

    def _limit(self) -> int:
        size = sum(array.nbytes for array in self.snapshots[-1].parameters.values())
        most, fewest, together = MOST, FEWEST, MOST_BYTES
        if self._own:
            most, fewest, together = OWN_MOST, OWN_FEWEST, OWN_BYTES
        return min(most, max(fewest, together // max(size, 1)))

    def data(self, model: Model) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
        """The data to measure on, and that to validate on, checked and converted for a model."""
        pairs = [("", (self.x, self.y))]
        if self.validation is not None:
            pairs.append(("validation ", tuple(self.validation)))
        found = [_checked(model, x, y, prefix) for prefix, (x, y) in pairs]
        return found[0], found[1] if len(found) > 1 else None


def _checked(model: Model, x: Any, y: Any, prefix: str) -> tuple[Array, Array]:
    inputs = input_array(model.network, x, model.dtype, f"{prefix}x")
    targets = target_array(model.network, y, len(inputs), model.dtype, f"{prefix}y")
    return inputs, targets


def most_rows(work: int, size: int) -> int:
    """On how many rows a model with ``size`` parameters is measured."""
    return min(MOST_ROWS, max(FEWEST_ROWS, work // max(size, 1)))


def subset(pair: tuple[Array, Array], most: int) -> tuple[Array, Array]:
    """At most so many rows of data, drawn always alike."""
    x, y = pair
    rows = _drawn(len(x), most)
    return pair if len(rows) == len(x) else (x[rows], y[rows])


@lru_cache(maxsize=8)
def _drawn(count: int, most: int) -> Array:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def _copied(x: Array, y: Array, rows: Array, most: int) -> tuple[Array, Array]:
    """Copies of at most so many of the rows, and of at most so many bytes."""
    row = (x[:1].nbytes + y[:1].nbytes) or 1
    kept = rows[_drawn(len(rows), min(most, max(FEWEST_ROWS, OWN_SAMPLES // row)))]
    return x[kept], y[kept]
