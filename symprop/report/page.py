"""The interactive page of a training: one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Symbol

from symprop.backends import Array
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.history import History
from symprop.model import Model
from symprop.printers.mathml import MathmlPrinter, node_mathml
from symprop.printers.structure import Access, Magnitude, Slope
from symprop.recorder import Recorder
from symprop.report.formulas import LayerFormulas, layer_formulas
from symprop.report.measure import Measurement, Series
from symprop.report.mountain import Mountain
from symprop.report.pictures import samples_of, weights_of

ROWS = 100
"""Epochs in the table of what ``fit`` recorded; of more, every so many."""
MARK = re.compile(r"@@(\w+)@@")
"""A place in page.html that is filled in."""


def training_page(
    model: Model,
    history: History,
    path: str | Path,
    recorder: Recorder | None = None,
    title: str | None = None,
    image_shape: tuple[int, int] | None = None,
) -> None:
    """Write the page of a training.

    It shows the error mountain, which is the loss on a sheet through the path of the training (see
    ``symprop.report.mountain``), with the model as a ball that rolls down; curves; each layer's
    formulas with their numbers at the step; predictions of samples; the first layer's weights. All
    numbers are measured at the snapshots of the recorder, with a model of their own: the given one
    stays as it is. With dropout or batch normalization formulas and numbers are those of
    prediction.

    ``recorder`` is by default what has watched the model's latest ``fit``, whose ``history`` this
    must be: the Recorder among its callbacks, or the fit's own. That keeps at most 100 snapshots,
    taken where compiled code comes back (after each epoch at least if anything is done there); 3 or
    more of up to 32 MB of parameters; and of the data the rows that the page measures on. ``title``
    stands on top; ``image_shape`` is (height, width) of inputs that are images, by default a square
    where there are 16, 25, 36, … inputs.

    Raises ArgumentError for a history of another fit than the latest, one that nothing has watched
    (of a loaded or a larger model), for fewer than two snapshots, and for a shape that does not fit
    the inputs.

    >>> import tempfile
    >>> from symprop import Dense, Network
    >>> model = Network([Dense(2, "tanh"), Dense(1)], inputs=1, loss="mse").compile("adam")
    >>> history = model.fit([[0.0], [0.5], [1.0]], [1.0, 0.0, 1.0], epochs=9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     training_page(model, history, Path(folder) / "page.html")
    ...     (Path(folder) / "page.html").stat().st_size < 200_000
    True
    """
    found = _recorder(model, history, recorder)
    measurement = Measurement(model, found)
    layers = tuple(layer_formulas(model.network))
    series, mountain = measurement.series(), measurement.mountain()
    samples = samples_of(measurement, image_shape)
    rows: list[list[float]] = []
    parts = {
        "title": escape(title or "Training of a network"),
        "lead": escape(_lead(model, measurement)),
        "network": "".join(_network(layers)),
        "panels": "".join(_panel(n, layer, series, rows) for n, layer in enumerate(layers)),
        "samples": escape(samples["title"]),
        "reading": _reading(measurement, mountain),
        "epochs": _epochs(history),
    }
    data = {
        **_numbers(measurement, series),
        "mountain": _mountain(mountain, series),
        "layers": [{"delta": _rounded(series.delta[n])} for n in range(len(layers))],
        "series": [_rounded(row) for row in rows],
        "samples": samples,
        "weights": weights_of(measurement, image_shape),
    }
    Path(path).write_text(_filled(parts, data), encoding="utf-8")


def _recorder(model: Model, history: History, given: Recorder | None) -> Recorder:
    for name, value, kind in (("model", model, Model), ("history", history, History)):
        if not isinstance(value, kind):
            raise ArgumentTypeError(
                f"training_page: {name}: expected a {kind.__name__}, got {type(value).__name__}"
            )
    if given is not None and not isinstance(given, Recorder):
        raise ArgumentTypeError(
            f"training_page: recorder: expected a Recorder, got {type(given).__name__}"
        )
    if given is None and history is not model.history:
        raise ArgumentError(
            "training_page: history: expected that of the model's latest fit; for another give the "
            "recorder that has watched it"
        )
    found = given or model.recorder
    how = "recorder = Recorder(x, y); history = model.fit(x, y, ..., callbacks=[recorder])"
    if found is None:
        raise ArgumentError(f"training_page: nothing was recorded on the way; write {how}")
    if found is model.recorder and found.snapshots and model.step > found.snapshots[-1].step:
        found.record(model)
    if len(found.snapshots) < 2:
        raise ArgumentError(
            "training_page: expected at least two snapshots of the parameters, got "
            f"{len(found.snapshots)}; write {how}"
        )
    shapes = {name: array.shape for name, array in model.parameters.items()}
    recorded = {n: array.shape for n, array in found.snapshots[-1].parameters.items()}
    if shapes != recorded:
        raise ArgumentError(
            f"training_page: the recorder watched another network, with {recorded}; "
            f"the model has {shapes}"
        )
    return found


def _filled(parts: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """The page with its parts in their places; the script is allowed by its hash."""
    texts = {name: _text(name) for name in ("page.html", "page.css", "mountain.js", "page.js")}
    script = f"{texts['mountain.js']}\n{texts['page.js']}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    places = {
        **parts,
        "style": texts["page.css"],
        "script": script,
        "hash": f"sha256-{digest}",
        "data": _embedded(data),
    }
    return MARK.sub(lambda found: places[found[1]], texts["page.html"])


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _embedded(data: Mapping[str, Any]) -> str:
    r"""JSON within a script element: no < can end it or open a comment."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", r"\u003c")


