"""Programs: tensors, the equations that define them, and which of them are wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from sympy import Expr, Idx, Indexed, Symbol

from symprop.equation import PREACTIVATION, Equation, Fact, Recurrence, flat
from symprop.errors import DeclarationError, ShapeError
from symprop.printable import Printable
from symprop.tensor import (
    Tensor,
    accesses,
    extent,
    label_of,
    steps_until,
    subscript_bounds,
    subscripts_of,
)

if TYPE_CHECKING:
    from symprop.printers.document import Item


@dataclass(frozen=True)
class Program(Printable):
    """Equations in the order in which they run, with the tensors they use and the outputs they are
    for.

    Programs are composed with ``+``: the second runs after the first and may read what the first
    defines; an equation that both have runs once. Forward pass, gradients, optimizer update and
    training step are all programs.
    """

    tensors: tuple[Tensor, ...]
    equations: tuple[Equation | Recurrence, ...]
    outputs: tuple[Tensor, ...] = ()
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        _check_names(self)
        for group in self.equations:
            index = group.index if isinstance(group, Recurrence) else None
            for equation in flat((group,)):
                _check_equation(self, equation)
                _check_order(equation, index)
        for label, equations in self.defined.items():
            _check_reductions(label, equations)

    @cached_property
    def by_label(self) -> dict[Symbol, Tensor]:
        return {tensor.label: tensor for tensor in self.tensors}

    @cached_property
    def flat(self) -> tuple[Equation, ...]:
        """All equations in order, those inside recurrences included."""
        return tuple(flat(self.equations))

    @cached_property
    def defined(self) -> dict[Symbol, tuple[Equation, ...]]:
        """The equations that define each tensor, by its label."""
        found: dict[Symbol, list[Equation]] = {}
        for equation in self.flat:
            found.setdefault(equation.label, []).append(equation)
        return {label: tuple(equations) for label, equations in found.items()}

    @cached_property
    def gathers(self) -> frozenset[Symbol]:
        """The labels of the tensors that occur inside subscripts: they hold integers."""
        return frozenset(
            label_of(inner)
            for equation in self.flat
            for access in (equation.target, *equation.reads)
            for subscript in subscripts_of(access)
            for inner in accesses(subscript)
            if self.tensor(inner) is not None
        )

    @cached_property
    def integers(self) -> frozenset[Symbol]:
        """The labels of the tensors that hold whole numbers: those inside subscripts, counters."""
        return self.gathers | {tensor.label for tensor in self.with_role("counter")}

    @cached_property
    def assigned(self) -> frozenset[Symbol]:
        """The tensors that some equation assigns: they may hold another value later."""
        return frozenset(e.label for e in self.flat if e.reduce == "set")

    @cached_property
    def sequential(self) -> frozenset[Idx]:
        """The indices of recurrences."""
        return frozenset(e.index for e in self.equations if isinstance(e, Recurrence))

    @cached_property
    def sizes(self) -> tuple[Symbol, ...]:
        """The symbolic extents (the batch size, ...), by name."""
        found = {
            symbol
            for tensor in self.tensors
            for size in tensor.shape
            for symbol in size.free_symbols
        }
        for equation in self.flat:
            found.update(
                symbol for index in equation.loops for symbol in extent(index).free_symbols
            )
        return tuple(sorted(found, key=str))

    def tensor(self, access: Expr) -> Tensor | None:
        """The tensor that an access belongs to; None for a size."""
        return self.by_label.get(label_of(access))

    def named(self, name: str, order: int = 0) -> Tensor:
        """The tensor of that name."""
        for tensor in self.tensors:
            if (tensor.name, tensor.order) == (name, order):
                return tensor
        raise DeclarationError(
            f"no tensor {name!r} of order {order}; there are {[t.name for t in self.tensors]}"
        )

    def with_role(self, role: str) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.role == role)

    @cached_property
    def preactivations(self) -> tuple[Tensor, ...]:
        """The tensors that layers declare to be the input of their activation, in order."""
        found = dict.fromkeys(e.label for e in self.flat if e.origin.step == PREACTIVATION)
        return tuple(self.by_label[label] for label in found)

    def __add__(self, other: Program) -> Program:
        known = set(self.equations)
        return replace(
            self,
            tensors=tuple(dict.fromkeys((*self.tensors, *other.tensors))),
            equations=self.equations + tuple(e for e in other.equations if e not in known),
            outputs=tuple(dict.fromkeys((*self.outputs, *other.outputs))),
            facts=tuple(dict.fromkeys((*self.facts, *other.facts))),
        )

    def __str__(self) -> str:
        from symprop.printers.index import program_text

        return program_text(self)

    def _document(self) -> tuple[Item, ...]:
        from symprop.printers.document import formulas_of
        from symprop.printers.index import program_lines

        return formulas_of(program_lines(self))

    __repr__ = __str__


def _check_names(program: Program) -> None:
    if len(program.by_label) != len(program.tensors):
        names = [str(tensor.label) for tensor in program.tensors]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DeclarationError(
            f"two different tensors are called {', '.join(twice)}; give each its own name"
        )
    clash = {size.name for size in program.sizes} & {label.name for label in program.by_label}
    if clash:
        raise DeclarationError(f"{min(clash)} is both a tensor and a size; rename the tensor")


def _check_equation(program: Program, equation: Equation) -> None:
    for access in (equation.target, *equation.reads):
        tensor = program.tensor(access)
        if tensor is None:
            if isinstance(access, Indexed) or access not in program.sizes:
                raise DeclarationError(
                    f"{equation}: {access} is not a tensor of the program{_at(equation)}; "
                    f"there are {[str(label) for label in program.by_label]}"
                )
        else:
            _check_access(equation, access, tensor, program.sequential)


@lru_cache(maxsize=65536)
def _check_access(
    equation: Equation, access: Expr, tensor: Tensor, sequential: frozenset[Idx]
) -> None:
    """Refuse wrong subscripts; kept, for passes leave most equations as they are."""
    subscripts = subscripts_of(access)
    if len(subscripts) != len(tensor.axes):
        raise ShapeError(
            f"{equation}: {tensor.name} has {len(tensor.axes)} axes but {len(subscripts)} "
            f"subscripts{_at(equation)}"
        )
    for axis, subscript in zip(tensor.axes, subscripts, strict=True):
        _check_bounds(equation, tensor, axis, subscript, subscript in sequential)


def _check_order(equation: Equation, step: Idx | None) -> None:
    """Refuse what depends on the order of the loop points; ``step`` is the recurrence's index."""
    if equation.reduce == "set" and set(equation.over) - {step}:
        raise DeclarationError(
            f"{equation}: reduce='set' would assign each element once for every {equation.over[0]}"
            f"{_at(equation)}; use reduce='sum' or 'max'"
        )
    for access in accesses(equation.value):
        if label_of(access) != equation.label or access == equation.target:
            continue
        if step is None or not steps_until(access, equation.target, step):
            raise DeclarationError(
                f"{equation}: reads {access} of its own target{_at(equation)}; write into a tensor "
                "of its own, or let a Recurrence lead from one step to the next"
            )


