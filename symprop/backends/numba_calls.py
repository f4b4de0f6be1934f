"""Sequences of kernel calls that repeat, as those of equal layers do.

What Numba needs for a function grows faster than its length. A sequence that repeats becomes a
function of its own, compiled once, so that a deep network compiles in little more time than a
shallow one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sympy import Symbol

from symprop.backends.numba_nest import INDENT, Kernel

Kind = Callable[[str], object]
OFTEN, LONGEST = 3, 120
"""How often a sequence must repeat, and how many calls it may have."""


@dataclass(frozen=True)
class Call:
    """A call of a kernel; the arguments are text."""

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"


def repeated(
    calls: Sequence[Call], kind: Kind, often: int = OFTEN
) -> Iterator[list[Sequence[Call]]]:
    """The calls in order, cut into sequences that are equal up to arguments of the same ``kind``,
    as often as they follow one another; a call that does not repeat ``often`` times comes alone.
    """
    names, start = [call.name for call in calls], 0
    while start < len(calls):
        length = count = 1
        for n in range(1, min(LONGEST, (len(calls) - start) // often) + 1):
            if count > 1 and n % length == 0:  # the same over again
                continue
            if names[start : start + n] == names[start + n : start + 2 * n]:
                times = _count(calls, start, n, kind)
                if (times - 1) * n > (count - 1) * length:
                    length, count = n, times
        if count < often:
            length = count = 1
        yield [calls[start + n * length : start + (n + 1) * length] for n in range(count)]
        start += count * length


def _count(calls: Sequence[Call], start: int, length: int, kind: Kind) -> int:
    """How often the sequence of this length that starts here comes in a row."""
    first, count = _shape(calls[start : start + length], kind), 1
    while _shape(calls[start + count * length : start + (count + 1) * length], kind) == first:
        count += 1
    return count


def _shape(calls: Sequence[Call], kind: Kind) -> tuple[object, ...]:
    """The calls with their arguments numbered in order of first occurrence, and of what kind these
    are.
    """
    arguments = arguments_of(calls)
    numbers = {argument: n for n, argument in enumerate(arguments)}
    shapes = ((call.name, tuple(map(numbers.__getitem__, call.arguments))) for call in calls)
    return (*shapes, *map(kind, arguments))


def arguments_of(calls: Sequence[Call]) -> tuple[str, ...]:
    """The arguments of the calls, each once."""
    return tuple(dict.fromkeys(argument for call in calls for argument in call.arguments))


def stage_kernel(calls: Sequence[Call]) -> Kernel:
    """The calls as a function of their arguments."""
    labels = arguments_of(calls)
    tokens = {label: f"‹{n}›" for n, label in enumerate(labels)}
    lines = (
        f"{INDENT}{Call(call.name, tuple(tokens[label] for label in call.arguments))}"
        for call in calls
    )
    numbers = tuple(range(len(labels)))
    note = ("What equal layers repeat.",)
    return Kernel(tuple(lines), tuple(map(Symbol, labels)), numbers, note, "stage")
