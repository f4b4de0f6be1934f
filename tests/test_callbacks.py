"""Early stopping: when it stops, and what it puts back."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import EarlyStopping
from symprop.errors import ArgumentError, ArgumentTypeError, ModelFileError

from models import CLASSES, X, classifier, raises


def run(values, **settings):
    """The epoch at which it stops, the object, and the parameter that it leaves: the epoch's."""
    model = classifier()
    stops = EarlyStopping("loss", **settings)
    stops.on_fit_begin(model)
    for epoch, value in enumerate(values, 1):
        model.values["W1"][...] = epoch
        stops.on_epoch_end(model, epoch, {"loss": value})
        if model.stop_training:
            break
    stops.on_fit_end(model)
    return epoch, stops, model.values["W1"][0, 0]


@pytest.mark.parametrize(
    ("values", "settings", "stopped", "best"),
    [
        ([3, 2, 1, 1, 1, 1], {"patience": 2}, 5, 3),
        ([3, 2, 1, 1, 1, 1], {"patience": 1}, 4, 3),
        ([3, 2.6, 2.55, 1], {"patience": 2, "min_delta": 0.5}, 3, 1),
        ([3, 2.4, 2.2, 1.8], {"patience": 2, "min_delta": 0.5}, 4, 4),
        ([1, 2, 3, 2.5], {"patience": 2, "mode": "max"}, 4, 3),
        ([np.nan, 3, np.nan, np.nan], {"patience": 2}, 4, 2),
        ([3, 2, 1], {"patience": 1}, 3, 3),
        ([2, 3, 1, 2], {"patience": 2}, 4, 3),
    ],
)
def test_it_stops_after_patience_epochs_that_are_not_better(values, settings, stopped, best):
    epoch, stops, kept = run(values, **settings)
    assert (epoch, stops.best_epoch, kept) == (stopped, best, best)
    assert stops.best == values[best - 1]


def test_without_restore_best_the_last_parameters_stay():
    assert run([1, 2, 3], patience=2, restore_best=False)[2] == 3


def test_an_epoch_is_finished_when_its_callbacks_have_been_called():
    seen = []

    class Watch:
        def on_epoch_end(self, model, epoch, logs):
            seen.append((epoch, model.epoch, model.step, len(model.history)))

    model = classifier()
    for _ in range(2):
        model.fit(X[:30], CLASSES[:30], epochs=2, batch_size=10, callbacks=Watch())
    assert seen == [(1, 0, 3, 0), (2, 1, 6, 1), (1, 2, 9, 0), (2, 3, 12, 1)]
    assert (model.epoch, len(model.history)) == (4, 2)


def test_in_a_fit_it_leaves_the_model_of_the_best_epoch():
    model, stops = classifier(), EarlyStopping(patience=2, min_delta=0.02)
    x, y = X[:30], CLASSES[:30]
    history = model.fit(x, y, 200, 8, validation=(X[30:], CLASSES[30:]), callbacks=stops)
    assert len(history) == stops.best_epoch + 2 < 200
    found = model.evaluate(X[30:], CLASSES[30:])["loss"]
    assert found == history.validation_loss[stops.best_epoch - 1] == stops.best
    model.fit(x, y, 1, 8, validation=0.2, callbacks=stops)
    assert stops.best_epoch == 1  # each fit begins anew


def test_direction_is_known_for_metrics_of_symprop_and_asked_for_others():
    names = {"validation_loss": "min", "mae": "min", "validation_top_3": "max", "r2": "max"}
    assert {name: EarlyStopping(name).mode for name in names} == names
    with raises(ArgumentError, "EarlyStopping: mode: expected 'min' or 'max' for 'mine', got ''"):
        EarlyStopping("mine")
    assert EarlyStopping("mine", mode="max").mode == "max"


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"patience": 0}, ArgumentError, "EarlyStopping: patience: expected at least 1, got 0"),
        ({"min_delta": -1}, ArgumentError, "min_delta: expected at least 0, got -1"),
        ({"min_delta": "1"}, ArgumentTypeError, "min_delta: expected a number"),
        ({"restore_best": "no"}, ArgumentTypeError, "restore_best: expected True or False"),
        ({"monitor": 3}, ArgumentTypeError, "monitor: expected a name, got 3"),
        ({"mode": "up"}, ArgumentError, "mode: expected 'min' or 'max'"),
    ],
)
def test_settings_are_checked(settings, error, words):
    with raises(error, words):
        EarlyStopping(**settings)


def test_monitor_that_is_not_measured_is_refused_before_training():
    model = classifier()
    with raises(
        ArgumentError,
        "EarlyStopping: monitor: 'validation_loss' is not measured; there are loss; "
        "give validation= or metrics=",
    ):
        model.fit(X, CLASSES, callbacks=EarlyStopping())
    assert model.step == 0


def test_state_comes_back_and_a_strange_one_is_refused():
    _, stops, _ = run([3, 2, 4], patience=5)
    other = EarlyStopping("loss", patience=5)
    other.restore(stops.state())
    assert (other.best, other.best_epoch, other.wait) == (2, 2, 1)
    assert other.state().keys() == stops.state().keys()
    for state in ({}, {"best": "x", "best_epoch": 1, "wait": 1}, {"best_epoch": 1.5, "wait": 1}):
        with raises(ModelFileError, "EarlyStopping: what the file holds is no state of it"):
            other.restore(state)
    other.restore({**stops.state(), "values/W1": np.zeros(2)})
    with raises(ModelFileError, "EarlyStopping: its state does not fit the network: W1"):
        other.on_fit_end(classifier())
