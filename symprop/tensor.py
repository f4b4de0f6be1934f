"""Tensors: named arrays of numbers with one index per axis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

from sympy import Expr, Idx, Indexed, IndexedBase, Integer, Symbol

from symprop.errors import DeclarationError, ShapeError

Role = Literal[
    "input",
    "target",
    "parameter",
    "state",
    "counter",
    "scheduled",
    "noise",
    "intermediate",
    "constant",
]
ROLES: tuple[Role, ...] = get_args(Role)


@lru_cache(maxsize=16384)
def extent(index: Idx) -> Expr:
    """The number of values that an index takes: an Integer, or a Symbol such as m."""
    return index.upper - index.lower + 1


def check_from_zero(index: Idx, where: str) -> None:
    """Refuse an index that has no extent or does not start from 0."""
    if index.lower != 0:
        raise DeclarationError(
            f"{where}: index {index} runs from {index.lower} to {index.upper}; "
            f"expected one that runs from 0, such as Idx({str(index.label)!r}, 3)"
        )


@dataclass(frozen=True)
class Tensor:
    """A named array with one index per axis; without axes, a scalar.

    ``axes`` carry the extents (and the letters by which the axes are called when printed). ``role``
    says who gives the values: ``input`` and ``target`` the caller, ``parameter`` training,
    ``state`` the optimizer, ``counter`` too, in whole numbers, ``scheduled`` the caller for each
    step of training, ``noise`` a generator afresh at each step, ``intermediate`` and
    ``constant`` equations; differentiation stops at a ``constant``. ``init`` names how a parameter
    or state starts. ``order`` is 0 for a declared tensor and positive for a cotangent; it keeps the
    cotangents of different derivatives apart, whatever users call their tensors.

    >>> from sympy import Idx
    >>> W = Tensor("W", (Idx("j", 3), Idx("k", 2)), role="parameter")
    >>> W[Idx("j", 3), Idx("k", 2)]
    W[j, k]
    """

    name: str
    axes: tuple[Idx, ...] = ()
    role: Role = "intermediate"
    init: str | float | Callable[..., Any] | None = None
    order: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise DeclarationError(
                f"tensor name {self.name!r}: expected a letter followed by letters, digits and "
                "underscores"
            )
        if self.role not in ROLES:
            raise DeclarationError(
                f"tensor {self.name}: unknown role {self.role!r}; expected one of {ROLES}"
            )
        if len(set(self.axes)) != len(self.axes):
            raise DeclarationError(
                f"tensor {self.name}: two of its axes {self.axes} are the same index; "
                "give each axis an index of its own"
            )
        for axis in self.axes:
            check_from_zero(axis, f"tensor {self.name}")

    @cached_property
    def label(self) -> Symbol:
        """The SymPy symbol that stands for the tensor; a prime, which no name can hold, marks a
        cotangent.
        """
        return Symbol(self.name if self.order == 0 else f"{self.name}′{self.order}")

    @cached_property
    def shape(self) -> tuple[Expr, ...]:
        return tuple(extent(axis) for axis in self.axes)

    @cached_property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one row, where rows are samples."""
        return tuple(int(size) for size in self.shape[1:])

    def __getitem__(self, subscripts: Expr | tuple[Expr, ...]) -> Expr:
        """The element at the subscripts; ``tensor[()]`` is a scalar tensor's value."""
        subscripts = subscripts if isinstance(subscripts, tuple) else (subscripts,)
        if len(subscripts) != len(self.axes):
            raise ShapeError(
                f"tensor {self.name} has {len(self.axes)} axes, but {len(subscripts)} subscripts "
                f"were given: {subscripts}"
            )
        return IndexedBase(self.label)[subscripts] if subscripts else self.label

    def cotangent(self, offset: int) -> Tensor:
        """The tensor that collects the derivatives with respect to this one."""
        return replace(self, order=self.order + offset, role="intermediate", init=None)


def label_of(access: Expr) -> Symbol:
    """The label of the tensor that an access reads or writes."""
    return access.base.label if isinstance(access, Indexed) else access


def subscripts_of(access: Expr) -> tuple[Expr, ...]:
    return tuple(access.indices) if isinstance(access, Indexed) else ()


@lru_cache(maxsize=65536)
def accesses(value: Expr) -> tuple[Expr, ...]:
    """The elements that a value reads, each once, by name: ``Indexed`` and plain symbols, none
    inside a subscript.
    """
    return tuple(sorted(set(_walk_accesses(value)), key=_text))


@lru_cache(maxsize=65536)
def _text(access: Expr) -> str:
    return str(access)


def _walk_accesses(value: Expr) -> Iterator[Expr]:
    if isinstance(value, (Indexed, Symbol)):
        yield value
    elif not isinstance(value, Idx):
        for argument in value.args:
            yield from _walk_accesses(argument)


@lru_cache(maxsize=65536)
def indices(value: Expr) -> tuple[Idx, ...]:
    """The indices in an expression, subscripts included, in order of first occurrence."""
    return tuple(dict.fromkeys(_walk_indices(value)))


def _walk_indices(value: Expr) -> Iterator[Idx]:
    if isinstance(value, Idx):
        yield value
    else:
        for argument in value.args:
            yield from _walk_indices(argument)


def fresh_index(index: Idx, taken: set[Idx]) -> Idx:
    """An index of the same extent whose name none of the taken ones has; the same for the same
    arguments.
    """
    names = {str(other.label) for other in taken}
    stem, number = str(index.label).rstrip("0123456789"), 2
    name = str(index.label)
    while name in names:
        name, number = f"{stem}{number}", number + 1
    return renamed_index(index, name)


def renamed_index(index: Idx, name: str) -> Idx:
    return Idx(Symbol(name, integer=True), extent(index))


def subscript_bounds(subscript: Expr) -> tuple[Expr, Expr] | None:
    """The least and the greatest value of an affine subscript; None where it is not affine (a
    gather, say).
    """
    if subscript.atoms(Indexed):
        return None
    found = indices(subscript)
    low = high = start = subscript.xreplace({index: Integer(0) for index in found})
    steps = {index: subscript.coeff(index) for index in found}
    if (subscript - start - sum(step * index for index, step in steps.items())).expand() != 0:
        return None
    for index, step in steps.items():
        if not step.is_Integer:
            return None
        low, high = low + min(step, 0) * index.upper, high + max(step, 0) * index.upper
    return low, high


def steps_until(access: Expr, target: Expr, index: Idx) -> Expr | None:
    """How many values of the index after its read an element is written; None where that is not
    plain.

    In h[t + 1] ← h[t], element t is read at step t and written at step t − 1: the answer is −1.
    """
    for read, written in zip(subscripts_of(access), subscripts_of(target), strict=True):
        if indices(read) == indices(written) == (index,):
            rate = written.coeff(index)
            gap = (read - written).expand()
            if rate != 0 and gap.is_Integer:
                return gap / rate
    return None


def apart(one: Expr, other: Expr) -> bool:
    """Whether two accesses of a tensor never meet in an element: h[0] and h[t + 1]."""
    for first, second in zip(subscripts_of(one), subscripts_of(other), strict=True):
        a, b = subscript_bounds(first), subscript_bounds(second)
        if a and b and any((gap > 0) == True for gap in (a[0] - b[1], b[0] - a[1])):  # noqa: E712
            return True
    return False
