"""Training: what is computed, recorded and interrupted."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
import sympy
from symprop import SGD, Adam, Dense, Network, prediction, target
from symprop.history import History
from symprop.training import Course

from models import BACKENDS, CLASSES, ONE_HOT, X, classifier, line, state


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


# --- what is computed -------------------------------------------------------------------------


def test_loss_and_gradients_are_those_of_the_formula(backend):
    loss, gradients = line(2.0, 1.0, backend=backend).loss_and_gradients([[1.0], [3.0]], [2.0, 9.0])
    errors = np.array([1.0, -2.0])
    assert loss == pytest.approx((errors**2).mean(), rel=1e-14)
    assert gradients["W1"] == pytest.approx(np.array([[(2 * errors * [1, 3]).mean()]]), rel=1e-14)
    assert gradients["b1"] == pytest.approx(np.array([(2 * errors).mean()]), rel=1e-14)


def test_one_step_of_gradient_descent_is_the_textbooks(backend):
    model = line(2.0, 1.0, backend=backend)
    _, gradients = model.loss_and_gradients([[1.0], [3.0]], [2.0, 9.0])
    model.fit([[1.0], [3.0]], [2.0, 9.0], batch_size=2)
    assert model.parameters["W1"] == pytest.approx(2.0 - 0.1 * gradients["W1"], rel=1e-14)
    assert model.parameters["b1"] == pytest.approx(1.0 - 0.1 * gradients["b1"], rel=1e-14)


def by_hand(x, y, batch_size, weight, bias, rate=0.1):
    """An epoch of ŷ = w x + b in order; the parameters and the loss of the epoch."""
    total = 0.0
    for first in range(0, len(x), batch_size):
        rows = slice(first, first + batch_size)
        errors = weight * x[rows] + bias - y[rows]
        total += (errors**2).sum()
        weight -= rate * (2 * errors * x[rows]).mean()
        bias -= rate * (2 * errors).mean()
    return weight, bias, total / len(x)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 7, 10])
def test_short_last_batch_has_its_own_mean_and_its_own_weight(backend, batch_size):
    x = np.array([0.5, -1.0, 2.0, 1.5, -0.5])
    y = np.array([1.0, 0.0, 3.0, -1.0, 2.0])
    model = line(1.0, 0.0, backend=backend)
    history = model.fit(x[:, None], y, batch_size=batch_size, shuffle=False)
    weight, bias, loss = by_hand(x, y, batch_size, 1.0, 0.0)
    assert model.parameters["W1"][0, 0] == pytest.approx(weight, rel=1e-13)
    assert model.parameters["b1"][0] == pytest.approx(bias, rel=1e-13)
    assert history.loss == [pytest.approx(loss, rel=1e-13)]


def adam_by_hand(x, y, steps, rate=0.1):
    """Kingma and Ba's Algorithm 1 on ŷ = w x + b, from w = 1, b = 0."""
    theta, m, v = np.array([1.0, 0.0]), np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        errors = theta[0] * x + theta[1] - y
        g = np.array([(2 * errors * x).mean(), (2 * errors).mean()])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return theta


def test_adam_keeps_its_state_from_batch_to_batch_and_from_fit_to_fit(backend):
    x, y = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.0, 3.0])
    model = line(1.0, 0.0, optimizer=Adam(0.1), backend=backend)
    model.fit(x[:, None], y, epochs=3, batch_size=3)
    model.fit(x[:, None], y, epochs=2, batch_size=3)
    weight, bias = adam_by_hand(x, y, 5)
    assert model.parameters["W1"][0, 0] == pytest.approx(weight, rel=1e-12)
    assert model.parameters["b1"][0] == pytest.approx(bias, rel=1e-12)
    assert model.values["t"] == 5


