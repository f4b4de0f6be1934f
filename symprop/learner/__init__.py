"""Derivations by hand: a person's own formulas for the gradients, checked one after the other.

The formulas are compared in numbers, in float64 at random points, with what the network's adjoint
gives. A formula may use the values of others (delta1 those of delta2); it gets the right ones, so
that a mistake is found where it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from symprop.activations import known_name
from symprop.backends.numpy import Array, run, size_values
from symprop.check import FLOOR, difference
from symprop.data import random_targets
from symprop.derive import delta_names
from symprop.errors import ArgumentTypeError, DataError
from symprop.learner.given import Asked, Fault, Misfit, gradients_by_name, stored_by_name, symbols
from symprop.learner.repairs import repaired
from symprop.learner.slips import TOLERANCE, Search, Spelling, ratio_of
from symprop.learner.terms import Chain, Factor, Point, programs
from symprop.network import Network
from symprop.printers.arrange import Arrange
from symprop.printers.index import Line, line_text, lines
from symprop.printers.matrix import in_matrices
from symprop.printers.spelling import greek
from symprop.printers.structure import Names
from symprop.printers.unicode import UnicodePrinter
from symprop.tensor import Tensor, label_of

__all__ = ["HandCheck", "check_hand_derivation", "symbols"]

SAMPLES = (3, 5, 3, 7, 11, 13)
"""Samples of the points; none is used that is the length of another axis, which could hide that
axes are taken for each other.
"""
POINTS, TRIES = 3, 60


@dataclass(frozen=True)
class HandCheck:
    """What became of the formulas of a derivation by hand, in the order of backpropagation.

    ``right`` are those before the first that is wrong, ``wrong``; ``slip`` says what is likely
    wrong with it, ``formula`` what is right, in index and in matrix notation. ``error`` is the
    largest difference relative to the largest right element, None where there was no array to
    compare. ``unchecked`` are the formulas that come after.
    """

    right: tuple[str, ...]
    wrong: str | None = None
    slip: str = ""
    formula: str = ""
    error: float | None = None
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every formula is right."""
        return self.wrong is None

    def __str__(self) -> str:
        right = ", ".join(self.right)
        if self.ok:
            return f"All right: {right}." if right else "No formula was given."
        parts = [f"{self.wrong} is wrong: {self.slip}" + "." * (self.slip[-1:] != "?")]
        if self.error is not None:
            parts.append(f"It is off by {_share(self.error)} the largest element.")
        parts += ["Right is", *(f"    {line}" for line in self.formula.splitlines())]
        if right:
            parts.append(f"Before it, all is right: {right}.")
        if self.unchecked:
            parts.append(f"Not looked at, as they come after it: {', '.join(self.unchecked)}.")
        return "\n".join(parts)

    __repr__ = __str__


def _share(error: float) -> str:
    return f"up to {100 * error:.3g} % of" if error < 1.001 else "more than the size of"


def check_hand_derivation(network: Network, formulas: Mapping[str, Any]) -> HandCheck:
    """Compare formulas with the gradients of a network; see ``Network.check_hand_derivation``."""
    if not isinstance(formulas, Mapping):
        raise ArgumentTypeError(
            "check_hand_derivation: expected a dict of formulas by name, such as "
            f'{{"delta1": …, "W1": …}}, got {type(formulas).__name__}'
        )
    known, stored = gradients_by_name(network), stored_by_name(network)
    asked = [
        Asked(key, known[known_name("check_hand_derivation", key, known)], formula, stored)
        for key, formula in formulas.items()
    ]
    for one in asked:
        one.refuse_itself()
    places = {e.label: n for n, e in enumerate(network.raw_gradients.flat)}
    asked.sort(key=lambda one: places.get(one.tensor.cotangent(1).label, len(places)))
    points = _points(network, [one.tensor for one in asked])
    return _first_wrong(network, asked, points)


def _first_wrong(network: Network, asked: list[Asked], points: list[Point]) -> HandCheck:
    keys = tuple(one.key for one in asked)
    for n, one in enumerate(asked):
        label = str(one.tensor.cotangent(1).label)
        right = [point.values[label] for point in points]
        try:
            given = [_finite(one.at(point)) for point in points]
            error = _error(given, right, points)
            if error is not None and error <= TOLERANCE:
                continue
            slip = _slip(network, one.tensor, points, given, right)
        except Misfit as misfit:
            error, slip = None, repaired(one, misfit, points[0], right[0])
        except Fault as fault:
            error, slip = None, str(fault)
        formula = _Printed(network).formula(one.tensor)
        return HandCheck(keys[:n], one.key, slip, formula, error, keys[n + 1 :])
    return HandCheck(keys)


def _finite(array: Array) -> Array:
    if not np.isfinite(array).all():
        raise Fault("it gives numbers that are not finite")
    return np.asarray(array, np.float64)


def _error(given: list[Array], right: list[Array], points: list[Point]) -> float | None:
    """The largest relative difference; None where the shapes differ."""
    if any(g.shape != r.shape for g, r in zip(given, right, strict=True)):
        return None
    largest = [max(_largest(a) for a in point.values.values()) for point in points]
    return max(
        difference(g, r, 1e-6 * FLOOR * floor)
        for g, r, floor in zip(given, right, largest, strict=True)
    )


