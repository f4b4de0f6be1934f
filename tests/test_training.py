"""Training as a course: fits that are cut go on bit for bit, and numbers that stop being finite."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
import symprop
from symprop import SGD, Adam, BatchNorm, Dense, Dropout, EarlyStopping, Network, divergence, load
from symprop.errors import ArgumentError, ArgumentTypeError, DivergenceError
from symprop.training import Course

from models import BACKENDS, CLASSES, X, classifier, line, raises

EPOCHS = 8
SETTINGS = {"batch_size": 8, "validation": 0.2, "metrics": ["accuracy", "top_2"]}


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def everything(model):
    """All that training changes, and that it goes on from."""
    return (
        {label: array.tobytes() for label, array in model.values.items()},
        model.generator.bit_generator.state,
        model.history.records,
        model.progress,
    )


def stopping():
    return EarlyStopping("validation_accuracy", patience=4, min_delta=0.01)


class StopError(Exception):
    """Ends a training from within."""


def cut_after(model, saves):
    """Let training fail right after so many saves."""
    save, count = model.save, []

    def saved(path):
        save(path)
        count.append(path)
        if len(count) == saves:
            raise StopError

    model.save = saved


# --- going on ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "saves"), [(1, 1), (1, 5), (3, 4), (7, 3), (None, 2)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_loaded_checkpoint_goes_on_bit_for_bit(tmp_path, backend, every, saves, shuffle):
    settings = {**SETTINGS, "shuffle": shuffle}
    whole, cut = classifier(backend=backend), classifier(backend=backend)
    whole.fit(X, CLASSES, EPOCHS, callbacks=stopping(), **settings)
    cut_after(cut, saves)
    with pytest.raises(StopError):
        cut.fit(
            X,
            CLASSES,
            EPOCHS,
            callbacks=stopping(),
            checkpoint=tmp_path / "m",
            every=every,
            **settings,
        )
    loaded = load(tmp_path / "m")
    assert loaded.step == saves * (every or 5)
    loaded.fit(X, CLASSES, EPOCHS - loaded.epoch, callbacks=stopping(), **settings)
    assert everything(loaded) == everything(whole)
    assert (whole.epoch, whole.step) == (len(whole.history), 5 * len(whole.history))


def test_no_checkpoint_is_of_a_fit_that_is_over_but_for_its_end(tmp_path):
    """A process that is killed right after any save goes on to the best parameters."""
    settings = {"validation": 0.2, "batch_size": 8}
    whole, model, files = classifier(), classifier(), []
    whole.fit(X, CLASSES, EPOCHS, callbacks=stopping(), **settings)
    save = model.save

    def kept(path):
        save(path)
        files.append(path.read_bytes())

    model.save = kept
    model.fit(X, CLASSES, EPOCHS, callbacks=stopping(), checkpoint=tmp_path / "m", **settings)
    assert len(files) == len(whole.history)
    for content in files:
        (tmp_path / "m").write_bytes(content)
        loaded = load(tmp_path / "m")
        if not loaded.stop_training and loaded.epoch < EPOCHS:
            loaded.fit(X, CLASSES, EPOCHS - loaded.epoch, callbacks=stopping(), **settings)
        assert everything(loaded) == everything(whole)


def test_a_finished_fit_is_not_gone_on_with(tmp_path, backend):
    model = classifier(backend=backend)
    model.fit(X, CLASSES, 2, checkpoint=tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert everything(loaded) == everything(model)
    assert loaded.progress.cut is None
    assert len(loaded.fit(X, CLASSES, 2)) == 2
    assert (loaded.epoch, loaded.step) == (4, 8)


@pytest.mark.parametrize("other", [{"batch_size": 9}, {"shuffle": False}, {"rows": 40}], ids=str)
def test_another_fit_begins_a_new_epoch(tmp_path, other):
    model = classifier()
    cut_after(model, 3)
    with pytest.raises(StopError):
        model.fit(X, CLASSES, EPOCHS, 8, checkpoint=tmp_path / "m", every=3)
    loaded = load(tmp_path / "m")
    assert (loaded.epoch, loaded.step, len(loaded.history)) == (1, 9, 1)
    settings = {"batch_size": 8, **other}
    rows = settings.pop("rows", 50)
    assert len(loaded.fit(X[:rows], CLASSES[:rows], 2, **settings)) == 2
    assert loaded.epoch == 3


def test_cut_fit_goes_on_with_its_history_in_the_same_process(backend, monkeypatch):
    whole, cut = classifier(backend=backend), classifier(backend=backend)
    whole.fit(X, CLASSES, 6, 8)
    train, calls = Course._train, []

    def interrupted(course, *given):
        train(course, *given)
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Course, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cut.fit(X, CLASSES, 6, 8)
    finished = len(cut.history)
    assert cut.epoch == finished < 6
    monkeypatch.undo()
    cut.fit(X, CLASSES, 6 - finished, 8)
    assert everything(cut) == everything(whole)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("validation", [None, 0.2])
def test_an_interrupt_at_any_moment_loses_nothing(backend, validation):
    whole, cut = classifier(backend=backend), classifier(backend=backend)
    epochs = {"numpy": 20, "numba": 2000 if validation else 100_000}[backend]
    whole.fit(X, CLASSES, epochs, 8, validation=validation)
    assert cut.source  # a derivation that is interrupted begins anew
    draw, interrupts = np.random.default_rng(0), 0
    while cut.epoch < epochs:
        timer = threading.Timer(draw.uniform(0, 0.2), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            cut.fit(X, CLASSES, epochs - cut.epoch, 8, validation=validation)
            timer.cancel()
            timer.join()
            time.sleep(0.001)  # a signal that has come is answered here
        except KeyboardInterrupt:
            interrupts += 1
    assert everything(cut)[:3] == everything(whole)[:3]
    assert (cut.epoch, cut.step) == (whole.epoch, whole.step)
    assert interrupts > 0


DECAY = symprop.ExponentialDecay(0.02, 10, 0.9)


def everything_at_once(optimizer, backend):
    """Noise, running statistics, states of an optimizer, a schedule."""
    layers = [Dense(8), BatchNorm(), Dropout(0.3), Dense(3, activation="softmax")]
    network = Network(layers, inputs=3, loss="cross_entropy")
    return network.compile(optimizer, dtype="float64", seed=3, backend=backend)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_a_thread_is_started_loses_nothing(backend, moment, monkeypatch):
    """The thread that trains runs, or never will; it is not known to the one who is interrupted."""
    optimizers = [SGD(lambda t: 0.1 / (1 + t), momentum=0.9), Adam(0.01)]
    for optimizer in optimizers:
        whole, cut = (everything_at_once(optimizer, backend) for _ in range(2))
        whole.fit(X, CLASSES, 5, 8)
        begin, interrupts = threading.Thread.start, []

        def started(thread, begin=begin, cut=cut, interrupts=interrupts):
            if threading.current_thread() is not threading.main_thread():
                return begin(thread)
            if moment == "after":
                begin(thread)
            interrupts.append(thread)
            raise KeyboardInterrupt

        while cut.epoch < 5:
            with monkeypatch.context() as patch:
                if len(interrupts) < 9:
                    patch.setattr(threading.Thread, "start", started)
                with contextlib.suppress(KeyboardInterrupt):
                    cut.fit(X, CLASSES, 5 - cut.epoch, 8)
        assert interrupts
        assert everything(cut)[:3] == everything(whole)[:3]
        assert (cut.epoch, cut.step) == (whole.epoch, whole.step)


@pytest.mark.parametrize("saves", [1, 4, 6])
def test_every_part_of_a_training_goes_on_in_mid_epoch(tmp_path, backend, saves):
    """Noise, statistics, moments, schedule, order and patience; another process does the same."""
    whole, cut = (everything_at_once(Adam(DECAY), backend) for _ in range(2))
    settings = {"batch_size": 8, "validation": 0.2}
    whole.fit(X, CLASSES, 6, callbacks=EarlyStopping(patience=2), **settings)
    cut_after(cut, saves)
    with pytest.raises(StopError):
        cut.fit(
            X,
            CLASSES,
            6,
            callbacks=EarlyStopping(patience=2),
            checkpoint=tmp_path / "m",
            every=2,
            **settings,
        )
    loaded = load(tmp_path / "m")
    assert loaded.step == 2 * saves
    loaded.fit(X, CLASSES, 6 - loaded.epoch, callbacks=EarlyStopping(patience=2), **settings)
    assert everything(loaded) == everything(whole)
    if saves == 1:
        paths = [*sys.path, os.path.dirname(__file__)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-c", RESUMED, str(tmp_path / "m"), str(tmp_path / "end")]
        subprocess.run(command, check=True, env=environment)  # noqa: S603 (a fixed text)
        assert everything(load(tmp_path / "end")) == everything(whole)


RESUMED = """
import sys, symprop
from models import CLASSES, X
model = symprop.load(sys.argv[1])
stopping = symprop.EarlyStopping(patience=2)
model.fit(X, CLASSES, 6 - model.epoch, 8, validation=0.2, callbacks=stopping)
model.save(sys.argv[2])
"""


CHILD = """
import sys, numpy as np, symprop
from symprop import Dense, EarlyStopping, Network
path = sys.argv[1]
x = np.random.default_rng(0).normal(size=(60, 3))
y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
try:
    model = symprop.load(path)
