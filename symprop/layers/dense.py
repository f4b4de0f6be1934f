"""The dense (fully connected) layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from symprop.activations import activation
from symprop.arguments import constructed_by_name
from symprop.equation import PREACTIVATION
from symprop.initializers import initializer
from symprop.layers.base import flag, penalize, penalty, positive_integer
from symprop.layers.graph import OnTensors
from symprop.scope import Scope, index
from symprop.tensor import Tensor, extent


@constructed_by_name
@dataclass(frozen=True)
class Dense(OnTensors):
    """A dense layer with an activation.

        z[b, j] = Σ_k W[j, k] x[b, k] + b[j]
        a[b, j] = f(z[b, j])

    x has axes (batch, inputs), W (units, inputs), b (units), z and a (batch, units). W[j, k] leads
    from input k to unit j, as in the textbooks' w_jk and in PyTorch; Keras keeps the transpose.

    ``activation`` is a built-in's name, a SymPy expression in one symbol, or None for a = z.
    ``initializer`` is that of W by name, or a function (shape, generator) -> array; by default the
    one that suits the activation (He for the ReLU family, LeCun for selu, Glorot otherwise). b
    starts from 0: symmetry is broken by W already. ``l1`` and ``l2`` add l1 Σ|W| + l2 ΣW² to the
    loss (see ``symprop.layers.base.penalize``), by default as much as the network says; b is not
    penalized, for it sets no slope that could fit noise.

    Raises ArgumentError and ArgumentTypeError for units that are no positive whole number,
    UnknownNameError and DeclarationError for an activation that is not known or cannot be computed.

    >>> from symprop import Network
    >>> print(Network([Dense(2, activation="tanh")], inputs=3, loss="mse").named("W1").shape)
    (2, 3)
    """

    units: int
    activation: Any = None
    bias: bool = True
    initializer: Any = None
    l1: float | None = None
    l2: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", positive_integer("Dense: units", self.units))
        object.__setattr__(self, "activation", activation(self.activation))
        object.__setattr__(self, "bias", flag("Dense: bias", self.bias))
        if self.initializer is not None:
            start = initializer("Dense: initializer", self.initializer)
            object.__setattr__(self, "initializer", start)
        object.__setattr__(self, "l1", penalty("Dense: l1", self.l1))
        object.__setattr__(self, "l2", penalty("Dense: l2", self.l2))

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write z and a; give a."""
        with scope.layer("Dense") as number:
            b, (j, k) = (
                source.axes[0],
                (index("j", self.units), index("k", extent(source.axes[-1]))),
            )
            start = self.initializer or self.activation.initializer
            weight = scope.tensor(f"W{number}", (j, k), role="parameter", init=start)
            z = scope.tensor(f"z{number}", (b, j))
            scope.define(z[b, j], weight[j, k] * source[b, k], over=(k,), step=PREACTIVATION)
            if self.bias:
                bias = scope.tensor(f"b{number}", (j,), role="parameter", init="zeros")
                scope.define(z[b, j], bias[j], step=PREACTIVATION)
            output = scope.tensor(name or f"a{number}", (b, j))
            self.activation.apply(scope, z, output)
            penalize(scope, weight, self.l1, self.l2)
        return output
