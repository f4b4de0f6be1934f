"""Blame: shares of the error signal, what they sum to, and the picture."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sympy
from symprop import Dense, Network
from symprop.blame import Blame
from symprop.errors import DataError, MissingPackageError, ShapeError
from symprop.model import Model

NET = Network(
    [Dense(3, "tanh"), Dense(4, "relu"), Dense(2, "softmax")], inputs=2, loss="cross_entropy"
)
WIDE = Network([Dense(30, "tanh"), Dense(12, "softmax")], inputs=5, loss="cross_entropy")
X = [1.0, -2.0]


def model(net: Network = NET, **options: Any) -> Model:
    return net.compile(**{"dtype": "float64", "backend": "numpy", "seed": 3, **options})


def wide() -> Blame:
    return model(WIDE).blame(np.linspace(-1, 1, 5), 7)


def test_gradients_are_those_of_training():
    loss, gradients = model().loss_and_gradients([X], [1])
    found = model().blame(X, 1)
    assert found.loss == pytest.approx(loss, rel=1e-14)
    assert set(found.gradients) == set(gradients)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found.gradients[name], gradient, rtol=1e-12, atol=1e-15)


def test_delta_is_the_slope_of_the_loss_by_a_units_bias():
    """∂L/∂b_j = δ_j, by central differences."""
    made, h = model(), 1e-6
    for layer in (1, 2, 3):
        bias = made.parameters[f"b{layer}"]
        for unit in range(len(bias)):
            losses = []
            for step in (h, -h):
                moved = bias.copy()
                moved[unit] += step
                made.set_parameters({f"b{layer}": moved})
                losses.append(made.evaluate([X], [1])["loss"])
            made.set_parameters({f"b{layer}": bias})
            slope = (losses[0] - losses[1]) / (2 * h)
            delta = made.blame(X, 1).deltas[f"delta{layer}"][unit]
            assert delta == pytest.approx(slope, abs=1e-8)


def test_shares_are_of_absolute_values_and_sum_to_1():
    found = model().blame(X, 1)
    for name, shares in found.shares.items():
        sizes = np.abs(found.deltas[name])
        np.testing.assert_allclose(shares, sizes / sizes.sum())
        assert shares.sum() == pytest.approx(1)
    lengths = [np.linalg.norm(delta) for delta in found.deltas.values()]
    np.testing.assert_allclose(list(found.layer_shares.values()), lengths / np.sum(lengths))


def test_blame_follows_training():
    made = model()
    before = made.blame(X, 1).loss
    made.fit([X], [1], epochs=20)
    assert made.blame(X, 1).loss < before


def test_where_there_is_no_error_there_are_no_shares():
    z = sympy.Symbol("z")
    made = model(Network([Dense(2, sympy.Heaviside(z)), Dense(1)], inputs=2, loss="mse"))
    found = made.blame(X, made.predict([X])[0])
    assert all((shares == 0).all() for shares in found.shares.values())
    assert set(found.layer_shares.values()) == {0.0}
    assert "0.0 %" in found.text()
    found.plot()


def test_tables_of_many_units_show_the_largest_shares():
    found = wide()
    text = found.text()
    assert "And 20 more, which together have " in text
    assert "and 2 more, with smaller differences" in text
    largest = int(np.argmax(found.shares["delta1"])) + 1
    first = text.split("Dense 1\n")[1].split("share\n")[1].splitlines()[0]
    assert first.split()[0] == f"δ⁽¹⁾[{largest}]"


def test_largest_gradients_come_first():
    found = wide()
    elements = np.sort(np.concatenate([np.abs(g).ravel() for g in found.gradients.values()]))
    table = found.text().split("Largest gradients")[1].splitlines()[4:]
    shown = [abs(float(row.split()[-1])) for row in table]
    np.testing.assert_allclose(shown, elements[::-1][: len(shown)], rtol=1e-3)


def test_all_forms_are_written(tmp_path):
    for suffix in (".txt", ".md", ".tex", ".html"):
        model().blame(X, 1).save(tmp_path / f"blame{suffix}")
    assert str(model().blame(X, 1)) == model().blame(X, 1).text()


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        ([X, X], [0, 1], ShapeError, "x: expected one sample"),
        (X, [[0, 1], [1, 0]], ShapeError, "y: expected the target of one sample, got 2 rows"),
        (X, 5, DataError, "class 5"),
        ([1.0, np.inf], 1, DataError, "x: expected finite numbers"),
    ],
)
def test_anything_but_one_sample_is_refused(x, y, error, words):
    with pytest.raises(error) as raised:
        model().blame(x, y)
    assert words in str(raised.value)


def test_picture_has_a_line_for_each_weight_and_a_dot_for_each_unit(tmp_path):
    path = tmp_path / "blame.png"
    figure = model().blame(X, 1).plot(path)
    axes = figure.axes[0]
    assert len(axes.lines) == 3 * 2 + 4 * 3 + 2 * 4
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 3, 4, 2]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_lines_are_as_wide_as_their_gradients():
    found = model().blame(X, 1)
    lines = found.plot().axes[0].lines[:6]
    widths = np.array([line.get_linewidth() for line in lines])
    order = np.argsort(np.abs(found.gradients["W1"]).ravel())
    assert (np.diff(widths[order]) >= 0).all()


def test_numbers_stand_on_white_below_their_units():
    found = model().blame(X, 1)
    numbers = found.plot().axes[0].texts
    deltas = np.concatenate([delta.ravel() for delta in found.deltas.values()])
    assert [float(text.get_text()) for text in numbers] == pytest.approx(deltas, rel=0.1)
    assert all(text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1) for text in numbers)
    assert all(
        text.get_zorder() > line.get_zorder() for text in numbers for line in text.axes.lines
    )


def test_wide_networks_are_a_heat_map():
    axes = wide().plot().axes[0]
    (image,) = axes.images
    assert image.get_array().shape == (2, 30)
    assert not axes.lines


def test_picture_goes_into_given_axes():
    from matplotlib.figure import Figure

    figure = Figure()
    _, right = figure.subplots(1, 2)
    assert model().blame(X, 1).plot(axes=right) is figure
    assert right.lines


@pytest.mark.parametrize("words", [r"pip install matplotlib", r"pip install 'symprop\[plot\]'"])
def test_without_matplotlib_the_error_says_what_to_install(words, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=words):
        model().blame(X, 1).plot()


LOADED = """
import sys
from symprop import Dense, Network
found = Network([Dense(2)], inputs=1, loss="mse").compile(backend="numpy").blame(1.0, [1.0, 2.0])
str(found)
print("matplotlib" in sys.modules)
found.plot()
print("matplotlib.pyplot" in sys.modules)
"""


def test_only_plot_loads_matplotlib_and_nothing_pyplot():
    done = subprocess.run(  # noqa: S603 (a fixed text)
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
