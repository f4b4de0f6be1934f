"""Layers that combine two tensors, or a tensor and a number, element by element: what + - * / mean
in a graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr

from symprop.activations import known_name
from symprop.errors import ArgumentError, DeclarationError, ShapeError
from symprop.scope import Scope, index
from symprop.settings import exact, setting
from symprop.tensor import Tensor, extent

OPERATIONS: dict[str, tuple[str, Callable[[Expr, Expr], Expr]]] = {
    "+": ("Sum", lambda u, v: u + v),
    "-": ("Difference", lambda u, v: u - v),
    "*": ("Product", lambda u, v: u * v),
    "/": ("Quotient", lambda u, v: u / v),
}
"""By its sign: what an operation is called, and its value."""


@dataclass(frozen=True)
class Merge:
    """h[b, j] = u[b, j] ∘ v[b, j] for two tensors of one shape, ∘ one of + - * /.

    A number may stand for u (``first``) or for v (``second``). ``h + g`` and ``1 - h`` in a network
    that is declared as a function make one.

    Raises UnknownNameError for another sign, ArgumentError or ArgumentTypeError for what is no
    finite number, or 0 where it multiplies or divides, DeclarationError for two numbers, ShapeError
    for tensors of different shapes.

    >>> from symprop import Dense, Network
    >>> def gated(x):
    ...     g = Dense(2, "sigmoid")(x)
    ...     return g * x + (1 - g) * Dense(2)(x)
    >>> forward = Network(gated, inputs=2, loss="mse").forward
    >>> print(*(equation for equation in forward.flat if "1 - " in str(equation)))
    h1_b[b, j] = 1 - a1[b, j]
    """

    operation: str
    first: float | None = None
    second: float | None = None

    def __post_init__(self) -> None:
        known_name("Merge: operation", self.operation, OPERATIONS)
        numbers = [n for n in (self.first, self.second) if n is not None]
        for number in numbers:
            setting(f"{self.operation} with a number", number, -math.inf)
            if number == 0 and self.operation in "*/":
                raise ArgumentError(f"{self.operation} with a number: expected another than 0")
        if len(numbers) == 2:
            raise DeclarationError(f"{self}: expected a tensor on one side at least")

    def declare(self, scope: Scope, *tensors: Tensor, name: str = "") -> Tensor:
        """Write h and give it."""
        if len(tensors) != [self.first, self.second].count(None):
            raise DeclarationError(f"{self}: {len(tensors)} tensors do not fit")
        kind, value = OPERATIONS[self.operation]
        sizes = [extent(tensor.axes[-1]) for tensor in tensors]
        if sizes[0] != sizes[-1]:
            one, other = tensors
            raise ShapeError(
                f"{one.name} {self.operation} {other.name}: expected two tensors of one shape, "
                f"but {one.name} has {sizes[0]} units and {other.name} has {sizes[1]}"
            )
        b, j = tensors[0].axes[0], index("j", sizes[0])
        left = iter(tensors)
        u, v = (next(left)[b, j] if n is None else exact(n) for n in (self.first, self.second))
        with scope.layer(kind, counted=False) as number:
            output = scope.tensor(name or scope.free_name(f"h{number}"), (b, j))
            scope.define(output[b, j], value(u, v), step=kind.lower())
        return output

    def __str__(self) -> str:
        """The operation and its number: 1 -."""
        first, second = ("" if n is None else f"{n:g}" for n in (self.first, self.second))
        return f"{first} {self.operation} {second}".strip()
