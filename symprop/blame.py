"""Which layers and units the error of one sample is charged to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Integer, Symbol

from symprop.backends import Array
from symprop.derive import delta_names
from symprop.derive.worked import sample_arrays, sample_values
from symprop.derive.worked_story import numeral
from symprop.plots import finished, new_figure
from symprop.printable import Printable
from symprop.printers.document import Item, Section, Sentence, Table, Title
from symprop.printers.structure import Access, Slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from symprop.model import Model
    from symprop.network import Network

DIGITS = 4
LONGEST = 10
"""Rows of a table; of more units those with the largest shares are shown."""
STEEPEST = 5
"""Rows of the table of the largest gradients."""
DRAWN = 16
"""Units of a layer that are drawn one by one; wider networks are drawn as a heat map."""

BELOW: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "top",
    "zorder": 3,
    "bbox": {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
}
"""How a number stands below its unit, on white, so that no line runs across it."""


@dataclass(frozen=True)
class Layer:
    """A layer's name, its δ by name, and the weights, by name, that lead from the layer before."""

    name: str
    delta: str
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blame(Printable):
    """The error signal of one sample, by layer and unit, in the network as it predicts: without
    dropout, normalized by running statistics.

    δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾ says how much the loss L grows with the pre-activation of a unit. Of its layer's
    error signal a unit j has the share |δ_j| / Σ_i |δ_i|, a layer of all ‖δ⁽ˡ⁾‖ / Σ_n ‖δ⁽ⁿ⁾‖; where
    every δ is 0, shares are 0.

    ``deltas`` and ``shares`` are arrays by ``"delta1"``, …, ``layer_shares`` numbers by the same
    names, ``gradients`` ∂L/∂W by ``"W1"``, …, all in float64.
    """

    layers: tuple[Layer, ...]
    deltas: Mapping[str, Array]
    gradients: Mapping[str, Array]
    x: Array
    prediction: Array
    target: Array
    loss: float

    @property
    def shares(self) -> dict[str, Array]:
        """The share of each unit in its layer's error signal."""
        return {name: _shares(np.abs(delta)) for name, delta in self.deltas.items()}

    @property
    def layer_shares(self) -> dict[str, float]:
        """The share of each layer in the whole error signal."""
        found = _shares(np.array([np.linalg.norm(delta) for delta in self.deltas.values()]))
        return dict(zip(self.deltas, map(float, found), strict=True))

    def plot(self, path: str | PathLike[str] | None = None, axes: Axes | None = None) -> Figure:
        """A picture: units as dots coloured by δ, weights as lines as wide as their gradients.

        Networks with a layer of more than 16 units are a heat map, a row for each layer. Drawn into
        ``axes`` where they are given, else into a new Figure; saved to ``path`` where it is given.

        Raises MissingPackageError without matplotlib.
        """
        if axes is None:
            width, height = 3 + 1.6 * len(self.layers), max(4, 0.45 * min(self._widest, DRAWN))
            axes = new_figure("Blame.plot", width, height).add_subplot()
        draw = _draw_map if self._widest > DRAWN else _draw_units
        draw(self, axes)
        return finished(axes.figure.figure, path)

    @property
    def _widest(self) -> int:
        return max(array.size for array in (self.x, *self.deltas.values()))

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _document(self) -> tuple[Item, ...]:
        return tuple(_items(self))


def blame(model: Model, x: Any, y: Any) -> Blame:
    """The error signal of one sample in a model; see ``Model.blame``."""
    network, program = model.network, model.network.inference_gradients
    arrays = sample_arrays(network, x, y, np.dtype(np.float64))
    states = {t.name: model.values[t.name] for t in network.inference.with_role("state")}
    values = sample_values(program, {**arrays, **model.parameters, **states})
    names = delta_names(network.inference, program).given
    cotangents = {t.name: str(t.cotangent(1).label) for t in network.parameters}
    zeros = {t.name: np.zeros([int(size) for size in t.shape]) for t in network.parameters}
    deltas = {name: values[label] for label, name in names.items() if label in values}
    return Blame(
        tuple(layer for layer in layers_of(network) if layer.delta in deltas),
        deltas,
        {name: values.get(label, zeros[name]) for name, label in cotangents.items()},
        values["x"],
        values["yhat"],
        values["y"],
        float(values["L"]),
    )


