"""symprop: ``model.fit``."""

from __future__ import annotations

from typing import Any

from symprop import SGD, Adam, Dense, Network
from symprop.lowering import Lowering
from symprop.model import Model

from benchmarks.workloads import LEARNING_RATES, Array, Workload

OPTIMIZERS = {"sgd": SGD(LEARNING_RATES["sgd"]), "adam": Adam(LEARNING_RATES["adam"])}


def network(workload: Workload) -> Network:
    """The workload's declaration."""
    layers = [Dense(units, activation=name) for units, name in workload.layers]
    return Network(layers, inputs=workload.inputs, loss=workload.loss)


def compiled(
    workload: Workload, optimizer: str, threads: int = 1, off: dict[str, Any] | None = None
) -> Model:
    """A model that has the workload's start parameters.

    ``off`` holds fields of the lowering's settings, and the values that turn them off; a number of
    threads there comes before ``threads``.
    """
    net, rule = network(workload), OPTIMIZERS[optimizer]
    lowering = Lowering(**{"threads": threads, **(off or {})})
    model = net.compile(optimizer=rule, dtype=workload.dtype, seed=0, lowering=lowering)
    model.set_parameters(parameters(workload))
    return model


def parameters(workload: Workload) -> dict[str, Array]:
    """The start parameters by name."""
    named: dict[str, Array] = {}
    for number, (weight, bias) in enumerate(workload.start(), 1):
        named |= {f"W{number}": weight, f"b{number}": bias}
    return named


class SympropFit:
    """Whole epochs by ``model.fit``; its history has the loss."""

    def __init__(
        self,
        workload: Workload,
        optimizer: str,
        threads: int = 1,
        off: dict[str, Any] | None = None,
    ):
        self.batch = workload.batch
        self.x, self.y = workload.arrays()
        self.model = compiled(workload, optimizer, threads, off)

    def run(self, epochs: int, shuffle: bool) -> float:
        history = self.model.fit(
            self.x, self.y, epochs=epochs, batch_size=self.batch, shuffle=shuffle
        )
        return history.loss[-1]
