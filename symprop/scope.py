"""The scope: hands out tensors and collects equations while a network is declared, then freezes
into a Program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from string import ascii_lowercase
from typing import Any

from sympy import Expr, Idx, S, Symbol, sympify

from symprop.equation import Equation, Fact, Origin, Recurrence, Reduce, flat
from symprop.errors import DeclarationError
from symprop.program import Program
from symprop.tensor import Role, Tensor, label_of

PENALTY = "penalty"
"""The step of a loss that penalizes weights."""
BATCH = Symbol("m", integer=True, positive=True)
"""The number of samples in a batch, known only when a program runs."""


def index(name: str, extent: int | Expr) -> Idx:
    """An index that runs over ``extent`` values from 0."""
    return Idx(Symbol(name, integer=True), sympify(extent, strict=True))


class Scope:
    """What a layer, a loss or an optimizer writes its equations into.

    ``training``: whether the equations are those of training; for prediction a layer may write
    others.

    >>> scope = Scope()
    >>> b, k = index("b", BATCH), index("k", 3)
    >>> x = scope.tensor("x", (b, k), role="input")
    >>> total = scope.tensor("total", (b,))
    >>> scope.define(total[b], x[b, k] ** 2, over=(k,))
    >>> print(scope.freeze(outputs=(total,)))
    total[b] = Σ_k x[b, k]²
    """

    def __init__(self, training: bool = True, l1: Expr = S.Zero, l2: Expr = S.Zero) -> None:
        self.training = training
        self.penalties = (l1, l2)
        """The penalties of weights whose layer has none of its own."""
        self._terms: list[tuple[Expr, tuple[Idx, ...]]] = []
        self._tensors: dict[str, Tensor] = {}
        self._equations: list[Equation | Recurrence] = []
        self._updates: list[Equation] = []
        self._facts: list[Fact] = []
        self._layer = ""
        self._number = 0

    def tensor(
        self,
        name: str,
        axes: tuple[Idx, ...] = (),
        role: Role = "intermediate",
        init: str | float | Callable[..., Any] | None = None,
    ) -> Tensor:
        """A new tensor; its name must not be taken."""
        if name in self._tensors:
            raise DeclarationError(
                f"a tensor called {name!r} exists already; give each tensor its own name"
            )
        self._tensors[name] = Tensor(name, axes, role, init)
        return self._tensors[name]

    def free_name(self, stem: str) -> str:
        """The stem if no tensor is called so, else with a letter that makes it new: b, c, …."""
        letters = (a + b for a in ("", *ascii_lowercase) for b in ascii_lowercase)
        names = (stem, *(f"{stem}_{letter}" for letter in letters if letter != "a"))
        for name in names:
            if name not in self._tensors:
                return name
        raise DeclarationError(f"more than {len(names)} tensors are called {stem}")

    def adopt(self, *tensors: Tensor) -> None:
        """Make tensors of another program known here."""
        self._tensors.update({str(tensor.label): tensor for tensor in tensors})

    def define(
        self,
        target: Expr,
        value: Expr,
        over: tuple[Idx, ...] = (),
        reduce: Reduce = "sum",
        step: str = "",
    ) -> None:
        """Write an equation; ``step`` says what it is within its layer, for captions and errors."""
        self._equations.append(Equation(target, value, over, reduce, Origin(self._layer, step)))

    def update(self, target: Expr, value: Expr, step: str = "") -> None:
        """Write a new value of a state, which a training step assigns and nothing else does."""
        self._updates.append(Equation(target, value, (), "set", Origin(self._layer, step)))

    def fact(self, value: Expr, over: tuple[Idx, ...], equals: Expr, reason: str) -> None:
        """Declare that the sum of ``value`` over ``over`` equals ``equals``."""
        self._facts.append(Fact(value, over, sympify(equals, strict=True), reason))

    def penalize(self, value: Expr, over: tuple[Idx, ...]) -> None:
        """Add the sum of ``value`` over ``over`` to the loss, when that is declared."""
        self._terms.append((value, over))

    def penalty(self) -> Tensor | None:
        """Write R, the sum of what layers have added to the loss; None if it is nothing."""
        if not self._terms:
            return None
        total = self.tensor("R")
        for value, over in self._terms:
            self.define(total[()], value, over, step=PENALTY)
        return total

    @contextmanager
    def layer(self, kind: str, counted: bool = True) -> Iterator[int]:
        """Open a layer; gives its number, which counts the layers that have parameters: one without
        has the number of the last that has some.
        """
        self._number += counted
        with self.part(f"{kind} {self._number}"):
            yield self._number

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Open a part of a network, such as its loss."""
        before, self._layer = self._layer, name
        yield
        self._layer = before

    @contextmanager
    def recurrence(self, index: Idx, reverse: bool = False) -> Iterator[None]:
        """Collect the equations defined inside into a Recurrence along the index."""
        outside, self._equations = self._equations, []
        yield
        group, self._equations = self._equations, outside
        nested = next((e for e in group if isinstance(e, Recurrence)), None)
        if nested is not None:
            raise DeclarationError(
                f"recurrence over {index}: holds one over {nested.index}; they cannot be nested"
            )
        self._equations.append(
            Recurrence(index, tuple(e for e in group if isinstance(e, Equation)), reverse)
        )

    def freeze(self, outputs: tuple[Tensor, ...] = ()) -> Program:
        """The program of everything declared so far."""
        alone = _used(self._updates) - _used(flat(self._equations))
        kept = (t for t in self._tensors.values() if t.label not in alone)
        return Program(tuple(kept), tuple(self._equations), outputs, tuple(self._facts))

    def freeze_updates(self) -> Program:
        """The program of what a training step assigns, which runs after that of the equations."""
        labels = {equation.label for equation in self._updates}
        tensors = tuple(self._tensors.values()) if labels else ()
        outputs = tuple(t for t in tensors if t.label in labels)
        return Program(tensors, tuple(self._updates), outputs)


def _used(equations: Iterable[Equation]) -> set[Symbol]:
    """The labels of all that some equations read or write."""
    return {label_of(access) for e in equations for access in (e.target, *e.reads)}
