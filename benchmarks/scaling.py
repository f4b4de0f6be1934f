"""Claim: who is fastest depends on size; this is where each wins, by width, depth and batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.contestants import ENTRIES
from benchmarks.picture import draw
from benchmarks.race import Lane, Measurement, best_of, closing, lanes, race
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import Workload, stack, with_rows

NAMES = ("symprop", "jax", "torch", "numpy")
LIMIT = 60.0
"""Seconds that a contestant may take to get ready; it is left out of deeper networks then."""
ROUNDS = 3
"""Interleaved rounds: there are 22 sizes, and curves tell a disturbed one."""
METHOD = """\
SGD, float32; cells hold the minimum of interleaved rounds in µs a batch, at the best number of
threads (behind ×)."""


@dataclass(frozen=True)
class Curve:
    """Workloads that differ in one size, and the most threads that are tried.

    One where no contestant gains by a second thread, and each would compile 200 layers again.
    """

    name: str
    what: str
    values: tuple[int, ...]
    most_threads: float = math.inf

    def workload(self, value: int) -> Workload:
        """At one size."""
        if self.name == "width":
            layers = stack((value, value, 10), "relu", "softmax")
            return with_rows(Workload(f"width {value}", 64, layers, "cross_entropy", 64, 0))
        if self.name == "depth":
            layers = stack((*[16] * value, 1), "tanh", "linear")
            return with_rows(Workload(f"depth {value}", 16, layers, "mse", 32, 0))
        layers = stack((64, 10), "relu", "softmax")
        return with_rows(Workload(f"batch {value}", 64, layers, "cross_entropy", value, 0))


CURVES = (
    Curve("width", "64-w-w-10 relu softmax, batch 64", tuple(2**n for n in range(2, 12))),
    Curve("depth", "layers of 16 tanh, batch 32, one thread", (1, 4, 16, 64, 200), 1),
    Curve("batch", "64-64-10 relu softmax", tuple(4**n for n in range(7))),
)


@dataclass
class Point:
    """What the lanes took at one size of a curve."""

    curve: str
    value: int
    measured: list[Measurement]

    def plain(self) -> dict[str, Any]:
        best = {name: best_of(self.measured, name) for name in NAMES}
        return {
            "curve": self.curve,
            "value": self.value,
            "best": {name: m.best for name, m in best.items() if m},
            "measured": [m.plain() for m in self.measured],
        }


def follow(curve: Curve, started: Sequence[Lane], settings: Settings) -> Iterator[Point]:
    """The curve from its least size; who fails once is not asked for more."""
    running = [lane for lane in started if lane.threads <= curve.most_threads]
    for value in curve.values:
        measured = race(running, curve.workload(value), "sgd", settings)
        running = [lane for lane, m in zip(running, measured, strict=True) if not m.error]
        point = Point(curve.name, value, measured)
        best = point.plain()["best"]
        print(f"  {curve.name} {value}: {best_line(best)}", flush=True)
        yield point


def best_line(best: dict[str, float]) -> str:
    """One line while waiting."""
    return ", ".join(f"{ENTRIES[name].title} {number(time)}" for name, time in best.items())


def table(curve: Curve, points: Sequence[Point]) -> Table:
    """A row for each size; the last column says who wins, and by how much symprop does or not."""
    titles = [ENTRIES[name].title for name in NAMES]
    found = Table(f"{curve.name}: {curve.what}", [curve.name, *titles, "best rival / symprop"])
    for point in points:
        best = {name: best_of(point.measured, name) for name in NAMES}
        cells = [f"{number(m.best)} ×{m.threads}" if m else "–" for m in best.values()]
        found.rows.append([f"{point.value:,}", *cells, number(lead(point.plain()["best"]))])
    return found


def lead(best: dict[str, float]) -> float | None:
    """How many times longer than symprop the best of the others takes."""
    rivals = [time for name, time in best.items() if name != "symprop"]
    return min(rivals) / best["symprop"] if rivals and "symprop" in best else None


def notes(points: Sequence[Point]) -> list[str]:
    """What failed, and where."""
    return [
        f"{point.curve} {point.value}, {ENTRIES[m.name].title} ×{m.threads}: {m.error}; "
        "left out from there on"
        for point in points
        for m in point.measured
        if m.error
    ]


def run(settings: Settings) -> Report:
    """Follow the curves, draw the picture."""
    limit, rounds = min(LIMIT, settings.limit), min(ROUNDS, settings.rounds)
    settings = replace(settings, piece=settings.piece / 2, limit=limit, rounds=rounds)
    curves: tuple[Curve, ...] = CURVES
    if settings.quick:
        curves = tuple(replace(curve, values=curve.values[:6:2]) for curve in CURVES)
    points: list[Point] = []
    with closing(lanes(NAMES, settings)) as started:
        for curve in curves:
            points += follow(curve, started, settings)
    data = [point.plain() for point in points]
    draw(data, {curve.name: curve.what for curve in curves}, settings.picture)
    return Report(
        script="scaling",
        claim=(__doc__ or "").removeprefix("Claim: "),
        method=METHOD,
        tables=[table(curve, [p for p in points if p.curve == curve.name]) for curve in curves],
        data=data,
        notes=notes(points),
    )
