"""An activation as a layer of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from symprop.activations import activation
from symprop.layers.graph import OnTensors
from symprop.scope import Scope
from symprop.tensor import Tensor


@dataclass(frozen=True)
class Activation(OnTensors):
    """An activation as a layer of its own, as after a BatchNorm.

        a[b, j] = f(x[b, j])

    x and a have axes (batch, units). ``activation`` is a built-in's name or a SymPy expression in
    one symbol.

    Raises UnknownNameError, DeclarationError or ArgumentTypeError for an activation that is not
    known or cannot be computed.

    >>> from symprop import BatchNorm, Dense, Network
    >>> layers = [Dense(4, bias=False), BatchNorm(), Activation("relu"), Dense(1)]
    >>> print(Network(layers, inputs=2, loss="mse"))
    2 inputs, Dense 4 (linear), BatchNorm, Activation (relu), Dense 1 (linear), loss mse
    """

    activation: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activation(self.activation))

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write a and give it."""
        with scope.layer("Activation", counted=False) as number:
            output = scope.tensor(name or scope.free_name(f"a{number}"), source.axes)
            self.activation.apply(scope, source, output)
        return output
