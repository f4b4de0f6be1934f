"""Interleaved rounds: A B C A B C …, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.contestants import ENTRIES
from benchmarks.settings import Settings
from benchmarks.worker import Worker
from benchmarks.workloads import Workload

PAUSE = 0.02
"""Seconds after a piece on several threads: idle threads of BLAS and OpenMP spin for a while."""


@dataclass
class Lane:
    """A contestant with a thread setting, and its process. ``label`` tells lanes of one apart."""

    name: str
    threads: int
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    worker: Worker | None = None

    def start(self, settings: Settings) -> Worker:
        """Its process, made anew if an earlier one ended."""
        if self.worker is None or not self.worker.alive:
            self.worker = Worker(self.name, self.threads, settings.environment(self.threads))
        return self.worker

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


@dataclass
class Measurement:
    """Microseconds a batch of each round, and what else a lane said of a workload."""

    name: str
    threads: int
    label: str = ""
    microseconds: list[float] = field(default_factory=list)
    cores: float = 0.0
    loss: float = float("nan")
    prepared: float = float("nan")
    error: str = ""
    skipped: bool = False

    @property
    def best(self) -> float:
        return min(self.microseconds)

    @property
    def median(self) -> float:
        return statistics.median(self.microseconds)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        fields = asdict(self)
        if self.microseconds:
            fields |= {"minimum": self.best, "median": self.median}
        return fields


def lanes(names: Iterable[str], settings: Settings) -> list[Lane]:
    """Each installed contestant with each thread setting."""
    found = [name for name in names if not ENTRIES[name].missing]
    return [Lane(name, threads) for name in found for threads in settings.threads]


@contextmanager
def closing(started: Sequence[Lane]) -> Iterator[Sequence[Lane]]:
    """End all processes at the end."""
    try:
        yield started
    finally:
        for lane in started:
            lane.close()


def race(
    lanes: Sequence[Lane], workload: Workload, optimizer: str, settings: Settings
) -> list[Measurement]:
    """Prepare all lanes, then time them in turn, round after round."""
    measured = prepare(lanes, workload, optimizer, settings)
    pairs = zip(lanes, measured, strict=True)
    running = [(lane, m) for lane, m in pairs if not m.error and not m.skipped]
    seconds = {}
    for lane, measurement in running:
        seconds[id(lane)] = _piece(lane, measurement, 1, settings, warm=False)[0]
    for _ in range(settings.rounds):
        for lane, measurement in running:
            epochs = max(1, round(settings.piece / max(seconds[id(lane)], 1e-7)))
            took, cores = _piece(lane, measurement, epochs, settings)
            if measurement.error:
                continue
            seconds[id(lane)] = min(seconds[id(lane)], took)
            measurement.microseconds.append(took / workload.batches * 1e6)
            measurement.cores = cores
    return measured


def prepare(
    lanes: Sequence[Lane], workload: Workload, optimizer: str, settings: Settings
) -> list[Measurement]:
    """Everything compiled: lanes of one thread side by side, and those that compile for each number
    of threads anew; then the others one after the other, or two at a time where all are of one
    contestant.

    Threads that wait for each other in a crowd of compilers take their time; and a lane with more
    threads may find the code of its sibling in a cache. Where the sibling fails, it is not tried.
    """
    measured = [Measurement(lane.name, lane.threads, lane.label) for lane in lanes]
    pairs = list(zip(lanes, measured, strict=True))
    for lane, measurement in pairs:
        measurement.skipped = lane.threads > 1 and not tried(lane, workload)
    pairs = [pair for pair in pairs if not pair[1].skipped]
    apart = [p for p in pairs if p[0].threads == 1 or ENTRIES[p[0].name].parallel]
    _prepare_together(apart, workload, optimizer, settings)
    failed = {(m.name, m.label): m.error for _, m in apart if m.error}
    others = []
    for lane, measurement in pairs:
        if (lane, measurement) not in apart:
            measurement.error = failed.get((lane.name, lane.label), "")
            others += [] if measurement.error else [(lane, measurement)]
    together = 2 if len({lane.name for lane in lanes}) == 1 else 1
    for n in range(0, len(others), together):
        _prepare_together(others[n : n + together], workload, optimizer, settings)
    return measured


def tried(lane: Lane, workload: Workload) -> bool:
    """Whether a batch is large enough for several threads of this contestant."""
    return workload.operations / workload.batches >= ENTRIES[lane.name].parallel


def _prepare_together(
    group: Sequence[tuple[Lane, Measurement]],
    workload: Workload,
    optimizer: str,
    settings: Settings,
) -> None:
    question = {"workload": workload.plain(), "optimizer": optimizer}
    asked = [lane.start(settings).ask("prepare", **question, **lane.settings) for lane, _ in group]
    deadline = time.monotonic() + settings.limit
    for (_, measurement), answer in zip(group, asked, strict=True):
        said = answer(max(deadline - time.monotonic(), 0.01))
        measurement.error = said.get("error", "")
        measurement.loss = said.get("loss", float("nan"))
        measurement.prepared = said.get("seconds", float("nan"))


def _piece(
    lane: Lane, measurement: Measurement, epochs: int, settings: Settings, warm: bool = True
) -> tuple[float, float]:
    """Seconds an epoch and cores used; what goes wrong stands in the measurement."""
    if measurement.error:
        return 1.0, 0.0
    said = lane.start(settings).ask("run", epochs=epochs, warm=warm)(settings.limit)
    if "error" in said:
        measurement.error = said["error"]
        return 1.0, 0.0
    if lane.threads > 1:
        time.sleep(PAUSE)
    return said["seconds"] / epochs, said["cpu"] / said["seconds"]


def best_of(measured: Iterable[Measurement], name: str) -> Measurement | None:
    """A contestant at its best thread setting, by the minimum."""
    mine = [m for m in measured if m.name == name and m.microseconds]
    return min(mine, key=lambda m: m.best, default=None)


def disagreement(measured: Iterable[Measurement]) -> float:
    """The largest relative difference of the losses from their median."""
    losses = [m.loss for m in measured if not m.error and not m.skipped]
    if not losses:
        return float("nan")
    middle = statistics.median(losses)
    return max(abs(loss / middle - 1) for loss in losses)
