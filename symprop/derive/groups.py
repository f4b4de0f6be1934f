"""Layers that repeat: found by their equations, told once for layer l.

Two layers are alike where their equations are the same up to the layer's number in the names of
tensors and to sizes. The first layer reads x where others read a⁽ˡ⁻¹⁾, the last gives ŷ where
others give a⁽ˡ⁾: one such name may differ, and is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sympy import Expr, Symbol

from symprop.equation import Equation
from symprop.tensor import label_of

FEWEST = 3
"""Fewer layers than this are told one by one."""


@dataclass(frozen=True)
class Block:
    """The equations of one layer, with its number."""

    number: int
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class Run:
    """The layers from ``first`` to ``last``, told by the equations of the layer ``told``.

    ``exceptions`` are labels that stand in a layer for what the general one would have there:
    (layer, label there, label in the told layer).
    """

    first: int
    last: int
    told: int
    exceptions: tuple[tuple[int, str, str], ...] = ()

    def symbolic(self, label: str) -> str:
        """The name in layer l of a tensor of the told layer: a2 is a(l-1) where 3 is told."""
        return NUMBERED.sub(
            lambda found: f"{found[1]}({_offset(int(found[2]) - self.told)})", label
        )

    def in_layers(self, label: str) -> list[str]:
        """The names in each layer of the run of what is called so in the told layer."""
        return [self.in_layer(label, layer) for layer in range(self.first, self.last + 1)]

    def in_layer(self, label: str, layer: int) -> str:
        """The name in one layer of what is called so in the told layer."""
        for number, there, general in self.exceptions:
            if number == layer and label == general:
                return there
        steps = layer - self.told
        return NUMBERED.sub(lambda found: f"{found[1]}{int(found[2]) + steps}", label)

    def told_label(self, label: str) -> str:
        """The label of the told layer that corresponds to one of a layer of the run."""
        for _, there, general in self.exceptions:
            if label == there:
                return general
        found = NUMBERED.match(label)
        inside = found and self.first <= int(found[2]) <= self.last
        return NUMBERED.sub(lambda f: f"{f[1]}{self.told}", label, count=1) if inside else label


NUMBERED = re.compile(r"(?<![A-Za-z0-9′])([A-Za-z]+)(\d+)(?=$|[_′])")
"""Letters and a layer number at the start of a name or after an underscore."""


def _offset(steps: int) -> str:
    return "l" if steps == 0 else f"l{steps:+d}"


def runs(blocks: Sequence[Block]) -> list[tuple[Block, Run | None]]:
    """The blocks to tell: one for each run of layers that are alike, every other one by itself."""
    told: list[tuple[Block, Run | None]] = []
    rest = list(blocks)
    while rest:
        alike = _leading(rest)
        if len(alike) >= FEWEST:
            told.append(_run(alike))
        else:
            alike = alike[:1]
            told.append((alike[0], None))
        rest = rest[len(alike) :]
    return told


def _leading(blocks: Sequence[Block]) -> list[Block]:
    """The blocks at the start whose layers follow each other and are alike."""
    found = [blocks[0]]
    for block in blocks[1:]:
        consecutive = abs(block.number - found[-1].number) == 1
        if not consecutive or _difference(block, found[-1]) is None:
            break
        found.append(block)
    return found


def _run(alike: list[Block]) -> tuple[Block, Run]:
    """The run, told by its most general layer: the one with the most numbered names."""
    general = max(alike[1:-1], key=lambda block: _numbered_names(block))
    numbers = [block.number for block in alike]
    exceptions = tuple(
        (block.number, *pair)
        for block in sorted(alike, key=lambda block: block.number)
        for pair in _difference(block, general) or ()
    )
    return general, Run(min(numbers), max(numbers), general.number, exceptions)


def _numbered_names(block: Block) -> int:
    return sum(bool(NUMBERED.match(label)) for label in _labels(block))


def _labels(block: Block) -> list[str]:
    found = (label_of(a) for e in block.equations for a in (e.target, *e.reads))
    return list(dict.fromkeys(map(str, found)))


def _difference(block: Block, other: Block) -> tuple[tuple[str, str], ...] | None:
    """The names in which two blocks differ, (here, there); None where they are not alike."""
    one, two = _abstract(block), _abstract(other)
    if one == two:
        return ()
    here = [label for label in _relative(block) if label not in _relative(other)]
    there = [label for label in _relative(other) if label not in _relative(block)]
    if len(here) != 1 or len(there) != 1:
        return None
    renamed = {Symbol(here[0]): Symbol(there[0])}
    if tuple(value.xreplace(renamed) for value in one) != two:
        return None
    return ((_relative(block)[here[0]], _relative(other)[there[0]]),)


@lru_cache(maxsize=4096)
def _relative(block: Block) -> dict[str, str]:
    """The names of a block's tensors relative to its number, each with the name itself."""
    return {_relative_name(label, block.number): label for label in _labels(block)}


def _relative_name(label: str, number: int) -> str:
    return NUMBERED.sub(lambda found: f"{found[1]}({_offset(int(found[2]) - number)})", label)


@lru_cache(maxsize=4096)
def _abstract(block: Block) -> tuple[Expr, ...]:
    """Targets, values and summed indices with relative names and without extents."""
    names: dict[Expr, Expr] = {
        Symbol(label): Symbol(relative) for relative, label in _relative(block).items()
    }
    found: list[Expr] = []
    for equation in block.equations:
        letters = {index: Symbol(f"index {index.label}") for index in equation.loops}
        parts = (equation.target, equation.value, *equation.over)
        found += (part.xreplace({**names, **letters}) for part in parts)
        found.append(Symbol(equation.reduce))
    return tuple(found)


def layer_number(name: str) -> int:
    """The number at the end of a layer's name; −1 where it has none."""
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else -1


def label_number(label: str) -> int:
    """The layer number in a tensor's name; −1 where it has none."""
    found = NUMBERED.match(label)
    return int(found[2]) if found else -1


def parameter_number(label: str) -> int:
    """The layer number in the name of a parameter, or of its state such as m_W1; −1 in no other."""
    found = NUMBERED.search(label)
    return int(found[2]) if found else -1


def blocks_of(pairs: Iterable[tuple[int, Equation]]) -> list[Block]:
    """Equations that come with the number of their layer, as one block for each number."""
    found: dict[int, list[Equation]] = {}
    for number, equation in pairs:
        found.setdefault(number, []).append(equation)
    return [Block(number, tuple(equations)) for number, equations in found.items()]
