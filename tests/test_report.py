"""The recorder, the mountain, and the page: true numbers, safe text, and what the file holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from symprop import (
    SGD,
    BatchNorm,
    Dense,
    Dropout,
    EarlyStopping,
    Network,
    Residual,
    load,
)
from symprop import (
    recorder as recording,
)
from symprop.blame import layers_of
from symprop.errors import ArgumentError, ArgumentTypeError, ShapeError
from symprop.report import Recorder, training_page
from symprop.report.formulas import layer_formulas
from symprop.report.measure import Measurement
from symprop.report.mountain import mountain, plane_of
from symprop.report.pictures import image_shape_of

from models import CLASSES, X, classifier, line, raises


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse mountain: the interpreter is slow."""
    monkeypatch.setattr("symprop.report.measure.POINTS", 7)


EVIL = "<b>\"&'</script><!--<script>@@style@@"


def recorded(model, x, y, fits=4, validation=None):
    recorder = Recorder(x, y, validation)
    recorder.record(model)
    for _ in range(fits):
        model.fit(x, y)
        recorder.record(model)
    return recorder


def page_of(folder: Path, model, recorder, **settings) -> str:
    path = folder / "page.html"
    training_page(model, model.history, path, recorder, **settings)
    return path.read_text(encoding="utf-8")


def data_of(page: str):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def test_snapshots_are_copies() -> None:
    model = line()
    recorder = recorded(model, [[0.0], [1.0]], [1.0, 3.0], fits=2)
    weights = [float(s.parameters["W1"][0, 0]) for s in recorder.snapshots]
    assert weights[0] == 1
    assert len(set(weights)) == 3
    assert weights[-1] == model.parameters["W1"][0, 0]


def test_of_many_snapshots_every_second_one_goes_and_the_newest_stays(monkeypatch) -> None:
    monkeypatch.setattr(recording, "MOST", 8)
    model, recorder = line(), Recorder([[0.0]], [1.0])
    for number in range(100):
        model.set_parameters({"b1": [number]})
        recorder.record(model)
        model.fit([[0.0]], [1.0])
        found = [int(s.number) for s in recorder.snapshots]
        assert found[0] == 0
        assert found[-1] == number
        assert len(found) <= 8
        assert len(set(np.diff(found[:-1]))) <= 1
    assert [float(s.parameters["b1"][0]) for s in recorder.snapshots] == found


def test_large_models_have_fewer_snapshots(monkeypatch) -> None:
    recorder = recorded(line(), [[0.0]], [1.0], fits=1)
    assert recorder._limit() == recording.MOST
    monkeypatch.setattr(recording, "MOST_BYTES", 100 * 16)
    assert recorder._limit() == 100
    monkeypatch.setattr(recording, "MOST_BYTES", 1)
    assert recorder._limit() == recording.FEWEST


def steps_on(path: Path) -> list[int]:
    return data_of(path.read_text(encoding="utf-8"))["steps"]


def test_a_recorder_among_the_callbacks_has_the_start_and_every_epoch(tmp_path: Path) -> None:
    model, recorder = classifier(), Recorder(X, CLASSES)
    history = model.fit(X, CLASSES, epochs=3, callbacks=[recorder])
    training_page(model, history, tmp_path / "page.html")
    assert steps_on(tmp_path / "page.html") == [0, 2, 4, 6]
    history = model.fit(X, CLASSES, callbacks=[recorder])
    training_page(model, history, tmp_path / "page.html")
    assert steps_on(tmp_path / "page.html") == [0, 2, 4, 6, 8]


