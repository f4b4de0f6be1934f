"""What passes are made of: replacing equations by others, and finding what can be read instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, Idx, Symbol

from symprop.equation import Equation, Recurrence
from symprop.program import Program
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of


def replaced(
    program: Program, changes: Mapping[int, Sequence[Equation]], new: Sequence[Tensor] = ()
) -> Program:
    """The program with equations, by position in ``program.flat``, replaced by others (by none:
    dropped).
    """
    if not changes:
        return program
    positions = iter(range(len(program.flat)))
    result: list[Equation | Recurrence] = []
    for group in program.equations:
        if isinstance(group, Recurrence):
            inner = tuple(
                e for old in group.equations for e in changes.get(next(positions), (old,))
            )
            result += [replace(group, equations=inner)] if inner else []
        else:
            result += changes.get(next(positions), (group,))
    return replace(program, tensors=(*program.tensors, *new), equations=tuple(result))


def in_derivatives(program: Program, change: Callable[[Equation], Equation]) -> Program:
    """The program with every equation of a derivative changed."""
    flat = [(n, e) for n, e in enumerate(program.flat) if program.by_label[e.label].order > 0]
    changed = ((n, e, change(e)) for n, e in flat)
    return replaced(program, {n: (new,) for n, e, new in changed if new != e})


def blocks(program: Program) -> list[int]:
    """For each flat position, which recurrence the equation is in; −1 outside of any."""
    found = []
    for number, group in enumerate(program.equations):
        found += [number] * len(group.equations) if isinstance(group, Recurrence) else [-1]
    return found


class Draft:
    """A program while a pass changes it, one tensor after another.

    Every equation sits in the slot of the one that it came from, so that order and recurrences
    stay.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._slots = [[equation] for equation in program.flat]
        self._inside = blocks(program)
        self._readers: dict[Symbol, dict[int, None]] = {}
        self._definers: dict[Symbol, dict[int, None]] = {}
        for slot, equation in enumerate(program.flat):
            self._note(slot, equation)

    def _note(self, slot: int, equation: Equation) -> None:
        self._definers.setdefault(equation.label, {})[slot] = None
        for access in equation.reads:
            self._readers.setdefault(label_of(access), {})[slot] = None

    def definitions(self, label: Symbol) -> list[tuple[int, Equation]]:
        """The equations that define a tensor, with their slots."""
        slots = sorted(self._definers.get(label, ()))
        return [(slot, e) for slot in slots for e in self._slots[slot] if e.label == label]

    def uses(self, label: Symbol) -> list[tuple[int, Equation]]:
        """The equations that read a tensor, with their slots."""
        slots = sorted(self._readers.get(label, ()))
        found = ((slot, e) for slot in slots for e in self._slots[slot])
        return [(slot, e) for slot, e in found if label in map(label_of, e.reads)]

    def outside_recurrences(self, label: Symbol) -> bool:
        """Whether a tensor is defined and read outside of recurrences only, where order is all
        there is to time.
        """
        found = (*self.definitions(label), *self.uses(label))
        return all(self._inside[slot] == -1 for slot, _ in found)

    def replace(self, slot: int, old: Equation, new: Sequence[Equation]) -> None:
        """Put other equations in place of one."""
        self._slots[slot] = [
            e for given in self._slots[slot] for e in (new if given is old else (given,))
        ]
        for equation in new:
            self._note(slot, equation)

    def freeze(self, new: Sequence[Tensor] = ()) -> Program:
        """The changed program, with the tensors that the change brought in."""
        changes = {
            slot: equations
            for slot, (equations, old) in enumerate(
                zip(self._slots, self._program.flat, strict=True)
            )
            if equations != [old]
        }
        return replaced(self._program, changes, new)


def bind(pattern: Expr, access: Expr) -> dict[Idx, Expr] | None:
    """The subscripts that turn an access with distinct plain indices into another of the same
    tensor.
    """
    names = subscripts_of(pattern)
    plain = all(isinstance(name, Idx) for name in names) and len(set(names)) == len(names)
    if label_of(pattern) != label_of(access) or not plain:
        return None
    return dict(zip(names, subscripts_of(access), strict=True))


@dataclass(frozen=True)
class Stored:
    """A tensor that one elementwise equation defines, so that its value may be read instead of
    computed again.
    """

    target: Expr
    value: Expr

    def at(self, access: Expr, through: Expr) -> Stored | None:
        """The same where ``access`` reads the element ``through`` of the value."""
        names = bind(through, access)
        if names is None or not set(indices(self.target)) <= set(names):
            return None
        return Stored(self.target.xreplace(names), self.value.xreplace(names))

    def value_of(self, access: Expr) -> Expr | None:
        """What an element of the tensor is computed from."""
        names = bind(self.target, access)
        return None if names is None else self.value.xreplace(names)


def computed(access: Expr, stored: Mapping[Symbol, Stored]) -> Expr | None:
    """What an element of a stored tensor is computed from; None for anything else."""
    definition = stored.get(label_of(access))
    return definition.value_of(access) if definition else None


def free_name(program: Program, name: str, taken: Iterable[str] = ()) -> str:
    """The name, or one like it, that no tensor has, nor one of those ``taken``."""
    names = {*map(str, program.by_label), *taken}
    while name in names:
        name += "_"
    return name


def stored_values(program: Program) -> dict[Symbol, list[tuple[Expr, Stored]]]:
    """For each tensor, the stored values that read it, each with the access by which it does."""
    found: dict[Symbol, list[tuple[Expr, Stored]]] = {}
    for label in program.defined:
        stored = stored_value(program, label)
        if stored:
            for access in accesses(stored.value):
                found.setdefault(label_of(access), []).append((access, stored))
    return found


def stored_value(program: Program, label: Symbol) -> Stored | None:
    """What a tensor holds, if one equation gives each of its elements once, from others that stay
    as they are.
    """
    equations = program.defined.get(label, ())
    if len(equations) != 1 or program.by_label[label].role not in ("intermediate", "constant"):
        return None
    (equation,) = equations
    whole = bind(equation.target, equation.target) is not None
    if not whole or equation.reduce != "sum" or equation.over or not is_settled(program, equation):
        return None
    return Stored(equation.target, equation.value)


def is_settled(program: Program, equation: Equation) -> bool:
    """Whether an equation reads nothing that is assigned, so that it gives the same at any later
    place.
    """
    return program.assigned.isdisjoint(label_of(access) for access in equation.reads)


def elements(program: Program, value: Expr) -> Iterator[Expr]:
    """The accesses of a value to tensors, sizes left out."""
    return (access for access in accesses(value) if program.tensor(access) is not None)