def _rounded(values: Sequence[float] | Array, digits: int = 5) -> list[float | None]:
    """Numbers of so many digits; None for what is not finite."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


def _numbers(measurement: Measurement, series: Series) -> dict[str, Any]:
    return {
        "steps": [snapshot.step for snapshot in measurement.snapshots],
        "loss": _rounded(series.loss),
        "accuracy": _rounded(series.accuracy),
        "validation_loss": _rounded(series.validation_loss),
        "validation_accuracy": _rounded(series.validation_accuracy),
    }


def _mountain(found: Mountain, series: Series) -> dict[str, Any]:
    """The grid's losses, the path from 0 to 1 along both of its sides, and the losses on it."""
    plane = found.plane.path
    corner = np.array([found.u[0], found.v[0]])
    side = np.array([found.u[-1] - found.u[0], found.v[-1] - found.v[0]])
    finite = [value for value in series.loss if math.isfinite(value)] or [0.0]
    low = min([*finite, *found.loss[np.isfinite(found.loss)].tolist()])
    return {
        "n": len(found.u),
        "loss": _rounded(found.loss.ravel(), 4),
        "low": low,
        "high": max(finite),
        "path": [_rounded(point) for point in (plane - corner) / side],
        "heights": _rounded(series.loss),
    }


def _lead(model: Model, measurement: Measurement) -> str:
    count = sum(array.size for array in model.parameters.values())
    optimizer = type(model.optimizer).__name__
    plural = "s" if count != 1 else ""
    return (
        f"{model.network}: {count:,} parameter{plural}, trained by {optimizer} in "
        f"{measurement.snapshots[-1].step - measurement.snapshots[0].step:,} steps."
    )


def _network(layers: Sequence[LayerFormulas]) -> Iterator[str]:
    spell = MathmlPrinter()
    delta = "mean |δ|"
    yield f'<span class="end">{node_mathml(Access(Symbol("x")), spell)}</span>'
    for n, layer in enumerate(layers):
        units = f"{layer.units} unit{'s' if layer.units != 1 else ''}"
        yield (
            '<span class="link" aria-hidden="true">⇄</span>'
            f'<button type="button" aria-pressed="false" aria-controls="layer-{n}">'
            f"<b>{escape(layer.name)}</b><small>{units}</small>"
            f'<small>{delta} <span class="told"></span></small><span class="bar"></span></button>'
        )
    yield '<span class="link" aria-hidden="true">⇄</span>'
    yield f'<span class="end">{node_mathml(Access(Symbol("L")), spell)}</span>'


