"""The ways by which an element reaches the loss, one for each equation that reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sympy import Expr, Idx

from symprop.derive.lookup import with_free_letters
from symprop.equation import Equation
from symprop.formula import Total
from symprop.tensor import Tensor, indices, subscripts_of


@dataclass(frozen=True)
class Path:
    """One way from a tensor to the loss: the element ``read`` enters ``equation``, whose target has
    the cotangent ``weight``.
    """

    equation: Equation
    read: Expr
    slope: Expr
    weight: Expr

    def renamed(self, names: dict[Idx, Idx]) -> Path:
        """The same with other letters for its indices."""
        moved = (part.xreplace(names) for part in (self.read, self.slope, self.weight))
        return Path(self.equation.renamed(names), *moved)

    def in_all(self, slope: Expr) -> Expr:
        """The derivative of the target, given that of a term: where the terms of a sum all read the
        same element, that of their sum.
        """
        over = [index for index in self.equation.over if index not in indices(self.read)]
        return Total(slope, *over) if over else slope

    def carried(self, target: Expr, slope: Expr) -> Equation:
        """The cotangent of the element read, by the slope in its present form."""
        over = tuple(i for i in self.equation.loops if i not in indices(target))
        return Equation(target, slope * self.weight, over, origin=self.equation.origin)


def is_elementwise(paths: Iterable[Path]) -> bool:
    """Whether an element enters one element only each time, at the same place."""
    return all(
        set(path.equation.loops) == set(indices(path.read)) == set(indices(path.equation.target))
        for path in paths
    )


def lettered(source: Tensor, path: Path) -> Path:
    """The path with the letters of the tensor's axes."""
    own = dict(zip(subscripts_of(path.read), source.axes, strict=True))
    return path.renamed(with_free_letters(own, path.equation.loops))