def test_a_plain_fit_has_a_page_whose_numbers_are_those_of_its_end(tmp_path: Path) -> None:
    model, x, held_out = classifier(), X.copy(), (X[:20], CLASSES[:20])
    start = model.parameters["W1"]
    history = model.fit(x, CLASSES, epochs=4, validation=held_out)
    x[:] = 0  # what is done to the arrays afterwards is not on the page
    training_page(model, history, tmp_path / "page.html")
    found = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found["steps"][0] == 0
    assert {2, 4, 6, 8} <= set(found["steps"])
    assert found["loss"][-1] == pytest.approx(model.evaluate(X, CLASSES)["loss"], rel=1e-4)
    assert found["validation_loss"][-1] == pytest.approx(history.validation_loss[-1], rel=1e-4)
    accuracy = history.metrics["validation_accuracy"][-1]
    assert found["validation_accuracy"][-1] == pytest.approx(accuracy, rel=1e-4)
    assert np.array_equal(model.recorder.snapshots[0].parameters["W1"], start)


def test_a_fit_s_own_recorder_changes_no_bit_and_keeps_little(monkeypatch) -> None:
    monkeypatch.setattr(recording, "OWN_MOST", 4)
    monkeypatch.setattr(recording, "OWN_SAMPLES", 16 * 6 * 8)
    x = np.random.default_rng(0).normal(size=(1000, 3))
    model = line()
    model.fit([[0.0], [1.0]], [1.0, 3.0], epochs=50)
    assert len(model.recorder.snapshots) <= 4
    assert model.recorder.snapshots[-1].step == model.step == 50
    watched = Network([Dense(3)], 3, "mse").compile(backend="numpy", dtype="float64")
    watched.fit(x, x, validation=0.25)
    assert len(watched.recorder.x) == len(watched.recorder.validation[0]) == 16
    assert watched.recorder.rows == 750
    monkeypatch.setattr(recording, "OWN_LARGEST", 1)
    other = Network([Dense(3)], 3, "mse").compile(backend="numpy", dtype="float64")
    other.fit(x, x, validation=0.25)
    assert other.recorder is None
    assert np.array_equal(other.parameters["W1"], watched.parameters["W1"])


class Interrupts:
    def on_epoch_end(self, model, epoch, logs) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_a_fit_that_goes_on_has_one_path(tmp_path: Path) -> None:
    model, recorder = classifier(), Recorder(X, CLASSES)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, CLASSES, epochs=5, callbacks=[recorder, Interrupts()])
    training_page(model, model.history, tmp_path / "page.html")
    assert steps_on(tmp_path / "page.html") == [0, 2, 4]
    model.save(tmp_path / "cut")
    history = model.fit(X, CLASSES, epochs=2)
    training_page(model, history, tmp_path / "page.html")
    assert steps_on(tmp_path / "page.html")[:3] == [0, 2, 4]
    assert steps_on(tmp_path / "page.html")[-1] == model.step
    loaded = load(tmp_path / "cut")
    with raises(ArgumentError, "nothing was recorded on the way"):
        training_page(loaded, loaded.history, tmp_path / "page.html")
    history = loaded.fit(X, CLASSES, epochs=2)
    training_page(loaded, history, tmp_path / "page.html")
    assert steps_on(tmp_path / "page.html")[0] == 4


def test_the_path_ends_where_the_model_is(tmp_path: Path) -> None:
    model = line(optimizer=SGD(0.9))
    best = EarlyStopping("loss", patience=2)
    history = model.fit([[0.0], [2.0]], [1.0, 3.0], epochs=9, callbacks=[best])
    assert best.best_epoch < len(history)
    last = model.recorder.snapshots[-1]
    assert np.array_equal(last.parameters["W1"], model.parameters["W1"])


def test_the_history_of_another_fit_needs_its_recorder(tmp_path: Path) -> None:
    model = classifier()
    first = model.fit(X, CLASSES)
    model.fit(X, CLASSES)
    with raises(ArgumentError, "history: expected that of the model's latest fit"):
        training_page(model, first, tmp_path / "page.html")


def branches(x):
    hidden = Dense(3, "tanh")(x)
    return Dense(3, "softmax")(Dropout(0.5)(hidden) + x)


