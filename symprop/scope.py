"""The scope: hands out tensors and collects equations while a network is declared, then freezes
into a Program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sympy import Expr, Idx, S, Symbol, sympify

from symprop.equation import Equation, Fact, Origin, Recurrence, Reduce
from symprop.errors import DeclarationError
from symprop.program import Program
from symprop.tensor import Role, Tensor

PENALTY = "penalty"
"""The step of a loss that penalizes weights."""
BATCH = Symbol("m", integer=True, positive=True)
"""The number of samples in a batch, known only when a program runs."""


def index(name: str, extent: int | Expr) -> Idx:
    """An index that runs over ``extent`` values from 0."""
    return Idx(Symbol(name, integer=True), sympify(extent, strict=True))


class Scope:
    """What a layer, a loss or an optimizer writes its equations into.

    >>> scope = Scope()
    >>> b, k = index("b", BATCH), index("k", 3)
    >>> x = scope.tensor("x", (b, k), role="input")
    >>> total = scope.tensor("total", (b,))
    >>> scope.define(total[b], x[b, k] ** 2, over=(k,))
    >>> print(scope.freeze(outputs=(total,)))
    total[b] = Σ_k x[b, k]²
    """

    def __init__(self, l1: Expr = S.Zero, l2: Expr = S.Zero) -> None:
        self.penalties = (l1, l2)
        """The penalties of weights whose layer has none of its own."""
        self._terms: list[tuple[Expr, tuple[Idx, ...]]] = []
        self._tensors: dict[str, Tensor] = {}
        self._equations: list[Equation | Recurrence] = []
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
    def layer(self, kind: str, numbered: bool = True) -> Iterator[int]:
        """Open a layer; gives its number, which counts the layers that have parameters."""
        self._number += numbered
        before, self._layer = self._layer, f"{kind} {self._number}" if numbered else kind
        yield self._number
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
        return Program(
            tuple(self._tensors.values()), tuple(self._equations), outputs, tuple(self._facts)
        )
