"""The slopes of the built-in activations, any of which may be taken for that of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from sympy import Expr

from symprop.activations import ACTIVATIONS, ARGUMENT, Elementwise
from symprop.adjoint import partial
from symprop.learner.terms import Factor
from symprop.passes.reuse import expressed
from symprop.tensor import accesses


def other_slopes(factor: Factor) -> Iterator[tuple[str, Expr]]:
    """g′ in place of the slope f′(z) of a = f(z), for every other built-in g: at z, and with a in
    place of g(z).
    """
    z, a = factor.source, factor.output
    if z is None or a is None or not set(accesses(factor.value)) <= {z}:
        return
    of_layer = factor.value.xreplace({z: ARGUMENT})
    own = next((name for name, (_, slope) in _slopes().items() if slope == of_layer), "")
    for name, (function, slope) in _slopes().items():
        if name != own:
            words = f"the derivative of {name} were used where the layer has {own or 'another'}"
            at_z = slope.xreplace({ARGUMENT: z})
            stored = expressed(at_z, function.xreplace({ARGUMENT: z}), a)
            yield from ((words, value) for value in dict.fromkeys((at_z, stored)))


@cache
def _slopes() -> dict[str, tuple[Expr, Expr]]:
    """g(z) and g′(z) of every activation that acts on each element alone, by name."""
    return {
        name: (given.expression, partial(given.expression, ARGUMENT))
        for name, given in ACTIVATIONS.items()
        if isinstance(given, Elementwise)
    }
