"""The contestants: each trains a Workload from the same start parameters, as its users would."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from benchmarks.workloads import Workload


class Contestant(Protocol):
    """A network that trains; made from (workload, optimizer, threads)."""

    def run(self, epochs: int, shuffle: bool) -> float:
        """Train so many epochs; the mean loss over the rows of the last one, fetched."""
        ...


Maker = Callable[[Workload, str, int], Contestant]


@dataclass(frozen=True)
class Entry:
    """How a contestant is called, where it is, what it needs, and what a reader should know."""

    title: str
    place: str
    needs: str
    note: str
    parallel: float = 0.0
    """Operations a batch from which more than one thread is tried."""

    @property
    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        if find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        if self.place.endswith("Compiled") and not shutil.which("g++"):
            return "torch.compile needs g++"
        return ""

    def load(self) -> Maker:
        """Import it."""
        module, name = self.place.split(":")
        maker: Maker = getattr(importlib.import_module(f"benchmarks.contestants.{module}"), name)
        return maker


ENTRIES = {
    "symprop": Entry("symprop", "symprop_fit:SympropFit", "symprop", "model.fit"),
    "jax": Entry(
        "JAX scan",
        "jax_scan:JaxScan",
        "jax",
        "jax.jit of a lax.scan over the epoch, NumPy's permutation handed in, the carry donated",
    ),
    "torch": Entry(
        "PyTorch eager",
        "torch_loops:Eager",
        "torch",
        "modules, autograd, the fused optimizer",
    ),
    "torch-compiled": Entry(
        "PyTorch compiled",
        "torch_loops:Compiled",
        "torch",
        "torch.compile of the whole step: gather, loss, torch.func gradients, update in place; "
        "two threads from 5 million operations a batch on, as each number is compiled anew",
        parallel=5e6,
    ),
    "sklearn": Entry(
        "scikit-learn",
        "sklearn_mlp:Perceptron",
        "sklearn",
        "MLPRegressor or MLPClassifier with warm_start, no penalty, no early stopping; its squared "
        "loss is ½(ŷ − y)², so that SGD's rate is doubled to make the same steps",
    ),
    "numpy": Entry(
        "NumPy",
        "numpy_loop:NumpyLoop",
        "numpy",
        "every result into an array made before, all parameters in one array",
    ),
}
