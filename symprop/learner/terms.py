"""Gradients as sums of products whose factors can be taken apart: what a slip changes.

    x̄[s] = Σ_over factor · factor · …  + …

The factors are those of the chain rule, one for each equation on the way from x to the next δ (or
to the loss), just as ``partial`` gives them, or those of the short form that is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from sympy import Expr, Idx, Indexed, Integer, Mul, Symbol

from symprop.adjoint import partial
from symprop.backends.numpy import Array, Evaluator
from symprop.equation import Equation
from symprop.network import Network
from symprop.program import Program
from symprop.steps import is_plain
from symprop.tensor import (
    Tensor,
    accesses,
    extent,
    fresh_index,
    indices,
    label_of,
    renamed_index,
    subscripts_of,
)

LETTERS = "kijlpqrs"


@dataclass(frozen=True)
class Point:
    """All that a network stores for one draw of data and parameters, by label, and the sizes."""

    values: Mapping[str, Array]
    sizes: Mapping[Symbol, int]
    factors: dict[Expr, Array] = field(default_factory=dict)
    """The factors that were evaluated before."""

    def extent(self, index: Idx) -> int:
        return int(extent(index).xreplace({s: Integer(n) for s, n in self.sizes.items()}))

    def factor(self, value: Expr) -> Array:
        """A factor on the grid of its own indices."""
        if value not in self.factors:
            own = indices(value)
            grid = np.ix_(*(np.arange(self.extent(index)) for index in own)) if own else ()
            found = Evaluator(self.values, self.sizes, dict(zip(own, grid, strict=True)), float)
            shape = tuple(map(self.extent, own))
            with np.errstate(all="ignore"):
                self.factors[value] = np.broadcast_to(found(value), shape)
        return self.factors[value]


@dataclass(frozen=True)
class Factor:
    """A factor; of the slope f′(z) of an equation a = f(z), also the elements a and z."""

    value: Expr
    output: Expr | None = None
    source: Expr | None = None

    def renamed(self, names: Mapping[Expr, Expr]) -> Factor:
        sides = (self.value, self.output, self.source)
        return Factor(*(None if side is None else side.xreplace(names) for side in sides))


@dataclass(frozen=True)
class Term:
    """The sum of a product over indices."""

    factors: tuple[Factor, ...]
    over: tuple[Idx, ...] = ()

    @property
    def indices(self) -> tuple[Idx, ...]:
        return tuple(dict.fromkeys(i for factor in self.factors for i in indices(factor.value)))

    def times(self, factor: Factor) -> Term:
        return replace(self, factors=(*self.factors, factor))


@dataclass(frozen=True)
class Formula:
    """A sum of terms for each value of the target's indices."""

    target: tuple[Idx, ...]
    terms: tuple[Term, ...]

    def at(self, point: Point) -> Array:
        """The array of the formula's values."""
        shape = tuple(map(point.extent, self.target))
        total = np.zeros(shape)
        with np.errstate(all="ignore"):
            for term in self.terms:
                total += _contracted(term, self.target, point)
        return total

    def work(self, point: Point) -> int:
        """How many products are formed."""
        loops = ({*self.target, *term.over} for term in self.terms)
        return sum(prod(map(point.extent, each)) for each in loops)


def _contracted(term: Term, target: tuple[Idx, ...], point: Point) -> Array:
    """The sum of products; what no factor depends on is repeated, or counted where it is summed."""
    number = {index: n for n, index in enumerate(dict.fromkeys((*target, *term.over)))}
    operands: list[Any] = []
    for factor in term.factors:
        operands += [point.factor(factor.value), [number[i] for i in indices(factor.value)]]
    for index in number:
        if index not in term.indices:
            operands += [np.ones(point.extent(index)), [number[index]]]
    result: Array = np.einsum(
        *(operands or [np.ones(()), []]),
        [number[index] for index in target],
        optimize=len(operands) > 4,
    )
    return result


