"""Models: what they hold, say, cost and refuse."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from symprop import Adam, Dense, Network
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    DataError,
    ShapeError,
    UnknownNameError,
)
from symprop.passes import lower
from tqdm import tqdm

from models import BACKENDS, CLASSES, X, classifier, raises, state


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


# --- parameters -------------------------------------------------------------------------------


def test_parameters_are_copies():
    model = classifier()
    model.parameters["W1"][:] = 0
    assert model.parameters["W1"].any()


def test_parameters_can_be_set_one_by_one(backend):
    model, other = classifier(backend=backend), classifier(seed=1, backend=backend)
    before = model.parameters
    model.predict(X)
    model.set_parameters({"W1": other.parameters["W1"]})
    assert (model.parameters["W1"] == other.parameters["W1"]).all()
    assert (model.parameters["W2"] == before["W2"]).all()
    model.set_parameters(other.parameters)
    assert (model.predict(X) == other.predict(X)).all()


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        ({"b22": 0}, UnknownNameError, "parameter: unknown name 'b22'; did you mean 'b2'?"),
        ({"b1": [0, 0]}, ShapeError, "b1: expected shape (8,), got (2,)"),
        ({"b1": [np.inf] * 8}, DataError, "b1: expected finite numbers, found inf at row 0"),
    ],
)
def test_refused_parameters_change_nothing(second, error, words):
    model = classifier()
    before = state(model)
    with raises(error, words):
        model.set_parameters({"W1": np.zeros((8, 3)), **second})
    assert state(model) == before


# --- refusals ---------------------------------------------------------------------------------

BAD_FITS = {
    "width": ((X[:, :2], CLASSES), {}, ShapeError, "x: expected shape (N, 3), got (50, 2)"),
    "length": ((X, CLASSES[:9]), {}, ShapeError, "x and y: expected the same number of rows, got"),
    "nan": ((X * np.nan, CLASSES), {}, DataError, "x: expected finite numbers, found nan at row 0"),
    "empty": ((X[:0], CLASSES[:0]), {}, DataError, "x: expected at least one row, got shape"),
    "class": ((X, CLASSES + 1), {}, DataError, "is outside 0 … 2, the classes of 3 outputs"),
    "epochs": ((X, CLASSES), {"epochs": 0}, ArgumentError, "epochs: expected at least 1, got 0"),
    "epochs type": (
        (X, CLASSES),
        {"epochs": 1.0},
        ArgumentTypeError,
        "epochs: expected a whole number, got float 1.0",
    ),
    "batch": (
        (X, CLASSES),
        {"batch_size": -3},
        ArgumentError,
        "batch_size: expected at least 1, got -3",
    ),
    "batch type": (
        (X, CLASSES),
        {"batch_size": True},
        ArgumentTypeError,
        "batch_size: expected a whole number, got bool True",
    ),
    "shuffle": (
        (X, CLASSES),
        {"shuffle": 1},
        ArgumentTypeError,
        "shuffle: expected True or False, got 1",
    ),
    "progress": (
        (X, CLASSES),
        {"progress": "yes"},
        ArgumentTypeError,
        "progress: expected True or False, got 'yes'",
    ),
    "fraction": (
        (X, CLASSES),
        {"validation": 1.5},
        ArgumentError,
        "validation: expected a fraction between 0 and 1, got 1.5",
    ),
    "pair": (
        (X, CLASSES),
        {"validation": (X, CLASSES[:3])},
        ShapeError,
        "validation x and validation y: expected the same number of rows, got 50 and 3",
    ),
}


@pytest.mark.parametrize("name", BAD_FITS)
def test_refused_fit_changes_nothing(name):
    data, settings, error, words = BAD_FITS[name]
    model = classifier()
    model.fit(X, CLASSES, epochs=2)
    before, history = state(model), model.history
    with raises(error, words):
        model.fit(*data, **settings)
    assert state(model) == before
    assert model.history is history


@pytest.mark.parametrize("call", ["evaluate", "loss_and_gradients"])
def test_other_calls_check_their_data(call):
    model = classifier()
    with raises(ShapeError, "x: expected shape (N, 3), got (50, 2)"):
        getattr(model, call)(X[:, :2], CLASSES)
    with raises(DataError, "y: class 5 in row 0 is outside 0 … 2"):
        getattr(model, call)(X, CLASSES * 0 + 5)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (
            {"backend": "numbda"},
            UnknownNameError,
            "backend: unknown name 'numbda'; did you mean 'numba'?",
        ),
        ({"backend": None}, ArgumentTypeError, "backend: expected a name, got None"),
        (
            {"optimizer": "adams"},
            UnknownNameError,
            "optimizer: unknown name 'adams'; did you mean 'adam'?",
        ),
        ({"optimizer": Adam}, ArgumentTypeError, "optimizer: expected a name or an object such as"),
        ({"dtype": "float"}, UnknownNameError, "dtype: unknown name 'float'; did you mean"),
        ({"seed": -1}, ArgumentError, "seed: expected at least 0, got -1"),
        (
            {"lowering": {"blocks": False}},
            ArgumentTypeError,
            "lowering: expected a Lowering, got {",
        ),
    ],
)
def test_compile_checks_its_settings(settings, error, words):
    with raises(error, words):
        classifier(**settings)


@pytest.mark.parametrize("x", [X[:0], np.empty((0, 3), int)])
def test_no_rows_have_no_predictions_and_no_loss(x, backend):
    model = classifier(backend=backend)
    found = model.predict(x)
    assert (found.shape, found.dtype) == ((0, 3), model.dtype)
    for refused in (model.evaluate, model.confusion_matrix, model.loss_and_gradients):
        with raises(DataError, "x: expected at least one row, got shape (0, 3)"):
            refused(x, CLASSES[:0])


# --- one fit at a time ------------------------------------------------------------------------


class Again:
    """Trains the model that is being trained."""

    def on_epoch_end(self, model, epoch, logs):
        model.fit(X, CLASSES)


class Elsewhere:
    """Trains it in another thread, and keeps what comes of it."""

    def on_epoch_end(self, model, epoch, logs):
        with ThreadPoolExecutor() as pool:
            self.error = pool.submit(model.fit, X, CLASSES).exception()
        self.trained = copy.deepcopy(model).fit(X, CLASSES).loss


def test_a_model_is_trained_by_one_fit_at_a_time(backend):
    model, alone, elsewhere = classifier(backend=backend), classifier(backend=backend), Elsewhere()
    with raises(BusyError, "fit: this model is being trained, by a fit in another thread or the"):
        model.fit(X, CLASSES, callbacks=Again())
    model = classifier(backend=backend)
    model.fit(X, CLASSES, epochs=2, callbacks=elsewhere)
    assert isinstance(elsewhere.error, BusyError)
    assert elsewhere.trained
    alone.fit(X, CLASSES, epochs=2)
    assert state(model) == state(alone)
    assert model.epoch == 2


def test_after_a_fit_that_failed_comes_another():
    model = classifier()
    with raises(BusyError, "is being trained"):
        model.fit(X, CLASSES, callbacks=Again())
    assert len(model.fit(X, CLASSES).loss) == 1


# --- progress and source ------------------------------------------------------------


def test_progress_bar_counts_epochs_and_shows_the_loss(capsys):
    model = classifier()
    model.fit(X, CLASSES, epochs=2)
    assert capsys.readouterr().err == ""
    history = model.fit(X, CLASSES, epochs=2, progress=True, validation=0.2)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert f"loss={history.loss[-1]:.4g}" in shown
    assert f"validation_accuracy={history.metrics['validation_accuracy'][-1]:.4g}" in shown


def test_the_bar_counts_from_when_what_trains_is_compiled(capsys, monkeypatch):
    seconds = []

    def slow(executable, batches):
        time.sleep(0.3)

    def reset(bar):
        seconds.append(bar.format_dict["elapsed"])
        tqdm.reset(bar)
        seconds.append(bar.format_dict["elapsed"])

    monkeypatch.setattr("symprop.backends.numpy.NumpyExecutable.prepare", slow)
    monkeypatch.setattr("tqdm.tqdm", type("Bar", (tqdm,), {"reset": reset}))
    classifier().fit(X, CLASSES, epochs=2, progress=True, validation=0.2)
    before, after = seconds
    assert after < 0.3 <= before
    shown = capsys.readouterr().err
    assert shown.index("compiling: ") < shown.index("2/2")
    assert "compiling" not in shown[shown.rindex("\r") :]


def test_source_of_the_interpreter_is_the_program():
    model = classifier()
    assert model.source == str(lower(model.network.step(model.optimizer)))


def test_model_says_what_it_is():
    assert repr(classifier(dtype="float32")) == (
        "Model(59 parameters, Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08), "
        "float32, numpy)"
    )


# --- cost -------------------------------------------------------------------------------------


def in_a_fresh_interpreter(code):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 (our own code)


def test_import_and_declaration_need_neither_numba_nor_scipy_nor_tqdm():
    out = in_a_fresh_interpreter(
        """
        import sys, symprop
        net = symprop.Network([symprop.Dense(2)], inputs=1, loss="mse")
        net.compile(backend="numpy").fit([[0.0]], [[0.0, 1.0]])
        print([name for name in ("numba", "llvmlite", "scipy", "tqdm") if name in sys.modules])
        """
    )
    assert out.strip() == "[]"


def test_training_in_float32_keeps_no_float64_copy_of_the_data(backend):
    import tracemalloc

    x = np.ones((200_000, 8), np.float32)
    y = np.ones((200_000, 1), np.float32)
    model = Network([Dense(1)], inputs=8, loss="mse").compile(dtype="float32", backend=backend)
    model.fit(x[:10], y[:10], batch_size=10)
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=20_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.size * 8


def test_a_copy_of_a_trained_model_goes_on_by_itself() -> None:
    x, y = np.arange(12.0).reshape(6, 2) / 10, np.arange(6.0)
    model = Network([Dense(3, "tanh"), Dense(1)], inputs=2, loss="mse").compile("adam", seed=1)
    model.fit(x, y, epochs=2, batch_size=4)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 (its own)
        before = model.parameters
        copied.fit(x, y, epochs=1, batch_size=4)
        for name, array in model.parameters.items():
            assert np.array_equal(array, before[name])
    model.fit(x, y, epochs=1, batch_size=4)
    for name, array in model.parameters.items():
        assert np.array_equal(array, copied.parameters[name])
