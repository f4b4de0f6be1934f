"""What a derivation looks up in the programs of a network, gathered once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sympy import Add, Expr, Idx, Integer, Symbol

from symprop.equation import Equation, Fact
from symprop.formula import Largest, Total
from symprop.passes.inline import shortest
from symprop.passes.rewrite import stored_values
from symprop.primitives import Maximum
from symprop.program import Program
from symprop.tensor import Tensor, accesses, extent, label_of, renamed_index, subscripts_of

BATCHES, UNITS = "bqr", "kijpnuvw"
"""The letters for indices of samples, and of units."""


class Lookup:
    """The forward pass, its plain adjoint and the short form, by what a step asks for."""

    def __init__(self, forward: Program, raw: Program, short: Program):
        self.forward, self.raw, self.short = forward, raw, short
        self.places = {equation: place for place, equation in enumerate(raw.flat)}
        self.readers: dict[Symbol, list[Equation]] = {}
        for equation in forward.flat:
            for label in {label_of(access) for access in equation.reads}:
                self.readers.setdefault(label, []).append(equation)
        self.deltas = tuple(tensor.cotangent(1) for tensor in reversed(forward.preactivations))
        self.delta_labels = {delta.label for delta in self.deltas}
        self.seeds = {e.label: Integer(1) for e in raw.flat if e.value == 1 and not e.loops}
        """The cotangent of the loss itself, ∂L/∂L = 1."""
        (seed,) = self.seeds
        self.loss = self.source(raw.by_label[seed])

    def source(self, cotangent: Tensor) -> Tensor:
        """The tensor of the forward pass by which a cotangent is the derivative."""
        return self.forward.by_label[cotangent.cotangent(-1).label]

    def facts_of(self, label: Symbol | None) -> tuple[Fact, ...]:
        """The facts about what the forward pass computes, told where the last of it is defined; or,
        of None, those about what is given.
        """
        places = {found: place for place, found in enumerate(self.forward.defined)}
        found = []
        for fact in self.forward.facts:
            read = [label_of(access) for access in accesses(fact.value)]
            last = max((x for x in read if x in places), key=places.__getitem__, default=None)
            found += [fact] if last == label else []
        return tuple(found)

    def layer_of(self, cotangent: Tensor) -> str:
        """The layer that defines what a cotangent is the derivative by."""
        return self.forward.defined[self.source(cotangent).label][0].origin.layer

    def is_zero(self, cotangent: Tensor) -> bool:
        equations = self.short.defined.get(cotangent.label, ())
        return all(equation.value == 0 for equation in equations)

    def raw_equations(self, cotangent: Tensor) -> tuple[Equation, ...]:
        """The plain adjoint's equations for a cotangent, with ∂L/∂L = 1."""
        found = self.raw.defined.get(cotangent.label, ())
        return tuple(replace(e, value=e.value.xreplace(self.seeds)) for e in found)

    def chain(self, cotangent: Tensor) -> tuple[Equation, ...]:
        """The plain adjoint's equations that lead to a cotangent, from the δ above (or L) on."""
        wanted, found = [cotangent.label], set()
        while wanted:
            for equation in self.raw.defined.get(wanted.pop(), ()):
                if equation not in found:
                    found.add(equation)
                    read = sorted({label_of(access) for access in equation.reads}, key=str)
                    wanted += [label for label in read if self._is_between(label)]
        return tuple(sorted(found, key=self.places.__getitem__))

    def _is_between(self, label: Symbol) -> bool:
        tensor = self.raw.by_label.get(label)
        return tensor is not None and tensor.order > 0 and label not in self.delta_labels

    def near(self, equations: Iterable[Equation]) -> tuple[Equation, ...]:
        """The forward equations of the layers in which the equations arose."""
        layers = {equation.origin.layer for equation in equations}
        return tuple(e for e in self.forward.flat if e.origin.layer in layers)

    def program(
        self,
        equations: Iterable[Equation],
        outputs: Iterable[Tensor] = (),
        facts: tuple[Fact, ...] = (),
    ) -> Program:
        """A program of some of the equations, with the tensors that occur in them."""
        equations = tuple(equations)
        labels = {label_of(a) for e in equations for a in (e.target, *e.reads)}
        known = self.raw.by_label
        found = tuple(known[label] for label in sorted(labels & known.keys(), key=str))
        return Program(found, equations, tuple(outputs), facts)

    def shortest(self, equation: Equation, near: Iterable[Equation]) -> Expr:
        """The value of an equation in its shortest form with what the near equations store."""
        program = self.program((*near, equation))
        return shortest(program, equation, stored_values(program)).value


def as_value(equations: Iterable[Equation], target: Expr, taken: Iterable[str] = ()) -> Expr:
    """What equations give to the elements ``target``: the sum of their values, each under its Σ, or
    the largest, over indices with letters that are not taken.
    """
    taken, equations = frozenset(taken), tuple(equations)
    found = [_under_its_sum(aligned(equation, target, taken)) for equation in equations]
    largest = any(equation.reduce == "max" for equation in equations)
    return _largest(found) if largest else Add(*found)


def _largest(values: list[Expr]) -> Expr:
    """The largest of several values, those of each half nested: a chain might be too deep."""
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    return Maximum(_largest(values[:middle]), _largest(values[middle:]))


def _under_its_sum(equation: Equation) -> Expr:
    """The value of an equation, summed over what it sums over."""
    if not equation.over:
        return equation.value
    kind = Largest if equation.reduce == "max" else Total
    return kind(equation.value, *equation.over)


def aligned(equation: Equation, target: Expr, taken: Iterable[str] = ()) -> Equation:
    """The equation with the indices of ``target``, and free letters for those that are summed."""
    own = dict(zip(subscripts_of(equation.target), subscripts_of(target), strict=True))
    names = {i: j for i, j in own.items() if isinstance(i, Idx) and isinstance(j, Idx)}
    return equation.renamed(with_free_letters(names, equation.loops, taken))


def with_free_letters(
    names: Mapping[Idx, Idx], loops: Iterable[Idx], taken: Iterable[str] = ()
) -> dict[Idx, Idx]:
    """The names of indices, with free letters for the loops that have none yet."""
    found, used = dict(names), {*taken, *map(str, names.values())}
    for index in loops:
        if index not in found:
            found[index] = free_index(index, used)
            used.add(str(found[index]))
    return found


def free_index(index: Idx, taken: Iterable[str]) -> Idx:
    """The index by its own letter if that is free, else by the next one for its kind."""
    letters = UNITS if extent(index).is_Integer else BATCHES
    numbered = (f"{letters[0]}{number}" for number in range(2, 99))
    stem = str(index).rstrip("0123456789")
    name = next(n for n in (stem, *letters, *numbered) if n not in taken)
    return renamed_index(index, name)


def free_indices(axes: Iterable[Idx], taken: Iterable[str]) -> tuple[Idx, ...]:
    """Indices for all axes of a tensor, none with a taken letter."""
    used, found = set(taken), []
    for axis in axes:
        found.append(free_index(axis, used))
        used.add(str(found[-1]))
    return tuple(found)


def by_label(equations: Iterable[Equation]) -> Mapping[Symbol, tuple[Equation, ...]]:
    """The equations that define each tensor."""
    found: dict[Symbol, tuple[Equation, ...]] = {}
    for equation in equations:
        found[equation.label] = (*found.get(equation.label, ()), equation)
    return found
