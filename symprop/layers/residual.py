"""Residual connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symprop.errors import ShapeError
from symprop.layers.base import Layer, in_order, layer_list
from symprop.layers.graph import OnTensors
from symprop.scope import Scope, index
from symprop.tensor import Tensor, extent


@dataclass(frozen=True)
class Residual(OnTensors):
    """What some layers give, added to what they take.

        h[b, j] = x[b, j] + f(x)[b, j]

    f are the ``layers``, one after the other; x, f(x) and h have axes (batch, units). The
    derivative by x has the term 1 of the sum, whatever f does: it does not vanish with depth.

    Raises ArgumentTypeError or DeclarationError for what is no list of layers, ShapeError where
    f(x) has not the shape of x.

    Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", (1).

    >>> from symprop import Dense, Network
    >>> net = Network([Residual([Dense(3, "tanh")]), Dense(1)], inputs=3, loss="mse")
    >>> print(net.forward.flat[3])
    h1[b, j] = x[b, j] + a1[b, j]
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", layer_list("Residual: layers", self.layers))

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write the layers and h, and give h."""
        inner = in_order(self.layers, scope, source)
        sizes = [extent(tensor.axes[-1]) for tensor in (source, inner)]
        if sizes[0] != sizes[1]:
            raise ShapeError(
                f"Residual: its layers take {source.name} of {sizes[0]} units and give "
                f"{inner.name} of {sizes[1]}; expected as many, here {self.layers[-1]!r} should "
                f"give {sizes[0]}"
            )
        b, j = source.axes[0], index("j", sizes[0])
        with scope.layer("Residual", counted=False) as number:
            output = scope.tensor(name or scope.free_name(f"h{number}"), (b, j))
            scope.define(output[b, j], source[b, j] + inner[b, j], step="residual sum")
        return output
