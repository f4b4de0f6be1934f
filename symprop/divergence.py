"""Training that leaves the finite numbers: going back to the last finite step, and what left first.

Nothing in compiled code looks for it. Between its calls the sums of the losses are looked at, now
and then all values. Training from a kept moment gives the same bits again, so the step is found by
repeating it batch by batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np

from symprop.backends import Array, Batches, Executable
from symprop.errors import DivergenceError
from symprop.printers.structure import Names
from symprop.printers.unicode import UnicodePrinter

OUTSIDE = (
    "a value lies outside of what a formula takes (log and sqrt take none below 0; cross_entropy "
    "needs softmax before it, binary_cross_entropy sigmoid, poisson an activation above 0)"
)
"""The likely cause of numbers that are not finite before anything is learned."""
SHARE = 0.01
"""What part of the time of training the keeping of moments to go back to may take."""


def finite(arrays: Iterable[Array]) -> bool:
    """Whether every number is finite; a finite sum shows it in one pass without memory."""
    with np.errstate(all="ignore"):
        return all(bool(np.isfinite(a.sum()) or np.isfinite(a).all()) for a in arrays)


class Moment:
    """A moment of a training that can be gone back to: all values, and how far the batches were."""

    def __init__(self) -> None:
        self._values: dict[str, Array] = {}
        self._seconds, self._since = 0.0, 0.0

    def keep(self, values: Mapping[str, Array], batches: Batches) -> None:
        """Keep this moment in place of the one before."""
        start = time.perf_counter()
        if self._values.keys() != values.keys():
            self._values = {label: np.empty_like(array) for label, array in values.items()}
        for label, array in values.items():
            np.copyto(self._values[label], array)
        self.done = int(batches.done[0])
        self._losses = batches.losses.copy()
        self._order = batches.order.copy() if self.done % batches.per_epoch else None
        self._seconds, self._since = time.perf_counter() - start, 0.0

    def is_old(self, seconds: float) -> bool:
        """Whether it is time to keep another, after so many more seconds of training."""
        self._since += seconds
        return self._since * SHARE > self._seconds

    def come_back(self, values: Mapping[str, Array], batches: Batches) -> None:
        """Put everything back."""
        for label, array in values.items():
            array[...] = self._values[label]
        batches.losses[...] = self._losses
        batches.done[0] = self.done
        if self._order is not None:
            batches.order[...] = self._order


def last_finite_step(
    executable: Executable, values: Mapping[str, Array], batches: Batches, moment: Moment
) -> int:
    """Go back to before the batch with which the numbers stop being finite; its number."""
    end = int(batches.done[0])
    moment.come_back(values, batches)
    number = moment.done
    for number in range(moment.done, end):
        executable.train(batches, number, number + 1)
        if not finite([batches.losses, *values.values()]):
            break
    moment.come_back(values, batches)
    if number > moment.done:
        executable.train(batches, moment.done, number)
    return number


def divergence(
    executable: Executable, batches: Batches, number: int, epoch: int
) -> DivergenceError:
    """The error for a batch, in the epoch that the batches begin with; the step is done once more
    by itself.
    """
    with np.errstate(all="ignore"):
        found = next(
            ((t, a) for t, a in executable.steps(batches, number) if not np.isfinite(a).all()),
            None,
        )
    name, bad = "the sum of the losses", "infinite"
    if found is not None:
        name = str(UnicodePrinter().doprint(Names().access(str(found[0].label))))
        bad = "NaN" if np.isnan(found[1]).any() else "infinite"
    epoch, batch = epoch + number // batches.per_epoch, number % batches.per_epoch + 1
    causes = ["the learning rate is too high", OUTSIDE]
    causes = causes[::-1] if (epoch, batch) == (1, 1) else causes
    return DivergenceError(
        f"fit: {name} is {bad} in epoch {epoch}, batch {batch}; the model is as it was before that "
        f"batch. Usually {', or '.join(causes)}",
        epoch,
        batch,
        name,
    )