def test_fit_learns_to_classify(backend):
    model = classifier(optimizer=Adam(0.05), backend=backend)
    history = model.fit(X, CLASSES, epochs=60, batch_size=16)
    assert history.loss[-1] < history.loss[0] / 3
    assert model.evaluate(X, CLASSES)["accuracy"] > 0.95


def test_predictions_are_the_networks_outputs(backend):
    predicted = classifier(backend=backend).predict(X)
    assert predicted.shape == (50, 3)
    assert predicted.dtype == np.float64
    assert predicted.sum(axis=1) == pytest.approx(np.ones(50), rel=1e-13)


def test_predictions_and_losses_over_several_blocks_are_those_of_one(backend, monkeypatch):
    monkeypatch.setattr("symprop.model.ROWS_PER_CALL", 128)
    many = np.tile(X, (11, 1))
    model = classifier(backend=backend)
    assert model.predict(many) == pytest.approx(np.tile(model.predict(X), (11, 1)), rel=1e-12)
    once = model.evaluate(X, CLASSES)["loss"]
    assert model.evaluate(many, np.tile(CLASSES, 11))["loss"] == pytest.approx(once, rel=1e-12)
    assert model.loss_and_gradients(X, CLASSES)[0] == pytest.approx(once, rel=1e-12)


def test_class_numbers_and_one_hot_rows_are_the_same(backend):
    first, second = classifier(backend=backend), classifier(backend=backend)
    assert first.fit(X, CLASSES, 2) == second.fit(X, ONE_HOT, 2)
    assert state(first) == state(second)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_has_the_models_type(backend, dtype):
    model = classifier(dtype=dtype, backend=backend)
    model.fit(X, CLASSES, validation=(X, CLASSES))
    _, gradients = model.loss_and_gradients(X, CLASSES)
    assert model.values.pop("t").dtype == np.int64  # counts steps
    arrays = [*model.values.values(), *gradients.values(), model.predict(X)]
    assert {array.dtype.name for array in arrays} == {dtype}


def test_float32_starts_from_float64s_parameters_rounded():
    single, double = classifier(dtype="float32"), classifier(dtype="float64")
    for name, array in double.parameters.items():
        assert (single.parameters[name] == array.astype(np.float32)).all()


def test_scalar_states_have_no_axes():
    assert classifier().values["t"].shape == ()
    assert classifier(optimizer=Adam(0.25)).values["alpha"] == 0.25


# --- accuracy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "y", "expected"),
    [
        ("binary_cross_entropy", [1, 0, 0, 1], 0.25),
        ("binary_cross_entropy", [0.2, 0.48, 0.6, 1.0], 0.75),
        ("hinge", [1, -1, -1, 1], 0.25),
        ("hinge", [-1, 1, -1, 1], 0.75),
        ("mse", [1, 0, 0, 1], None),
        (sympy.log(sympy.cosh(prediction - target)), [1, 0, 0, 1], None),
    ],
)
def test_accuracy_is_as_the_targets_are_declared(loss, y, expected):
    activation = "sigmoid" if loss == "binary_cross_entropy" else None
    model = Network([Dense(1, activation=activation)], inputs=1, loss=loss).compile(
        dtype="float64", backend="numpy"
    )
    model.set_parameters({"W1": [[1.0]], "b1": [0.0]})
    found = model.evaluate([[-1.0], [1.0], [2.0], [3.0]], y)
    assert found.get("accuracy") == expected
    assert found.keys() <= {"loss", "accuracy"}


def test_probability_of_a_half_divides():
    model = Network([Dense(1, "sigmoid")], inputs=1, loss="binary_cross_entropy").compile(
        dtype="float64", backend="numpy"
    )
    model.set_parameters({"W1": [[1.0]], "b1": [0.0]})
    assert model.evaluate([[-0.01], [0.01]], [0, 1])["accuracy"] == 1
    assert model.evaluate([[-0.01], [0.01]], [1, 0])["accuracy"] == 0


