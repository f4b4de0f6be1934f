"""How signals and gradients flow through a network's depth: predicted, bounded and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Symbol

from symprop.backends import Array
from symprop.data import input_array, target_array
from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError
from symprop.flow.gains import Gains, gains, gains_of
from symprop.flow.gauss import Law
from symprop.flow.measured import Signals, drawn, mean_square, size
from symprop.flow.recursion import MeanField, Norms, carry_back
from symprop.layers.base import positive_integer
from symprop.model import Model
from symprop.network import Network
from symprop.printable import Printable
from symprop.start import start_values
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from symprop.printers.document import Item

__all__ = ["Gains", "GradientFlow", "LayerFlow", "gains", "gradient_flow"]

Draws = Sequence[Mapping[str, Array]]


@dataclass(frozen=True)
class LayerFlow:
    """A layer's signals: predicted, measured, and the bound.

    ``variance`` is the mean of z², ``delta_square`` that of δ² (of one sample's loss), ``delta``
    the root of the mean over samples of |δ|², |δ|² = Σ_j δ_j², and ``bound`` is what the recursion
    of δ allows it to be at most. ``activation`` is the function of z that follows, None where z
    goes into none (softmax). A prediction is NaN where the theory has no rule for an equation.
    """

    name: str
    units: int
    activation: Expr | None
    variance: float
    measured_variance: float
    delta_square: float
    measured_delta_square: float
    measured_delta: float
    bound: float


@dataclass(frozen=True)
class GradientFlow(Printable):
    """What ``gradient_flow`` found: ``layers``, from first to last, and ``gains``, by activation.

    ``draws`` is over how many random draws of weights or data the measured values are means.
    """

    layers: tuple[LayerFlow, ...]
    gains: Mapping[Expr, Gains]
    draws: int

    @property
    def factors(self) -> tuple[float, ...]:
        """χ: what each layer but the last makes of the mean square of δ on its way back."""
        squares = [layer.delta_square for layer in self.layers]
        return tuple(below / above for below, above in pairwise(squares))

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """A picture of both directions: predicted as lines, measured as dots, the bound dashed.

        Raises MissingPackageError without matplotlib.
        """
        from symprop.plots import draw_flow

        return draw_flow(self, path)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _document(self) -> tuple[Item, ...]:
        from symprop.flow.story import items

        return tuple(items(self))


def gradient_flow(
    network: Network | Model, x: Any = None, y: Any = None, seeds: int = 10
) -> GradientFlow:
    """How large signals and gradients are in each layer: by theory, at most, and as measured.

    Forward, the variance of pre-activations by the mean-field recursion of wide networks,
    q⁽ˡ⁾ = n σ_w² E[φ(√q⁽ˡ⁻¹⁾ Z)²] + σ_b². Back, the mean square of δ by the factor
    χ = n σ_w² E[φ′(√q Z)²] of each layer, and the bound |δ⁽ˡ⁾| ≤ ‖W⁽ˡ⁺¹⁾‖ max|φ′| |δ⁽ˡ⁺¹⁾|, both
    from the measured δ of the last layer. The moments of weights are those of the arrays that are
    measured with.

    A Network is measured with its initializers' weights, drawn from so many ``seeds`` (as
    ``compile(seed=…)`` draws them), a Model with its own. Without x the inputs are 64 standard
    normal samples for each seed, without y the targets are random ones that the loss accepts.

    Wide means hundreds of units: the predictions' errors are of the order depth/width.

    Raises DeclarationError for a network without pre-activations, ArgumentTypeError,
    ArgumentError, ShapeError or DataError for what is given.

    Source: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient
    chaos", (3); Schoenholz et al. 2017, "Deep information propagation", (4) and (8).

    >>> from symprop import Dense
    >>> flow = gradient_flow(Network([Dense(9, "sigmoid")] * 5, inputs=9, loss="mse"))
    >>> [round(factor, 2) for factor in flow.factors]  # δ vanishes
    [0.04, 0.06, 0.06, 0.06]
    >>> [gain.slope for gain in flow.gains.values()]
    [0.25]
    """
    seeds = positive_integer("gradient_flow: seeds", seeds)
    model = network if isinstance(network, Model) else None
    declared = network.network if isinstance(network, Model) else network
    if not isinstance(declared, Network):
        raise ArgumentTypeError(f"gradient_flow: expected a Network or a Model, got {network!r}")
    signals = Signals(declared)
    if not signals.layers:
        raise DeclarationError("gradient_flow: the network has no layer with a pre-activation z")
    data = _data(declared, x, y)
    count = 1 if model is not None and data[1] is not None else seeds
    draws = [
        {**_parameters(declared, model, seed), **dict(drawn(declared, seed, *data))}
        for seed in range(count)
    ]
    return _flow(signals, draws, "numba" if model is None else model.backend)


def _data(network: Network, x: Any, y: Any) -> tuple[Array | None, Array | None]:
    if x is None:
        if y is not None:
            raise ArgumentError("gradient_flow: y: expected x too, got targets alone")
        return None, None
    kind = np.dtype(np.float64)
    inputs = input_array(network, x, kind)
    return inputs, None if y is None else target_array(network, y, len(inputs), kind)


def _parameters(network: Network, model: Model | None, seed: int) -> dict[str, Array]:
    if model is not None:
        return {name: array.astype(np.float64) for name, array in model.parameters.items()}
    generator = np.random.default_rng(seed)
    return start_values(network.parameters, np.dtype(np.float64), generator)


def _flow(signals: Signals, draws: Draws, backend: str) -> GradientFlow:
    measured = [signals.measure(arrays, backend) for arrays in draws]
    field = MeanField(signals.forward, _laws(signals, draws))
    squares = carry_back(
        signals.forward,
        {t.label: mean_square([m[t.cotangent(1).label] for m in measured]) for t in signals.start},
        field.carried,
    )
    bounds = _bounds(signals, draws, measured)
    layers = tuple(
        LayerFlow(
            signals.forward.defined[z.label][0].origin.layer,
            math.prod(int(n) for n in z.shape[1:]),
            _activation(field, z),
            field.laws[z.label].second,
            mean_square([m[z.label] for m in measured]),
            squares.get(z.label, 0.0),
            mean_square([m[z.cotangent(1).label] for m in measured]),
            _root_mean_square([size(m[z.cotangent(1).label]) for m in measured]),
            bounds[z.label],
        )
        for z in signals.layers
    )
    used = dict.fromkeys(f.activation for f in layers if f.activation is not None)
    return GradientFlow(layers, {value: gains_of(value, 1.0) for value in used}, len(draws))


def _laws(signals: Signals, draws: Draws) -> dict[Symbol, Law]:
    """The laws of what is given: those of its arrays' moments."""
    laws = {}
    for tensor in signals.forward.tensors:
        if tensor.role == "noise":
            laws[tensor.label] = Law(1 / 2, 1 / 12, uniform=True)
        elif tensor.role in ("input", "parameter", "state"):
            values = np.stack([arrays[tensor.name] for arrays in draws])
            laws[tensor.label] = Law(float(values.mean()), float(values.var()))
    return laws


def _bounds(
    signals: Signals, draws: Draws, measured: Sequence[Mapping[Symbol, Array]]
) -> dict[Symbol, float]:
    """The bound on |δ| of each layer, its root mean square over the draws."""
    found: dict[Symbol, list[float]] = {z.label: [] for z in signals.layers}
    for arrays, values in zip(draws, measured, strict=True):
        parameters = {t.name: arrays[t.name] for t in signals.network.parameters}
        start = {t.label: size(values[t.cotangent(1).label]) for t in signals.start}
        carried = carry_back(signals.forward, start, Norms(signals.forward, parameters).carried)
        for label, bounds in found.items():
            bounds.append(carried.get(label, 0.0))
    return {label: _root_mean_square(bounds) for label, bounds in found.items()}


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(v * v for v in values) / len(values))


def _activation(field: MeanField, z: Tensor) -> Expr | None:
    """The function of z that the first tensor is that is one."""
    images = (image for base, image in field.images.values() if base == z.label)
    return next(images, None)
