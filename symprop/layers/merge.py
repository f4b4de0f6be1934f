"""Layers that combine two tensors, element by element: what + - * mean in a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr

from symprop.activations import known_name
from symprop.errors import ShapeError
from symprop.scope import Scope, index
from symprop.tensor import Tensor, extent

OPERATIONS: dict[str, tuple[str, Callable[[Expr, Expr], Expr]]] = {
    "+": ("Sum", lambda u, v: u + v),
    "-": ("Difference", lambda u, v: u - v),
    "*": ("Product", lambda u, v: u * v),
}
"""By its sign: what an operation is called, and its value."""


@dataclass(frozen=True)
class Merge:
    """h[b, j] = u[b, j] ∘ v[b, j] for two tensors of one shape, ∘ one of + - *.

    ``h + g`` in a network that is declared as a function makes one.

    Raises UnknownNameError for another sign, ShapeError for tensors of different shapes.
    """

    operation: str

    def __post_init__(self) -> None:
        known_name("Merge: operation", self.operation, OPERATIONS)

    def declare(self, scope: Scope, first: Tensor, second: Tensor, name: str = "") -> Tensor:
        """Write h and give it."""
        kind, value = OPERATIONS[self.operation]
        sizes = [extent(tensor.axes[-1]) for tensor in (first, second)]
        if sizes[0] != sizes[1]:
            raise ShapeError(
                f"{first.name} {self.operation} {second.name}: expected two tensors of one shape, "
                f"but {first.name} has {sizes[0]} units and {second.name} has {sizes[1]}"
            )
        b, j = first.axes[0], index("j", sizes[0])
        with scope.layer(kind, counted=False) as number:
            output = scope.tensor(name or scope.free_name(f"h{number}"), (b, j))
            scope.define(output[b, j], value(first[b, j], second[b, j]), step=kind.lower())
        return output
