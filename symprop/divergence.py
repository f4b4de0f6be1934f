"""Training that leaves the finite numbers: going back to the last finite step, and what left first.

Nothing in compiled code looks for it. Between its calls the sums of the losses are looked at, now
and then all values. Training from a kept moment gives the same bits again, so the step is found by
repeating it batch by batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import FileIO
from tempfile import TemporaryFile
from weakref import finalize

import numpy as np

from symprop.backends import Array, Batches, Executable
from symprop.data import finite
from symprop.errors import DivergenceError
from symprop.printers.structure import Names
from symprop.printers.unicode import UnicodePrinter

OUTSIDE = (
    "a value lies outside of what a formula takes (log and sqrt take none below 0; cross_entropy "
    "needs softmax before it, binary_cross_entropy sigmoid, poisson an activation above 0)"
)
"""The likely cause of numbers that are not finite before anything is learned."""
REMEDIES = (
    "What helps: a smaller learning rate, clip_norm= of the optimizer, x and y scaled to about 1; "
    "network.compile(…) starts anew"
)
"""What to do next: what was learned shortly before is rarely of use."""
GROWN = 1e6
"""The size of a value with which no fit goes on."""
SHARE = 0.01
"""What part of the time of training the keeping of moments to go back to may take."""
LARGE = 1 << 18
"""Bytes of values above which their copy is in a file: training takes no memory for it."""


def _memory(array: Array) -> memoryview:
    """The bytes of an array, or of one that lies transposed, in the order of memory."""
    return (array if array.flags.c_contiguous else array.T).data.cast("B")


class Moment:
    """A moment of a training that can be gone back to: all values, and how far the batches were.

    The values of a large model are put into a temporary file, unless that fails.
    """

    def __init__(self, values: Mapping[str, Array]) -> None:
        self._values = values
        self._copies: dict[str, Array] = {}
        self._file: FileIO | None = None
        self._in_memory = sum(array.nbytes for array in values.values()) <= LARGE
        self._seconds, self._since = 0.0, 0.0

    def keep(self, batches: Batches) -> None:
        """Keep this moment in place of the one before."""
        start = time.perf_counter()
        if not self._in_memory:
            try:
                self._write()
            except OSError:  # no place to write to, or none left
                self._in_memory = True
        if self._in_memory:
            self._copy()
        self.done = int(batches.done[0])
        self._losses = batches.losses.copy()
        self._order = batches.order.copy() if self.done % batches.per_epoch else None
        self._seconds, self._since = time.perf_counter() - start, 0.0

    def _write(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as this moment)
            finalize(self, self._file.close)
        self._file.seek(0)
        for array in self._values.values():
            rest = _memory(array)
            while rest:  # the system may take less than all
                rest = rest[self._file.write(rest) :]

    def _copy(self) -> None:
        if not self._copies:
            self._copies = {label: np.empty_like(array) for label, array in self._values.items()}
        for label, array in self._values.items():
            np.copyto(self._copies[label], array)

    def is_old(self, seconds: float) -> bool:
        """Whether it is time to keep another, after so many more seconds of training."""
        self._since += seconds
        return self._since * SHARE > self._seconds

    def come_back(self, batches: Batches) -> None:
        """Put everything back."""
        if not self._in_memory and self._file is not None:
            self._file.seek(0)
            for array in self._values.values():
                rest = _memory(array)
                while rest:
                    rest = rest[self._file.readinto(rest) :]
        else:
            for label, array in self._values.items():
                array[...] = self._copies[label]
        batches.losses[...] = self._losses
        batches.done[0] = self.done
        if self._order is not None:
            batches.order[...] = self._order


def last_finite_step(
    executable: Executable, values: Mapping[str, Array], batches: Batches, moment: Moment
) -> int:
    """Go back to before the batch with which the numbers stop being finite; its number."""
    end = int(batches.done[0])
    moment.come_back(batches)
    number = moment.done
    for number in range(moment.done, end):
        executable.train(batches, number, number + 1)
        if not all(map(finite, (batches.losses, *values.values()))):
            break
    moment.come_back(batches)
    if number > moment.done:
        executable.train(batches, moment.done, number)
    return number


def divergence(
    executable: Executable, values: Mapping[str, Array], batches: Batches, number: int, epoch: int
) -> DivergenceError:
    """The error for a batch, in the epoch that the batches begin with; the step is done once more
    by itself. ``values`` are those before it.
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
        f"batch. Usually {', or '.join(causes)}. {REMEDIES}{_grown(values)}",
        epoch,
        batch,
        name,
    )


def _grown(values: Mapping[str, Array]) -> str:
    """That no smaller learning rate helps any more, if some value is that large."""
    largest = max((float(abs(array).max()) for array in values.values() if array.size), default=0.0)
    if largest <= GROWN:
        return ""
    return f", which it takes: a value of the model has grown to {largest:.0e}"
