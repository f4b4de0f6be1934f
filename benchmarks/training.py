"""Claim: the generated loop trains small networks faster than jitted JAX, PyTorch and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contestants import ENTRIES
from benchmarks.machine import limits
from benchmarks.race import Lane, Measurement, best_of, closing, disagreement, lanes, race
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import TABLE, Workload

METHOD = """\
Whole epochs: a fresh permutation, forward, backward, update of every batch, the loss fetched at the
end. Each contestant with each number of threads has a process of its own; they take turns, round by
round. Cells hold the minimum and (in brackets) the median of the rounds, in µs a batch, at the
number of threads whose minimum is best, which stands behind ×."""


@dataclass
class Result:
    """What all lanes took for a workload."""

    workload: Workload
    optimizer: str
    measured: list[Measurement]

    def best(self, name: str) -> Measurement | None:
        return best_of(self.measured, name)

    def ratio(self, rival: str, name: str = "symprop") -> float | None:
        """How many times longer a rival takes, by minima."""
        mine, other = self.best(name), self.best(rival)
        return other.best / mine.best if mine and other else None

    @property
    def share(self) -> float | None:
        """symprop's share of the arithmetic limit of the threads that it used."""
        mine = self.best("symprop")
        if mine is None:
            return None
        rate = self.workload.operations / (mine.best * 1e-6 * self.workload.batches)
        return rate / (limits()[self.workload.dtype] * mine.threads)

    def plain(self) -> dict[str, Any]:
        return {
            "workload": self.workload.plain(),
            "optimizer": self.optimizer,
            "share of the arithmetic limit": self.share,
            "measured": [m.plain() for m in self.measured],
        }


def cell(measurement: Measurement | None) -> str:
    """Minimum, median and threads."""
    if measurement is None:
        return "–"
    return f"{number(measurement.best)} ({number(measurement.median)}) ×{measurement.threads}"


def times(results: Sequence[Result]) -> Table:
    """µs a batch of every contestant."""
    titles = [entry.title for entry in ENTRIES.values()]
    table = Table("µs a batch: minimum (median) × threads", ["", "", *titles])
    for r in results:
        cells = [cell(r.best(name)) for name in ENTRIES]
        table.rows.append([f"{r.workload.name} {r.workload}", r.optimizer, *cells])
    return table


def ratios(results: Sequence[Result]) -> Table:
    """How many times faster symprop is, and how near to the machine's limit."""
    rivals = [name for name in ENTRIES if name != "symprop"]
    titles = [f"× {ENTRIES[name].title}" for name in rivals]
    columns = ["", "", *titles, "share of the arithmetic limit", "losses agree to"]
    table = Table("How many times faster symprop is", columns)
    for r in results:
        share = "–" if r.share is None else f"{r.share:.0%}"
        cells = [number(r.ratio(rival)) for rival in rivals]
        last = [share, f"{disagreement(r.measured):.0e}"]
        table.rows.append([r.workload.name, r.optimizer, *cells, *last])
    return table


def notes(results: Sequence[Result]) -> list[str]:
    """What each contestant is, what is missing and what failed."""
    found = [f"{e.title}: {e.note}" for e in ENTRIES.values()]
    found += [f"{e.title} left out: {e.missing}" for e in ENTRIES.values() if e.missing]
    for r in results:
        found += [
            f"{r.workload.name} {r.optimizer}, {ENTRIES[m.name].title} ×{m.threads}: {m.error}"
            for m in r.measured
            if m.error
        ]
    return found


def measure(started: Sequence[Lane], settings: Settings) -> list[Result]:
    """All workloads, with both optimizers."""
    chosen = TABLE[:3] if settings.quick else TABLE
    results = []
    for workload in chosen:
        for optimizer in ("sgd", "adam"):
            result = Result(workload, optimizer, race(started, workload, optimizer, settings))
            print(f"  {workload.name} {optimizer}: {summary(result)}", flush=True)
            results.append(result)
    return results


def summary(result: Result) -> str:
    """One line while waiting."""
    cells = [(ENTRIES[n].title, result.best(n)) for n in ENTRIES]
    return ", ".join(f"{title} {number(m.best)}" for title, m in cells if m)


def run(settings: Settings) -> Report:
    """Measure and tell."""
    slow = {"torch-compiled"} if settings.quick else set()  # half a minute to compile
    with closing(lanes([name for name in ENTRIES if name not in slow], settings)) as started:
        results = measure(started, settings)
    return Report(
        script="training",
        claim=(__doc__ or "").removeprefix("Claim: "),
        method=METHOD,
        tables=[times(results), ratios(results)],
        data=[r.plain() for r in results],
        notes=notes(results),
    )
