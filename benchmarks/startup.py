"""Claim: a network trains within seconds of its declaration; a second time, it compiles nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import mkdtemp
from typing import Any

from benchmarks.contestants import ENTRIES
from benchmarks.probes import Question
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import TABLE, Workload, stack

DEEP = Workload("D200", 16, stack((*[16] * 200, 1), "tanh", "linear"), "mse", 32, 1024)
LIMIT = 60.0
"""Seconds until a start is given up; it is said so then."""
METHOD = """\
Each figure is from a fresh process, in seconds, with the most threads tried. Cold: the cache is
empty; the sum of deriving, lowering, compiling and the first epoch, imports not counted (they stand
by themselves). Warm: the declaration and the first epoch, with programs and machine code from the
cache on disk. JAX: tracing, compiling and the first epoch, without a cache."""


@dataclass
class Start:
    """Phases of one workload's starts."""

    workload: Workload
    optimizer: str
    cold: dict[str, Any]
    warm: dict[str, Any]
    jax: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        phases = {"cold": self.cold, "warm": self.warm, "jax": self.jax}
        return {"workload": self.workload.plain(), "optimizer": self.optimizer, **phases}


def beyond_imports(phases: dict[str, Any]) -> float | None:
    """Seconds of all phases but imports and the making of data."""
    if not phases or "error" in phases:
        return None
    return float(sum(phases[name] for name in phases if name not in ("imports", "data")))


def start(workload: Workload, optimizer: str, settings: Settings) -> Start:
    """Cold, then warm, in a cache of its own."""
    cache = mkdtemp(dir=settings.scratch)
    given = {"workload": workload.plain(), "optimizer": optimizer}
    threads = max(settings.threads)
    first, second = (
        Question("start_symprop", {**given, "parts": parts}, threads, LIMIT, cache)
        for parts in (True, False)
    )
    cold = first.ask(settings)
    warm = {} if "error" in cold else second.ask(settings)
    shutil.rmtree(cache)
    rival = Question("start_jax", given, threads, LIMIT)
    jax = {} if ENTRIES["jax"].missing else rival.ask(settings)
    return Start(workload, optimizer, cold, warm, jax)


def starts(settings: Settings) -> Iterator[Start]:
    """SGD and Adam in turn, and the deep network."""
    chosen = [(w, ("sgd", "adam")[number % 2]) for number, w in enumerate((*TABLE, DEEP))]
    for workload, optimizer in chosen[:1] if settings.quick else chosen:
        found = start(workload, optimizer, settings)
        print(f"  {' '.join(row(found)[:6])}", flush=True)
        yield found


def row(s: Start) -> list[str]:
    """One workload's figures."""
    cold, warm, jax = (beyond_imports(phases) for phases in (s.cold, s.warm, s.jax))
    parts = [number(s.cold.get(n)) for n in ("derive", "lower", "compile and first epoch")]
    imports = [number(s.cold.get("imports")), number(s.jax.get("imports"))]
    name = f"{s.workload.name} {s.workload}"
    return [name, s.optimizer, number(cold), *parts, number(warm), number(jax), *imports]


def notes(found: Sequence[Start]) -> list[str]:
    """What failed."""
    return [
        f"{s.workload.name} {s.optimizer}, {which}: {phases['error']}"
        for s in found
        for which, phases in (("cold", s.cold), ("warm", s.warm), ("JAX", s.jax))
        if "error" in phases
    ]


def run(settings: Settings) -> Report:
    """Measure and tell."""
    found = list(starts(settings))
    parts = ["derive", "lower", "compile, first epoch"]
    columns = ["", "", "cold", *parts, "warm", "JAX cold", "imports", "JAX imports"]
    return Report(
        script="startup",
        claim=(__doc__ or "").removeprefix("Claim: "),
        method=METHOD,
        tables=[Table("Seconds", columns, [row(s) for s in found])],
        data=[s.plain() for s in found],
        notes=notes(found),
    )
