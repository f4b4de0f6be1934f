"""Liveness: is the value that an equation read still there when the whole program has run?

A backward pass runs after the forward pass, so it finds the last value of every element. That is
the value that was read, unless a later equation, or a later step of the same recurrence, put
something into the element in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from symprop.equation import Equation, Recurrence
from symprop.program import Program
from symprop.tensor import apart, steps_until


@dataclass(frozen=True)
class Place:
    """An equation of a program: its number among all, that of its group, and the recurrence it is
    in.
    """

    number: int
    group: int
    recurrence: Recurrence | None
    equation: Equation


def places(program: Program) -> tuple[Place, ...]:
    """All equations in the order in which they run, with where they stand."""
    found: list[Place] = []
    for number, group in enumerate(program.equations):
        recurrence = group if isinstance(group, Recurrence) else None
        members = group.equations if isinstance(group, Recurrence) else (group,)
        found += [Place(len(found) + i, number, recurrence, e) for i, e in enumerate(members)]
    return tuple(found)


def changes(write: Place, access: Expr, read: Place) -> bool:
    """Whether ``write`` may change the element ``access`` after ``read`` has read it."""
    target = write.equation.target
    if apart(access, target):
        return False
    if read.recurrence is None or read.group != write.group:
        return write.number >= read.number
    delay = steps_until(access, target, read.recurrence.index)
    if delay is None:
        return True
    later = -delay if read.recurrence.reverse else delay
    return later > 0 or (later == 0 and write.number >= read.number)
