"""Index notation: equations as lines such as ``z1[b, j] = Σ_k W1[j, k]·x[b, k] + b1[j]``.

This file decides what stands on a line: which equations are one sum, what the indices are called,
what is pulled out in front of Σ. The spelling (``unicode``, ``latex``) is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sympy import Expr, Idx, Symbol

from symprop.equation import Equation, Recurrence
from symprop.printers.arrange import Arrange
from symprop.printers.signs import sums
from symprop.printers.spelling import name_parts
from symprop.printers.structure import ACTIVATIONS, Call, Names, plus
from symprop.printers.unicode import UnicodePrinter
from symprop.program import Program
from symprop.tensor import (
    Tensor,
    extent,
    indices,
    label_of,
    renamed_index,
    subscript_bounds,
    subscripts_of,
)

LETTERS = "kijlpqrsnuvwcdfgho"
"""The letters for summed indices, in the order in which they are taken."""


@dataclass(frozen=True)
class Line:
    """A relation (=, +=, ←) between nodes, for each value of the indices in ``each``.

    Without a target it continues the line before it.
    """

    target: Expr | None
    relation: str
    value: Expr
    each: tuple[Idx, ...] = ()
    equations: tuple[Equation, ...] = ()


@dataclass(frozen=True)
class Block:
    """The lines of a recurrence."""

    index: Idx
    last: Expr
    reverse: bool
    lines: tuple[Line, ...]


def equation_text(equation: Equation) -> str:
    """The equation as one line of text."""
    return "\n".join(text(lines((equation,), Names())))


def recurrence_text(recurrence: Recurrence) -> str:
    """The recurrence as a block of lines under its index."""
    return "\n".join(text(lines((recurrence,), Names())))


def program_text(program: Program) -> str:
    """All equations of a program, one line for each tensor."""
    return "\n".join(text(program_lines(program)))


def program_lines(program: Program) -> tuple[Line | Block, ...]:
    """The lines of all equations of a program, one for each tensor."""
    return lines(program.equations, names_of(program), program.by_label)


def text(found: Iterable[Line | Block], printer: UnicodePrinter | None = None) -> Iterator[str]:
    """Lines and blocks as text, the lines of a block indented."""
    spell = printer or UnicodePrinter()
    for item in found:
        if isinstance(item, Line):
            yield line_text(item, spell)
            continue
        index, last = spell.doprint(item.index), spell.doprint(item.last)
        ends = (last, "0") if item.reverse else ("0", last)
        yield f"for {index} = {ends[0]}, …, {ends[1]}:"
        yield from (f"    {line_text(line, spell)}" for line in item.lines)


def line_text(line: Line, spell: UnicodePrinter) -> str:
    """One line."""
    each = f"  for each {', '.join(map(spell.doprint, line.each))}" if line.each else ""
    target = "  " if line.target is None else f"{spell.doprint(line.target)} "
    return f"{target}{line.relation} {spell.doprint(line.value)}{each}"


def names_of(program: Program, given: Mapping[str, str] | None = None) -> Names:
    """The names of a program's tensors; a backward pass is named for the scalar it starts from."""
    scalars: dict[int, str] = {}
    for equation in program.flat:
        tensor = program.by_label[equation.label]
        if tensor.order and not tensor.axes and equation.value == 1:
            bit = 1 << (tensor.order.bit_length() - 1)
            rest = tensor.order - bit
            scalars.setdefault(bit, str(replace(tensor, order=rest).label))
    counts = (t for t in program.tensors if t.order and t.role == "constant")
    declared = (e for e in program.flat if not program.by_label[e.label].order)
    return Names(
        scalars,
        given or {},
        frozenset(str(tensor.label) for tensor in counts),
        frozenset(total for equation in declared for total in sums(equation.value)),
        frozenset(str(tensor.label) for tensor in program.with_role("target")),
        _activation(program),
    )


def _activation(program: Program) -> str:
    letters = {name_parts(str(tensor.label))[0] for tensor in program.tensors}
    return next((letter for letter in ACTIVATIONS if letter not in letters), ACTIVATIONS[0])


def lines(
    equations: Iterable[Equation | Recurrence],
    names: Names,
    tensors: Mapping[Symbol, Tensor] | None = None,
) -> tuple[Line | Block, ...]:
    """The lines of the equations, those that add up to one tensor on one line."""
    groups = tuple(_groups(equations, tensors or {}))
    writes: dict[Expr, list[_Group]] = {}
    for group in groups:
        for part in group.parts or (group,):
            writes.setdefault(part.label, []).append(part)
    return tuple(_item(group, names, writes) for group in groups)


@dataclass(frozen=True)
class _Group:
    """Equations that add up to the same elements; or a recurrence along a fixed index, in parts."""

    equations: tuple[Equation, ...] = ()
    fixed: Idx | None = None
    parts: tuple[_Group, ...] = ()
    reverse: bool = False

    @property
    def target(self) -> Expr:
        return self.equations[0].target

    @property
    def label(self) -> Expr:
        return self.equations[0].label

    @property
    def reduce(self) -> str:
        return self.equations[0].reduce


