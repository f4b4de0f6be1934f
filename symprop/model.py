"""Models: a network with arrays for its parameters and running code for its programs."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.activations import known_name
from symprop.backends import Array, Batches, Executable, in_another_thread, outcome
from symprop.backends.memory import copied
from symprop.data import (
    TrainingData,
    data_type,
    input_array,
    parameter_arrays,
    seed_number,
    target_array,
    training_data,
)
from symprop.errors import ArgumentTypeError
from symprop.history import History
from symprop.initializers import drawn
from symprop.layers.base import flag, positive_integer
from symprop.learning_rate import current_rate, given_rates, rates_ahead, set_rate
from symprop.losses import Labels
from symprop.lowering import EVERYTHING, Lowering
from symprop.network import Network
from symprop.optimizers import optimizer as optimizer_object
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from tqdm import tqdm

    from symprop.blame import Blame

NO_SEEDS = np.empty(0, np.uint64)
BACKENDS = ("numba", "numpy")
STATES = ("state", "counter", "scheduled")
"""The roles of what an optimizer keeps from step to step."""
ROWS_PER_CALL = 4096
"""Rows predicted in one call: bounds the memory that intermediate results take."""
SECONDS_PER_CALL = 0.1
"""About how long a call of compiled code trains: Ctrl-C answers between calls."""


class Model:
    """A network that can be trained; made by ``network.compile(...)``.

    ``optimizer`` is a name or an object such as ``SGD(0.1)``; ``dtype`` "float32" or "float64";
    ``seed`` starts the generator of the parameters and of the shuffling (the same seed, versions
    and machine give the same bits); ``backend`` "numba" (compiled) or "numpy" (the interpreter,
    slow); ``lowering`` says which optimizations compiled code may use, by default all.

    ``history`` is the History of the latest ``fit``, also of one that was interrupted.

    Raises UnknownNameError, ArgumentError or ArgumentTypeError for settings out of range.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(1)], inputs=1, loss="mse")
    >>> model = net.compile(optimizer="sgd", dtype="float64", seed=0, backend="numpy")
    >>> history = model.fit([[0.0], [1.0]], [1.0, 3.0], epochs=500, batch_size=2)
    >>> round(history.loss[-1], 4)
    0.0025
    """

    def __init__(
        self,
        network: Network,
        optimizer: Any = "sgd",
        dtype: Any = "float32",
        seed: int = 0,
        backend: str = "numba",
        lowering: Lowering = EVERYTHING,
    ):
        if not isinstance(backend, str):
            raise ArgumentTypeError(f"backend: expected a name, got {backend!r}")
        self.network = network
        self.optimizer = optimizer_object(optimizer)
        self.dtype = data_type(dtype)
        self.seed = seed_number(seed)
        self.backend = known_name("backend", backend, BACKENDS)
        if not isinstance(lowering, Lowering):
            raise ArgumentTypeError(f"lowering: expected a Lowering, got {lowering!r}")
        self.lowering = lowering
        self.history = History()
        self._pace, self._slow = 1, True
        self._running: Future[None] | None = None
        self.generator = np.random.default_rng(self.seed)
        update = network.update(self.optimizer)
        states = [t for t in update.tensors if t.role in STATES]
        self._values = start_values((*network.parameters, *states), self.dtype, self.generator)

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Any = None,
        shuffle: bool = True,
        progress: bool = False,
    ) -> History:
        """Train on mini-batches; returns the History, one entry an epoch.

        x has shape (N, inputs), y (N, outputs), or (N,) for class numbers and for one output. The
        last batch of an epoch may be shorter; its gradient is the mean over its own rows.
        ``validation`` is a pair (x, y), or the fraction of the rows to hold out (drawn with the
        model's seed). 32 rows a batch by default: Masters and Luschi 2018 find the best test errors
        from 2 to 32. ``shuffle`` draws a new order of the rows for each epoch.

        A second call continues: parameters, optimizer state and generator are kept. A refused call
        changes nothing. Ctrl-C raises KeyboardInterrupt between two batches; the model is then as
        after the last of them, and ``model.history`` holds the epochs that were finished.

        Warns (RuntimeWarning) once, when the loss of an epoch is not finite.

        Raises ArgumentError or ArgumentTypeError for settings, ShapeError or DataError for data.
        """
        epochs = positive_integer("epochs", epochs)
        batch_size = positive_integer("batch_size", batch_size)
        shuffle, progress = flag("shuffle", shuffle), flag("progress", progress)
        data = training_data(self.network, x, y, validation, self.seed, self.dtype)
        self._ready  # noqa: B018 (made before anything changes, in case that it cannot be)
        self.history = History()
        with _progress_bar(epochs, progress) as bar:
            diverged = False
            for record in self._records(data, epochs, batch_size, shuffle):
                self.history.add(record)
                _show(bar, record)
                if not diverged and not math.isfinite(record["loss"]):
                    diverged = True
                    message = _divergence(len(self.history), record["loss"])
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
        return self.history

    def _records(
        self, data: TrainingData, epochs: int, batch_size: int, shuffle: bool
    ) -> Iterator[dict[str, float]]:
        """Train; the record of each epoch. Short epochs run several in one call of compiled code,
        unless there is something to measure after each.
        """
        per_epoch = math.ceil(len(data.rows) / batch_size)
        while epochs:
            together = max(1, min(epochs, self._pace // per_epoch))
            if data.held_out is not None:
                together = 1
            seeds = self._seeds(together if shuffle else 0)
            rates = rates_ahead(self.optimizer, self._values, together * per_epoch)
            given = given_rates(self.optimizer, rates)
            batches = Batches.of(data.x, data.y, data.rows, seeds, batch_size, together, given)
            try:
                self._train_on(batches, together * per_epoch)
            except KeyboardInterrupt:
                finished = batches.done[0] // per_epoch
                if data.held_out is None:
                    self.history.records.extend(_losses(batches, rates)[:finished])
                raise
            for record in _losses(batches, rates):
                if data.held_out is not None:
                    measured = self._measure(*data.held_out)
                    record |= {f"validation_{name}": value for name, value in measured.items()}
                yield record
            epochs -= together

    def _seeds(self, count: int) -> Array:
        """The seeds of so many epochs' orders."""
        return self.generator.integers(2**64, size=count, dtype=np.uint64) if count else NO_SEEDS

    def _train_on(self, batches: Batches, count: int) -> None:
        """Train on so many batches."""
        first = 0
        while first < count:
            last, start = min(first + self._pace, count), time.perf_counter()
            self._train(batches, first, last)
            self._set_pace(last - first, time.perf_counter() - start)
            first = last

    def _train(self, *arguments: Any) -> None:
        """Run some batches; a slow batch in another thread, so that Ctrl-C need not wait for it.

        The thread finishes its batch; what uses the values then waits for it.
        """
        if not self._slow:
            self._executable.train(*arguments)
            return
        self._running = in_another_thread(lambda: self._executable.train(*arguments))
        outcome(self._running)

    def _settle(self) -> None:
        """Wait for a batch that an interrupted ``fit`` left running."""
        if self._running is not None:
            wait([self._running])

    @property
    def _ready(self) -> Executable:
        self._settle()
        return self._executable

    @property
    def values(self) -> dict[str, Array]:
        """The arrays of all parameters and of the optimizer's state, by label, as they are."""
        self._settle()
        return self._values

    def _set_pace(self, batches: int, seconds: float) -> None:
        """How many batches run in one call of compiled code, during which Ctrl-C has to wait."""
        fitting = int(batches * SECONDS_PER_CALL / max(seconds, 1e-9))
        self._pace = max(1, min(fitting, 2 * self._pace))
        self._slow = fitting == 0

    def predict(self, x: Any) -> Array:
        """The network's output for every row of x, an array (N, outputs).

        Raises ShapeError, DataError or ArgumentTypeError.
        """
        return self._predict(input_array(self.network, x, self.dtype))

    def evaluate(self, x: Any, y: Any) -> dict[str, float]:
        """The mean loss, and for a classifier the accuracy, over all rows.

        The accuracy is the share of right answers: the largest output for class targets, ŷ > ½ for
        targets from 0 to 1, ŷ > 0 for targets of −1 or 1; with several outputs in the latter two,
        the mean over them.

        Raises ShapeError, DataError or ArgumentTypeError.
        """
        return self._measure(*self._data(x, y))

    def loss_and_gradients(self, x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows, taken as one batch, and ∂L/∂W by parameter name.

        Raises ShapeError, DataError or ArgumentTypeError.
        """
        loss, gradients = self._ready.gradients(*self._data(x, y))
        return float(loss), {name: np.array(array) for name, array in gradients.items()}

    def blame(self, x: Any, y: Any) -> Blame:
        """Each layer's and each unit's share of the error signal of one sample x with target y.

        Raises ShapeError for anything but one sample, DataError or ArgumentTypeError.

        >>> from symprop import Dense, Network
        >>> model = Network([Dense(2), Dense(1)], inputs=1, loss="mse").compile()
        >>> model.set_parameters({"W2": [[3.0, 1.0]]})
        >>> model.blame(x=1.0, y=2.0).shares["delta1"]
        array([0.75, 0.25])
        """
        from symprop.blame import blame

        return blame(self, x, y)

    @property
    def parameters(self) -> dict[str, Array]:
        """A copy of every parameter, by name."""
        return {t.name: self.values[str(t.label)].copy() for t in self.network.parameters}

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set the given parameters; those left out stay. Either all of them are set, or, with an
        error, none.

        Raises UnknownNameError with the nearest name, ShapeError, DataError or ArgumentTypeError.
        """
        arrays = parameter_arrays(self.network.parameters, parameters, self.dtype)
        for name, array in arrays.items():
            self.values[name][...] = array

    @property
    def learning_rate(self) -> float:
        """The rate of the latest step; a constant one can be set, without compiling anew.

        Raises ArgumentError or ArgumentTypeError where a new rate is out of range, and where the
        rate follows a schedule.
        """
        return current_rate(self.values)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        set_rate(self.optimizer, self.values, rate)

    @property
    def source(self) -> str:
        """The code that runs: generated source; for the backend "numpy" the program, as text."""
        return self._executable.source

    def save(self, path: str | PathLike[str]) -> None:
        """Save declaration, parameters, optimizer state and generator; see ``symprop.load``."""
        from symprop.storage import save

        save(self, path)

    @cached_property
    def _executable(self) -> Executable:
        if self.backend == "numpy":
            from symprop.backends.numpy import NumpyExecutable

            return NumpyExecutable(self.network, self.optimizer, self.dtype, self._values)
        from symprop.backends.numba import NumbaExecutable

        return NumbaExecutable(
            self.network, self.optimizer, self.dtype, self._values, self.lowering
        )

    def _data(self, x: Any, y: Any) -> tuple[Array, Array]:
        inputs = input_array(self.network, x, self.dtype)
        return inputs, target_array(self.network, y, len(inputs), self.dtype)

    def _predict(self, x: Array) -> Array:
        """In blocks of fixed size, so that the bits do not depend on the machine's speed."""
        outputs = (int(size) for size in self.network.named("yhat").shape[1:])
        result = np.empty((len(x), *outputs), self.dtype)
        for first in range(0, len(x), ROWS_PER_CALL):
            block = slice(first, first + ROWS_PER_CALL)
            result[block] = self._ready.predict(x[block])
        return result

    def _measure(self, x: Array, y: Array) -> dict[str, float]:
        """The loss and the metrics on checked data."""
        total = 0.0
        for first in range(0, len(x), ROWS_PER_CALL):
            block = slice(first, first + ROWS_PER_CALL)
            total += self._ready.loss(x[block], y[block]) * len(x[block])
        measured = {"loss": total / len(x)}
        if self.network.loss.labels in RIGHT:
            right = RIGHT[self.network.loss.labels](self._predict(x), y)
            measured["accuracy"] = float(np.mean(right))
        return measured

    def __repr__(self) -> str:
        count = sum(self.values[t.name].size for t in self.network.parameters)
        return f"Model({count:,} parameters, {self.optimizer}, {self.dtype}, {self.backend})"


RIGHT: dict[Labels, Any] = {
    "classes": lambda predicted, y: predicted.argmax(axis=-1) == y.argmax(axis=-1),
    "probability": lambda predicted, y: (predicted > 0.5) == (y > 0.5),
    "sign": lambda predicted, y: (predicted > 0) == (y > 0),
}
"""Which answers count as right, by what the loss declares about its targets."""


def start_values(
    tensors: tuple[Tensor, ...], dtype: np.dtype[Any], generator: np.random.Generator
) -> dict[str, Array]:
    """Each tensor as its ``init`` says: an initializer's name, a function, or a number.

    Initializers draw in float64, so that a float32 model starts from the same parameters, rounded.
    """
    types = {t: np.dtype(np.int64) if t.role == "counter" else dtype for t in tensors}
    return {str(t.label): copied(_start_value(t, types[t], generator)) for t in tensors}


def _start_value(tensor: Tensor, dtype: np.dtype[Any], generator: np.random.Generator) -> Array:
    shape = tuple(int(size) for size in tensor.shape)
    if isinstance(tensor.init, (int, float, type(None))):
        return np.full(shape, tensor.init or 0.0, dtype)
    return drawn(tensor.name, tensor.init, shape, generator).astype(dtype)


def _losses(batches: Batches, rates: Array) -> list[dict[str, float]]:
    """The record of each epoch: its mean loss, and the learning rate of its last batch."""
    losses, last = batches.losses / len(batches.rows), rates[batches.per_epoch - 1 :]
    found = [{"loss": loss} for loss in losses.tolist()]
    for record, rate in zip(found, last[:: batches.per_epoch].tolist(), strict=False):
        record["learning_rate"] = rate
    return found


def _divergence(epoch: int, loss: float) -> str:
    """What to warn of, after the first epoch whose loss is not finite."""
    return (
        f"fit: the loss is {loss} in epoch {epoch}; usually the learning rate is "
        "too high, or a prediction lies outside of what the loss takes (cross_entropy needs "
        "softmax before it, binary_cross_entropy sigmoid, poisson an activation above 0)"
    )


@contextmanager
def _progress_bar(epochs: int, wanted: bool) -> Iterator[tqdm[Any] | None]:
    if not wanted:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch") as bar:
        yield bar


def _show(bar: tqdm[Any] | None, record: dict[str, float]) -> None:
    if bar is not None:
        bar.set_postfix({name: f"{value:.4g}" for name, value in record.items()}, refresh=False)
        bar.update()