def _panel(n: int, layer: LayerFormulas, series: Series, rows: list[list[float]]) -> str:
    """A layer's formulas beside its numbers, whose series are appended to ``rows``."""
    spell = MathmlPrinter()
    delta = Access(Symbol(layer.delta_name))
    numbers = [(Magnitude(delta), "mean over units and samples", series.delta[n])]
    for tensor in layer.parameters:
        name = Access(Symbol(tensor.name))
        slope = Magnitude(Slope(Access(Symbol("L")), name))
        numbers.append((slope, "mean over its elements", series.gradient[tensor.name]))
        numbers.append((Magnitude(name), "mean over its elements", series.size[tensor.name]))
    table = ""
    for node, words, values in numbers:
        table += (
            f'<tr data-series="{len(rows)}"><th scope="row">{node_mathml(node, spell)}<br>'
            f'<small>{words}</small></th><td class="value"></td><td></td></tr>'
        )
        rows.append(values)
    formulas = (
        f"<h4>Forward</h4>{_formulas(layer.forward)}"
        f'<h4>The error signal</h4><div class="delta">{_formulas(layer.delta)}</div>'
        f"<h4>Gradients</h4>{_formulas(layer.gradients)}"
    )
    return (
        f'<div class="panel" id="layer-{n}" hidden><div><h3>{escape(layer.name)}, one sample</h3>'
        f'<div class="formulas" tabindex="0" role="group" aria-label="Formulas of '
        f'{escape(layer.name)}">{formulas}</div></div><div><h3>At this step</h3>'
        '<table class="numbers"><thead><tr><th scope="col">size</th><th scope="col">now</th>'
        f'<th scope="col">over the training</th></tr></thead><tbody>{table}</tbody></table>'
        "</div></div>"
    )


def _formulas(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<div class="target">{a}</div><div>{b}</div>' for a, b in pairs)


def _reading(measurement: Measurement, found: Mountain) -> str:
    used, rows = len(measurement.data[0]), measurement.rows
    samples = f"all {rows:,} samples" if used == rows else f"{used:,} of {rows:,} samples"
    deltas = len(measurement.few[0])
    surface = (
        "The mountain is the loss itself. Its floor is a sheet through the space of all parameters "
        "that goes through every snapshot of the training and is spanned by the two directions in "
        f"which the path is longest; they hold {found.plane.share:.1%} of its variance. The height "
        "at a point is the loss of the network with the parameters of that point, on "
        f"{samples} of the training data; above the highest loss of the path it is drawn lower "
        "than it is, as the scale beside it shows."
    )
    numbers = (
        f"The dots are the {len(measurement.snapshots)} snapshots, and every number on this page "
        "was measured at one of them. Between two of them only the ball moves, and the numbers "
        "stay."
    )
    signal = (
        "δ is the derivative of a sample's loss by a layer's pre-activation z; its mean is taken "
        f"over {deltas:,} samples. The gradients are those of the mean loss over "
        f"{measurement.gradient_rows:,} samples."
    )
    keys = (
        ("Space", "play and pause"),
        ("←", "one snapshot back"),
        ("→", "one on"),
        ("Home", "start"),
        ("End", "end"),
        ("+", "faster"),
        ("−", "slower"),
        ("[", "turn left"),
        ("]", "turn right"),
    )
    shown = ", ".join(f"<kbd>{key}</kbd> {words}" for key, words in keys)
    prose = "".join(f"<p>{escape(sentence)}</p>" for sentence in (surface, numbers, signal))
    return f"{prose}<p>Keys: {shown}. Drag the mountain to turn it.</p>"


def _epochs(history: History) -> str:
    """What ``fit`` recorded, as a table."""
    records = history.records
    if not records:
        return ""
    names = list(dict.fromkeys(name for record in records for name in record))
    every = math.ceil(len(records) / ROWS)
    kept = [n for n in range(len(records)) if (n + 1) % every == 0 or n == len(records) - 1]
    head = "".join(f'<th scope="col">{escape(n.replace("_", " "))}</th>' for n in ("epoch", *names))
    body = "".join(
        f"<tr><td>{n + 1}</td>"
        + "".join(f"<td>{records[n].get(name, math.nan):.4g}</td>" for name in names)
        + "</tr>"
        for n in kept
    )
    return (
        "<details><summary>The epochs, as fit recorded them</summary>"
        '<div class="table"><table class="values"><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )
