"""Backends: what runs a program. The interpreter (``numpy``) defines the meaning, ``numba`` is the
fast one.

Both offer ``run(program, arrays, dtype)`` for any program, and an Executable of a network for
training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, Protocol, TypeVar

import numpy as np

from symprop.tensor import Tensor

Array = np.ndarray[Any, Any]
NO_NOISE = np.zeros(2, np.uint64)
"""What noise is drawn from where there is none to draw."""
NO_RATES = np.empty(0)
"""Where no learning rates are given."""


Value = TypeVar("Value")


def in_another_thread(work: Callable[[], Value]) -> Future[Value]:
    """Start some work in a thread of its own."""
    started: Future[Value] = Future()
    start(work, started)
    return started


def start(work: Callable[[], Value], found: Future[Value]) -> Thread:
    """Start some work in a thread of its own, of which ``found`` tells.

    A KeyboardInterrupt may come before the thread runs or after. Whoever holds ``found`` is safe:
    what can still be cancelled has not begun and never will, anything else can be waited for.
    """

    def run() -> None:
        if found.set_running_or_notify_cancel():
            try:
                value = work()
            except BaseException as error:
                found.set_exception(error)
            else:
                found.set_result(value)

    thread = Thread(target=run)
    thread.start()
    return thread


def outcome(started: Future[Value]) -> Value:
    """What some work gives, waited for in short steps: a Ctrl-C is answered between two."""
    while True:
        try:
            return started.result(timeout=0.05)
        except TimeoutError:
            if started.done():
                raise


@dataclass(frozen=True)
class Batches:
    """What is trained on: ``size`` rows of x and y at a time, for some epochs.

    An epoch takes ``rows`` (some of x's) in the order that its seed gives, or as they are if there
    are no ``seeds``; its last batch may be shorter. ``order`` holds that of the current epoch,
    ``losses`` the sum over its batches of batch loss times batch rows, ``done`` how many batches
    have been trained on. ``noise`` holds the key of the model's noise and how many batches it was
    trained on before these. ``weights`` holds a number for each of x's rows, for a weighted loss,
    ``rates`` the learning rate of every batch where the caller gives it.
    """

    x: Array
    y: Array
    rows: Array
    seeds: Array
    rates: Array
    size: int
    order: Array
    losses: Array
    done: Array
    noise: Array
    weights: Array | None = None

    @classmethod
    def of(
        cls,
        x: Array,
        y: Array,
        rows: Array,
        seeds: Array,
        size: int,
        epochs: int,
        noise: Array = NO_NOISE,
        rates: Array = NO_RATES,
        weights: Array | None = None,
    ) -> Batches:
        """Batches for so many epochs, none of them begun."""
        order, done = np.empty_like(rows), np.zeros(1, np.int64)
        losses = np.zeros(epochs)
        return cls(x, y, rows, seeds, rates, size, order, losses, done, noise, weights)

    @property
    def data(self) -> dict[str, Array]:
        """The whole data by the names of the tensors that take a batch's rows of it."""
        weights = {} if self.weights is None else {"w": self.weights}
        return {"x": self.x, "y": self.y, **weights}

    def rows_of(self, number: int) -> Array:
        """The rows of a batch of the current epoch, by its number counted through all epochs."""
        begin = number % self.per_epoch * self.size
        return self.order[begin : begin + self.size]

    @property
    def per_epoch(self) -> int:
        return -(-len(self.rows) // self.size)


class Executable(Protocol):
    """A network's programs over one set of arrays: ``values`` holds parameters and optimizer state
    by label.

    Arrays handed in are C-contiguous, of the model's dtype and checked; a kernel checks nothing.
    """

    @property
    def source(self) -> str:
        """The text of the code that runs."""

    def predict(self, x: Array) -> Array:
        """The prediction for every row of x."""

    def loss(self, x: Array, y: Array) -> float:
        """The mean loss over all rows."""

    def gradients(
        self, x: Array, y: Array, noise: Array = NO_NOISE
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows, as one batch, and its gradient by parameter name, with the
        noise of the first batch from ``noise`` on, as in ``Batches``.
        """

    def lower(self) -> None:
        """Write what trains, if that was not done. Raises LoweringError."""

    def prepare(self, batches: Batches) -> None:
        """Compile what trains on such batches, if that was not done."""

    def train(self, batches: Batches, first: int, last: int) -> None:
        """Train on a range of batches, counted through all epochs, updating ``values`` in place.

        ``batches.order``, ``.losses`` and ``.done`` are brought up to date too. The bits do not
        depend on how a training is cut into calls.
        """

    def whole(self, batches: Batches) -> bool:
        """Whether a call of ``train`` counts every batch that it does: no KeyboardInterrupt comes
        between the two.
        """

    def steps(self, batches: Batches, number: int) -> Iterator[tuple[Tensor, Array]]:
        """Each tensor of one batch's training step with its value, in the order of the program;
        nothing is changed.
        """