def test_accuracy_of_classes_compares_the_largest_outputs():
    model = Network([Dense(2, activation="softmax")], inputs=2, loss="cross_entropy").compile(
        dtype="float64", backend="numpy"
    )
    model.set_parameters({"W1": np.eye(2), "b1": [0, 0]})
    x = [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert model.evaluate(x, [0, 1, 0, 0])["accuracy"] == 0.75
    assert model.evaluate(x, [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [1, 0]])["accuracy"] == 0.75


# --- history ----------------------------------------------------------------------------------


def test_history_has_one_entry_an_epoch(backend):
    model = classifier(backend=backend)
    history = model.fit(X, CLASSES, epochs=3, validation=(X[:20], CLASSES[:20]))
    assert len(history) == len(history.loss) == len(history.validation_loss) == 3
    assert history.metrics.keys() == {"validation_accuracy"}
    measured = model.evaluate(X[:20], CLASSES[:20])
    assert history.validation_loss[-1] == measured["loss"]
    assert history.metrics["validation_accuracy"][-1] == measured["accuracy"]
    assert model.history is history


def test_history_without_validation_has_losses_only():
    history = classifier().fit(X, CLASSES, epochs=2)
    assert (len(history.loss), history.validation_loss, history.metrics) == (2, [], {})


def test_history_of_a_fraction_leaves_out_the_rows_held(backend):
    model = line(backend=backend)
    x, y = np.ones((10, 1)), np.arange(10.0)
    history = model.fit(x, y, epochs=1, batch_size=10, validation=0.2, shuffle=False)
    kept = np.sort(np.random.default_rng(0).permutation(10)[2:])
    assert history.loss[0] == pytest.approx(((1.0 - y[kept]) ** 2).mean(), rel=1e-13)


def test_history_reads_well():
    history = History([{"loss": 2.0}, {"loss": 0.123456}])
    assert repr(history) == "History(2 epochs: loss 2 → 0.1235)"
    assert repr(History()) == "History(no epochs)"
    with pytest.raises(AttributeError):
        history.records = []


# --- randomness -------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bits(backend):
    first, second = classifier(seed=3, backend=backend), classifier(seed=3, backend=backend)
    assert state(first) == state(second)
    first.fit(X, CLASSES, epochs=3, batch_size=7, validation=0.2)
    second.fit(X, CLASSES, epochs=3, batch_size=7, validation=0.2)
    assert state(first) == state(second)


def test_other_seeds_give_other_parameters_and_orders():
    first, second = classifier(seed=0), classifier(seed=1)
    assert not np.allclose(first.parameters["W1"], second.parameters["W1"])
    second.set_parameters(first.parameters)
    first.fit(X, CLASSES, batch_size=7)
    second.fit(X, CLASSES, batch_size=7)
    assert not np.array_equal(first.parameters["W1"], second.parameters["W1"])


def test_second_fit_continues(backend):
    whole, halves = classifier(backend=backend), classifier(backend=backend)
    together = whole.fit(X, CLASSES, epochs=4, batch_size=8)
    first = halves.fit(X, CLASSES, epochs=1, batch_size=8)
    second = halves.fit(X, CLASSES, epochs=3, batch_size=8)
    assert together.loss == first.loss + second.loss
    assert state(whole)[:2] == state(halves)[:2]


def test_without_shuffling_the_generator_rests():
    model = classifier()
    before = model.generator.bit_generator.state
    model.fit(X, CLASSES, shuffle=False, validation=0.1)
    assert model.generator.bit_generator.state == before
    model.fit(X, CLASSES)
    assert model.generator.bit_generator.state != before


def test_the_cut_of_an_epoch_into_calls_does_not_change_the_bits(backend, monkeypatch):
    first, second = classifier(backend=backend), classifier(backend=backend)
    first.fit(X, CLASSES, epochs=5, batch_size=1)
    monkeypatch.setattr(Course, "_set_pace", lambda course, batches, seconds: None)  # one at a time
    second.fit(X, CLASSES, epochs=5, batch_size=1)
    assert state(first)[0] == state(second)[0]
    assert second.history.loss == first.history.loss


def test_pace_follows_the_time_that_calls_take():
    course = Course({}, np.random.default_rng(0), 0, SGD())
    course._set_pace(1, 1e-9)
    assert course._pace == 2  # never more than twice as many as before
    course._set_pace(100, 10.0)
    assert course._pace == 1


# --- interruption ----------------------------------------------------------------------


def end_after(model, seconds):
    """Let training fail instead of going on for ever."""
    train, end = model._executable.train, time.perf_counter() + seconds

    def bounded(*given):
        assert time.perf_counter() < end, "the interrupt did not come"
        return train(*given)

    model._executable.train = bounded


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("units", [16, 600])
def test_interrupt_answers_and_leaves_a_usable_model(backend, units):
    layers = [Dense(units, activation="gelu"), Dense(units, activation="gelu"), Dense(3)]
    model = Network(layers, inputs=3, loss="mse").compile(dtype="float32", backend=backend)
    model.fit(X[:2], ONE_HOT[:2])
    x, y = np.tile(X, (400, 1)), np.tile(ONE_HOT, (400, 1))
    sent = []
    end_after(model, 30)

    def interrupt():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.7, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=10**6, batch_size=32)
    finally:
        timer.cancel()
        timer.join()
    assert time.perf_counter() - sent[0] < 0.5
    assert isinstance(model.history, History)
    assert np.isfinite(model.predict(X)).all()
    assert len(model.fit(X, ONE_HOT, epochs=2)) == 2


