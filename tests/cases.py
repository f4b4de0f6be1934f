"""One row per public thing: ``PUBLIC`` maps each public name to what exercises it.

``PROGRAMS``, the programs that are no layers yet, are gathered here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import symprop
from symprop.optimizers import SGD, Adagrad, Adam, AdamW, RMSProp, StepDecay, WarmUp
from sympy import Expr

from programs import PROGRAMS, TIED, Array, Case, case, draw, tied_max_pool

__all__ = [
    "PROGRAMS",
    "PUBLIC",
    "TIED",
    "Array",
    "Case",
    "case",
    "draw",
    "network",
    "network_case",
    "tied_max_pool",
]


def network(activation: Any = "tanh", loss: Any = "mse") -> symprop.Network:
    layers = [symprop.Dense(3, activation=activation), symprop.Dense(2)]
    return symprop.Network(layers, inputs=2, loss=loss)


def network_case(net: symprop.Network, x: Array, y: Array, seed: int = 0) -> Case:
    """A network on data, with parameters drawn alike for every activation."""
    generator = np.random.default_rng(seed)
    arrays = {"x": x, "y": y}
    for parameter in net.parameters:
        shape = tuple(int(n) for n in parameter.shape)
        arrays[parameter.name] = generator.uniform(-0.8, 0.8, shape)
    return Case(net.forward, arrays, net.named("L"), net.parameters)


def _gradient_check(net: symprop.Network) -> None:
    assert symprop.check_gradients(net, draw(1, 4, 2), draw(2, 4, 2)) < 1e-10


def _layers(*layers: Any) -> None:
    _gradient_check(symprop.Network([*layers, symprop.Dense(2)], inputs=2, loss="mse"))


def _custom_loss() -> None:
    loss: Expr = (symprop.prediction - symprop.target) ** 4
    _gradient_check(network(loss=loss))


def _errors() -> None:
    assert issubclass(symprop.errors.ShapeError, (symprop.errors.SymPropError, ValueError))


def _backends() -> None:
    case = network_case(network(), draw(1, 4, 2), draw(2, 4, 2))
    assert symprop.check_backends(case.program, case.arrays) < 1e-10


def _load() -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        model = network().compile(backend="numpy", dtype="float64")
        model.save(Path(folder) / "model.npz")
        loaded = symprop.load(Path(folder) / "model.npz")
        assert np.array_equal(loaded.predict(draw(1, 4, 2)), model.predict(draw(1, 4, 2)))


def _check_program() -> None:
    row = PROGRAMS["mlp"]
    assert symprop.check_program(row.program, row.arrays, row.of, row.wrt) < 1e-12


def _divergence() -> None:
    model = network().compile(symprop.SGD(1e30), backend="numpy")
    with pytest.raises(symprop.DivergenceError, match="epoch"):
        model.fit(draw(1, 4, 2), draw(2, 4, 2), epochs=9)


def _early_stopping() -> None:
    model = network().compile(backend="numpy")
    stops = symprop.EarlyStopping("loss", patience=1, min_delta=1e9)
    assert len(model.fit(draw(1, 4, 2), draw(2, 4, 2), epochs=9, callbacks=stops)) == 2


def _metrics() -> None:
    assert symprop.metrics.r2([1.0, 2.0], [1.0, 2.0]) == 1.0


def _gradient_flow() -> None:
    flow = symprop.gradient_flow(network().compile(backend="numpy"))
    assert flow.layers[-1].delta_square == flow.layers[-1].measured_delta_square


PUBLIC: dict[str, Callable[[], Any]] = {
    "SGD": lambda: network().step(SGD(0.1, momentum=0.9, nesterov=True)),
    "Adam": lambda: network().step(Adam(0.01)),
    "Activation": lambda: _layers(symprop.Activation("tanh")),
    "BatchNorm": lambda: _layers(symprop.BatchNorm()),
    "Adagrad": lambda: network().step(Adagrad(0.01)),
    "RMSProp": lambda: network().step(RMSProp(0.01, momentum=0.9)),
    "AdamW": lambda: network().step(AdamW(0.01, clip_norm=1.0)),
    "StepDecay": lambda: network().step(SGD(StepDecay(0.1, steps=100))),
    "ExponentialDecay": lambda: network().step(SGD(symprop.ExponentialDecay(0.1, 100, 0.5))),
    "CosineDecay": lambda: network().step(SGD(symprop.CosineDecay(0.1, steps=100))),
    "WarmUp": lambda: network().step(SGD(WarmUp(10, then=0.1))),
    "Dense": lambda: network().gradients,
    "DivergenceError": _divergence,
    "Dropout": lambda: _layers(symprop.Dropout(0.5)),
    "Residual": lambda: _layers(symprop.Residual([symprop.Dense(2)])),
    "Network": lambda: network().gradients,
    "prediction": _custom_loss,
    "target": _custom_loss,
    "check_gradients": lambda: _gradient_check(network()),
    "check_backends": _backends,
    "check_program": _check_program,
    "errors": _errors,
    "EarlyStopping": _early_stopping,
    "gradient_flow": _gradient_flow,
    "load": _load,
    "metrics": _metrics,
}
