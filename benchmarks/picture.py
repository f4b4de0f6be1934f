"""The picture of the scaling curves: times, and below them how symprop stands to the best rival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.contestants import ENTRIES

COLOURS = {"symprop": "#0072B2", "jax": "#D55E00", "torch": "#CC79A7", "numpy": "#777777"}
"""Okabe and Ito's palette: told apart with any colour vision."""
MARKERS = {"symprop": "o", "jax": "s", "torch": "^", "numpy": "D"}
FASTER, SLOWER = "#0072B2", "#D55E00"
TITLE = (
    "Time of a training step (forward, backward, SGD update) in float32, less is better;\n"
    "below, bars upward where symprop is the fastest, downward where it loses"
)
LABELLED = (0.2, 0.3, 0.5, 0.7, 2, 3, 5)


def draw(data: Sequence[Mapping[str, Any]], curves: Mapping[str, str], path: Path) -> None:
    """Write the picture: a column for each curve, in the order given, with what is trained."""
    figure = Figure(figsize=(4.0 * len(curves), 5.6), layout="constrained")
    axes = figure.subplots(2, len(curves), sharex="col", squeeze=False, height_ratios=(3, 1.3))
    for column, (name, what) in enumerate(curves.items()):
        points = [point for point in data if point["curve"] == name]
        times(axes[0, column], points, f"{name}: {what}")
        leads(axes[1, column], points, name)
    share_limits(axes[0])
    share_limits(axes[1], least=0.7, most=2)
    axes[0, 0].set_ylabel("µs a batch")
    axes[1, 0].set_ylabel("best rival / symprop")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.suptitle(TITLE, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def share_limits(row: Sequence[Axes], least: float = math.inf, most: float = 0.0) -> None:
    """The same range in all columns, ``least`` to ``most`` within it."""
    limits = [(least, most), *(axis.get_ylim() for axis in row)]
    for axis in row:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def times(axis: Axes, points: Sequence[Mapping[str, Any]], title: str) -> None:
    """Both axes logarithmic."""
    for name, colour in COLOURS.items():
        found = [(p["value"], p["best"][name]) for p in points if name in p["best"]]
        if found:
            axis.plot(
                *zip(*found, strict=True),
                color=colour,
                marker=MARKERS[name],
                markersize=4,
                linewidth=2.2 if name == "symprop" else 1.4,
                label=ENTRIES[name].title,
            )
    axis.set(xscale="log", yscale="log")
    axis.set_title(title, fontsize=10)
    dress(axis)


def leads(axis: Axes, points: Sequence[Mapping[str, Any]], name: str) -> None:
    """Above 1 symprop is the fastest; below, the best of the others is."""
    axis.set(xscale="log", yscale="log", xlabel=name)
    axis.axhline(1, color="black", linewidth=0.8)
    for point in points:
        rivals = [time for who, time in point["best"].items() if who != "symprop"]
        if rivals and "symprop" in point["best"]:
            ratio = min(rivals) / point["best"]["symprop"]
            colour = FASTER if ratio >= 1 else SLOWER
            axis.vlines(point["value"], min(1, ratio), max(1, ratio), color=colour, linewidth=8)
    axis.set_xticks([point["value"] for point in points])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: f"{y:g}" if y in LABELLED else ""))
    axis.tick_params(axis="both", which="both", labelsize=8)
    dress(axis)


def dress(axis: Axes) -> None:
    """A light grid, no box."""
    axis.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
