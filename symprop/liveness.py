"""Liveness: is the value that an equation read still there when the whole program has run?

A backward pass runs after the forward pass, so it finds the last value of every element. That is
the value that was read, unless a later equation, or a later step of the same recurrence, put
something into the element in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sympy import Expr, Symbol

from symprop.equation import Equation, Recurrence
from symprop.errors import DerivationError
from symprop.program import Program
from symprop.tensor import Tensor, accesses, apart, indices, label_of, steps_until


@dataclass(frozen=True)
class Place:
    """An equation of a program: its number among all, that of its group, and the recurrence it is
    in.
    """

    number: int
    group: int
    recurrence: Recurrence | None
    equation: Equation


Written = Mapping[Symbol, tuple[Place, ...]]


def places(program: Program) -> tuple[Place, ...]:
    """All equations in the order in which they run, with where they stand."""
    found: list[Place] = []
    for number, group in enumerate(program.equations):
        recurrence = group if isinstance(group, Recurrence) else None
        members = group.equations if isinstance(group, Recurrence) else (group,)
        found += [Place(len(found) + i, number, recurrence, e) for i, e in enumerate(members)]
    return tuple(found)


def by_target(found: Iterable[Place]) -> Written:
    """The places of the equations that write each tensor, by its label."""
    written: dict[Symbol, tuple[Place, ...]] = {}
    for place in found:
        written[place.equation.label] = (*written.get(place.equation.label, ()), place)
    return written


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


def replaces(place: Place, tensor: Tensor, written: Written) -> bool:
    """Whether an assignment replaces an earlier value: one that was given, or that another equation
    or step wrote.
    """
    target, recurrence = place.equation.target, place.recurrence
    return (
        tensor.role not in ("intermediate", "constant")
        or (recurrence is not None and recurrence.index not in indices(target))
        or any(w != place and not apart(w.equation.target, target) for w in written[tensor.label])
    )


def check_still_there(place: Place, value: Expr, written: Written) -> None:
    """Refuse a derivative that needs a value which is no longer the one that the equation read."""
    for access in accesses(value):
        if place.equation.reduce == "max" and access == place.equation.target:
            continue  # a maximum is compared with its final value
        for write in written.get(label_of(access), ()):
            if changes(write, access, place):
                raise DerivationError(
                    f"the derivative of\n    {place.equation}\nneeds the value of {access} "
                    f"from before\n    {write.equation}\noverwrote it; write the new value into "
                    "a tensor of its own"
                )
