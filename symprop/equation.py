"""Equations: the one kind of statement there is, and recurrences, the one kind of control flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from sympy import Expr, Idx, sympify

from symprop.errors import DeclarationError
from symprop.tensor import accesses, fresh_index, indices, label_of

Reduce = Literal["sum", "max", "set"]
PREACTIVATION = "pre-activation"
"""The step of a layer whose result z goes into the activation: δ is the derivative by it."""


@dataclass(frozen=True)
class Origin:
    """Where an equation comes from: the layer and the step within it; for errors, comments and
    captions.
    """

    layer: str = ""
    step: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.layer, self.step) if part)


@dataclass(frozen=True)
class Equation:
    """For all values of the loop indices, put ``value`` into ``target``.

    The loop indices are those of the target and those in ``over``, which is explicit: an index can
    be summed without occurring in the value. ``reduce`` says how a value is put: ``"sum"`` adds it,
    ``"max"`` keeps the largest, ``"set"`` assigns it (and may then read the target at the same
    subscripts: W ← W − α ∂L/∂W). A tensor is the sum of all equations that target it, starting from
    0 (from −∞ for ``"max"``).
    """

    target: Expr
    value: Expr
    over: tuple[Idx, ...] = ()
    reduce: Reduce = "sum"
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", sympify(self.value, strict=True))
        if self.reduce not in ("sum", "max", "set"):
            self._refuse(f"unknown reduce {self.reduce!r}; expected 'sum', 'max' or 'set'")
        twice = sorted(
            str(i) for i in self.over if i in indices(self.target) or self.over.count(i) > 1
        )
        if twice:
            self._refuse(f"index {twice[0]} is in `over` twice, or is an index of the target too")
        unbound = sorted(map(str, set(indices(self.value)) - set(self.loops)))
        if unbound:
            self._refuse(
                f"index {', '.join(unbound)} occurs in the value, but neither in the target nor in "
                "`over`; add it to `over` to reduce along it"
            )
        if self.reduce != "set" and self.target in accesses(self.value):
            self._refuse("reads the element that it writes; only reduce='set' may")
        for index in self.loops:
            if index.lower != 0:
                self._refuse(
                    f"index {index} runs from {index.lower}; expected one that runs from 0"
                )

    def _refuse(self, reason: str) -> None:
        """Raise, with the equation as it was written: what is not valid cannot be printed as
        mathematics.
        """
        raise DeclarationError(f"equation {self.target} = {self.value}, over {self.over}: {reason}")

    @cached_property
    def loops(self) -> tuple[Idx, ...]:
        return tuple(dict.fromkeys((*indices(self.target), *self.over)))

    @cached_property
    def label(self) -> Expr:
        """The label of the tensor that is written."""
        return label_of(self.target)

    @cached_property
    def reads(self) -> tuple[Expr, ...]:
        """The elements that are read, those inside subscripts included."""
        found = dict.fromkeys(accesses(self.value))
        inside = [self.target, *found]
        for access in inside:
            for subscript in access.args[1:]:
                found.update(dict.fromkeys(accesses(subscript)))
                inside += accesses(subscript)
        return tuple(found)

    def renamed(self, names: dict[Idx, Idx]) -> Equation:
        """The same equation with other names for its loop indices."""
        return replace(
            self,
            target=self.target.xreplace(names),
            value=self.value.xreplace(names),
            over=tuple(names.get(index, index) for index in self.over),
        )

    def apart_from(self, taken: Iterable[Idx]) -> Equation:
        """The same equation with summed indices whose names none of the taken indices has."""
        used = {*taken, *indices(self.target)}
        names: dict[Idx, Idx] = {}
        for index in self.over:
            names[index] = fresh_index(index, used)
            used.add(names[index])
        return self.renamed(names)

    def __str__(self) -> str:
        from symprop.printers.index import equation_text

        return equation_text(self)


@dataclass(frozen=True)
class Recurrence:
    """Equations that run together, in order, step by step along one sequential index.

    The index is fixed within a step, so an equation may list it in ``over``: its sum then grows
    from step to step.
    """

    index: Idx
    equations: tuple[Equation, ...]
    reverse: bool = False

    def __str__(self) -> str:
        from symprop.printers.index import recurrence_text

        return recurrence_text(self)


@dataclass(frozen=True)
class Fact:
    """Something declared about the data: the sum of ``value`` over ``over`` equals ``equals``."""

    value: Expr
    over: tuple[Idx, ...]
    equals: Expr
    reason: str


def flat(equations: Iterable[Equation | Recurrence]) -> Iterator[Equation]:
    """All equations in order, those inside recurrences included."""
    for equation in equations:
        if isinstance(equation, Recurrence):
            yield from equation.equations
        else:
            yield equation