def _groups(
    equations: Iterable[Equation | Recurrence],
    tensors: Mapping[Symbol, Tensor],
    fixed: Idx | None = None,
) -> Iterator[_Group]:
    """Each sum, where its last term stands, unless something between needs what it is by then."""
    groups: dict[int, _Group] = {}
    growing: dict[Expr, dict[Expr, int]] = {}
    for position, item in enumerate(equations):
        inner = item.equations if isinstance(item, Recurrence) else (item,)
        _close(growing, inner, isinstance(item, Recurrence))
        if isinstance(item, Recurrence):
            parts = tuple(_groups(inner, tensors, item.index))
            groups[position] = _Group((), item.index, parts, item.reverse)
            continue
        equation = readable(item, tensors.get(item.label), fixed)
        sums = growing.setdefault(equation.label, {}) if equation.reduce == "sum" else {}
        earlier = groups.pop(sums[equation.target]).equations if equation.target in sums else ()
        sums[equation.target] = position
        groups[position] = _Group((*earlier, equation), fixed)
    yield from groups.values()


def _close(
    growing: dict[Expr, dict[Expr, int]], equations: tuple[Equation, ...], together: bool
) -> None:
    """End the sums that the equations read; all of them where a value is overwritten."""
    if any(equation.reduce == "set" for equation in equations):
        growing.clear()
    for equation in equations:
        for access in (*equation.reads, *([equation.target] if together else [])):
            growing.pop(label_of(access), None)


def readable(equation: Equation, tensor: Tensor | None, fixed: Idx | None = None) -> Equation:
    """The equation with the letters of its target's own axes, and others for summed indices."""
    letters = _axis_letters(equation, tensor)
    taken = {str(a) for a in equation.reads if not a.args} | {str(s) for s in _sizes(equation)}
    names: dict[Idx, Idx] = {}
    if fixed is not None:
        taken.add(fixed.label.name)
        names[fixed] = fixed
    for index in equation.loops:
        if index not in names:
            letter = _free(letters.get(index, index.label.name), taken)
            taken.add(letter)
            names[index] = renamed_index(index, letter)
    return equation.renamed(names)


def _axis_letters(equation: Equation, tensor: Tensor | None) -> dict[Idx, str]:
    pairs = zip(tensor.axes if tensor else (), subscripts_of(equation.target), strict=False)
    return {s: axis.label.name for axis, s in pairs if isinstance(s, Idx)}


def _sizes(equation: Equation) -> set[Symbol]:
    return {symbol for index in equation.loops for symbol in extent(index).free_symbols}


def _free(letter: str, taken: set[str]) -> str:
    """The letter if it is free, else the next letter that is, else the letter with a number."""
    stem = letter.rstrip("0123456789").strip("_") or "k"
    numbered = (f"{stem}{number}" for number in range(2, len(taken) + 3))
    free: str = next(name for name in (stem, *LETTERS, *numbered) if name not in taken)
    return free


def _item(group: _Group, names: Names, writes: Mapping[Expr, list[_Group]]) -> Line | Block:
    if group.fixed is not None and not group.equations:
        last = Arrange(names)(extent(group.fixed) - 1)
        inner = tuple(_line(part, names, writes) for part in group.parts)
        return Block(group.fixed, last, group.reverse, inner)
    return _line(group, names, writes)


def _line(group: _Group, names: Names, writes: Mapping[Expr, list[_Group]]) -> Line:
    arrange = Arrange(names, first=group.target if group.reduce == "set" else None)
    target = arrange(group.target)
    whole = _is_whole(group, writes.get(group.label, []))
    value = plus(_reduced(equation, arrange, group.fixed) for equation in group.equations)
    relation = "←" if group.reduce == "set" else "=" if whole else "+="
    if group.reduce == "max" and not whole:
        relation, value = "←", Call(Symbol("max"), target, value)
    return Line(target, relation, value, _each(group), group.equations)


def _reduced(equation: Equation, arrange: Arrange, fixed: Idx | None) -> Expr:
    """The value under its Σ or max."""
    over = [index for index in equation.over if index != fixed]
    return (
        arrange.reduction(equation.value, over, equation.reduce)
        if over
        else arrange(equation.value)
    )


def _is_whole(group: _Group, writes: list[_Group]) -> bool:
    """Whether the line alone defines the elements that it writes, each once."""
    free = [s for s in subscripts_of(group.target) if set(indices(s)) - {group.fixed}]
    if not all(isinstance(s, Idx) for s in free) or len(set(free)) != len(free):
        return False
    if group.fixed is not None and group.fixed not in indices(group.target):
        return False
    return all(other is group or _disjoint(group.target, other.target) for other in writes)


def _disjoint(first: Expr, second: Expr) -> bool:
    """Whether along some axis the subscripts of two accesses have ranges that do not meet."""
    for pair in zip(subscripts_of(first), subscripts_of(second), strict=True):
        bounds = [subscript_bounds(subscript) for subscript in pair]
        if None in bounds:
            continue
        (low, high), (other_low, other_high) = bounds  # type: ignore[misc]  # no None is left
        if (high < other_low) == True or (other_high < low) == True:  # noqa: E712 (SymPy relation)
            return True
    return False


def _each(group: _Group) -> tuple[Idx, ...]:
    """The indices that run inside composite subscripts of the target."""
    inside = [i for s in subscripts_of(group.target) if not isinstance(s, Idx) for i in indices(s)]
    return tuple(dict.fromkeys(index for index in inside if index != group.fixed))
