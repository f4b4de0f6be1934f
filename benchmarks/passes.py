"""Claim: every optimization of the lowering pays somewhere; each is turned off by itself here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from symprop.lowering import EVERYTHING, Lowering

from benchmarks.race import Lane, Measurement, closing, disagreement, race
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import TABLE, Workload

METHOD = """\
Interleaved rounds of `model.fit`, with as many threads as pay unless these are what is turned off.
Cells hold how many times longer a batch takes with one choice turned off, by minima; the first row
has the µs a batch with all of them on."""


CHOSEN = ((TABLE[0], "sgd"), (TABLE[1], "adam"), (TABLE[3], "adam"), (TABLE[4], "sgd"))
"""A tiny, a small, a medium and a large network: those between them are alike, and each takes a
quarter of a minute.
"""


@dataclass(frozen=True)
class Choice:
    """A field of the lowering's settings, and the value that turns it off."""

    name: str
    off: Any

    @property
    def label(self) -> str:
        return f"{self.name}={self.off}"


def off(field: Field[Any]) -> Any:
    """What turns a field off: its metadata's "off"; else False for a switch; for a number 0, or 1
    where 0 is the default.
    """
    if "off" in field.metadata:
        return field.metadata["off"]
    if isinstance(field.default, bool):
        return False
    return int(not field.default) if isinstance(field.default, int) else None


def choices(settings: Any) -> Iterator[Choice]:
    """All fields that have a value to turn them off, other than the one they have."""
    for field in fields(settings):
        value = off(field)
        if value is not None and value != field.default:
            yield Choice(field.name, value)


def lanes(found: Sequence[Choice], threads: int) -> list[Lane]:
    """All on, then each choice off; all in the same environment, as many threads as may pay."""
    on = {"threads": EVERYTHING.threads}
    one_off = [Lane("symprop", threads, {"off": {**on, c.name: c.off}}, c.label) for c in found]
    return [Lane("symprop", threads, {"off": on}, "all on"), *one_off]


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
    """The workloads one after the other; the processes are kept."""
    chosen = CHOSEN[:2] if settings.quick else CHOSEN
    with closing(lanes(found, max(settings.threads))) as started:
        for workload, optimizer in chosen:
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
    """Measure and tell."""
    found = list(choices(Lowering))
    results = list(measure(found, settings))
    return Report(
        script="passes",
        claim=(__doc__ or "").removeprefix("Claim: "),
        method=METHOD,
        tables=[table(found, results)],
        data=[r.plain() for r in results],
        notes=[
            f"{r.heading}, {m.label}: {m.error}" for r in results for m in r.measured if m.error
        ],
    )