except FileNotFoundError:
    net = Network([Dense(8, "tanh"), Dense(3, "softmax")], inputs=3, loss="cross_entropy")
    model = net.compile("adam", seed=3, backend="numpy")
save = model.save
def told(path):
    save(path)
    print(model.step, flush=True)
model.save = told
if model.epoch < 20:
    model.fit(x, y, 20 - model.epoch, 8, validation=0.2, callbacks=EarlyStopping(patience=99),
              checkpoint=path, every=2)
print("done", flush=True)
"""


def test_killed_processes_lose_nothing_that_was_saved(tmp_path):
    """At random moments, most of them within a save; the end is that of an undisturbed training."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def child(name):
        return subprocess.Popen(  # noqa: S603 (a fixed text)
            [sys.executable, "-c", CHILD, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    draw, kills = np.random.default_rng(1), 0
    while True:
        process = child("killed")
        said = [process.stdout.readline()]
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        said += process.communicate()[0].splitlines()
        saved = [int(text) for text in said if text.strip().isdigit()]
        assert not saved or load(tmp_path / "killed").step >= saved[-1]
        if "done" in said or "done\n" in said:
            break
        kills += 1
    assert kills >= 2
    assert child("whole").communicate()[0].splitlines()[-1] == "done"
    assert everything(load(tmp_path / "killed")) == everything(load(tmp_path / "whole"))


def test_settings_of_a_checkpoint_are_checked_before_anything_changes(tmp_path):
    model = classifier()
    before = everything(model)
    with raises(ArgumentError, "every: says how often to save; give checkpoint=, too"):
        model.fit(X, CLASSES, every=3)
    with raises(ArgumentError, "every: expected at least 1"):
        model.fit(X, CLASSES, checkpoint=tmp_path / "m", every=0)
    with pytest.raises(FileNotFoundError, match="its folder does not exist"):
        model.fit(X, CLASSES, checkpoint=tmp_path / "none" / "m")
    with pytest.raises(IsADirectoryError, match="expected a file, this is a folder"):
        model.fit(X, CLASSES, checkpoint=tmp_path)
    with pytest.raises(OSError, match="name too long"):
        model.fit(X, CLASSES, checkpoint=tmp_path / ("m" * 255))
    assert everything(model) == before
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_no_file_can_hold_is_told(tmp_path):
    class Remembers:
        def on_epoch_end(self, model, epoch, logs):
            pass

        def state(self):
            return {"model": object()}

    model = classifier()
    before = everything(model)
    words = "callbacks: Remembers.state(): 'model': expected a number, text"
    with raises(ArgumentTypeError, words):
        model.fit(X, CLASSES, callbacks=Remembers(), checkpoint=tmp_path / "m")
    assert everything(model) == before


# --- numbers that stop being finite -----------------------------------------------------------


def by_hand(rate, x, y, batches):
    """(w, b) of ŷ = w x + b after each batch of one row, in order, while all is finite."""
    weight, bias, found = 1.0, 0.0, [(1.0, 0.0)]
    with np.errstate(all="ignore"):
        for n in range(batches):
            error = weight * x[n % len(x)] + bias - y[n % len(x)]
            loss = error**2
            weight, bias = weight - rate * 2 * error * x[n % len(x)], bias - rate * 2 * error
            if not np.isfinite([loss, weight, bias]).all():
                return found
            found.append((weight, bias))
    raise AssertionError("it did not diverge")


@pytest.mark.parametrize("rate", [30.0, 1e3, 1e150])
@pytest.mark.parametrize("validation", [None, ([[1.0]], [1.0])])
def test_weights_are_those_of_the_last_finite_step(backend, rate, validation):
    x, y = np.array([3.0, -1.0, 2.0]), np.array([1.0, 2.0, 0.0])
    model = line(1.0, 0.0, optimizer=SGD(rate), backend=backend)
    expected = by_hand(rate, x, y, 10**6)
    with pytest.raises(DivergenceError) as caught:
        model.fit(x[:, None], y, 10**6, 1, validation=validation, shuffle=False)
    steps = len(expected) - 1
    epoch, batch = divmod(steps, 3)
    assert (caught.value.epoch, caught.value.batch) == (epoch + 1, batch + 1)
    weight, bias = expected[-1]
    assert model.parameters["W1"][0, 0] == pytest.approx(weight, rel=1e-12)
    assert model.parameters["b1"][0] == pytest.approx(bias, rel=1e-12)
    assert (model.step, model.epoch, len(model.history)) == (steps, epoch, epoch)
    assert np.isfinite(model.history.loss).all()
    assert f"in epoch {epoch + 1}, batch {batch + 1};" in str(caught.value)
    assert "learning rate is too high" in str(caught.value)
    assert "clip_norm=" in str(caught.value)
    assert "network.compile(…) starts anew" in str(caught.value)
    grown = max(abs(weight), abs(bias)) > 1e6
    assert ("has grown to" in str(caught.value)) == grown


def test_the_first_tensor_of_the_step_that_is_not_finite_is_named(backend):
    """By the order of the program: forward pass, gradients, update."""
    net = Network([Dense(1, activation=symprop.activations.ARGUMENT**4)], inputs=1, loss="mse")
    start = {"W1": [[1.0]], "b1": [0.0]}
    for x, rate, name in (
        (1e200, 0.1, "ŷ"),
        (1e70, 0.1, "L"),
        (3.3e38, 0.1, "∂L/∂W1"),
        (1e30, 1e200, "W1"),
    ):
        model = net.compile(SGD(rate), dtype="float64", backend=backend)
        model.set_parameters(start)
        with pytest.raises(DivergenceError) as caught:
            model.fit([[x]], [0.0], 5)
        assert caught.value.tensor == name
        assert (caught.value.epoch, caught.value.batch, model.step) == (1, 1, 0)
        assert model.parameters["W1"] == [[1.0]]


class FullDisk(io.BytesIO):
    """Takes one write, then no more."""

    def __init__(self, buffering):
        super().__init__()

    def write(self, data):
        if self.tell():
            raise OSError("no space left on device")
        return super().write(data)


class Hesitant(io.BytesIO):
    """Takes and gives a few bytes at a time, as a system may."""

    def __init__(self, buffering):
        super().__init__()

    def write(self, data):
        return super().write(data[:5])

    def readinto(self, into):
        return super().readinto(into[:5])


@pytest.mark.parametrize("place", [None, tempfile.TemporaryFile, Hesitant, FullDisk])
def test_optimizer_state_and_generator_go_back_too(backend, place, monkeypatch):
    """A fit that stops before the bad batch is at the same place, wherever the copy was kept."""
    if place is not None:
        opened = []
        monkeypatch.setattr(divergence, "LARGE", 0)
        monkeypatch.setattr(
            divergence, "TemporaryFile", lambda **how: opened.append(place(**how)) or opened[-1]
        )
    x = np.ones((60, 1))
    bad = x.copy()
    bad[40] = 1e200
    cut, short = (line(optimizer=Adam(0.01), backend=backend, dtype="float64") for _ in range(2))
    with pytest.raises(DivergenceError) as caught:
        cut.fit(bad, np.zeros(60), 9, 1, shuffle=False)
    assert (caught.value.epoch, caught.value.batch) == (1, 41)
    short.fit(x[:40], np.zeros(40), 1, 1, shuffle=False)
    assert {k: v.tobytes() for k, v in cut.values.items()} == {
        k: v.tobytes() for k, v in short.values.items()
    }
    assert cut.progress.cut is None
    if place is not None:
        assert [file.closed for file in opened][1:] == [True]  # a traceback holds the first
    assert len(cut.fit(x, np.zeros(60), 2)) == 2


def test_parameters_that_are_not_finite_from_the_start_are_named(backend):
    model = line(backend=backend)
    model.values["W1"][...] = np.nan
    with pytest.raises(DivergenceError, match="fit: W1 is NaN in epoch 1, batch 1;"):
        model.fit([[1.0]], [1.0])


def test_losses_too_large_to_be_summed_are_told(backend):
    model = line(1.0, 0.0, optimizer=SGD(1e-300), backend=backend)
    with pytest.raises(DivergenceError) as caught:
        model.fit(np.ones((40, 1)), np.full(40, 1e154), 3, 1)
    assert caught.value.tensor == "the sum of the losses"


# --- what runs between epochs -----------------------------------------------------------------


class Sees:
    """Keeps what it is told."""

    def __init__(self, last=None):
        self.seen, self.last = [], last

    def on_epoch_end(self, model, epoch, logs):
        assert model.evaluate(X, CLASSES)["loss"] > 0
        self.seen.append((epoch, logs))
        if epoch == self.last:
            model.stop_training = True


def test_callbacks_see_each_epoch_and_can_stop(backend):
    first, second = Sees(), Sees(last=3)
    model = classifier(backend=backend)
    history = model.fit(X, CLASSES, 9, callbacks=[first, second], validation=(X, CLASSES))
    assert [epoch for epoch, _ in first.seen] == [1, 2, 3]
    assert [logs for _, logs in first.seen] == history.records
    assert first.seen == second.seen
    assert model.stop_training
    assert len(model.fit(X, CLASSES, 2)) == 2


@pytest.mark.parametrize("given", [Sees, lambda model, epoch, logs: None, "EarlyStopping", [3]])
def test_callbacks_that_are_none_are_refused(given):
    model = classifier()
    before = everything(model)
    with raises(ArgumentTypeError, "callbacks: expected objects with a method on_epoch_end"):
        model.fit(X, CLASSES, callbacks=given)
    assert everything(model) == before


def test_what_callbacks_do_does_not_change_the_bits(backend):
    plain, seen = classifier(backend=backend), classifier(backend=backend)
    plain.fit(X, CLASSES, 5, 8)
    seen.fit(X, CLASSES, 5, 8, callbacks=Sees())
    assert everything(plain) == everything(seen)