def test_batches_of_another_size_begin_with_one_in_a_call(monkeypatch):
    """How many of them take a tenth of a second, for which Ctrl-C has to wait, is not known."""
    model, calls = line(), []
    executable = model._executable
    train = executable.train
    monkeypatch.setattr(
        executable,
        "train",
        lambda b, first, last: calls.append(last - first) or train(b, first, last),
    )
    x, y = np.ones((64, 1)), np.zeros(64)
    for rows, begins_anew in ((1, True), (1, False), (64, True)):
        calls.clear()
        model.fit(x, y, epochs=50, batch_size=rows)
        assert (calls[0] == 1) == begins_anew


def test_interrupted_interpreter_stands_after_a_whole_batch(monkeypatch):
    """An interrupt within the second batch leaves the values of the first."""
    from symprop.backends import numpy as interpreter

    model, one = line(), line()
    run, calls = interpreter.run, []

    def interrupted(*arguments):
        calls.append(1)
        values = run(*arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return values

    monkeypatch.setattr(interpreter, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit([[1.0], [2.0]], [0.0, 1.0], batch_size=1, shuffle=False)
    monkeypatch.setattr(interpreter, "run", run)
    one.fit([[1.0]], [0.0], batch_size=1, shuffle=False)
    assert state(model)[0] == state(one)[0]


def test_finished_epochs_are_in_the_history_of_an_interrupted_fit(monkeypatch):
    model = classifier()
    measure, calls = model._measure, []

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(model, "_measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, CLASSES, epochs=9, validation=0.2)
    assert len(model.history.loss) == len(model.history.validation_loss) == 2


@pytest.mark.usefixtures("interruptible")
def test_interrupt_does_not_wait_for_a_slow_batch_but_the_values_do(monkeypatch):
    model = classifier()

    def slow(batches, first, last):
        time.sleep(1.0)
        model._course._values["b1"][...] = 7

    monkeypatch.setattr(model._executable, "train", slow)
    sent = []
    timer = threading.Timer(
        0.2, lambda: (sent.append(time.perf_counter()), signal.raise_signal(signal.SIGINT))
    )
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, CLASSES)
    assert time.perf_counter() - sent[0] < 0.5
    assert (model.parameters["b1"] == 7).all()
