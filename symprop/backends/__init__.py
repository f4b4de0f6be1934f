"""Backends: what runs a program. The interpreter (``numpy``) defines the meaning, ``numba`` is the
fast one.

Both offer ``run(program, arrays, dtype)`` for any program, and an Executable of a network for
training.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
NO_RATES = np.empty(0)

Value = TypeVar("Value")


def in_another_thread(work: Callable[[], Value]) -> Future[Value]:
    """Start some work in a thread of its own."""
    pool = ThreadPoolExecutor(max_workers=1)
    started = pool.submit(work)
    pool.shutdown(wait=False)
    return started


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
    have been trained on. ``rates`` has the learning rate of every batch where the caller gives it.
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

    @classmethod
    def of(
        cls,
        x: Array,
        y: Array,
        rows: Array,
        seeds: Array,
        size: int,
        epochs: int,
        rates: Array = NO_RATES,
    ) -> Batches:
        """Batches for so many epochs, none of them begun."""
        order, done = np.empty_like(rows), np.zeros(1, np.int64)
        return cls(x, y, rows, seeds, rates, size, order, np.zeros(epochs), done)

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

    def gradients(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows and its gradient by parameter name."""

    def train(self, batches: Batches, first: int, last: int) -> None:
        """Train on a range of batches, counted through all epochs, updating ``values`` in place.

        ``batches.order``, ``.losses`` and ``.done`` are brought up to date too. The bits do not
        depend on how a training is cut into calls.
        """
