"""What a page shows of samples and of the first layer's weights, as numbers for its script."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from symprop.backends import Array
from symprop.errors import ArgumentError
from symprop.report.measure import Measurement
from symprop.tensor import label_of

SAMPLES = 20
"""Samples that are shown."""
SMALLEST = 16
"""Fewer inputs than this are not taken for an image."""
MOST_WEIGHTS = 3_000_000
"""Weights in a page, over all snapshots: about as many bytes."""
MOST_UNITS = 40
MAP, LINE, POINTS = 48, 121, 300
"""Points along each side of a map of two inputs, along a line of one, and samples drawn on both."""
IMAGES, MATRIX = "What the first layer looks for", "The first layer's weights"


def image_shape_of(inputs: int, given: Any) -> tuple[int, int] | None:
    """(height, width) of inputs that are images: as given, or a square; None where there is none.

    Raises ArgumentError for a shape that does not fit.
    """
    if given is not None:
        sizes = tuple(given) if isinstance(given, (tuple, list)) else ()
        if len(sizes) != 2 or math.prod(sizes) != inputs:
            raise ArgumentError(
                f"training_page: image_shape: expected (height, width) with {inputs} pixels, "
                f"got {given!r}"
            )
        return int(sizes[0]), int(sizes[1])
    side = math.isqrt(inputs)
    return (side, side) if side * side == inputs >= SMALLEST else None


def samples_of(measurement: Measurement, image_shape: Any) -> dict[str, Any]:
    """Samples with their targets and the predictions at every snapshot."""
    x, y = measurement.held_out or measurement.data
    source = "validation" if measurement.held_out else "training"
    network = measurement.network
    inputs, outputs = (math.prod(array.shape[1:]) for array in (x, y))
    shape = image_shape_of(inputs, image_shape)
    classes = network.loss.labels == "classes"
    if inputs == 2 and (classes or outputs == 1):
        return _map(measurement, x, y, source)
    if inputs == 1 and outputs == 1:
        return _line(measurement, x, y, source)
    if classes:
        return _classes(measurement, x, y, source, shape)
    rows = np.arange(min(SAMPLES, len(x)))
    predictions = measurement.predictions(x[rows]).reshape(
        len(measurement.snapshots), len(rows), -1
    )
    return {
        "kind": "numbers",
        "title": "Targets and predictions",
        "words": f"Of the {source} data, with the prediction at this step.",
        "inputs": [_row_in_words(row) for row in x[rows]],
        "targets": _digits(y[rows].reshape(len(rows), -1)),
        "predictions": _digits(predictions),
    }


def _row_in_words(row: Array) -> str:
    flat = row.ravel()
    shown = ", ".join(f"{value:.3g}" for value in flat[:2]).replace("-", "−")
    return f"({shown}{', …' if flat.size > 2 else ''})" if flat.size > 1 else shown


def _digits(array: Array, digits: int = 4) -> Any:
    """Nested lists of numbers of so many digits; None for what is not finite."""
    if array.ndim:
        return [_digits(part, digits) for part in array]
    return float(f"{float(array):.{digits}g}") if np.isfinite(array) else 0.0


def _classes(
    measurement: Measurement, x: Array, y: Array, source: str, shape: tuple[int, int] | None
) -> dict[str, Any]:
    labels = y.argmax(axis=-1)
    rows = _some_of_each(labels, SAMPLES)
    predictions = measurement.predictions(x[rows])
    shares = bool((predictions >= 0).all() and np.allclose(predictions.sum(axis=-1), 1, atol=1e-3))
    found: dict[str, Any] = {
        "kind": "classes",
        "title": "Samples, and what the network takes them for",
        "words": f"Of the {source} data, at this step: the class with the largest output, ✓ where "
        "it is right, else ✗ and the right one; bars are the outputs of all classes.",
        "names": [str(n) for n in range(y.shape[-1])],
        "targets": labels[rows].tolist(),
        "shares": shares,
        "predictions": np.rint(predictions * 1000).astype(int).tolist()
        if shares
        else _digits(predictions),
    }
    if shape is not None:
        low, high = float(x.min()), float(x.max())
        scaled = 255 * (x[rows].reshape(len(rows), -1) - low) / ((high - low) or 1.0)
        found |= {"shape": list(shape), "images": _bytes(np.rint(scaled).astype(np.uint8))}
    return found


def _some_of_each(labels: Array, count: int) -> Array:
    """Rows of all classes in turn, the first of each first."""
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        rank[own] = np.arange(own.sum())
    order = np.lexsort((labels, rank))
    return order[:count]


def _map(measurement: Measurement, x: Array, y: Array, source: str) -> dict[str, Any]:
    """The prediction over two inputs: a class with how sure it is, or one number, as bytes."""
    low, side = _around(x)
    steps = np.linspace(0, 1, MAP)
    grid = np.stack(np.meshgrid(*(low + side * steps[:, None]).T), axis=-1).reshape(-1, 2)
    predictions = measurement.predictions(grid.astype(x.dtype)).reshape(
        len(measurement.snapshots), len(grid), -1
    )
    classes = predictions.shape[-1] if predictions.shape[-1] > 1 else 0
    if classes:
        best = predictions.argmax(axis=-1)
        margin = np.sort(predictions, axis=-1)
        sure = np.clip(margin[..., -1] - margin[..., -2], 0, 1)
        values, targets = (best % 16) * 16 + np.rint(15 * sure), y.argmax(axis=-1)
    else:
        smallest, largest = float(y.min()), float(y.max())
        extent = (largest - smallest) or 1.0
        values = np.rint(255 * np.clip((predictions[..., 0] - smallest) / extent, 0, 1))
        targets = (y.reshape(len(y)) - smallest) / extent
    points = np.column_stack([(x - low) / side, targets])[:POINTS]
    return {
        "kind": "map",
        "title": "What the network answers where",
        "words": f"The prediction over both inputs at this step; dots are the {source} data.",
        "n": MAP,
        "classes": classes,
        "values": [_bytes(row.astype(np.uint8)) for row in values],
        "points": _digits(points),
    }


def _line(measurement: Measurement, x: Array, y: Array, source: str) -> dict[str, Any]:
    """The prediction over one input, and the samples, from 0 to 1 along both sides."""
    low, side = _around(x)
    grid = low + side * np.linspace(0, 1, LINE)[:, None]
    predictions = measurement.predictions(grid.astype(x.dtype)).reshape(-1, LINE)
    finite = predictions[np.isfinite(predictions)]
    bottom, height = _around(np.concatenate([y.ravel(), finite])[:, None])
    points = np.column_stack([(x - low) / side, (y.reshape(-1, 1) - bottom) / height])[:POINTS]
    return {
        "kind": "line",
        "title": "The curve that the network draws",
        "words": f"The prediction over the input at this step; dots are the {source} data.",
        "range": _digits(np.array([low[0], low[0] + side[0], bottom[0], bottom[0] + height[0]])),
        "values": _digits((predictions - bottom) / height),
        "points": _digits(points),
    }


def _around(x: Array) -> tuple[Array, Array]:
    """The lower corner of the data and its sides, with a margin."""
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    side = np.where(high > low, high - low, 1.0)
    return low - 0.1 * side, 1.2 * side


def weights_of(measurement: Measurement, image_shape: Any) -> dict[str, Any] | None:
    """The first layer's weights at every snapshot: as an image a unit, or all as one."""
    tensor = _first_weight(measurement)
    if tensor is None:
        return None
    all_of = [snapshot.parameters[tensor] for snapshot in measurement.snapshots]
    units, inputs = all_of[0].shape
    shape = image_shape_of(inputs, image_shape)
    if shape is None:
        return _one_picture(all_of)
    kept = max(1, min(units, MOST_UNITS, MOST_WEIGHTS // (len(all_of) * inputs)))
    stacked = np.stack([weights[:kept] for weights in all_of])
    shown = f"{kept} of {units} units" if kept < units else f"{units} units"
    words = (
        f"The weights of {shown} as images: where a pixel raises the unit, and where it lowers it."
    )
    return {
        **_quantized(stacked),
        "count": kept,
        "shape": list(shape),
        "title": IMAGES,
        "words": words,
    }


def _one_picture(all_of: list[Array]) -> dict[str, Any]:
    units, inputs = all_of[0].shape
    inputs = min(inputs, 256)
    rows = max(1, min(units, 128, MOST_WEIGHTS // (len(all_of) * inputs)))
    stacked = np.stack([weights[:rows, :inputs] for weights in all_of])
    places = ("row", "column")
    if rows > inputs:
        stacked, places = stacked.transpose(0, 2, 1), ("column", "row")
    words = f"The weights, a {places[0]} for each unit and a {places[1]} for each input."
    shape = list(stacked.shape[1:])
    return {**_quantized(stacked), "count": 1, "shape": shape, "title": MATRIX, "words": words}


def _first_weight(measurement: Measurement) -> str | None:
    """The weight with two axes that is read together with the inputs."""
    network = measurement.network
    source = network.named("x").label
    weights = {t.label: t.name for t in network.parameters if len(t.axes) == 2}
    for equation in network.inference.flat:
        read = {label_of(access) for access in equation.reads}
        if source in read and read & weights.keys():
            return weights[min(read & weights.keys(), key=str)]
    return None


def _quantized(weights: Array) -> dict[str, Any]:
    """Weights as whole numbers from −127 to 127, of a scale that few of them exceed."""
    scale = float(np.quantile(np.abs(weights), 0.999)) or 1.0
    whole = np.rint(np.clip(weights / scale, -1, 1) * 127).astype(np.int8)
    return {"data": _bytes(whole), "scale": float(f"{scale:.3g}")}


def _bytes(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
