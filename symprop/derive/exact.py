"""The values of a program's tensors at a random point, in exact numbers.

Every formula of a derivation has a value there, and every derivative in it one by differences:
nothing here rests on the rules that a derivation uses.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from copy import copy
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.derive.exact_draw import Draw, size_in, small_extents
from symprop.derive.exact_terms import (
    HALF,
    LARGEST,
    LONG,
    REALS,
    STEP,
    Number,
    compiled,
    larger,
    points,
    subscript_key,
)
from symprop.equation import Equation, Recurrence, flat
from symprop.errors import DerivationError, LoweringError
from symprop.formula import Total
from symprop.program import Program
from symprop.tensor import Tensor, extent, indices

Array = np.ndarray[Any, Any]

RANGES = (
    *((False, 1), (False, 1), (False, 1), (True, 1), (False, 4), (True, 4), (True, 0.25)),
    *((False, 1), (False, 1), (True, 1), (True, 4), (True, 16), (True, 0.0625)),
)
"""Whether all numbers are positive, and what they are divided by: for each attempt in turn."""
ATTEMPTS = 2 * len(RANGES)
SMALL = 1e-12
"""A difference from numbers below this is not measured in proportion to them."""


class Exact:
    """The values of all tensors of a program at one point.

    ``values`` holds an object array for every tensor by label: whole numbers and fractions, or real
    numbers of 120 digits. What is given and then assigned, as a parameter by its update, stands
    there as it was drawn, and in ``after`` as it ends. Another program has its values at the same
    point by ``Exact(other, exact.extents, exact.given)``.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(2)], inputs=4, loss="mse")
    >>> exact = Exact.draw(net.forward, seed=0, batch=2)
    >>> type(exact.values["L"].item())
    <class 'fractions.Fraction'>
    """

    def __init__(self, program: Program, extents: dict[Expr, int], given: dict[str, Array]):
        self.program, self.extents, self.given = program, extents, given
        self.sizes: dict[Expr, int] = {size: extents[size] for size in program.sizes}
        self.at = self.sizes
        self.kinks = 0
        self.values = self._start()
        for group in program.equations:
            self._run(group)
        assigned = (str(label) for label in program.assigned)
        self.after = {label: self.values[label] for label in sorted(assigned) if label in given}
        self.values |= {label: given[label].copy() for label in self.after}

    @classmethod
    def draw(cls, program: Program, seed: int, batch: int | None = None) -> Exact:
        """The program at a random point, its extents made small, where everything has a value.

        Raises DerivationError if no such point is found.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            generator = np.random.default_rng((seed, attempt))
            extents = small_extents(program, generator, batch)
            positive, divisor = RANGES[attempt % len(RANGES)]
            draw = Draw(program, extents, generator, positive, 1 / Fraction(divisor))
            try:
                found = cls(program, extents, draw.arrays())
                found._check_facts()
            except LoweringError:
                raise
            except (ArithmeticError, ValueError, IndexError) as error:
                reason = str(error)
                continue
            if not found.kinks:
                return found
            reason = "a function is at its kink"
        raise DerivationError(
            f"no point was found in {ATTEMPTS} attempts where every value is finite and real and "
            f"no function is at a kink; at the last: {reason}"
        )

    def extent(self, index: Idx) -> int:
        """The number of values that an index takes here."""
        return size_in(self.extents, extent(index))

    def defining(self, label: str) -> tuple[Equation, ...]:
        """The equations that define a tensor."""
        return self.program.defined.get(Symbol(label), ())

    def value(self, formula: Expr, free: Sequence[Idx] = ()) -> Array:
        """A formula for all values of its free indices, which are the axes of the array.

        Raises DerivationError where it has no finite real value.
        """
        self.at = self.sizes
        found = np.empty([self.extent(index) for index in free], dtype=object)
        term = compiled(formula)
        try:
            for place, _ in zip(np.ndindex(found.shape), points(self, free), strict=True):
                found[place] = _bounded(term(self))
        except LookupError as error:
            raise DerivationError(f"{formula}: nothing gives a value to {error}") from error
        except (ArithmeticError, ValueError) as error:
            raise DerivationError(f"{formula}: has no value at this point: {error}") from error
        return found

    def derivative(self, of: Expr, wrt: Expr, direction: Array) -> Number:
        """The derivative of the scalar ``of`` by the tensor ``wrt`` (labels) along a direction.

        The direction, of whole numbers or fractions, is added to the tensor where its sum starts,
        and the equations of the same order run again up to ``of``; tensors of role "constant" stay
        what they are.
        """
        change = np.asarray(direction, dtype=object) * STEP
        above, below = self._moved(of, str(wrt), change), self._moved(of, str(wrt), -change)
        return (above[()] + -below[()]) * (HALF // 2)

    def jacobian(self, of: Expr, wrt: Expr) -> Array:
        """The derivatives of all elements of one tensor by all elements of another (labels)."""
        moved, by = self.values[str(of)], self.values[str(wrt)]
        found = np.empty((*moved.shape, *by.shape), dtype=object)
        for place in np.ndindex(by.shape):
            change = np.zeros(by.shape, dtype=object)
            change[place] = STEP
            gap = self._moved(of, str(wrt), change) + -self._moved(of, str(wrt), -change)
            found[(..., *place)] = gap * (HALF // 2)
        return found

    def _moved(self, of: Expr, wrt: str, change: Array) -> Array:
        """A tensor after a change of another."""
        tensors = self.program.by_label
        held = {str(tensor.label) for tensor in self.program.with_role("constant")}
        if any(equation.reduce == "max" for equation in self.defining(wrt)):
            held.add(wrt)
        other = copy(self)
        other.values = self._start() | {label: self.values[label] for label in held}
        other.values[wrt] = np.asarray(other.values[wrt] + change, dtype=object)
        order = tensors[of].order
        others = {str(label) for label, tensor in tensors.items() if tensor.order != order}
        for group in _up_to(self.program, of):
            other._run(group, held | others)
        return other.values[str(of)]

    def _start(self) -> dict[str, Array]:
        """What was drawn, and sums and maxima before anything is put into them."""
        return {str(tensor.label): self._start_array(tensor) for tensor in self.program.tensors}

    def _start_array(self, tensor: Tensor) -> Array:
        label = str(tensor.label)
        if label in self.given:
            return self.given[label].copy()
        maximum = any(equation.reduce == "max" for equation in self.defining(label))
        shape = [size_in(self.extents, size) for size in tensor.shape]
        return np.full(shape, None if maximum else 0, dtype=object)

    def _run(self, group: Equation | Recurrence, skipped: Container[str] = ()) -> None:
        """Run an equation, or the steps of a recurrence, but not what defines a skipped tensor."""
        if isinstance(group, Equation):
            if str(group.label) not in skipped:
                self._put(group, {})
            return
        steps = range(self.extent(group.index))
        for step in reversed(steps) if group.reverse else steps:
            for equation in group.equations:
                if str(equation.label) not in skipped:
                    self._put(equation, {group.index: step})

    def _put(self, equation: Equation, fixed: dict[Expr, int]) -> None:
        """Put the values of an equation into its target."""
        self.at = self.sizes | fixed
        array = self.values[str(equation.label)]
        term, key = compiled(equation.value), subscript_key(equation.target)
        for _ in points(self, [index for index in equation.loops if index not in fixed]):
            place, value = key(self), term(self)
            if equation.reduce == "max":
                value = larger(self, array[place], value)
            elif equation.reduce == "sum":
                value = array[place] + value
            array[place] = _bounded(value)

    def _check_facts(self) -> None:
        for fact in self.program.facts:
            free = [index for index in indices(fact.value) if index not in fact.over]
            gaps = self.value(Total(fact.value, *fact.over) - fact.equals, free)
            if any(abs(gap) > SMALL for gap in gaps.flat):
                raise DerivationError(f"the values drawn do not hold to: {fact.reason}")


def difference(found: Array, expected: Array) -> float:
    """The largest difference of two arrays, relative to the largest of their elements.

    Infinite where the shapes differ.
    """
    if found.shape != expected.shape:
        return math.inf
    gaps = [abs(u + -v) for u, v in zip(found.flat, expected.flat, strict=True)]
    sizes = [abs(u) for u in (*found.flat, *expected.flat)]
    gap, size = (max(map(REALS.convert, numbers), default=0) for numbers in (gaps, sizes))
    return float(gap / max(size, SMALL))


def _bounded(value: Number) -> Number:
    """The value, if it is a finite number; a fraction that has grown too long as a real number."""
    if not -LARGEST < value < LARGEST:
        raise OverflowError("a value is not finite")
    if isinstance(value, Fraction) and value.denominator.bit_length() > LONG:
        return REALS.convert(value)
    return value


def _up_to(program: Program, of: Expr) -> Iterator[Equation | Recurrence]:
    """The equations up to the last that defines a tensor."""
    groups = program.equations
    places = (place for place, group in enumerate(groups) if of in _targets(group))
    yield from groups[: max(places, default=-1) + 1]


def _targets(group: Equation | Recurrence) -> set[Expr]:
    return {equation.label for equation in flat((group,))}
