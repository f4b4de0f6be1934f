"""Models: a network with arrays for its parameters and running code for its programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.activations import known_name
from symprop.arguments import by_name
from symprop.backends import Array, Executable, in_another_thread, outcome
from symprop.backends.noise import noise_source
from symprop.callbacks import callback_list
from symprop.cut import Progress
from symprop.data import (
    TrainingData,
    data_type,
    input_array,
    parameter_arrays,
    seed_number,
    target_array,
    training_data,
)
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.history import History
from symprop.layers.base import flag, positive_integer
from symprop.learning_rate import current_rate, set_rate
from symprop.lowering import EVERYTHING, Lowering
from symprop.metrics import RIGHT, Metric, confusion_matrix, measured, metric_functions
from symprop.network import Network
from symprop.optimizers import optimizer as optimizer_object
from symprop.progress import progress_bar
from symprop.start import start_values, trained
from symprop.training import Course, Measures, Plan
from symprop.weights import weight_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from symprop.blame import Blame
    from symprop.recorder import Recorder

BACKENDS = ("numba", "numpy")
ROWS_PER_CALL = 4096
"""Rows predicted in one call: bounds the memory that intermediate results take."""


class Model:
    """A network that can be trained; made by ``network.compile(...)``.

    ``optimizer`` is a name or an object such as ``SGD(0.1)``; ``dtype`` "float32" or "float64";
    ``seed`` starts the generator of the parameters and of the shuffling (the same seed, versions
    and machine give the same bits); ``backend`` "numba" (compiled) or "numpy" (the interpreter,
    slow); ``lowering`` says which optimizations compiled code may use, by default all.

    ``values``, by label, are those of a saved model, in place of new ones.

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
        values: Mapping[str, Array] | None = None,
    ):
        if not isinstance(backend, str):
            raise ArgumentTypeError(f"backend: expected a name, got {backend!r}")
        if network.loss.weighted:
            raise ArgumentError("compile the network itself; fit(sample_weight=…) weighs it")
        self.network = network
        self.optimizer = optimizer_object(optimizer)
        self.dtype = data_type(dtype)
        self.seed = seed_number(seed)
        self.backend = known_name("backend", backend, BACKENDS)
        if not isinstance(lowering, Lowering):
            raise ArgumentTypeError(f"lowering: expected a Lowering, got {lowering!r}")
        self.lowering = lowering
        self.stop_training = False
        generator = np.random.default_rng(self.seed)
        if values is None:
            values = start_values(trained(network, self.optimizer), self.dtype, generator)
        self._course = Course(dict(values), generator, self.seed, self.optimizer)

    @by_name
    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Any = None,
        shuffle: bool = True,
        callbacks: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        progress: bool = False,
        metrics: Any = None,
        checkpoint: str | PathLike[str] | None = None,
        every: int | None = None,
    ) -> History:
        """Train on mini-batches; returns the History, one entry an epoch.

        x has shape (N, inputs), y (N, outputs), or (N,) for class numbers and for one output. The
        last batch of an epoch may be shorter; its gradient is the mean over its own rows. 32 rows a
        batch by default: Masters and Luschi 2018 find the best test errors from 2 to 32.
        ``shuffle`` draws a new order of the rows for each epoch.

        ``validation``, a pair (x, y) or the fraction of the rows to hold out (drawn with the seed
        of the model), is evaluated after each epoch. ``metrics`` are names (accuracy, top_k, top_3,
        mae, mse, r2), functions (y, predicted) or a dict of them; given here, they are also
        measured on the rows trained on, which takes another pass. By default there is the accuracy
        of a classifier on the validation data.

        ``callbacks``: objects with ``on_epoch_end(model, epoch, logs)``, such as EarlyStopping; one
        that sets ``model.stop_training = True`` ends the training. ``sample_weight`` (N,) and
        ``class_weight`` {class: weight} weigh the samples, L = (1/m) Σ_b w[b] ℓ[b]; a class that is
        left out has the weight 1. ``checkpoint`` names a file to save the model to: every so many
        batches, by default after each epoch, and at the end. The first call compiles, for seconds:
        ``progress``, a bar, shows it, and the logger "symprop" tells it at the level INFO.

        A second call continues: parameters, optimizer state and generator are kept. A refused call
        changes nothing. Ctrl-C raises KeyboardInterrupt between two batches; the model is then as
        after the last of them, and ``model.history`` holds the epochs that were finished. The next
        fit with as many rows, the same batch_size and shuffle goes on with the fit that was cut so,
        or that a loaded checkpoint is in the midst of: its history, the callbacks' states, and the
        unfinished epoch, which counts as the first of its ``epochs``.

        Raises DivergenceError when numbers stop being finite, ArgumentError, ArgumentTypeError or
        UnknownNameError for settings, ShapeError or DataError for data, BusyError within a fit.
        """
        from symprop.storage import checkpoints

        progress = flag("progress", progress)
        data = training_data(self.network, x, y, validation, self.seed, self.dtype)
        weights = weight_array(
            self.network.loss.labels, data.y, sample_weight, class_weight, self.dtype
        )
        measures = self._measures(data, metrics)
        plan = Plan(
            self._ready if weights is None else self._weighted,
            replace(data, weights=weights),
            positive_integer("epochs", epochs),
            positive_integer("batch_size", batch_size),
            flag("shuffle", shuffle),
            callback_list(callbacks, ("loss", *measures.names)),
            measures,
            *checkpoints(self, checkpoint, every),
        )
        with progress_bar(plan.epochs, progress) as bar:
            self._course.fit(plan, self, bar)
        return self.history

    def _measures(self, data: TrainingData, given: Any) -> Measures:
        """What is measured after each epoch."""
        metrics = metric_functions(given, self.network.loss.labels)
        own = metrics if given is not None else {}

        def measure() -> dict[str, float]:
            rows, found = data.rows, {}
            if own:
                found = measured(own, data.y[rows], self._predict(data.x[rows]))
            if data.held_out is not None:
                held = self._measure(*data.held_out, metrics)
                found |= {f"validation_{name}": value for name, value in held.items()}
            return found

        held = ("loss", *metrics) if data.held_out is not None else ()
        return Measures((*own, *(f"validation_{name}" for name in held)), measure)

    @property
    def _ready(self) -> Executable:
        self._course.settle()
        return self._executable

    @property
    def values(self) -> dict[str, Array]:
        """The arrays of all parameters and of the optimizer's state, by label, as they are now.

        Take them anew each time: training may put others in their place. ``parameters`` are copies.
        """
        return self._course.values

    @property
    def generator(self) -> np.random.Generator:
        """What parameters and orders are drawn from."""
        return self._course.generator

    @property
    def history(self) -> History:
        """That of the latest ``fit``, also of one that was interrupted."""
        return self._course.history

    @property
    def recorder(self) -> Recorder | None:
        """What has watched the latest ``fit``: see ``symprop.report.training_page``."""
        return self._course.recorder

    @property
    def progress(self) -> Progress:
        """How far training has come, and the fit that is not finished."""
        return self._course.progress

    def go_on(self, progress: Progress, history: History) -> None:
        """Stand where a saved model stood."""
        self._course.start_from(progress, history)

    @property
    def epoch(self) -> int:
        """How many epochs were finished, callbacks included, in all fits."""
        return self.progress.epoch

    @property
    def step(self) -> int:
        """How many batches were trained on, in all fits."""
        return self.progress.step

    def predict(self, x: Any) -> Array:
        """The network's output for every row of x, an array (N, outputs); none for no rows.

        The first call compiles. A row's last bits may depend on which rows are given with it.

        Raises ShapeError, DataError or ArgumentTypeError.
        """
        return self._predict(input_array(self.network, x, self.dtype, least=0))

    def evaluate(self, x: Any, y: Any, metrics: Any = None) -> dict[str, float]:
        """The mean loss and the metrics (as for ``fit``) over all rows, by default the accuracy.

        Raises ShapeError, DataError, ArgumentError, ArgumentTypeError or UnknownNameError.
        """
        functions = metric_functions(metrics, self.network.loss.labels)
        return self._measure(*self._data(x, y), functions)

    def confusion_matrix(self, x: Any, y: Any) -> Array:
        """How many samples of class i were taken for class j: row i, column j.

        Raises ArgumentError for a network whose targets are no classes, else as ``evaluate``.
        """
        labels = self.network.loss.labels
        if labels not in RIGHT:
            raise ArgumentError("confusion_matrix: the targets of this network are no classes")
        inputs, targets = self._data(x, y)
        return confusion_matrix(targets, self._predict(inputs), labels)

    def loss_and_gradients(self, x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows, taken as one batch, and ∂L/∂W by parameter name.

        The formulas are those of training: with dropout, by the masks that the next step of
        training would draw, and normalized by this batch. Running statistics stay.

        Raises ShapeError, DataError or ArgumentTypeError.
        """
        noise = noise_source(self.seed, self.step)
        loss, gradients = self._ready.gradients(*self._data(x, y), noise)
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

    def plot_weights(self, path: str | PathLike[str] | None = None) -> Figure:
        """A picture of every weight matrix; of inputs that form a square (64, 784), an image of the
        weights of each unit. Of many matrices nine are shown, the first and last included.

        Raises DataError where there are none, MissingPackageError without matplotlib.
        """
        from symprop.plots import draw_weights

        return draw_weights(self, path)

    def plot_regions(self, x: Any, y: Any, path: str | PathLike[str] | None = None) -> Figure:
        """A picture of what a model of two inputs predicts around the samples, and of these.

        Classes are coloured, paler where the largest output is smaller; of one output the colour is
        its value, and a line is drawn where its class changes.

        Raises ShapeError for other than two inputs, or several outputs that are no classes,
        ShapeError, DataError or ArgumentTypeError for data, MissingPackageError without matplotlib.
        """
        from symprop.plots import draw_regions

        return draw_regions(self, *self._data(x, y), path)

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
        """Save declaration, parameters, optimizer state, random state, history and how far training
        has come, to a file that ``symprop.load`` reads; it is replaced only when all is written.

        Raises ArgumentTypeError for a layer, loss or optimizer of a class that is not symprop's,
        OSError as usual.
        """
        from symprop.storage import save

        save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """For copies: all but compiled code, which a copy makes for itself."""
        return {k: v for k, v in vars(self).items() if k not in ("_executable", "_weighted")}

    @cached_property
    def _executable(self) -> Executable:
        return self._made(self.network)

    @cached_property
    def _weighted(self) -> Executable:
        """The network with a weight for each sample in its loss, over the same values."""
        return self._made(self.network.weighted)

    def _made(self, network: Network) -> Executable:
        if self.backend == "numpy":
            from symprop.backends.numpy import NumpyExecutable

            return NumpyExecutable(network, self.optimizer, self.dtype, self.values)
        outcome(in_another_thread(lambda: import_module("symprop.backends.numba")))  # no Ctrl-C
        from symprop.backends.numba import NumbaExecutable

        return NumbaExecutable(network, self.optimizer, self.dtype, self.values, self.lowering)

    def _data(self, x: Any, y: Any) -> tuple[Array, Array]:
        inputs = input_array(self.network, x, self.dtype)
        return inputs, target_array(self.network, y, len(inputs), self.dtype)

    def _predict(self, x: Array) -> Array:
        """In blocks of fixed size, so that the bits do not depend on the machine's speed."""
        starts = range(0, len(x) or 1, ROWS_PER_CALL)
        found = [self._ready.predict(x[first : first + ROWS_PER_CALL]) for first in starts]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _measure(self, x: Array, y: Array, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """The loss and the metrics on checked data."""
        starts = range(0, len(x), ROWS_PER_CALL)
        blocks = [slice(first, first + ROWS_PER_CALL) for first in starts]
        total = sum(self._ready.loss(x[block], y[block]) * len(x[block]) for block in blocks)
        others = measured(metrics, y, self._predict(x)) if metrics else {}
        return {"loss": total / len(x), **others}

    def __repr__(self) -> str:
        count = sum(self.values[t.name].size for t in self.network.parameters)
        return f"Model({count:,} parameters, {self.optimizer}, {self.dtype}, {self.backend})"
