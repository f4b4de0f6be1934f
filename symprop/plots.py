"""Pictures of training: curves, weights, decision regions, and signals through depth.

Drawn into a Figure without pyplot, so that no window opens and no display is needed. Colours are
those of Okabe and Ito 2008, which colour-blind readers tell apart; lines differ in style too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.backends import Array
from symprop.errors import DataError, MissingPackageError, ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from symprop.flow import GradientFlow
    from symprop.history import History
    from symprop.model import Model

Path = str | PathLike[str] | None

BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "0.35"
CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = "os^Dv<>P"
SIGNED = "RdBu_r"
"""Red is positive, blue negative, white 0."""
MOST_LAYERS, MOST_TILES = 9, 64
LEAST_SIDE = 5
"""Inputs that form a square of at least so many pixels a side are drawn as images."""
GRID = 200
"""Points a side at which decision regions are predicted."""
SPREAD = 10
"""A ratio of largest to smallest from which a logarithmic axis shows more."""
DPI = 150


def new_figure(what: str, width: float, height: float) -> Figure:
    """An empty figure of so many inches.

    Raises MissingPackageError, saying what needs matplotlib and how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            f"{what} needs matplotlib; install it with: pip install matplotlib, or with "
            "symprop: pip install 'symprop[plot]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def finished(figure: Figure, path: Path) -> Figure:
    """The figure, saved where a path is given."""
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure


