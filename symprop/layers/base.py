"""What a layer is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError
from symprop.primitives import Absolute
from symprop.scope import Scope
from symprop.settings import exact, setting
from symprop.tensor import Tensor


@runtime_checkable
class Layer(Protocol):
    """A layer reads a tensor and writes the equations of its output into a scope."""

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        """Write the equations and give the output, called ``name`` if one is asked for."""


def layer_list(what: str, given: Any) -> tuple[Layer, ...]:
    """Layers in a list, at least one, or an error that names what they are for."""
    if isinstance(given, (str, Layer)) or not isinstance(given, Sequence):
        raise ArgumentTypeError(f"{what}: expected a list of layers, got {given!r}")
    if not given:
        raise DeclarationError(f"{what}: expected at least one layer, got none")
    for position, layer in enumerate(given):
        if isinstance(layer, type) or not isinstance(layer, Layer):
            raise ArgumentTypeError(
                f"{what}[{position}]: expected a layer such as Dense(32), got {layer!r}"
            )
    return tuple(given)


def in_order(layers: Sequence[Layer], scope: Scope, source: Tensor, name: str = "") -> Tensor:
    """Write the equations of layers, each of which reads what the one before gives."""
    for position, layer in enumerate(layers, start=1):
        source = layer.declare(scope, source, name=name if position == len(layers) else "")
    return source


def positive_integer(what: str, given: Any) -> int:
    """A count of at least 1, or an error that names what it is for."""
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentTypeError(
            f"{what}: expected a whole number, got {type(given).__name__} {given!r}"
        )
    if given.__index__() < 1:
        raise ArgumentError(f"{what}: expected at least 1, got {given}")
    return int(given.__index__())


def penalty(what: str, given: Any) -> float | None:
    """How much a penalty counts, at least 0; None for the network's."""
    if given is not None:
        setting(what, given, 0, low_included=True)
    return None if given is None else float(given)


def penalize(scope: Scope, weight: Tensor, l1: float | None, l2: float | None) -> None:
    """Add l1 Σ|w| + l2 Σ w² over all elements w of a weight to the loss.

    There is no ½, as in Keras: the gradient gains 2 l2 w + l1 sign(w), with sign(0) = 0. PyTorch's
    ``weight_decay`` λ in plain SGD adds λ w to the gradient, so it is l2 = λ/2. None means the
    network's.
    """
    own = zip((l1, l2), scope.penalties, strict=True)
    first, second = (other if given is None else exact(given) for given, other in own)
    w = weight[weight.axes]
    if first or second:
        scope.penalize(first * Absolute(w) + second * w**2, weight.axes)


def flag(what: str, given: Any) -> bool:
    """True or False; a word such as "no" would count as true."""
    if type(given).__name__ not in ("bool", "bool_"):  # Python's or NumPy's
        raise ArgumentTypeError(f"{what}: expected True or False, got {given!r}")
    return bool(given)