def _largest(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max(initial=0.0))


def _slip(
    network: Network, tensor: Tensor, points: list[Point], given: list[Array], right: list[Array]
) -> str:
    """What is likely wrong, in words that follow the name of the formula."""
    chain, printed = Chain(network), _Printed(network)
    pairs = [(f, [f.at(point) for point in points]) for f in chain.formulas(tensor)]
    formulas = tuple(
        formula
        for formula, found in pairs
        if all(ratio_of(r, f) is not None for r, f in zip(right, found, strict=True))
    )
    own = chain.own_slope(tensor)
    slope = None if own is None else Factor(own, source=tensor[tensor.axes])
    stored = tuple(t for t in programs(network).tensors if t.axes)
    outputs = int(network.forward.outputs[0].shape[-1])
    spell = Spelling(printed.element, printed.whole, greek(printed.names.activation))
    search = Search(points, given, right, tensor.role, formulas, stored, outputs, slope, spell)
    found = search.likely()
    looks = f"it looks as if {found}" if found else ""
    if given[0].shape != right[0].shape:
        samples = f"for {len(points[0].values['x'])} samples"
        shapes = f"its shape is {given[0].shape} {samples}, expected {right[0].shape}"
        return f"{shapes}: {found}" if found else shapes
    return looks or _first_difference(given[0], right[0])


def _first_difference(given: Array, right: Array) -> str:
    """Where they differ first, for a mistake that is no slip that is known."""
    far = np.abs(given - right) > TOLERANCE * np.abs(right).max(initial=0.0)
    where = tuple(map(int, np.unravel_index(int(far.argmax()), far.shape)))
    ratio = ratio_of(given, right)
    whole = (
        f"it is {ratio:.6g} times as large as it should be, everywhere"
        if ratio
        else ("its ratio to the right one is not the same everywhere")
    )
    place = ", ".join(map(str, where))
    return (
        f"no common slip explains it. At [{place}] it gives {given[where]:.6g}, right is "
        f"{right[where]:.6g}; {whole}"
    )


def _points(network: Network, tensors: list[Tensor]) -> list[Point]:
    """Random points at which all that is asked for is finite, and not 0 if that can be."""
    program, short = programs(network), network.gradients
    helped = not short.by_label.keys() <= program.by_label.keys()
    taken = {int(size) for t in program.tensors for size in t.shape if size.is_Integer}
    counts = [n for n in SAMPLES if n not in taken] or [17, 19]
    generator = np.random.default_rng(0)
    found: list[Point] = []
    flat: list[Point] = []
    for n in range(TRIES):
        arrays = _draw(network, counts[n % len(counts)], generator)
        values = {**(run(short, arrays) if helped else {}), **run(program, arrays)}
        wanted = [values[str(tensor.cotangent(1).label)] for tensor in tensors]
        if all(np.isfinite(array).all() for array in wanted):
            kind = found if all(array.any() for array in wanted) else flat
            kind.append(Point(values, size_values(program, arrays)))
        if len(found) == POINTS:
            return found
    if len(found) + len(flat) >= POINTS:
        return (found + flat)[:POINTS]
    raise DataError(
        f"check_hand_derivation: the gradients are finite at {len(found) + len(flat)} of {TRIES} "
        f"random points, expected at least {POINTS}; is the loss defined for every output?"
    )


def _draw(network: Network, samples: int, generator: np.random.Generator) -> dict[str, Array]:
    """Data that the loss accepts, and parameters that saturate no unit."""
    arrays = {}
    for tensor in network.forward.tensors:
        shape = [int(size) if size.is_Integer else samples for size in tensor.shape]
        if tensor.role == "target":
            arrays[tensor.name] = random_targets(network.loss.labels, shape, generator)
        elif tensor.role == "noise":
            arrays[tensor.name] = generator.random(shape)
        elif tensor.role not in ("intermediate", "constant"):
            inputs = shape[-1] if tensor.role == "parameter" and len(shape) > 1 else 1
            arrays[tensor.name] = generator.normal(size=shape) / np.sqrt(inputs)
    return arrays


class _Printed:
    """Formulas as the derivation prints them, δ⁽ˡ⁾ by its name."""

    def __init__(self, network: Network):
        self.network = network
        self.names: Names = delta_names(network.forward, programs(network))
        self.spell = UnicodePrinter(layers=True)

    def element(self, value: Expr) -> str:
        return str(self.spell.doprint(Arrange(self.names)(value)))

    def whole(self, access: Expr) -> str:
        return str(self.spell.doprint(self.names.access(str(label_of(access)))))

    def formula(self, tensor: Tensor) -> str:
        """The right formula in index notation, and in matrices with samples in rows."""
        label = tensor.cotangent(1).label
        short, raw = self.network.gradients, programs(self.network)
        program = short if label in short.defined else raw
        equations = program.defined.get(label, ())
        found = lines(equations, self.names, program.by_label)
        plain = [line for line in found if isinstance(line, Line)]
        turned = [in_matrices(line, self.names, "batch") for line in plain]
        shown = [*plain, *(line for line in turned if line is not None)]
        if not shown:
            return f"{self.whole(tensor.cotangent(1)[tensor.axes])} = 0"
        return "\n".join(line_text(line, self.spell) for line in shown)
