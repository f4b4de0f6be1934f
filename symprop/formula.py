"""The language of a derivation's steps: values with sums and derivatives that are not yet taken.

A program's values hold none of these; a step of a derivation starts from them and ends without.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Idx


class Form(Expr):  # type: ignore[misc]  # SymPy has no types
    """An expression that nothing evaluates by itself."""

    is_commutative = True

    def __new__(cls, *arguments: Any) -> Form:
        form: Form = Expr.__new__(cls, *arguments)
        return form


class Total(Form):
    """The sum of a value over indices: (value, index, …)."""


class Largest(Form):
    """The largest of a value over indices: (value, index, …)."""


class Rate(Form):
    """The derivative of a value by an element, not yet taken: (value, element).

    Of an expression it is the partial derivative, every other element held fixed. Of an element
    ŷ[b, j] it is that of the equations that define the tensor, whatever else they read held fixed.
    """


class Through(Form):
    """The derivative of an element by another, through all that lies between: (element, element).

    What is constant to the derivative stays what it is.
    """


class Beginning(Form):
    """The first terms of a longer sum."""


def bound(form: Expr) -> tuple[Idx, ...]:
    """The indices that a sum or maximum runs over."""
    return tuple(form.args[1:]) if isinstance(form, (Total, Largest)) else ()


def free_indices(form: Expr) -> set[Idx]:
    """The indices in a formula that no sum or maximum in it runs over."""
    if isinstance(form, Idx):
        return {form}
    if not form.has(Total, Largest):
        return set(form.atoms(Idx))
    inside = {index for part in form.args for index in free_indices(part)}
    return inside - set(bound(form))
