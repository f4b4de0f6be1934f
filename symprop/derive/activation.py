"""The activation a delta passes: its function and slope, its σ′ form, and what holds at kinks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from sympy import Expr, Function, Integer, Rational, Symbol

from symprop.activations import ARGUMENT
from symprop.adjoint import partial
from symprop.derive.lookup import Lookup, aligned
from symprop.equation import Equation
from symprop.kinks import conventions, has_kink
from symprop.passes.algebra import tidy
from symprop.passes.cost import parts_of
from symprop.passes.reuse import expressed
from symprop.primitives import KINKED, Absolute
from symprop.program import Program
from symprop.scope import PENALTY
from symprop.tensor import Tensor, accesses, label_of

SLOPE = Function("sigma_prime")
"""σ′ of an element: the derivative of what is computed from it."""
STORED = Symbol("a")
SAMPLES = (Integer(1), Rational(1, 3))
"""Values of a target and whatever else a loss reads, at which its kinks are looked for."""


def reader(lookup: Lookup, delta: Tensor) -> Equation | None:
    """The equation of the elementwise activation, if the pre-activation goes into one."""
    found = lookup.readers.get(lookup.source(delta).label, [])
    if len(found) != 1 or found[0].over or len(accesses(found[0].value)) != 1:
        return None
    return found[0]


def function(equation: Equation) -> tuple[Expr, ...]:
    """f and f′ in z of an elementwise equation a = f(z), and, where there is one, f′ in a."""
    (read,) = accesses(equation.value)
    value = equation.value.xreplace({read: ARGUMENT})
    slope = min(slope_of(value), tidy(slope_of(value)), key=parts_of)
    stored = expressed(tidy(slope), value, STORED)
    return (value, slope, stored) if stored.has(STORED) else (value, slope)


@lru_cache(maxsize=256)
def slope_of(value: Expr) -> Expr:
    return partial(value, ARGUMENT)


def abstract(lookup: Lookup, delta: Tensor) -> Equation | None:
    """The delta with σ′(z) for the derivative of the activation, δ = (Σ_k W δ) σ′(z)."""
    found = reader(lookup, delta)
    if found is None or function(found)[1].is_number:
        return None
    above = lookup.forward.by_label[found.label].cotangent(1)
    incoming = lookup.raw_equations(above)
    if len(incoming) != 1:
        return None
    target = delta[delta.axes]
    carried = aligned(incoming[0], above[delta.axes])
    slope = SLOPE(lookup.source(delta)[delta.axes])
    return replace(carried, target=target, value=carried.value * slope)


def kinks_of_penalty(lookup: Lookup, cotangent: Tensor) -> Iterator[str]:
    """What the derivative of a penalty by a parameter is taken to be at a kink, if it has one."""
    label = lookup.source(cotangent).label
    values = (e.value for e in lookup.readers[label] if e.origin.step == PENALTY)
    kinked = [value for value in values if value.has(Absolute)]
    if kinked:
        slopes = (partial(value, read) for value in kinked for read in accesses(value))
        taken = ", ".join(conventions(slopes))
        yield f"Where the penalty has a kink the derivative is the one of the formula: {taken}."


def kinks_of_loss(forward: Program) -> Iterator[str]:
    """What the derivative of the loss is taken to be at a kink, if it has one."""
    words: dict[str, None] = {}
    for equation in forward.flat:
        if equation.origin.layer != "loss" or not equation.value.has(*KINKED):
            continue
        reads = accesses(equation.value)
        for read, sample in product(reads, SAMPLES):
            others = {other: sample for other in reads if other != read}
            value = equation.value.xreplace({**others, read: ARGUMENT})
            if label_of(read) in forward.defined and has_kink(value, slope_of(value)):
                words |= dict.fromkeys(conventions((partial(equation.value, read),)))
    if words:
        taken = ", ".join(words)
        yield f"Where the loss has a kink the derivative is the one of the formula: {taken}."