LAYERS = {
    "dropout": [Dropout(0.2), Dense(8, "tanh"), Dropout(0.5), Dense(3, "softmax")],
    "normalized": [Dense(8), BatchNorm(), Dense(3, "softmax")],
    "residual": [Residual([Dense(3, "tanh"), BatchNorm()]), Dense(3, "softmax")],
    "graph": branches,
}


@pytest.mark.parametrize("name", LAYERS)
def test_numbers_are_those_of_prediction(tmp_path: Path, name: str) -> None:
    net = Network(LAYERS[name], inputs=3, loss="cross_entropy")
    model = net.compile("adam", dtype="float64", backend="numpy")
    history = model.fit(X, CLASSES, epochs=3, validation=(X[:20], CLASSES[:20]))
    before = {label: array.tobytes() for label, array in model.values.items()}
    measurement = Measurement(model, model.recorder)
    series, found = measurement.series(), measurement.mountain()
    assert series.loss[-1] == pytest.approx(model.evaluate(X, CLASSES)["loss"], rel=1e-12)
    assert series.validation_loss[-1] == pytest.approx(history.validation_loss[-1], rel=1e-12)
    assert np.array_equal(measurement.predictions(X)[-1], model.predict(X))
    blames = [model.blame(x, y) for x, y in zip(X, CLASSES, strict=True)]
    for parameter in model.parameters:
        mean = np.mean([blame.gradients[parameter] for blame in blames], axis=0)
        assert series.gradient[parameter][-1] == pytest.approx(np.abs(mean).mean(), rel=1e-10)
    for n, layer in enumerate(layers_of(net)):
        mean = np.mean([np.abs(blame.deltas[layer.delta]) for blame in blames])
        assert series.delta[n][-1] == pytest.approx(mean, rel=1e-10)
    (row,) = found.plane.sheet(found.plane.path[-1:])
    assert measurement._loss(row) == pytest.approx(series.loss[-1], rel=1e-9)
    training_page(model, history, tmp_path / "page.html")
    assert before == {label: array.tobytes() for label, array in model.values.items()}
    panels = (tmp_path / "page.html").read_text(encoding="utf-8").count('class="panel"')
    assert panels == len(list(layer_formulas(net)))


def test_data_that_does_not_fit_is_refused_when_recording_starts() -> None:
    recorder = Recorder(X[:, :2], CLASSES)
    with raises(ShapeError, "x: expected shape (N, 3), got (50, 2)"):
        recorder.record(classifier())
    assert recorder.snapshots == []
    with raises(ShapeError, "validation y"):
        Recorder(X, CLASSES, (X, ONE_TOO_FEW)).record(classifier())
    with raises(ArgumentTypeError, "Recorder: validation: expected None or a pair"):
        Recorder(X, CLASSES, validation=0.1)


ONE_TOO_FEW = CLASSES[1:]


def curved_path(count=12, size=40):
    t = np.linspace(0, 1, count)[:, None]
    rng = np.random.default_rng(1)
    first, second, third = np.linalg.qr(rng.normal(size=(size, 3)))[0].T
    return 5 * t * first + np.sin(3 * t) * second + 0.2 * np.cos(9 * t) * third + 3


def test_principal_directions_are_those_of_the_singular_values() -> None:
    path = curved_path()
    plane = plane_of(path)
    _, values, directions = np.linalg.svd(path - path.mean(axis=0))
    assert np.allclose(np.abs(plane.directions @ directions[:2].T), np.eye(2), atol=1e-10)
    assert plane.share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), rel=1e-12)
    assert 0.9 < plane.share < 1


def test_the_sheet_goes_through_every_snapshot() -> None:
    path = curved_path()
    plane = plane_of(path)
    assert np.allclose(plane.sheet(plane.path), path, atol=1e-10)
    assert not np.allclose(plane.center + plane.path @ plane.directions, path, atol=1e-3)


