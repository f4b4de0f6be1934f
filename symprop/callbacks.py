"""Callbacks: objects that are called between the epochs of a training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from symprop.arguments import constructed_by_name
from symprop.errors import ArgumentError, ArgumentTypeError, ModelFileError
from symprop.layers.base import flag, positive_integer
from symprop.metrics import larger_is_better
from symprop.settings import setting

if TYPE_CHECKING:
    from symprop.model import Model

State = dict[str, Any]
"""What a callback remembers: numbers, text, None and arrays by name."""


@runtime_checkable
class Callback(Protocol):
    """An object that is called after each epoch; ``model.stop_training = True`` ends the training.

    ``epoch`` counts the fit's epochs from 1, ``logs`` holds the epoch's record: "loss",
    "validation_loss" and the metrics by name. The epoch is finished when all callbacks have been
    called: until then ``model.epoch`` and ``model.history`` hold those before it, so that a fit
    cut here goes on here. A callback may have more, which is used if it is there:

    - ``on_fit_begin(model)`` before, and ``on_fit_end(model)`` after a fit that was not cut;
    - ``state()``, a dict of what it remembers (numbers, text, None, arrays), which a saved model
      keeps, and ``restore(state)``, called in place of ``on_fit_begin`` by a fit that goes on with
      one that was cut.
    """

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, float]) -> None: ...


def callback_list(given: Any, measured: Collection[str]) -> tuple[Callback, ...]:
    """The callbacks that a user means: None, one, or several in a list.

    A ``monitor`` of theirs must be ``measured``: then it is in each epoch's record.
    """
    if given is None:
        return ()
    several = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for callback in several:
        if isinstance(callback, type) or not isinstance(callback, Callback):
            raise ArgumentTypeError(
                "callbacks: expected objects with a method on_epoch_end(model, epoch, logs), got "
                f"{callback!r}"
            )
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in measured:
            raise ArgumentError(
                f"{type(callback).__name__}: monitor: {monitor!r} is not measured; there are "
                f"{', '.join(measured)}; give validation= or metrics="
            )
    return several


def states(callbacks: tuple[Callback, ...]) -> tuple[tuple[str, State], ...]:
    """The class's name and the state of each.

    Raises ArgumentTypeError for a state that no file can hold.
    """
    return tuple((type(c).__name__, _state(c)) for c in callbacks)


def _state(callback: Callback) -> State:
    state = dict(getattr(callback, "state", dict)())
    for name, value in state.items():
        if value is not None and not isinstance(value, (bool, int, float, str, np.ndarray)):
            raise ArgumentTypeError(
                f"callbacks: {type(callback).__name__}.state(): {name!r}: expected a number, text, "
                f"None or an array, got {type(value).__name__}"
            )
    return state


@constructed_by_name
@dataclass
class EarlyStopping:
    """Stops a training that does not get better any more.

    Better is a ``monitor`` that is by more than ``min_delta`` below the best so far, or above it
    where larger is better (accuracy, top_k, r2); NaN is never better. After ``patience`` epochs in
    a row that were not better the training stops. ``restore_best`` then, and also when the epochs
    have run out, puts back the parameters of the best epoch; the optimizer's state stays.

    ``mode`` is "min" or "max", and must be given for a metric of your own. Patience 10 by default:
    validation losses of mini-batch training rise and fall by turns. The best parameters are put
    back by default: they are what is stopped for (Prechelt 1998, "Early stopping — but when?").

    ``best``, ``best_epoch`` and ``wait`` say how it stands.

    Raises ArgumentError or ArgumentTypeError.

    >>> EarlyStopping("validation_accuracy", patience=3).mode
    'max'
    """

    monitor: str = "validation_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    mode: str = ""
    best: float | None = field(default=None, init=False)
    best_epoch: int = field(default=0, init=False)
    wait: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.monitor, str):
            raise ArgumentTypeError(
                f"EarlyStopping: monitor: expected a name, got {self.monitor!r}"
            )
        self.patience = positive_integer("EarlyStopping: patience", self.patience)
        least = setting("EarlyStopping: min_delta", self.min_delta, 0, low_included=True)
        self.min_delta = float(least)
        self.restore_best = flag("EarlyStopping: restore_best", self.restore_best)
        if not self.mode:
            larger = larger_is_better(self.monitor)
            self.mode = "" if larger is None else "max" if larger else "min"
        if self.mode not in ("min", "max"):
            short = self.monitor.startswith("val_")  # as in Keras
            meant = f"; is 'validation_{self.monitor[4:]}' meant?" if short else ""
            raise ArgumentError(
                f"EarlyStopping: mode: expected 'min' or 'max' for {self.monitor!r}, got "
                f"{self.mode!r}{meant}"
            )
        self._values: dict[str, Any] = {}

    def on_fit_begin(self, model: Model) -> None:
        """Forget the fit before."""
        self.best, self.best_epoch, self.wait, self._values = None, 0, 0, {}

    def on_epoch_end(self, model: Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Compare; stop if it has not got better for too long."""
        value = float(logs[self.monitor])
        if self._better(value):
            self.best, self.best_epoch, self.wait = value, epoch, 0
            if self.restore_best:
                self._values = {label: array.copy() for label, array in _own(model).items()}
            return
        self.wait += 1
        if self.wait >= self.patience:
            model.stop_training = True

    def _better(self, value: float) -> bool:
        if np.isnan(value):
            return False
        if self.best is None:
            return True
        if self.mode == "max":
            return value > self.best + self.min_delta
        return value < self.best - self.min_delta

    def on_fit_end(self, model: Model) -> None:
        """Put back the best parameters."""
        own = _own(model)
        for label, array in self._values.items():
            if label not in own or own[label].shape != np.shape(array):
                raise ModelFileError(f"EarlyStopping: its state does not fit the network: {label}")
        for label, array in self._values.items():
            own[label][...] = array

    def state(self) -> State:
        """What is remembered: the best value, its epoch and parameters, and how long ago it was."""
        kept = {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait}
        return {**kept, **{f"values/{label}": array for label, array in self._values.items()}}

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises ModelFileError for one that is not of this class.
        """
        best, epoch, wait = (state.get(name) for name in ("best", "best_epoch", "wait"))
        counts = isinstance(epoch, int) and isinstance(wait, int)
        if not counts or not isinstance(best, (float, int, type(None))):
            raise ModelFileError("EarlyStopping: what the file holds is no state of it")
        self.best, self.best_epoch, self.wait = best, int(epoch or 0), int(wait or 0)
        self._values = {
            name.removeprefix("values/"): array
            for name, array in state.items()
            if name.startswith("values/")
        }


def _own(model: Model) -> dict[str, Any]:
    """The network's own arrays: its parameters, and statistics that it keeps."""
    tensors = model.network.forward.tensors
    kept = (str(t.label) for t in tensors if t.role in ("parameter", "state"))
    return {label: model.values[label] for label in kept}