def layers_of(network: Network) -> Iterator[Layer]:
    """The layers with a pre-activation, in order."""
    forward = network.inference
    names = delta_names(forward, network.inference_gradients).given
    for tensor in forward.preactivations:
        equations = forward.defined[tensor.label]
        read = {forward.tensor(access) for e in equations for access in e.reads}
        weights = sorted(
            t.name for t in read if t is not None and t.role == "parameter" and len(t.axes) == 2
        )
        delta = names[str(tensor.cotangent(1).label)]
        yield Layer(equations[0].origin.layer, delta, tuple(weights))


def _shares(sizes: Array) -> Array:
    """Numbers of at least 0 as shares of their sum."""
    total = sizes.sum()
    shares: Array = sizes / total if total > 0 else np.zeros_like(sizes)
    return shares


def _items(found: Blame) -> Iterator[Item]:
    yield Title("The error signal of one sample, by layer and unit")
    yield Sentence(
        "δ is the derivative of the loss L by a unit's pre-activation z. A unit's share is that of "
        "its |δ| in the sum over the layer, a layer's that of the length of its δ in the sum over "
        "all layers. Elements are counted from 1."
    )
    yield Section("Prediction")
    yield Table(("", "prediction", "target", "difference"), tuple(_outputs(found)))
    yield Sentence(f"The loss of this sample is {found.loss:.{DIGITS}g}.")
    yield Section("Layers")
    yield Table(("layer", "signal", "length", "share"), tuple(_layers(found)))
    yield Section("Units")
    for layer in found.layers:
        yield Section(layer.name, level=2)
        yield from _units(found, layer)
    yield Section("Largest gradients")
    yield Table(("derivative", "value"), tuple(_steepest(found)))


def _outputs(found: Blame) -> Iterator[tuple[str | Expr, ...]]:
    pairs = np.stack([found.prediction, found.target, found.prediction - found.target], axis=-1)
    largest = np.argsort(-np.abs(pairs[..., 2]), kind="stable")[:LONGEST]
    for place in np.sort(largest):
        name = Access(Symbol("yhat"), Integer(int(place) + 1))
        yield name, *(numeral(float(value), DIGITS) for value in pairs[place])
    if pairs.shape[0] > LONGEST:
        yield f"and {pairs.shape[0] - LONGEST} more, with smaller differences", "", "", ""


def _layers(found: Blame) -> Iterator[tuple[str | Expr, ...]]:
    for layer in found.layers:
        length = float(np.linalg.norm(found.deltas[layer.delta]))
        share = _percent(found.layer_shares[layer.delta])
        yield layer.name, Access(Symbol(layer.delta)), numeral(length, DIGITS), share


def _units(found: Blame, layer: Layer) -> Iterator[Item]:
    """The units of a layer: all in order, of many those with the largest shares."""
    delta, shares = found.deltas[layer.delta].ravel(), found.shares[layer.delta].ravel()
    order = list(range(delta.size))
    if delta.size > LONGEST:
        order = [int(n) for n in np.argsort(-shares, kind="stable")[:LONGEST]]
    rows: list[tuple[str | Expr, ...]] = [
        (
            Access(Symbol(layer.delta), Integer(n + 1)),
            numeral(float(delta[n]), DIGITS),
            _percent(float(shares[n])),
        )
        for n in order
    ]
    yield Table(("unit", "value", "share"), tuple(rows))
    if delta.size > LONGEST:
        rest = _percent(1 - float(shares[order].sum())) if shares.any() else _percent(0)
        yield Sentence(f"And {delta.size - LONGEST} more, which together have {rest}.")