@pytest.mark.parametrize(
    "path",
    [np.zeros((3, 5)), np.outer([0.0, 1.0, 3.0], np.ones(5)), [[1.0], [2.0]], [[0.0, 0.0]] * 2],
)
def test_paths_without_a_plane_have_a_mountain(path) -> None:
    plane = plane_of(path)
    assert np.allclose(plane.sheet(plane.path), path)
    found = mountain(plane, lambda row: float((row**2).sum()), points=5)
    assert found.loss.shape == (5, 5)
    assert np.isfinite(found.loss).all()
    assert found.u[0] < plane.path[:, 0].min() <= plane.path[:, 0].max() < found.u[-1]


def test_heights_are_the_loss_of_the_parameters_of_their_point() -> None:
    model = classifier()
    measurement = Measurement(model, recorded(model, X, CLASSES))
    found = measurement.mountain()
    i, j = 2, 5
    (row,) = found.plane.sheet(np.array([[found.u[j], found.v[i]]]))
    other, first = classifier(), 0
    for name, array in model.parameters.items():
        other.set_parameters({name: row[first : first + array.size].reshape(array.shape)})
        first += array.size
    assert found.loss[i, j] == pytest.approx(other.evaluate(X, CLASSES)["loss"], rel=1e-12)


def test_numbers_are_those_of_the_model_at_the_snapshot() -> None:
    model = classifier()
    recorder = recorded(model, X, CLASSES, validation=(X[:20], CLASSES[:20]))
    series = Measurement(model, recorder).series()
    loss, gradients = model.loss_and_gradients(X, CLASSES)
    assert series.loss[-1] == pytest.approx(loss, rel=1e-12)
    assert series.accuracy[-1] == model.evaluate(X, CLASSES)["accuracy"]
    held = model.evaluate(X[:20], CLASSES[:20])
    assert series.validation_loss[-1] == pytest.approx(held["loss"], rel=1e-12)
    assert series.validation_accuracy[-1] == held["accuracy"]
    assert series.gradient["W1"][-1] == pytest.approx(np.abs(gradients["W1"]).mean(), rel=1e-12)
    assert series.size["b2"][-1] == np.abs(model.parameters["b2"]).mean()


def test_delta_is_that_of_each_sample_s_own_loss() -> None:
    model = classifier()
    series = Measurement(model, recorded(model, X, CLASSES)).series()
    blames = [model.blame(x, y).deltas for x, y in zip(X, CLASSES, strict=True)]
    for n, name in enumerate(("delta1", "delta2")):
        expected = np.mean([np.abs(blame[name]) for blame in blames])
        assert series.delta[n][-1] == pytest.approx(expected, rel=1e-12)


def test_the_model_stays_as_it_is(tmp_path: Path) -> None:
    model = classifier()
    recorder = recorded(model, X, CLASSES)
    before = {name: array.tobytes() for name, array in model.values.items()}
    page_of(tmp_path, model, recorder)
    assert before == {name: array.tobytes() for name, array in model.values.items()}


def test_formulas_are_those_of_the_derivation() -> None:
    net = classifier().network
    first, second = layer_formulas(net)
    shown = [
        " ".join(re.findall(r'alttext="(.*?)"', "".join(pair)))
        for layer in (second, first)
        for pair in (*layer.delta, *layer.gradients)
    ]
    assert shown == [
        "δ⁽²⁾ = ŷ - y",
        "∂L/∂W⁽²⁾ = δ⁽²⁾ a⁽¹⁾ᵀ",
        "∂L/∂b⁽²⁾ = δ⁽²⁾",
        "δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ (1 - a⁽¹⁾ ⊙ a⁽¹⁾)",
        "∂L/∂W⁽¹⁾ = δ⁽¹⁾ xᵀ",
        "∂L/∂b⁽¹⁾ = δ⁽¹⁾",
    ]
    assert [layer.name for layer in (first, second)] == [n.name for n in layers_of(net)]
    assert (first.units, [t.name for t in first.parameters]) == (8, ["W1", "b1"])


