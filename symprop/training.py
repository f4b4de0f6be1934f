"""The course of a model's training: epochs in compiled calls, what is done between them, and how to
go on with a fit that was cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.backends import Array, Batches, Executable, Value, outcome, start
from symprop.backends.noise import noise_source
from symprop.backends.shuffle import begin_epoch
from symprop.callbacks import Callback, states
from symprop.cut import Cut, Progress
from symprop.data import TrainingData, finite
from symprop.divergence import Moment, divergence, last_finite_step
from symprop.errors import BusyError, DivergenceError
from symprop.history import History
from symprop.learning_rate import given_rates, rates_of
from symprop.optimizers import Optimizer
from symprop.progress import Bar
from symprop.recorder import Recorder

if TYPE_CHECKING:
    from symprop.model import Model

SECONDS_PER_CALL = 0.1
"""About how long a call of compiled code trains: Ctrl-C answers between calls."""
Record = dict[str, float]


@dataclass(frozen=True)
class Measures:
    """What is measured after each epoch: the names of the numbers, and what gives them."""

    names: tuple[str, ...]
    take: Callable[[], Record]


@dataclass(frozen=True)
class Plan:
    """What one fit is to do.

    ``checkpoint`` saves the model: after ``every`` batches, or if that is 0 after each epoch.
    """

    executable: Executable
    data: TrainingData
    epochs: int
    batch_size: int
    shuffle: bool
    callbacks: tuple[Callback, ...]
    measures: Measures
    checkpoint: Callable[[], None] | None
    every: int

    @property
    def pauses(self) -> bool:
        """Whether there is something to do after each epoch."""
        return bool(self.callbacks or self.measures.names or self.checkpoint)


@dataclass(frozen=True)
class Group:
    """Some epochs that compiled code trains on in one go, where nothing is to do between them.

    ``start`` is the progress before them, ``rates`` the learning rate of each batch,
    ``records`` the length of the history, ``random`` the generator's state.
    """

    start: Progress
    cut: Cut
    batches: Batches
    rates: Array
    records: int
    random: Any
    pauses: bool

    @property
    def progress(self) -> Progress:
        """How far it has come; an epoch after which something is to do is not yet finished."""
        done, per_epoch = int(self.batches.done[0]), self.batches.per_epoch
        finished = 0 if self.pauses else done // per_epoch
        batch, seed, loss = done - finished * per_epoch, None, 0.0
        if batch:
            loss = float(self.batches.losses[finished])
            seed = int(self.batches.seeds[finished]) if self.cut.shuffle else None
        cut = replace(self.cut, seed=seed, batch=batch, loss=loss)
        return Progress(self.start.epoch + finished, self.step(done), cut)

    def step(self, done: int) -> int:
        """The batches of the model's life, after so many of these."""
        return self.start.step + done - self.cut.batch

    @property
    def drawn(self) -> int:
        """How many seeds the epochs begun so far have needed."""
        begun = -(-int(self.batches.done[0]) // self.batches.per_epoch)
        return max(0, begun - (self.cut.batch > 0)) if self.cut.shuffle else 0

    def losses(self, count: int) -> list[Record]:
        """The record of each of the first epochs: loss, and rate of its last batch."""
        means = self.batches.losses[:count] / len(self.batches.rows)
        rates = self.rates[self.batches.per_epoch - 1 :: self.batches.per_epoch].tolist()
        found = [{"loss": loss} for loss in means.tolist()]
        for record, rate in zip(found, rates, strict=False):
            record["learning_rate"] = rate
        return found


class Course:
    """What training changes, and how it goes on from fit to fit.

    Whenever KeyboardInterrupt comes, the values are those after a whole batch, and ``settle`` finds
    out which.
    """

    _fitting: object = None
    """What stands for the fit at work."""

    def __init__(
        self,
        values: dict[str, Array],
        generator: np.random.Generator,
        seed: int,
        optimizer: Optimizer,
    ):
        self._values, self.generator, self._seed = values, generator, seed
        self._optimizer = optimizer
        self._history, self._progress = History(), Progress()
        self._recorder: Recorder | None = None
        self._group: Group | None = None
        self._left: Group | None = None
        self._size = 0
        self._pace, self._slow = 1, True
        """Batches of so many rows in one call of compiled code; whether one takes long."""
        self._running: Future[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: how things stand when nothing runs any more."""
        self.settle()
        kept = {name: value for name, value in vars(self).items() if name != "_fitting"}
        return {**kept, "_running": None, "_group": None}

    @property
    def values(self) -> dict[str, Array]:
        """The arrays of all parameters and states, by label, as they are."""
        self.settle()
        return self._values

    @property
    def history(self) -> History:
        """The record of the latest fit."""
        self.settle()
        return self._history

    @property
    def recorder(self) -> Recorder | None:
        """What has watched the latest fit: its callback, or a recorder of its own."""
        return self._recorder

    @property
    def progress(self) -> Progress:
        """How far training has come, also within a fit."""
        self.settle()
        return self._progress if self._group is None else self._group.progress

    def settle(self) -> None:
        """Wait for a batch that an interrupted fit left running, and count what it has done."""
        running = self._running
        if running is not None and not (self._group is None and running.cancel()):
            wait([running])
        if self._left is not None:
            self._count(self._left)
            self._left = None

    def _count(self, group: Group) -> None:
        """Count a group that was cut; the generator has drawn what the epochs begun have needed."""
        progress = group.progress
        finished = group.losses(progress.epoch - group.start.epoch)
        self._history.records[group.records :] = finished
        self.generator.bit_generator.state = group.random
        self._draw(np.empty(group.drawn, np.uint64))
        self._progress = progress

    def start_from(self, progress: Progress, history: History) -> None:
        """Go on where a saved model stood."""
        self._progress, self._history, self._recorder = progress, history, None

    def fit(self, plan: Plan, model: Model, bar: Bar) -> None:
        """Train as planned; the history and the progress grow with each epoch, which is shown.

        No interrupt comes within the ``finally``: nothing is called there.

        Raises DivergenceError; BusyError where a fit is at work.
        """
        mine = object()
        try:
            if vars(self).setdefault("_fitting", mine) is not mine:
                raise BusyError(
                    "fit: this model is being trained, by a fit in another thread or the one that "
                    "calls this callback; wait until it ends"
                )
            plan.executable.lower()
            self._fit(plan, model, bar)
        finally:
            if self._fitting is mine:
                del self._fitting

    def _fit(self, plan: Plan, model: Model, bar: Bar) -> None:
        self._begin(plan, model)
        try:
            left = plan.epochs
            moment = Moment(self._values)
            while left and not model.stop_training:
                group = self._next(plan, left)
                if left == plan.epochs:
                    plan.executable.prepare(group.batches)
                    bar.begin()
                self._train_on(plan, model, group, moment)
                records = self._finish(plan, model, group)
                left -= len(records)
                if plan.checkpoint and not plan.every and left and not model.stop_training:
                    plan.checkpoint()  # that of the last epoch has what callbacks do at the end
                for record in records:
                    bar.show(record)
        except DivergenceError:
            if self._group is not None:
                self._count(self._group)
            self._group, self._progress = None, replace(self._progress, cut=None)
            raise
        finally:
            self._left, self._group = self._group, None
        for callback in plan.callbacks:
            getattr(callback, "on_fit_end", _nothing)(model)
        if plan.callbacks and self._recorder is not None:
            self._recorder.record(model)
        self._progress = replace(self._progress, cut=None)
        if plan.checkpoint:
            plan.checkpoint()

    def _begin(self, plan: Plan, model: Model) -> None:
        """Go on with a fit that was cut if this one is alike, its history and callbacks too."""
        self.settle()
        size = min(plan.batch_size, len(plan.data.rows))
        if size != self._size:
            self._size, self._pace, self._slow = size, 1, True
        cut, history = self._progress.cut, History(list(self._history.records))
        fresh = Cut(len(plan.data.rows), plan.batch_size, plan.shuffle)
        recorder = self._recorder
        if cut is None or not cut.is_like(fresh):
            cut, history, recorder = fresh, History(), None
        given = [c for c in plan.callbacks if isinstance(c, Recorder)]
        recorder = given[0] if given else recorder or Recorder.of_fit(model, plan.data)
        kept = [name for name, _ in cut.callbacks]
        goes_on = kept == [type(callback).__name__ for callback in plan.callbacks]
        for number, callback in enumerate(plan.callbacks):
            if goes_on and hasattr(callback, "restore"):
                callback.restore(cut.callbacks[number][1])
            else:
                getattr(callback, "on_fit_begin", _nothing)(model)
        cut = replace(cut, callbacks=states(plan.callbacks))
        model.stop_training = False
        self._history, self._progress = history, replace(self._progress, cut=cut)
        self._recorder = recorder
        if recorder is not None and not given:
            recorder.record(model)

    def _next(self, plan: Plan, left: int) -> Group:
        """The next epochs: several if they are short and nothing is to do between them."""
        start, data = self._progress, plan.data
        cut = start.cut or Cut(len(data.rows), plan.batch_size, plan.shuffle)
        together = max(1, min(left, self._pace // cut.per_epoch))
        if plan.pauses or cut.batch:
            together = 1
        seeds = np.empty(together if plan.shuffle else 0, np.uint64)
        noise = noise_source(self._seed, start.step - cut.batch)
        batches_ahead = together * cut.per_epoch - cut.batch
        rates = rates_of(self._optimizer, self._values, cut.batch, batches_ahead)
        batches = Batches.of(
            data.x,
            data.y,
            data.rows,
            seeds,
            plan.batch_size,
            together,
            noise,
            given_rates(self._optimizer, rates),
            data.weights,
        )
        random = self.generator.bit_generator.state
        group = Group(start, cut, batches, rates, len(self._history), random, plan.pauses)
        if cut.batch:
            seeds[:] = cut.seed or 0
            batches.losses[0], batches.done[0] = cut.loss, cut.batch
            with np.errstate(over="ignore"):
                begin_epoch(batches.order, batches.rows, seeds, 0)
        self._group = group
        if not cut.batch:
            self._draw(seeds)
        return group

    def _draw(self, seeds: Array) -> None:
        """Draw the seeds of so many epochs' orders."""
        seeds[:] = self.generator.integers(2**64, size=len(seeds), dtype=np.uint64)

    def _train_on(self, plan: Plan, model: Model, group: Group, moment: Moment) -> None:
        """Train on all batches of a group, and see that everything stays finite."""
        batches = group.batches
        first, count = int(batches.done[0]), len(batches.losses) * batches.per_epoch
        moment.keep(batches)
        while first < count:
            last = min(first + self._pace, count)
            if plan.every:
                last = min(last, first + plan.every - group.step(first) % plan.every)
            begin = time.perf_counter()
            self._train(plan.executable, batches, first, last)
            seconds = time.perf_counter() - begin
            self._set_pace(last - first, seconds)
            saves = plan.every and group.step(last) % plan.every == 0
            ends = saves or last == count or moment.is_old(seconds)
            if not all(map(finite, (batches.losses, *(self._values.values() if ends else ())))):
                raise self._diverged(plan.executable, group, moment)
            if ends and last < count:
                moment.keep(batches)
            if ends and self._recorder is not None:
                self._recorder.on_moment(model)
            if saves and plan.checkpoint:
                plan.checkpoint()
            first = last

    def _diverged(self, executable: Executable, group: Group, moment: Moment) -> DivergenceError:
        """Go back to the last finite step, in another thread: an interrupt would leave a half."""

        def located() -> DivergenceError:
            values = self._values
            number = last_finite_step(executable, values, group.batches, moment)
            return divergence(executable, values, group.batches, number, group.records + 1)

        return self._apart(located)

    def _train(self, executable: Executable, batches: Batches, first: int, last: int) -> None:
        """Run some batches; a slow batch in another thread, so that Ctrl-C need not wait for it."""
        if executable.whole(batches) and not self._slow:
            executable.train(batches, first, last)
        else:
            self._apart(lambda: executable.train(batches, first, last))

    def _apart(self, work: Callable[[], Value]) -> Value:
        """Do some work in another thread, which finishes it if an interrupt comes; what uses the
        values then waits for it. It is known before it is started: an interrupt may come between.
        """
        found: Future[Value] = Future()
        self._running = found
        start(work, found)
        return outcome(found)

    def _set_pace(self, batches: int, seconds: float) -> None:
        """How many batches run in one call of compiled code, during which Ctrl-C has to wait."""
        fitting = int(batches * SECONDS_PER_CALL / max(seconds, 1e-9))
        self._pace = max(1, min(fitting, 2 * self._pace))
        self._slow = fitting == 0

    def _finish(self, plan: Plan, model: Model, group: Group) -> list[Record]:
        """What is to do after a group; the records of its epochs.

        All of it is counted by one assignment: an interrupt leaves no half of an epoch's end.
        """
        records = group.losses(len(group.batches.losses))
        if plan.pauses:
            records[0] |= plan.measures.take() if plan.measures.names else {}
            for callback in plan.callbacks:
                callback.on_epoch_end(model, group.records + 1, dict(records[0]))
        epoch, step = group.start.epoch + len(records), group.step(int(group.batches.done[0]))
        progress = Progress(epoch, step, group.cut.between_epochs(plan.callbacks))
        self._history.records[group.records :] = records
        self._progress, self._group = progress, None
        return records


def _nothing(model: Model) -> None:
    """What a callback without a hook does."""
