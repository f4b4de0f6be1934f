"""Memory for the tensors of a schedule, planned once: tensors that are never needed at the same
time share it.

Every array begins at a multiple of a cache line. Arrays do not all begin at multiples of a page:
loops over several would meet in the same lines of the nearest cache. Steps of Adam, whose arrays
are of equal size, took up to 12 % longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from sympy import Symbol

from symprop.backends import Array
from symprop.steps import Divided, Rows, Schedule, Step, touched
from symprop.tensor import Tensor, label_of

LINE, PAGE = 64, 4096
GAP = 5 * LINE
"""Bytes between arrays: an odd number of cache lines."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Life:
    """The first and the last step that use a tensor."""

    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both are needed in some step."""
        return self.first <= other.last and other.first <= self.last


def lives(plan: Schedule, kept: Collection[Symbol], together: bool = False) -> dict[Symbol, Life]:
    """When each tensor is needed; those that are ``kept`` to the end.

    A tensor for the whole batch, or a sum that grows from block to block, is needed in all of a
    block's steps; what lives in a block only, from its first use there to its last. Where threads
    work ``together`` they may be at different steps until all have done their blocks: what is for
    all of them is needed from the end of the blocks before to the end of those after. Divided sums
    are added up before they are used.
    """
    local = {tensor.label for tensor in plan.local}
    found: dict[Symbol, Life] = {}
    end, waiting = 0, set[Symbol]()
    for members in _numbered(plan.steps, together):
        numbers = [number for number, _ in members]
        for label in waiting:
            found[label] = Life(found[label].first, numbers[-1])
        waiting = set(_added_later([step for _, step in members]))
        for number, step in members:
            for label in touched(step):
                life = Life(number, number) if label in local else Life(numbers[0], numbers[-1])
                before = found.get(label, life)
                found[label] = Life(min(before.first, life.first), max(before.last, life.last))
        end = numbers[-1]
    return {
        label: Life(life.first, end if label in kept else life.last)
        for label, life in found.items()
    }


def _added_later(steps: Sequence[Step]) -> Iterator[Symbol]:
    """The sums of other parts that are added up after these steps: none of them uses the result."""
    for step in steps:
        if isinstance(step, Divided):
            result = label_of(step.product.target)
            if not any(result in touched(other) for other in steps if other is not step):
                yield label_of(step.others)


def _numbered(steps: Iterable[Step], together: bool) -> Iterator[list[tuple[int, Step]]]:
    """The steps with their numbers, those of blocks together, or all up to the end of blocks."""
    count, found = 0, list[tuple[int, Step]]()
    for step in steps:
        members = step.steps if isinstance(step, Rows) else (step,)
        found += enumerate(members, count)
        count += len(members)
        if isinstance(step, Rows) or not together:
            yield found
            found = []
    if found:
        yield found


def arrays(
    shapes: Mapping[Tensor, Shape], types: Mapping[Tensor, Any], found: Mapping[Symbol, Life]
) -> dict[str, Array]:
    """An array for each tensor, by label, all in one piece of memory; ``found`` says when each is
    needed, one that is not there always.
    """
    always = Life(0, max((life.last for life in found.values()), default=0))
    sizes = {t: prod(shape) * np.dtype(types[t]).itemsize for t, shape in shapes.items()}
    placed: list[tuple[int, int, Life]] = []
    starts: dict[Tensor, int] = {}
    for tensor in sorted(shapes, key=lambda t: (-sizes[t], str(t.label))):
        life, size = found.get(tensor.label, always), sizes[tensor]
        starts[tensor] = start = _free(placed, life, size)
        placed.append((start, start + size, life))
    memory = aligned(max((end for _, end, _ in placed), default=0))
    return {
        str(t.label): memory[starts[t] : starts[t] + sizes[t]].view(types[t]).reshape(shape)
        for t, shape in shapes.items()
    }


def _free(placed: list[tuple[int, int, Life]], life: Life, size: int) -> int:
    """The first place where nothing lies that is needed at the same time."""
    start = 0
    for low, high, other in sorted(placed, key=lambda found: found[:2]):
        if life.meets(other) and low < start + size + GAP and start < high + GAP:
            start = -(-(high + GAP) // LINE) * LINE
    return start


def aligned(size: int, place: int = 0) -> Array:
    """So many bytes that begin at a place of a page."""
    memory = np.empty(size + PAGE, np.uint8)
    start = (place - memory.ctypes.data) % PAGE
    return memory[start : start + size]


def copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same numbers, each array in memory of its own, from another line of a page on."""
    return {label: moved(array, n * GAP) for n, (label, array) in enumerate(arrays.items())}


def moved(array: Array, place: int) -> Array:
    """The same numbers from a place of a page on, at the beginning of a cache line."""
    memory = aligned(array.nbytes, place % PAGE // LINE * LINE)
    result: Array = memory.view(array.dtype).reshape(array.shape)
    result[...] = array
    return result
