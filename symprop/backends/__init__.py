"""Backends: what runs a program. The interpreter (``numpy``) defines the meaning, ``numba`` is the
fast one.

Both offer ``run(program, arrays, dtype)`` for any program, and an Executable of a network for
training.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]


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

    def train(
        self,
        x: Array,
        y: Array,
        order: Array,
        first: int,
        last: int,
        batch_size: int,
        total: float = 0.0,
    ) -> float:
        """Train on the batches ``first`` … ``last − 1`` of the rows in the given order, updating
        ``values`` in place.

        Batch i holds rows order[i·batch_size : (i + 1)·batch_size]; the last batch may be shorter.
        Returns ``total`` plus the sum over these batches of batch loss times batch rows: added one
        by one, so that the bits do not depend on how an epoch is cut into calls.
        """