def draw_history(history: History, path: Path = None) -> Figure:
    """A panel for the loss, one for each metric, and one for a learning rate that changes."""
    panels = _panels(history)
    if not panels:
        raise DataError("History.plot: there is nothing to draw before the first epoch; fit first")
    figure = new_figure("History.plot", 4.2 * len(panels), 3.4)
    for axes, (name, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        _draw_curves(axes, name, lines)
    return finished(figure, path)


def _panels(history: History) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """The recorded series by panel and line: loss has training and validation; the rate is last."""
    panels: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    names = dict.fromkeys(name for record in history.records for name in record)
    for name in sorted(names, key="learning_rate".__eq__):
        what = name.removeprefix("validation_")
        line = "training" if what == name else "validation"
        epochs = [n for n, record in enumerate(history.records, 1) if name in record]
        values = [history.records[n - 1][name] for n in epochs]
        if name == "learning_rate" and len(set(values)) == 1:
            continue
        panels.setdefault(what, {})[line] = (epochs, values)
    return panels


def _draw_curves(axes: Axes, name: str, lines: Mapping[str, tuple[list[int], list[float]]]) -> None:
    styles = {"training": (BLUE, "-", "o"), "validation": (ORANGE, "--", "s")}
    for line, (epochs, values) in lines.items():
        color, style, marker = styles[line]
        few = marker if len(epochs) <= 30 else None
        axes.plot(epochs, values, style, color=color, marker=few, markersize=4, label=line)
    values = [value for _, line in lines.values() for value in line if math.isfinite(value)]
    if name in ("loss", "learning_rate") and _spreads(values):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel(name.replace("_", " "))
    _whole_numbers(axes.xaxis)
    if name != "learning_rate":
        axes.legend()
    _plain(axes)


def _spreads(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) >= SPREAD * min(values)


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _plain(axes: Axes) -> None:
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_weights(model: Model, path: Path = None) -> Figure:
    """Every weight matrix as an image; those of image inputs as one small image for each unit."""
    matrices = [t.name for t in model.network.parameters if len(t.axes) == 2]
    if not matrices:
        raise DataError("plot_weights: the network has no weight matrices")
    last = min(len(matrices), MOST_LAYERS) - 1
    step = (len(matrices) - 1) / max(last, 1)
    shown = [matrices[round(n * step)] for n in range(last + 1)]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure("Model.plot_weights", 4.4 * columns, 3.8 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(shown) :]:
        axes.set_visible(False)
    parameters, first = model.parameters, _first_weights(model)
    for axes, name in zip(places, shown, strict=False):
        _draw_matrix(axes, name, parameters[name], name in first)
    if len(shown) < len(matrices):
        figure.suptitle(f"{len(shown)} of {len(matrices)} weight matrices")
    return finished(figure, path)


def _first_weights(model: Model) -> set[str]:
    """The weights that are multiplied with the inputs."""
    forward = model.network.forward
    inputs = forward.named("x")
    read = (
        [tensor for tensor in map(forward.tensor, equation.reads) if tensor is not None]
        for equation in forward.flat
    )
    return {t.name for tensors in read if inputs in tensors for t in tensors if t != inputs}


def _draw_matrix(axes: Axes, name: str, weights: Array, first: bool) -> None:
    side = math.isqrt(weights.shape[1])
    tiled = first and side * side == weights.shape[1] and side >= LEAST_SIDE
    image = mosaic(weights[:MOST_TILES].reshape(-1, side, side)) if tiled else weights
    largest = float(np.abs(weights).max()) or 1.0
    units = f"{len(weights)} units"
    if tiled and len(weights) > MOST_TILES:
        units = f"the first {MOST_TILES} of {units}"
    drawn = axes.imshow(
        image,
        cmap=_signed_colors(),
        vmin=-largest,
        vmax=largest,
        aspect="equal" if tiled else "auto",
        interpolation="nearest",
        extent=None if tiled else (0.5, image.shape[1] + 0.5, image.shape[0] + 0.5, 0.5),
    )
    if tiled:
        axes.set_title(f"{name}: {side} × {side} inputs of {units}", fontsize="medium")
        axes.set_axis_off()
    else:
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("input, counted from 1")
        axes.set_ylabel("unit, counted from 1")
        for axis in (axes.xaxis, axes.yaxis):
            _whole_numbers(axis)
    axes.figure.colorbar(drawn, ax=axes, label="weight", shrink=0.85)


def _signed_colors() -> Colormap:
    """Gray where there is no number."""
    from matplotlib import colormaps

    return colormaps[SIGNED].with_extremes(bad="0.8")


def mosaic(tiles: Array) -> Array:
    """Images side by side in rows, NaN between them: as square as their number allows."""
    count, height, width = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    whole = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        up, across = row * (height + 1), column * (width + 1)
        whole[up : up + height, across : across + width] = tile
    return whole


def draw_regions(model: Model, x: Array, y: Array, path: Path = None) -> Figure:
    """What a model of two inputs predicts over the plane, with the samples on it.

    x and y are checked arrays, class targets one-hot.
    """
    classes = model.network.loss.labels == "classes"
    if x.shape[1:] != (2,):
        raise ShapeError(f"plot_regions: expected a network of 2 inputs, got {x.shape[1]}")
    if not classes and y.shape[1:] != (1,):
        raise ShapeError(f"plot_regions: expected classes or one output, got {y.shape[1]} outputs")
    figure = new_figure("Model.plot_regions", 5.4, 4.4)
    axes = figure.add_subplot()
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    sides = [np.linspace(a, b, GRID) for a, b in zip(low - margin, high + margin, strict=True)]
    across, up = np.meshgrid(*sides)
    points = np.stack([across.ravel(), up.ravel()], axis=1)
    predicted = model.predict(points).reshape(GRID, GRID, -1)
    if classes:
        _draw_classes(axes, sides, predicted, x, y)
    else:
        _draw_levels(axes, sides, predicted[:, :, 0], x, y[:, 0], model.network.loss.labels)
    axes.set_xlabel("x₁")
    axes.set_ylabel("x₂")
    return finished(figure, path)


def _draw_classes(axes: Axes, sides: Sequence[Array], predicted: Array, x: Array, y: Array) -> None:
    """The predicted class by colour, paler where it is less sure; samples by colour and marker."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(CLASSES[k % len(CLASSES)]) for k in range(y.shape[1])])
    found = predicted.argmax(axis=-1)
    sure = np.clip(predicted.max(axis=-1, keepdims=True), 0, 1)
    image = 1 - 0.45 * sure * (1 - colors[found])
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    axes.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    for number in range(y.shape[1]):
        axes.contour(*sides, found == number, levels=[0.5], colors="0.2", linewidths=0.8)
        rows = y.argmax(axis=-1) == number
        _draw_samples(
            axes, x[rows], colors[number], MARKERS[number % len(MARKERS)], f"class {number}"
        )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_samples(axes: Axes, x: Array, color: Any, marker: str, label: str) -> None:
    axes.scatter(
        x[:, 0],
        x[:, 1],
        s=26,
        color=[color],
        marker=marker,
        edgecolors="white",
        linewidths=0.6,
        label=label,
    )


def _draw_levels(
    axes: Axes, sides: Sequence[Array], predicted: Array, x: Array, y: Array, labels: str
) -> None:
    """ŷ by colour; between two classes the line where they change."""
    from matplotlib.ticker import MaxNLocator

    border = {"probability": 0.5, "sign": 0.0}.get(labels)
    if border is None:
        low, high = (float(f(np.concatenate([predicted.ravel(), y]))) for f in (np.min, np.max))
        bands = MaxNLocator(16).tick_values(low, high if high > low else low + 1)
        drawn = axes.contourf(*sides, predicted, levels=bands)
        axes.scatter(x[:, 0], x[:, 1], c=y, s=30, edgecolors="white", vmin=bands[0], vmax=bands[-1])
    else:
        low = 0.0 if labels == "probability" else -1.0
        shown, pale = np.clip(predicted, low, 1), (1 - low) / 2
        drawn = axes.contourf(
            *sides,
            shown,
            levels=np.linspace(low, 1, 11),
            cmap=SIGNED,
            vmin=low - pale,
            vmax=1 + pale,
        )
        axes.contour(*sides, predicted, levels=[border], colors="black", linewidths=1.5)
        for rows, color, marker, value in (
            (y <= border, CLASSES[0], "o", f"y = {low:.0f}"),
            (y > border, ORANGE, "^", "y = 1"),
        ):
            _draw_samples(axes, x[rows], color, marker, value)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2, frameon=False)
    axes.figure.colorbar(drawn, ax=axes, label="prediction ŷ")


def draw_flow(flow: GradientFlow, path: Path = None) -> Figure:
    """Predicted, measured, and for δ the bound, by layer."""
    figure = new_figure("GradientFlow.plot", 9.5, 3.8)
    left, right = figure.subplots(1, 2)
    numbers = np.arange(1, len(flow.layers) + 1)
    units = np.array([layer.units for layer in flow.layers])
    sizes = np.sqrt(units * np.array([layer.delta_square for layer in flow.layers]))
    for axes, predicted, measured in (
        (
            left,
            [layer.variance for layer in flow.layers],
            [layer.measured_variance for layer in flow.layers],
        ),
        (right, sizes, [layer.measured_delta for layer in flow.layers]),
    ):
        axes.plot(numbers, measured, "o", color=ORANGE, markersize=5, label="measured")
        axes.plot(numbers, predicted, "-", color=BLUE, label="predicted")
        axes.set_xlabel("layer")
        _whole_numbers(axes.xaxis)
        _plain(axes)
    bounds = [layer.bound for layer in flow.layers]
    right.plot(numbers, bounds, "--", color=GRAY, label="at most")
    left.set_ylabel("mean of z²")
    right.set_ylabel("|δ|")
    left.set_title("Forward: pre-activations", fontsize="medium")
    right.set_title("Back: error signals", fontsize="medium")
    for axes in (left, right):
        drawn = [value for line in axes.lines for value in line.get_ydata() if np.isfinite(value)]
        if _spreads(drawn):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.1 * max(drawn, default=1.0) or 1.0)
        axes.legend()
    return finished(figure, path)
