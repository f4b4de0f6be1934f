"""Random numbers for what a program is given, and the small sizes at which it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import Expr, Idx, Indexed

from symprop.derive.exact_terms import exact_number
from symprop.equation import Fact
from symprop.program import Program
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of

Array = np.ndarray[Any, Any]

GIVEN = ("input", "target", "parameter", "state", "counter", "scheduled", "noise")
"""The roles whose values no equation gives."""


@dataclass(frozen=True)
class Draw:
    """Numbers at a scale, of both signs or all positive; states and noise lie between 0 and 1."""

    program: Program
    extents: dict[Expr, int]
    generator: np.random.Generator
    positive: bool
    scale: Fraction

    def arrays(self) -> dict[str, Array]:
        """An array for every tensor that is given, such that the declared facts hold."""
        given = (tensor for tensor in self.program.tensors if tensor.role in GIVEN)
        found = {str(tensor.label): self._array(tensor) for tensor in given}
        for fact in self.program.facts:
            self._fulfil(fact, found)
        return found

    def _array(self, tensor: Tensor) -> Array:
        array = np.empty([size_in(self.extents, size) for size in tensor.shape], dtype=object)
        last = self._last(tensor)
        for place in np.ndindex(array.shape):
            array[place] = int(self.generator.integers(last)) if last else self._number(tensor)
        return array

    def _number(self, tensor: Tensor) -> Fraction:
        if tensor.role == "counter":
            return Fraction(int(self.generator.integers(1, 5)))
        below = int(self.generator.integers(5, 13))
        found = Fraction(int(self.generator.integers(1, below)), below)
        if tensor.role in ("state", "scheduled", "noise"):
            return found
        negative = not self.positive and self.generator.random() < 0.5
        return -found * self.scale if negative else found * self.scale

    def _last(self, tensor: Tensor) -> int:
        """The extent of the shortest axis in whose subscripts a tensor stands; 0 if in none."""
        axes = [
            axis
            for access in _accessed(self.program)
            if isinstance(access, Indexed)
            for axis, subscript in zip(self._axes(access), subscripts_of(access), strict=True)
            if tensor.label in map(label_of, accesses(subscript))
        ]
        return min((size_in(self.extents, extent(axis)) for axis in axes), default=0)

    def _axes(self, access: Expr) -> tuple[Idx, ...]:
        return self.program.by_label[label_of(access)].axes

    def _fulfil(self, fact: Fact, found: dict[str, Array]) -> None:
        """Change the numbers drawn for a tensor so that their sum is the one declared."""
        array = found.get(str(label_of(fact.value)))
        if not isinstance(fact.value, Indexed) or array is None or not fact.equals.is_number:
            return
        over = tuple(subscripts_of(fact.value).index(index) for index in fact.over)
        total, wanted = array.sum(axis=over, keepdims=True), exact_number(fact.equals)
        if self.positive:
            array *= wanted / total
        else:
            first = tuple(slice(1) if axis in over else slice(None) for axis in range(array.ndim))
            array[first] += wanted - total


def small_extents(
    program: Program, generator: np.random.Generator, batch: int | None
) -> dict[Expr, int]:
    """A small number for every extent: equal ones alike, those of one tensor different if possible.

    Numbers up to 3 stay. All do where the equations depend on them: in composite subscripts, and in
    a sum over an index that its value does not have.
    """
    found: dict[Expr, int] = {}
    for size in program.sizes:
        found[size] = int(generator.integers(2, 4)) if batch is None else batch
    numbers = sorted({size for size in _extents(program) if size.is_Integer}, key=int)
    fixed = _depends_on_sizes(program)
    found |= {size: int(size) for size in numbers if size <= 3 or fixed}
    for size in numbers:
        if size not in found:
            found[size] = _unlike(_beside(program, size), found, generator)
    return found


def size_in(extents: dict[Expr, int], size: Expr) -> int:
    """An extent, made small; one that the program has not is what it is."""
    found = extents.get(size)
    return int(size.xreplace(extents)) if found is None else found


def _unlike(beside: set[Expr], known: dict[Expr, int], generator: np.random.Generator) -> int:
    """2 or 3, whichever no neighbour has; 4 if both are taken."""
    taken = {known[other] for other in beside if other in known}
    options = [number for number in (2, 3) if number not in taken] or [4]
    return options[int(generator.integers(len(options)))]


def _beside(program: Program, size: Expr) -> set[Expr]:
    """The extents of the tensors that have this one."""
    shapes = (tensor.shape for tensor in program.tensors if size in tensor.shape)
    return {other for shape in shapes for other in shape}


def _extents(program: Program) -> Iterator[Expr]:
    for tensor in program.tensors:
        yield from tensor.shape
    for equation in program.flat:
        yield from map(extent, equation.loops)


def _depends_on_sizes(program: Program) -> bool:
    """Whether the equations mean something else, or nothing, at other extents."""
    if any(not isinstance(s, Idx) for a in _accessed(program) for s in subscripts_of(a)):
        return True
    counted = (i for e in program.flat for i in set(e.over) - set(indices(e.value)))
    return any(extent(index).is_Integer for index in counted)


def _accessed(program: Program) -> Iterator[Expr]:
    for equation in program.flat:
        yield from (equation.target, *equation.reads)
