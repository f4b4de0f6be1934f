"""Claim: a training step holds parameters, optimizer state, one batch of values; nothing grows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.probes import Question
from benchmarks.settings import Settings
from benchmarks.tables import Report, Table, number
from benchmarks.workloads import TABLE, Workload, stack

LARGE = Workload(
    "large", 784, stack((2048, 2048, 10), "relu", "softmax"), "cross_entropy", 2048, 4096
)
EPOCHS = 1000
METHOD = """\
Each figure is from a fresh process whose code was loaded, and had run on single rows, before.
Needed: parameters, optimizer state, and for one batch its rows, the activations and the cotangents
of all layers and parameters. Arrays: parameters and state, and the peak of what NumPy
allocates in an epoch, by tracemalloc, less what is kept for a page: samples and parameters of a
small network on the way of its training, from which training_page tells of it. Resident: all that,
by the growth of the process's peak (VmHWM); a small network's is that of pages and of the
interpreter. The copy of a large network's values that DivergenceError goes back to is in a file."""


def needed(workload: Workload, optimizer: str) -> int:
    """Bytes that a step cannot do without, counted from its sizes."""
    copies = 4 if optimizer == "adam" else 2
    units = sum(workload.sizes[1:])
    batch = workload.batch * (workload.inputs + 2 * units)
    return int(np.dtype(workload.dtype).itemsize * (copies * workload.parameters + batch))


@dataclass
class Need:
    """What a workload needs and what it takes, in bytes."""

    workload: Workload
    optimizer: str
    needed: int
    taken: dict[str, Any]

    def total(self, account: str) -> float | None:
        """Parameters and state, and what an epoch takes besides."""
        if "error" in self.taken:
            return None
        return float(self.taken["parameters and state"] + self.taken[account])

    def plain(self) -> dict[str, Any]:
        taken = {"needed": self.needed, "taken": self.taken}
        return {"workload": self.workload.plain(), "optimizer": self.optimizer, **taken}


def need(workload: Workload, optimizer: str, settings: Settings) -> Need:
    """Ask both accounts, on two batches of data: what checks the data is not a training step, and
    takes a byte a number.
    """
    workload = replace(workload, rows=min(workload.rows, 2 * workload.batch))
    question = Question("memory", {"workload": workload.plain(), "optimizer": optimizer})
    return Need(workload, optimizer, needed(workload, optimizer), question.ask(settings))


def row(found: Need) -> list[str]:
    """Megabytes and shares."""
    cells = [f"{found.workload.name} {found.workload}", found.optimizer]
    cells.append(number(found.needed / 1e6))
    for total in (found.total("arrays"), found.total("resident")):
        share = "–" if total is None else f"{total / found.needed:.0%}"
        cells += [number(None if total is None else total / 1e6), share]
    cells.append(number(found.taken.get("for a page", 0) / 1e6))
    return cells


def flatness(settings: Settings) -> dict[str, Any]:
    """What 1,000 epochs leave behind."""
    epochs = 50 if settings.quick else EPOCHS
    given = {"workload": TABLE[1].plain(), "optimizer": "adam", "epochs": epochs}
    return {"epochs": epochs, **Question("flat", given).ask(settings)}


def notes(found: Sequence[Need], flat: dict[str, Any]) -> list[str]:
    """The epochs' growth, and what failed."""
    gained = flat.get("error") or f"the resident size grows by {flat['growth'] / 1024:,.0f} KiB"
    told = f"{TABLE[1].name}, Adam, {flat['epochs']:,} epochs after the first ten: {gained}"
    failed = [n for n in found if "error" in n.taken]
    return [told, *(f"{n.workload.name} {n.optimizer}: {n.taken['error']}" for n in failed)]


def run(settings: Settings) -> Report:
    """Measure and tell."""
    chosen = [TABLE[6]] if settings.quick else [TABLE[3], TABLE[4], TABLE[6], LARGE]
    with ThreadPoolExecutor(2) as pool:  # bytes do not depend on what runs beside
        flattening = pool.submit(flatness, settings)
        asked = [pool.submit(need, w, o, settings) for w in chosen for o in ("sgd", "adam")]
        found, flat = [answer.result() for answer in asked], flattening.result()
    columns = ["", "", "needed", "arrays", "of needed", "resident", "of needed", "for a page"]
    return Report(
        script="memory",
        claim=(__doc__ or "").removeprefix("Claim: "),
        method=METHOD,
        tables=[Table("Megabytes", columns, [row(n) for n in found])],
        data={"needs": [n.plain() for n in found], "flat": flat},
        notes=notes(found, flat),
    )
