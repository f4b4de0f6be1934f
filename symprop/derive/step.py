"""What a derivation is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sympy import Expr

from symprop.derive.groups import Run
from symprop.equation import Equation, Fact, Origin
from symprop.errors import ArgumentError
from symprop.printers.arrange import Arrange
from symprop.printers.structure import Names, Node

Detail = Literal["summary", "standard", "full"]
DETAILS = ("summary", "standard", "full")
Notation = Literal["index", "one sample", "batch"]
NOWHERE = Origin()
SUPPOSED = {
    "without the fact": "Without this fact the sum stays:",
    "with the fact": "Nothing is declared about the targets here, so their sum stays. Were they "
    "declared to be one-hot, it would be 1:",
}
"""What is said before a result under other facts than those declared, by the step's rule."""


@dataclass(frozen=True)
class Step:
    """One step: by a rule, ``before`` equals ``after``, for a reason.

    ``before`` and ``after`` are values in elements of tensors, with sums and derivatives not yet
    taken (``symprop.formula``); where the ``notation`` is a matrix notation, ``after`` is a
    formula of it. ``steps`` explain how one becomes the other, line by line; ``detail`` is the
    least detail at which this one is told.

    ``equations`` are those of the program that a result stands for, ``number`` is its number.
    ``facts`` are the declared facts used, ``conditions`` what else is assumed or chosen, as at a
    kink. ``run`` is for which layers a step is told at once.
    """

    rule: str
    before: Expr
    after: Expr
    reason: str = ""
    conditions: tuple[str, ...] = ()
    origin: Origin = NOWHERE
    number: str = ""
    section: str = ""
    facts: tuple[Fact, ...] = ()
    notation: Notation = "index"
    detail: Detail = "standard"
    equations: tuple[Equation, ...] = ()
    steps: tuple[Step, ...] = ()
    run: Run | None = None

    @property
    def is_line(self) -> bool:
        """Whether its steps explain it; else they are on the way to it, with lines of their own."""
        return all(inner.detail == "full" for inner in self.steps)

    def __str__(self) -> str:
        """(7) chain rule: ∂L/∂z2[b, j] = (ŷ[b, j] - y[b, j])/m."""
        before, after = (
            side if isinstance(side, Node) else WRITE(side) for side in (self.before, self.after)
        )
        number = f"({self.number}) " if self.number else ""
        return f"{number}{self.rule}: {before} = {after}"

    def __repr__(self) -> str:
        return f"Step({self})"


WRITE = Arrange(Names({1: "L"}))
"""Index notation, ∂L/∂z2 for the cotangent of z2."""


def choice(what: str, given: str, known: tuple[str, ...]) -> str:
    """One of the known words, or an error that lists them."""
    if given not in known:
        raise ArgumentError(f"derive: {what}: expected one of {', '.join(known)}, got {given!r}")
    return given