def _check_reductions(label: Symbol, equations: tuple[Equation, ...]) -> None:
    """A maximum starts from −∞, everything else from 0: a tensor cannot be both."""
    if len({equation.reduce == "max" for equation in equations}) > 1:
        raise DeclarationError(
            f"{label} is both a maximum and not:\n"
            + "\n".join(f"    {equation}" for equation in equations)
            + "\ngive the maximum a tensor of its own"
        )


def _check_bounds(
    equation: Equation, tensor: Tensor, axis: Idx, subscript: Expr, sequential: bool
) -> None:
    if (
        isinstance(subscript, Idx) and not sequential
    ):  # steps may be fewer than states: h[t], h[t + 1]
        if extent(subscript) != extent(axis):
            raise ShapeError(
                f"{equation}: index {subscript} has extent {extent(subscript)}, but axis {axis} "
                f"of {tensor.name} has "
                f"extent {extent(axis)}{_at(equation)}; the two must be equal"
            )
        return
    bounds = subscript_bounds(subscript)
    if bounds is None:
        if not subscript.atoms(Indexed) and not subscript.is_integer:
            raise DeclarationError(
                f"{equation}: subscript {subscript} of {tensor.name} is no whole "
                f"number{_at(equation)}"
            )
        return
    low, high = bounds
    if (low < 0) == True or (high - axis.upper > 0) == True:  # noqa: E712 (SymPy: an undecided relation is no bool)
        raise ShapeError(
            f"{equation}: subscript {subscript} runs from {low} to {high}, outside axis {axis} "
            f"of {tensor.name} of "
            f"extent {extent(axis)}{_at(equation)}"
        )


def _at(equation: Equation) -> str:
    return f" (in {equation.origin})" if str(equation.origin) else ""
