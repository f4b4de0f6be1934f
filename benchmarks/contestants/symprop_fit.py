"""symprop: ``model.fit``."""

from __future__ import annotations

import inspect
from typing import Any

from symprop import SGD, Adam, Dense, Network
from symprop.model import Model

from benchmarks.workloads import LEARNING_RATES, Workload

OPTIMIZERS = {"sgd": SGD(LEARNING_RATES["sgd"]), "adam": Adam(LEARNING_RATES["adam"])}


def network(workload: Workload) -> Network:
    """The workload's declaration."""
    layers = [Dense(units, activation=name) for units, name in workload.layers]
    return Network(layers, inputs=workload.inputs, loss=workload.loss)


def compiled(workload: Workload, optimizer: str, threads: int = 1, **settings: Any) -> Model:
    """A model that has the workload's start parameters.

    ``settings`` are handed to ``compile``, such as lowering=Lowering(...).
    """
    if "threads" in inspect.signature(Network.compile).parameters:
        settings["threads"] = threads
    model = network(workload).compile(
        optimizer=OPTIMIZERS[optimizer], dtype=workload.dtype, seed=0, **settings
    )
    names = {}
    for number, (weight, bias) in enumerate(workload.start(), 1):
        names |= {f"W{number}": weight, f"b{number}": bias}
    model.set_parameters(names)
    return model


class SympropFit:
    """Whole epochs by ``model.fit``; its history has the loss."""

    def __init__(self, workload: Workload, optimizer: str, threads: int = 1, **settings: Any):
        self.batch = workload.batch
        self.x, self.y = workload.arrays()
        self.model = compiled(workload, optimizer, threads, **settings)

    def run(self, epochs: int, shuffle: bool) -> float:
        history = self.model.fit(
            self.x, self.y, epochs=epochs, batch_size=self.batch, shuffle=shuffle
        )
        return history.loss[-1]