def _steepest(found: Blame) -> Iterator[tuple[str | Expr, ...]]:
    """The elements of all parameters by which the loss changes most."""
    elements = []
    for name, gradient in found.gradients.items():
        sizes = np.abs(gradient).ravel()
        for n in np.argsort(-sizes, kind="stable")[:STEEPEST]:
            elements.append((-sizes[n], name, np.unravel_index(n, gradient.shape)))
    for _, name, place in sorted(elements)[:STEEPEST]:
        element = Access(Symbol(name), *(Integer(int(n) + 1) for n in place))
        value = float(found.gradients[name][place])
        yield Slope(Access(Symbol("L")), element), numeral(value, DIGITS)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _draw_units(found: Blame, axes: Axes) -> None:
    """Columns of dots, the inputs first, a line for each weight."""
    largest = max([float(np.abs(d).max()) for d in found.deltas.values()] + [1e-300])
    places = [_column(0, found.x.size)]
    across, up = places[0].T
    axes.scatter(across, up, s=120, c="lightgray", edgecolors="gray", zorder=2)
    dots = None
    for number, layer in enumerate(found.layers, 1):
        delta = found.deltas[layer.delta].ravel()
        places.append(_column(number, delta.size))
        for name in layer.weights:
            _draw_weights(axes, places[-2], places[-1], found.gradients[name])
        across, up = places[-1].T
        areas = 120 + 480 * np.abs(delta) / largest
        dots = axes.scatter(
            across,
            up,
            s=areas,
            c=delta,
            cmap="RdBu_r",
            vmin=-largest,
            vmax=largest,
            edgecolors="black",
            zorder=2,
        )
        for place, value, area in zip(places[-1], delta, areas, strict=True):
            axes.annotate(f"{value:.2g}", place, (0, -np.sqrt(area) / 2 - 4), **BELOW)
    _label(found, axes)
    axes.set_yticks([])
    tallest = max(len(column) for column in places)
    axes.set_ylim(-tallest / 2 - 0.3, tallest / 2 + 0.1)
    if dots is not None:
        axes.figure.colorbar(dots, ax=axes, label="δ")


def _column(number: int, units: int) -> Array:
    """Where the units of a layer stand, the first on top."""
    return np.stack([np.full(units, float(number)), (units - 1) / 2 - np.arange(units)], axis=-1)


def _draw_weights(axes: Axes, below: Array, above: Array, gradient: Array) -> None:
    """A line for each weight, wide and dark where its gradient is large in its layer."""
    if gradient.shape != (len(above), len(below)):
        return
    strengths = np.abs(gradient) / (np.abs(gradient).max() or 1.0)
    for (j, k), strength in np.ndenumerate(strengths):
        (x0, y0), (x1, y1) = below[k], above[j]
        width, alpha = 0.5 + 3.5 * strength, 0.15 + 0.7 * strength
        axes.plot([x0, x1], [y0, y1], color="black", lw=width, alpha=alpha, zorder=1)


def _label(found: Blame, axes: Axes) -> None:
    names = ["inputs", *(layer.name for layer in found.layers)]
    shares = ["", *(_percent(found.layer_shares[layer.delta]) for layer in found.layers)]
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels([f"{n}\n{s}" for n, s in zip(names, shares, strict=True)])
    axes.set_xlim(-0.4, len(names) - 0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title(
        "Error signal δ of one sample; lines: |∂L/∂W| within each layer", fontsize="medium"
    )


def _draw_map(found: Blame, axes: Axes) -> None:
    """A row of cells for each layer, δ relative to the largest |δ| of the layer."""
    deltas = [found.deltas[layer.delta].ravel() for layer in found.layers]
    table = np.full((len(deltas), max(delta.size for delta in deltas)), np.nan)
    for row, delta in zip(table, deltas, strict=True):
        row[: delta.size] = delta / (np.abs(delta).max() or 1.0)
    rows, columns = table.shape
    image = axes.imshow(
        table,
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, columns + 0.5, rows - 0.5, -0.5),
    )
    axes.set_yticks(range(len(deltas)))
    axes.set_yticklabels(
        [f"{layer.name}\n{_percent(found.layer_shares[layer.delta])}" for layer in found.layers]
    )
    axes.set_xlabel("unit, counted from 1")
    axes.set_title("Error signal δ of one sample", fontsize="medium")
    axes.figure.colorbar(image, ax=axes, label="δ / largest |δ| of the layer")
