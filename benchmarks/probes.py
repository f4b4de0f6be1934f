"""Measurements that need a fresh process each: start-up and memory.

``python -m benchmarks.probes name '{"argument": …}'`` prints a JSON object. Only the standard
library is imported before the clock runs.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symprop.model import Model

    from benchmarks.settings import Settings

ROOT = Path(__file__).parent.parent


class Clock:
    """Seconds of each phase, in order."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def phase(self, name: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.phases[name], self._last = now - self._last, now


def start_symprop(workload: dict[str, Any], optimizer: str, parts: bool) -> dict[str, float]:
    """From imports to the end of the first epoch; in ``parts``, each is asked for by itself."""
    clock = Clock()
    import numba  # noqa: F401 (timed)
    import scipy.linalg  # noqa: F401 (timed)
    import symprop  # noqa: F401 (timed)

    from benchmarks.contestants.symprop_fit import OPTIMIZERS, network
    from benchmarks.workloads import from_plain

    clock.phase("imports")
    chosen = from_plain(workload)
    x, y = chosen.arrays()
    clock.phase("data")
    net = network(chosen)
    if parts:
        str(len(net.gradients.equations))
        clock.phase("derive")
    model = net.compile(optimizer=OPTIMIZERS[optimizer], dtype=chosen.dtype, seed=0)
    if parts:
        model._executable.lower()
        clock.phase("lower")
    model.fit(x, y, epochs=1, batch_size=chosen.batch)
    clock.phase("compile and first epoch")
    return clock.phases


def start_jax(workload: dict[str, Any], optimizer: str) -> dict[str, float]:
    """The same for the jitted scan; tracing, compilation and the epoch are one phase."""
    clock = Clock()
    import jax

    from benchmarks.contestants.jax_scan import JaxScan
    from benchmarks.workloads import from_plain

    jax.devices()
    clock.phase("imports")
    chosen = from_plain(workload)
    chosen.arrays()
    clock.phase("data")
    JaxScan(chosen, optimizer).run(1, chosen.shuffle)
    clock.phase("compile and first epoch")
    return clock.phases


def _resident(name: str) -> int:
    """Bytes, from the kernel's account of this process: VmRSS, or VmHWM for the peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found[0]) * 1024


class Training:
    """Models whose code is loaded and has run in this process.

    The first model trains on batches of one row, so that its buffers are small.
    """

    def __init__(self, workload: dict[str, Any], optimizer: str):
        import numpy as np

        from benchmarks.contestants.symprop_fit import OPTIMIZERS, network
        from benchmarks.workloads import from_plain

        self.workload, self.optimizer = from_plain(workload), OPTIMIZERS[optimizer]
        self.x, self.y = self.workload.arrays()
        if self.workload.loss == "cross_entropy":
            self.y = np.eye(self.workload.sizes[-1], dtype=self.workload.dtype)[self.y]
        self.network = network(self.workload)
        self.model().fit(self.x[:2], self.y[:2], batch_size=1)

    def model(self) -> Model:
        """A fresh one: parameters and optimizer state where they stay, no buffers yet."""
        model = self.network.compile(self.optimizer, dtype=self.workload.dtype, seed=0)
        model._executable.lower()
        gc.collect()
        return model

    def fit(self, model: Model, epochs: int) -> None:
        """Train as the workload says."""
        w = self.workload
        model.fit(self.x, self.y, epochs=epochs, batch_size=w.batch, shuffle=w.shuffle)


def memory(workload: dict[str, Any], optimizer: str) -> dict[str, float]:
    """Bytes of parameters and state, and what an epoch takes besides, at its peak: by the kernel's
    account of the process, and by NumPy's of its arrays.
    """
    training = Training(workload, optimizer)
    model = training.model()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = _resident("VmRSS")
    training.fit(model, 1)
    resident = _resident("VmHWM") - before
    held = sum(array.nbytes for array in model.values.values())
    model = training.model()
    tracemalloc.start()
    training.fit(model, 1)
    _, arrays = tracemalloc.get_traced_memory()
    kept = _kept(model)
    return {
        "parameters and state": held,
        "resident": resident,
        "arrays": arrays - kept,
        "for a page": kept,
    }


def _kept(model: Model) -> int:
    """Bytes of samples and snapshots that a fit keeps for ``training_page``."""
    recorder = model.recorder
    if recorder is None:
        return 0
    arrays = [recorder.x, recorder.y]
    for snapshot in recorder.snapshots:
        arrays += snapshot.values.values()
    return sum(array.nbytes for array in arrays)


def flat(workload: dict[str, Any], optimizer: str, epochs: int) -> dict[str, float]:
    """Resident bytes gained in so many epochs, after ten."""
    training = Training(workload, optimizer)
    model = training.model()
    training.fit(model, 10)
    before = _resident("VmRSS")
    training.fit(model, epochs)
    return {"growth": _resident("VmRSS") - before}


PROBES: dict[str, Callable[..., dict[str, float]]] = {
    probe.__name__: probe for probe in (start_symprop, start_jax, memory, flat)
}


@dataclass(frozen=True)
class Question:
    """A probe, its arguments, and the process that it gets."""

    probe: str
    given: dict[str, Any]
    threads: int = 1
    limit: float = 120.0
    cache: str = ""

    def ask(self, settings: Settings) -> dict[str, Any]:
        """Run it in a fresh process; ``cache`` is a directory for SYMPROP_CACHE."""
        more = {"SYMPROP_CACHE": self.cache} if self.cache else {}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.probes", self.probe, json.dumps(self.given)],
                cwd=ROOT,
                env=settings.environment(self.threads, **more),
                capture_output=True,
                text=True,
                timeout=self.limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"takes longer than {self.limit:.0f} s"}
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1][:200]}
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def main() -> None:
    """Print what a probe finds, on the standard output that libraries do not get."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps(PROBES[sys.argv[1]](**json.loads(sys.argv[2]))), file=answers, flush=True)


if __name__ == "__main__":
    main()
