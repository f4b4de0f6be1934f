"""Pictures: what is drawn are the numbers that were recorded, and nothing opens a window."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from symprop import Adam, Dense, Network, gradient_flow
from symprop.errors import DataError, MissingPackageError, ShapeError
from symprop.history import History
from symprop.plots import CLASSES, GRID, mosaic

from models import raises

RECORDS = [
    {
        "loss": 2.0 * 0.5**n,
        "validation_loss": 2.0 * 0.6**n,
        "accuracy": 0.5 + n / 20,
        "validation_accuracy": 0.4 + n / 20,
        "learning_rate": 0.1 * 0.8**n,
    }
    for n in range(8)
]


def picture(records=RECORDS):
    return {axes.get_ylabel(): axes for axes in History(list(records)).plot().axes}


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_curves_are_the_history():
    drawn = picture()
    assert list(drawn) == ["loss", "accuracy", "learning rate"]
    for panel, line, name in (
        ("loss", "training", "loss"),
        ("loss", "validation", "validation_loss"),
        ("accuracy", "training", "accuracy"),
        ("accuracy", "validation", "validation_accuracy"),
        ("learning rate", "training", "learning_rate"),
    ):
        curve = lines(drawn[panel])[line]
        assert list(curve.get_xdata()) == list(range(1, 9))
        assert list(curve.get_ydata()) == [record[name] for record in RECORDS]
    assert all(axes.get_xlabel() == "epoch" for axes in drawn.values())
    words = [text.get_text() for text in drawn["loss"].get_legend().get_texts()]
    assert words == ["training", "validation"]


def test_a_learning_rate_that_stays_has_no_panel():
    assert list(picture([{**record, "learning_rate": 0.1} for record in RECORDS])) == [
        "loss",
        "accuracy",
    ]


def test_lines_differ_in_more_than_colour():
    training, validation = lines(picture()["loss"]).values()
    assert training.get_linestyle() != validation.get_linestyle()


def test_losses_over_a_factor_of_ten_are_logarithmic():
    assert picture()["loss"].get_yscale() == "log"
    assert picture()["accuracy"].get_yscale() == "linear"
    assert picture(RECORDS[:3])["loss"].get_yscale() == "linear"
    assert picture([{"loss": -1.0}, {"loss": 100.0}])["loss"].get_yscale() == "linear"


def test_what_was_recorded_now_and_then_stands_at_its_epochs():
    records = [{"loss": 1.0}, {"loss": 0.9, "validation_loss": 1.1}, {"loss": math.inf}]
    validation = lines(picture(records)["loss"])["validation"]
    assert (list(validation.get_xdata()), list(validation.get_ydata())) == ([2], [1.1])


def test_an_empty_history_is_refused():
    with raises(DataError, "nothing to draw before the first epoch"):
        History().plot()


def test_pictures_are_saved(tmp_path):
    History(list(RECORDS)).plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    History(list(RECORDS)).plot(path=str(tmp_path / "curves.svg"))
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()


def image_model(units=70, inputs=64):
    net = Network([Dense(units, "relu"), Dense(3)], inputs=inputs, loss="mse")
    return net.compile(backend="numpy")


def test_first_weights_of_square_inputs_are_images():
    model = image_model()
    first, second = (axes for axes in model.plot_weights().axes if axes.images)
    drawn = np.ma.filled(first.images[0].get_array(), np.nan)
    assert drawn.shape == (8 * 9 - 1, 8 * 9 - 1)
    for unit in (0, 9, 63):
        row, column = divmod(unit, 8)
        tile = drawn[row * 9 : row * 9 + 8, column * 9 : column * 9 + 8]
        assert np.array_equal(tile, model.parameters["W1"][unit].reshape(8, 8))
    assert np.isnan(drawn[8]).all()
    assert first.get_title() == "W1: 8 × 8 inputs of the first 64 of 70 units"
    assert np.array_equal(second.images[0].get_array(), model.parameters["W2"])


def test_other_weights_are_matrices_with_units_down():
    model = image_model(5, 3)
    first, second = (axes for axes in model.plot_weights().axes if axes.images)
    assert np.array_equal(first.images[0].get_array(), model.parameters["W1"])
    assert (first.get_xlabel(), first.get_ylabel()) == (
        "input, counted from 1",
        "unit, counted from 1",
    )
    assert second.get_title() == "W2"
    low, high = first.images[0].get_clim()
    assert high == -low == pytest.approx(np.abs(model.parameters["W1"]).max())


def test_of_many_matrices_nine_are_shown():
    net = Network([Dense(3, "tanh") for _ in range(30)], inputs=2, loss="mse")
    figure = net.compile(backend="numpy").plot_weights()
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert (len(titles), titles[0], titles[-1]) == (9, "W1", "W30")
    assert figure.get_suptitle() == "9 of 30 weight matrices"


@pytest.mark.parametrize(("count", "shape"), [(1, (3, 4)), (3, (7, 9)), (5, (7, 14))])
def test_a_mosaic_holds_every_tile_once(count, shape):
    tiles = np.arange(count * 12.0).reshape(count, 3, 4)
    whole = mosaic(tiles)
    assert whole.shape == shape
    assert sorted(whole[~np.isnan(whole)]) == list(range(count * 12))


def plane(last, loss, outputs=1):
    net = Network([Dense(6, "tanh"), Dense(outputs, last)], inputs=2, loss=loss)
    return net.compile(Adam(0.05), backend="numpy", seed=1)


X = np.random.default_rng(0).normal(size=(40, 2))


def test_regions_are_the_predicted_classes():
    model, y = plane("softmax", "cross_entropy", 3), np.arange(40) % 3
    axes = model.plot_regions(X, y).axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    points = np.random.default_rng(1).integers(GRID, size=(50, 2))
    shown = axes.images[0].get_array()
    from matplotlib.colors import to_rgb

    for row, column in points:
        at = (
            left + (right - left) * column / (GRID - 1),
            bottom + (top - bottom) * row / (GRID - 1),
        )
        predicted = model.predict([at])[0]
        color = np.array(to_rgb(CLASSES[predicted.argmax()]))
        expected = 1 - 0.45 * predicted.max() * (1 - color)
        assert np.asarray(shown[row, column]) == pytest.approx(expected, abs=1e-5)


def test_regions_show_every_sample_in_its_class():
    y = np.arange(40) % 3
    axes = plane("softmax", "cross_entropy", 3).plot_regions(X, y).axes[0]
    dots = {c.get_label(): c.get_offsets() for c in axes.collections if "class" in c.get_label()}
    for number in range(3):
        assert np.allclose(dots[f"class {number}"], X[y == number], atol=1e-6)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x₁", "x₂")


@pytest.mark.parametrize(
    ("last", "loss", "low"), [("sigmoid", "binary_cross_entropy", 0), ("tanh", "hinge", -1)]
)
def test_the_line_between_two_classes_is_where_the_answer_changes(last, loss, low):
    y = np.where(X[:, 0] > X[:, 1], 1, low)
    model = plane(last, loss)
    model.fit(X, y, epochs=30)
    axes = model.plot_regions(X, y).axes[0]
    border = next(c for c in axes.collections if list(getattr(c, "levels", [])) == [(1 + low) / 2])
    places = np.concatenate([path.vertices for path in border.get_paths()])
    assert len(places) > 20
    assert model.predict(places)[:, 0] == pytest.approx((1 + low) / 2, abs=0.02)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [f"y = {low}", "y = 1"]


def test_values_of_a_regression_are_coloured():
    y = X[:, 0] * 3
    axes, bar = plane(None, "mse").plot_regions(X, y).axes
    dots = axes.collections[-1]
    assert np.asarray(dots.get_array()) == pytest.approx(y, rel=1e-6)
    assert bar.get_ylabel() == "prediction ŷ"
    assert dots.get_clim() == pytest.approx(axes.collections[0].get_clim(), rel=0.3)


@pytest.mark.parametrize(
    ("model", "x", "y", "words"),
    [
        (image_model(2, 3), np.ones((4, 3)), np.ones((4, 3)), "a network of 2 inputs, got 3"),
        (plane(None, "mse", 2), X, np.ones((40, 2)), "classes or one output, got 2 outputs"),
        (plane(None, "mse"), X, np.ones(3), "the same number of rows"),
    ],
)
def test_regions_of_anything_else_are_refused(model, x, y, words):
    with raises(ShapeError, words):
        model.plot_regions(x, y)


def test_the_flow_is_drawn_as_found():
    net = Network([Dense(8, "sigmoid") for _ in range(6)], inputs=8, loss="mse")
    flow = gradient_flow(net.compile(backend="numpy"), seeds=2)
    forward, back = flow.plot().axes
    drawn = lines(forward)
    assert list(drawn["predicted"].get_ydata()) == [layer.variance for layer in flow.layers]
    assert list(drawn["measured"].get_ydata()) == [f.measured_variance for f in flow.layers]
    drawn = lines(back)
    assert list(drawn["measured"].get_ydata()) == [layer.measured_delta for layer in flow.layers]
    assert list(drawn["at most"].get_ydata()) == [layer.bound for layer in flow.layers]
    sizes = [math.sqrt(8 * layer.delta_square) for layer in flow.layers]
    assert drawn["predicted"].get_ydata() == pytest.approx(sizes, rel=1e-12)
    assert back.get_yscale() == "log"
    assert forward.get_ylim()[0] == 0
    assert (forward.get_xlabel(), back.get_ylabel()) == ("layer", "|δ|")


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (lambda: History(list(RECORDS)).plot(), "History.plot"),
        (lambda: image_model().plot_weights(), "Model.plot_weights"),
        (lambda: plane(None, "mse").plot_regions(X, X[:, 0]), "Model.plot_regions"),
        (lambda: gradient_flow(plane(None, "mse"), seeds=1).plot(), "GradientFlow.plot"),
    ],
)
def test_without_matplotlib_the_error_says_what_to_install(draw, what, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with raises(MissingPackageError, f"{what} needs matplotlib; install it with: pip install"):
        draw()


LOADED = """
import sys
from symprop.history import History
from symprop import gradient_flow
print("matplotlib" in sys.modules)
History([{"loss": 1.0}]).plot()
print("matplotlib.pyplot" in sys.modules)
"""


def test_only_pictures_load_matplotlib_and_nothing_pyplot():
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