def test_sums_that_a_delta_reads_are_told_before_it() -> None:
    net = Network([Dense(2, "softmax")], inputs=2, loss="mse")
    (layer,) = layer_formulas(net)
    assert len(layer.delta) == 2


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        ({"model": None}, ArgumentTypeError, "model: expected a Model"),
        ({"history": [0.5]}, ArgumentTypeError, "history: expected a History, got list"),
        ({"recorder": X}, ArgumentTypeError, "recorder: expected a Recorder, got ndarray"),
        ({"recorder": None}, ArgumentError, "nothing was recorded on the way; write recorder = "),
        ({"recorder": Recorder(X, CLASSES)}, ArgumentError, "at least two snapshots"),
        ({"model": line()}, ArgumentError, "the recorder watched another network"),
        ({"image_shape": (2, 2)}, ArgumentError, "(height, width) with 3 pixels, got (2, 2)"),
    ],
)
def test_what_cannot_be_a_page_is_refused_before_it_is_written(
    tmp_path: Path, spoil, error, words
) -> None:
    model = classifier()
    recorder = recorded(model, X, CLASSES, 1)
    model.go_on(model.progress, model.history)  # as of a loaded model
    given = {"model": model, "history": model.history, "recorder": recorder}
    with raises(error, words):
        training_page(**{**given, "path": tmp_path / "page.html", **spoil})
    assert not list(tmp_path.iterdir())


def test_squares_are_images_unless_told_otherwise() -> None:
    assert image_shape_of(64, None) == (8, 8)
    assert image_shape_of(9, None) is None
    assert image_shape_of(60, None) is None
    assert image_shape_of(60, [6, 10]) == (6, 10)


class _Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_what_users_write_is_escaped(tmp_path: Path) -> None:
    model = classifier()
    model.fit(X, CLASSES)
    model.history.records[0][EVIL] = 1.0
    page = page_of(tmp_path, model, recorded(model, X, CLASSES, 1), title=EVIL)
    assert EVIL not in page
    elements = _Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 2
    assert [tag for tag, _ in elements].count("style") == 1
    assert "@@style@@</h1>" in page


def test_json_cannot_end_its_element() -> None:
    from symprop.report.page import _embedded

    text = _embedded({"name": EVIL, "line": "\u2028"})
    assert "<" not in text
    assert json.loads(text)["name"] == EVIL


def test_nothing_is_fetched_and_only_the_page_s_own_script_may_run(tmp_path: Path) -> None:
    model = classifier()
    page = page_of(tmp_path, model, recorded(model, X, CLASSES, 1))
    elements = _Elements(page).found
    assert not [attrs for _, attrs in elements if "src" in attrs]
    assert [attrs["href"] for _, attrs in elements if "href" in attrs] == ["data:,"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|fetch\(", page)
    policy = next(a["content"] for _, a in elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy


def test_numbers_that_are_not_finite_are_gaps(tmp_path: Path) -> None:
    model = line(optimizer=SGD(1e150))
    recorder = Recorder([[0.0], [2.0]], [1.0, 3.0])
    for weight in (1.0, 1e200, 2.0):
        model.set_parameters({"W1": [[weight]]})
        recorder.snapshots.append(
            recording.Snapshot(len(recorder.snapshots), model.parameters, len(recorder.snapshots))
        )
    with np.errstate(all="ignore"):
        found = data_of(page_of(tmp_path, model, recorder))
    assert found["loss"][1] is None
    assert None in found["mountain"]["loss"]


def test_a_page_of_large_layers_stays_small(tmp_path: Path) -> None:
    net = Network([Dense(300, "relu"), Dense(10, "softmax")], inputs=784, loss="cross_entropy")
    model = net.compile("sgd", backend="numpy")
    x, y = np.random.default_rng(0).uniform(size=(16, 784)), np.arange(16) % 10
    recorder = Recorder(x, y)
    for step in range(60):
        recorder.snapshots.append(recording.Snapshot(step, model.parameters, step))
    from symprop.report.pictures import weights_of

    found = weights_of(Measurement(model, recorder), None)
    assert 8 < found["count"] <= 40
    assert len(found["data"]) < 4_500_000
