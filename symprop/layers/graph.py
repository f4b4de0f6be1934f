"""Networks as graphs: a function is called once with a symbolic tensor, and the layers that it
calls are noted down, each with what it reads.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from symprop.errors import ArgumentTypeError, DeclarationError
from symprop.layers.merge import Merge
from symprop.scope import Scope
from symprop.tensor import Tensor


@dataclass(frozen=True)
class Node:
    """A layer and what it reads: 0 is the input, n what the n-th node gives."""

    layer: Any
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Layers that read the input or what earlier ones give; the last gives the output.

    It is itself a layer. ``Network(function, …)`` makes one of a function.

    Raises DeclarationError for a node that reads a later one, or that nothing reads.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not self.nodes:
            raise DeclarationError(
                "the function of a network gives its input back; expected a layer in between"
            )
        for number, node in enumerate(self.nodes, start=1):
            if not node.sources or not all(0 <= source < number for source in node.sources):
                raise DeclarationError(
                    f"{node.layer!r} reads {node.sources}; expected earlier nodes"
                )
        used = {source for node in self.nodes for source in node.sources}
        for number, node in enumerate(self.nodes[:-1], start=1):
            if number not in used:
                raise DeclarationError(
                    f"{node.layer!r} is called, but the network's output does not depend on what "
                    "it gives; leave it out"
                )

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write the equations of every layer, in the order of the calls."""
        tensors = [source]
        for node in self.nodes:
            last = name if node is self.nodes[-1] else ""
            given = (tensors[number] for number in node.sources)
            tensors.append(node.layer.declare(scope, *given, name=last))
        return tensors[-1]


class Symbolic:
    """A tensor in a network that is declared as a function: layers are called on it, and ``+``,
    ``-``, ``*`` and ``/`` combine two of one shape, or one and a number, element by element.

    >>> from symprop import Dense, Network
    >>> def function(x):
    ...     h = Dense(3, "tanh")(x)
    ...     return Dense(1)(h + Dense(3)(h))
    >>> print(Network(function, inputs=2, loss="mse"))
    2 inputs, Dense 3 (tanh), Dense 3 (linear), +, Dense 1 (linear), loss mse
    """

    __array_ufunc__ = None  # NumPy's numbers and arrays leave their operators to this class

    def __init__(self, nodes: list[Node], number: int):
        self._nodes, self._number = nodes, number

    def through(self, layer: Any, *others: Symbolic) -> Symbolic:
        """What a layer makes of this tensor, and of others."""
        if any(other._nodes is not self._nodes for other in others):
            raise DeclarationError(f"{layer!r}: its tensors belong to different networks")
        if any(node.layer is layer for node in self._nodes):
            raise DeclarationError(
                f"{layer!r} is called twice; layers do not share parameters: write a new one for "
                "each call"
            )
        sources = tuple(tensor._number for tensor in (self, *others))
        self._nodes.append(Node(layer, sources))
        return Symbolic(self._nodes, len(self._nodes))

    def _merged(self, operation: str, other: Any, swapped: bool = False) -> Symbolic:
        if isinstance(other, Symbolic):
            return self.through(Merge(operation), other)
        if isinstance(other, bool) or not isinstance(other, numbers.Real):
            raise ArgumentTypeError(
                f"{operation}: expected a number, or a tensor of the same network, got "
                f"{type(other).__name__} {other!r}"
            )
        number = float(other)
        merge = Merge(operation, first=number) if swapped else Merge(operation, second=number)
        return self.through(merge)

    def __add__(self, other: Any) -> Symbolic:
        return self._merged("+", other)

    def __radd__(self, other: Any) -> Symbolic:
        return self._merged("+", other, swapped=True)

    def __sub__(self, other: Any) -> Symbolic:
        return self._merged("-", other)

    def __rsub__(self, other: Any) -> Symbolic:
        return self._merged("-", other, swapped=True)

    def __mul__(self, other: Any) -> Symbolic:
        return self._merged("*", other)

    def __rmul__(self, other: Any) -> Symbolic:
        return self._merged("*", other, swapped=True)

    def __truediv__(self, other: Any) -> Symbolic:
        return self._merged("/", other)

    def __rtruediv__(self, other: Any) -> Symbolic:
        return self._merged("/", other, swapped=True)

    def __neg__(self) -> Symbolic:
        return self._merged("*", -1, swapped=True)


class OnTensors:
    """What lets a layer be called on a symbolic tensor."""

    def __call__(self, source: Symbolic) -> Symbolic:
        """What the layer makes of a tensor, inside of a function that declares a network."""
        if not isinstance(source, Symbolic):
            raise ArgumentTypeError(
                f"{self!r} is called on {type(source).__name__}; layers are called on the tensor "
                "that a function which declares a network is given"
            )
        return source.through(self)


def traced(function: Callable[[Symbolic], Any]) -> Graph:
    """The graph of the layers that a function calls on a symbolic tensor."""
    nodes: list[Node] = []
    given = Symbolic(nodes, 0)
    found = function(given)
    if not isinstance(found, Symbolic):
        raise ArgumentTypeError(
            "Network: the function returned "
            f"{type(found).__name__} {found!r}; expected what a layer gives, such as "
            "Dense(1)(x)"
        )
    if found._nodes is not nodes:
        raise DeclarationError("Network: the function returned a tensor of another network")
    unused = nodes[found._number :]
    if unused:
        raise DeclarationError(
            f"{unused[0].layer!r} is called, but the network's output does not depend on what it "
            "gives; leave it out"
        )
    return Graph(tuple(nodes))
