"""What a training leaves behind on its way: the parameters, from time to time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.data import input_array, target_array
from symprop.errors import ArgumentTypeError

if TYPE_CHECKING:
    from symprop.backends import Array
    from symprop.model import Model

MOST = 200
"""Snapshots that are kept: more than a picture's curve shows."""
FEWEST = 20
"""Snapshots that are kept of however large a model."""
MOST_BYTES = 1 << 28
"""What the snapshots of a large model may take."""


@dataclass(frozen=True)
class Snapshot:
    """The parameters by name, after so many steps (batches) of training."""

    step: int
    parameters: Mapping[str, Array]
    number: int
    """Which call of ``record`` this was, counted from 0."""


@dataclass(eq=False, repr=False)
class Recorder:
    """Keeps the parameters of a model on the way of its training, for ``training_page``.

    As a callback of ``fit`` it records at the start and after every epoch; ``record(model)``
    records at once, as between two calls of ``fit``. On ``x`` and ``y``, best the training data,
    the page measures the loss and the gradients; on ``validation``, a pair (x, y), the accuracy
    too, and from it takes the samples that it shows (from x and y if there is none).

    At most 200 snapshots are kept, fewer of a model with more than 300,000 parameters: where there
    would be more, every second one goes. The newest is always kept.

    Raises ArgumentTypeError for a ``validation`` that is no pair; ``record`` raises ShapeError or
    DataError for data that does not fit the model.

    >>> from symprop import Dense, Network
    >>> model = Network([Dense(1)], inputs=1, loss="mse").compile(backend="numpy")
    >>> recorder = Recorder([[0.0], [1.0]], [1.0, 3.0])
    >>> recorder.record(model)
    >>> history = model.fit(recorder.x, recorder.y, epochs=5)
    >>> recorder.record(model)
    >>> recorder
    Recorder(2 snapshots)
    """

    x: Any
    y: Any
    validation: Any = None
    snapshots: list[Snapshot] = field(default_factory=list, init=False)
    _every: int = field(default=1, init=False)
    _count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        pair = isinstance(self.validation, (tuple, list)) and len(self.validation) == 2
        if self.validation is not None and not pair:
            raise ArgumentTypeError(
                "Recorder: validation: expected None or a pair (x, y), "
                f"got {type(self.validation).__name__}"
            )

    def on_fit_begin(self, model: Model) -> None:
        """Record where the training starts."""
        self.record(model)

    def on_epoch_end(self, model: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Record, and tell the history of this training who watched it."""
        self.record(model)
        if self not in model.history.recordings:
            model.history.recordings.append(self)

    def record(self, model: Model) -> None:
        """Keep the model's parameters as they are now; one snapshot a step."""
        if not self.snapshots:
            self.data(model)
        kept, number = self.snapshots, self._count
        step = getattr(model, "step", number)
        if kept and kept[-1].step == step:
            number = kept.pop().number
        elif kept and kept[-1].number % self._every:
            kept.pop()
        kept.append(Snapshot(step, model.parameters, number))
        self._count = number + 1
        if len(kept) > self._limit():
            self._every *= 2
            kept[:-1] = [snapshot for snapshot in kept[:-1] if snapshot.number % self._every == 0]

    def __repr__(self) -> str:
        count = len(self.snapshots)
        return f"Recorder({count} snapshot{'s' if count != 1 else ''})"

    def _limit(self) -> int:
        size = sum(array.nbytes for array in self.snapshots[-1].parameters.values())
        return min(MOST, max(FEWEST, MOST_BYTES // max(size, 1)))

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


def subset(pair: tuple[Array, Array], most: int) -> tuple[Array, Array]:
    """At most so many rows of data, drawn always alike."""
    x, y = pair
    if len(x) <= most:
        return pair
    rows = np.sort(np.random.default_rng(0).permutation(len(x))[:most])
    return x[rows], y[rows]
