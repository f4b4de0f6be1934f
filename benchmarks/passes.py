"""Claim: every optimization of the lowering pays somewhere; each is turned off by itself here."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from symprop import Network

from benchmarks.race import Lane, Measurement, closing, disagreement, race
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import TABLE, Workload

METHOD = """\
Interleaved rounds of `model.fit` on one thread, and on two where a number of threads is what is
turned off. Cells hold how many times longer a batch takes with one choice turned off, by minima;
the first row has the µs a batch with all of them on."""
ABSENT = "this version has no settings for its lowering that could be turned off"


@dataclass(frozen=True)
class Choice:
    """A field of the lowering's settings, and the value that turns it off."""

    name: str
    off: Any

    @property
    def label(self) -> str:
        return f"{self.name}={self.off}"


def lowering() -> type | None:
    """The dataclass of settings, where the backend has one that ``compile`` takes."""
    found = getattr(importlib.import_module("symprop.backends.numba"), "Lowering", None)
    taken = "lowering" in inspect.signature(Network.compile).parameters
    return found if found is not None and taken else None


def off(field: Field[Any]) -> Any:
    """What turns a field off: its metadata's "off", else False for a switch, 0 for a number."""
    if "off" in field.metadata:
        return field.metadata["off"]
    return {bool: False, int: 0, float: 0.0}.get(type(field.default))


def choices(settings: type) -> Iterator[Choice]:
    """All fields that have a value to turn them off, other than the one they have."""
    for field in fields(settings):
        value = off(field)
        if value is not None and value != field.default:
            yield Choice(field.name, value)


def lanes(found: Sequence[Choice], threads: int) -> list[Lane]:
    """All on, then each choice off."""
    off_one = [Lane("symprop", threads, {"off": {c.name: c.off}}, c.label) for c in found]
    return [Lane("symprop", threads, {}, "all on"), *off_one]


@dataclass
class Result:
    """What a workload takes with each choice off."""

    workload: Workload
    optimizer: str
    measured: list[Measurement]

    @property
    def heading(self) -> str:
        return f"{self.workload.name} {self.optimizer}"

    def gain(self, label: str) -> float | None:
        """Time with a choice off over time with all on."""
        best = {m.label: m.best for m in self.measured if m.microseconds}
        return best[label] / best["all on"] if {label, "all on"} <= set(best) else None

    def plain(self) -> dict[str, Any]:
        measured = [m.plain() for m in self.measured]
        return {"workload": self.workload.name, "optimizer": self.optimizer, "measured": measured}


def measure(found: Sequence[Choice], settings: Settings) -> Iterator[Result]:
    """All workloads; the processes are kept."""
    chosen = TABLE[:2] if settings.quick else TABLE
    threads = max(settings.threads) if any("thread" in c.name for c in found) else 1
    with closing(lanes(found, threads)) as started:
        for number_of, workload in enumerate(chosen):
            optimizer = "adam" if number_of % 2 else "sgd"
            result = Result(workload, optimizer, race(started, workload, optimizer, settings))
            print(f"  {result.heading}: losses agree to {disagreement(result.measured):.0e}")
            yield result


def table(found: Sequence[Choice], results: Sequence[Result]) -> Table:
    """A row for each choice."""
    made = Table("Times longer with one turned off", ["", *(r.heading for r in results)])
    base = [next((m for m in r.measured if m.label == "all on"), None) for r in results]
    cells = [number(m.best) + " µs" if m and m.microseconds else "–" for m in base]
    made.rows.append(["all on", *cells])
    for choice in found:
        made.rows.append([choice.label, *(number(r.gain(choice.label)) for r in results)])
    return made


def run(settings: Settings) -> Report:
    """Measure and tell, or say that there is nothing to turn off."""
    claim = (__doc__ or "").removeprefix("Claim: ")
    kind = lowering()
    if kind is None:
        return Report("passes", claim, METHOD, [], [], [ABSENT])
    found = list(choices(kind))
    results = list(measure(found, settings))
    notes = [f"{r.heading}, {m.label}: {m.error}" for r in results for m in r.measured if m.error]
    data = [r.plain() for r in results]
    return Report("passes", claim, METHOD, [table(found, results)], data, notes)