class Chain:
    """Finds the terms of cotangents, from a network's forward pass."""

    def __init__(self, network: Network):
        self.network, self.forward = network, network.forward
        self.deltas = {tensor.label for tensor in self.forward.preactivations}

    def formulas(self, tensor: Tensor) -> tuple[Formula, ...]:
        """The cotangent of a tensor by the chain rule, and in the short form."""
        found = (self.by_chain_rule(tensor, self.deltas), self.short(tensor))
        return tuple(formula for formula in found if formula is not None and formula.terms)

    def by_chain_rule(self, tensor: Tensor, ends: set[Symbol]) -> Formula | None:
        """Through every equation that reads the tensor, up to the cotangents of ``ends``; None
        where that is no plain sum of products.
        """
        try:
            terms = tuple(self._terms(tensor[tensor.axes], ends, set(tensor.axes)))
        except _NoFormula:
            return None
        return Formula(tensor.axes, terms)

    def short(self, tensor: Tensor) -> Formula | None:
        """As ``network.gradients`` has it."""
        program, terms = self.network.gradients, []
        for equation in program.defined.get(tensor.cotangent(1).label, ()):
            if not is_plain(equation.target):
                return None
            apart = equation.apart_from(tensor.axes)
            names = dict(zip(subscripts_of(apart.target), tensor.axes, strict=True))
            factors = (Factor(f.xreplace(names)) for f in Mul.make_args(apart.value))
            terms.append(Term(tuple(factors), apart.over))
        return Formula(tensor.axes, tuple(terms))

    def own_slope(self, tensor: Tensor) -> Expr | None:
        """∂a/∂z of the same element: f′(z), of softmax a(1 − a); None where nothing follows."""
        output = self.forward.outputs[0].label
        formula = self.by_chain_rule(tensor, self.deltas | {output})
        if tensor.label not in self.deltas or formula is None:
            return None
        found = Integer(0)
        for term in map(on_diagonal, formula.terms, [formula.target] * len(formula.terms)):
            parts = [f.value for f in term.factors if label_of(f.value) != self._bar(output)]
            if term.over or len(parts) == len(term.factors):
                return None
            found += Mul(*parts)
        return found

    def _bar(self, label: Symbol) -> Symbol:
        return self.forward.by_label[label].cotangent(1).label

    def _terms(self, access: Expr, ends: set[Symbol], taken: set[Idx]) -> Iterator[Term]:
        for equation, read in self._readers.get(label_of(access), ()):
            slope = partial(equation.value, read)
            if slope == 0 or self.forward.by_label[equation.label].role == "constant":
                continue
            if equation.reduce != "sum" or not (is_plain(read) and is_plain(equation.target)):
                raise _NoFormula
            names = _fresh_names(equation, read, access, taken)
            over = tuple(i for n, i in names.items() if n not in indices(read))
            factors = tuple(f.renamed(names) for f in self._factors(slope, equation, read))
            after = equation.target.xreplace(names)
            for term in self._continued(after, ends, taken):
                yield Term((*factors, *term.factors), (*over, *term.over))

    def _continued(self, access: Expr, ends: set[Symbol], taken: set[Idx]) -> Iterator[Term]:
        """The terms of an element's cotangent; that of the loss is 1."""
        label = label_of(access)
        if label == self.network.named("L").label:
            yield Term(())
        elif label in ends:
            tensor = self.forward.by_label[label].cotangent(1)
            yield Term((Factor(tensor[subscripts_of(access)]),))
        else:
            yield from self._terms(access, ends, taken)

    def _factors(self, slope: Expr, equation: Equation, read: Expr) -> Iterator[Factor]:
        """Sizes apart, products of elements apart, the slope of a function in one piece."""
        parts = Mul.make_args(slope)
        sizes = [p for p in parts if p.free_symbols and p.free_symbols <= set(self.forward.sizes)]
        yield from map(Factor, sizes)
        rest = [part for part in parts if part not in sizes]
        if all(isinstance(part, Indexed) for part in rest):
            yield from map(Factor, rest)
        elif subscripts_of(equation.target) == subscripts_of(read):
            yield Factor(Mul(*rest), equation.target, read)
        elif rest != [1]:
            yield Factor(Mul(*rest))

    @cached_property
    def _readers(self) -> dict[Symbol, list[tuple[Equation, Expr]]]:
        found: dict[Symbol, list[tuple[Equation, Expr]]] = {}
        for equation in self.forward.flat:
            for access in accesses(equation.value):
                found.setdefault(label_of(access), []).append((equation, access))
        return found


class _NoFormula(Exception):  # noqa: N818 (an outcome, not an error)
    """The cotangent is no plain sum of products."""


def _fresh_names(equation: Equation, read: Expr, access: Expr, taken: set[Idx]) -> dict[Idx, Idx]:
    """Names for an equation's loops under which it reads ``access``."""
    names = dict(zip(subscripts_of(read), subscripts_of(access), strict=True))
    for index in equation.loops:
        if index not in names:
            names[index] = _free_letter(index, taken)
            taken.add(names[index])
    return names


def _free_letter(index: Idx, taken: set[Idx]) -> Idx:
    """The index under a letter that none of the taken ones has."""
    names = {str(other.label) for other in taken}
    free = next((letter for letter in (str(index.label), *LETTERS) if letter not in names), "")
    return renamed_index(index, free) if free else fresh_index(index, taken)


def on_diagonal(term: Term, target: tuple[Idx, ...]) -> Term:
    """Of each sum over an index that has a twin among the target's, only the term where both are
    equal.
    """
    names = {o: t for o in term.over for t in target if extent(o) == extent(t)}
    over = tuple(index for index in term.over if index not in names)
    return Term(tuple(factor.renamed(names) for factor in term.factors), over)


def programs(network: Network) -> Program:
    """The forward pass and the plain adjoint."""
    return network.forward + network.raw_gradients
