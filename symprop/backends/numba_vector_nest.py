"""A loop nest whose innermost loop runs in vectors, as the text of a function for Numba.

The loop takes as many numbers at a time as a vector holds; what remains comes after it, once, in
the lanes that it fills. A nest that is not of this kind (its innermost index is not the last
subscript, its extent is not known, it holds a function without a vector form) is left to plain
loops.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
from sympy import Expr, Idx, S, Symbol

from symprop.backends.numba_nest import INDENT, Kernel, NestWriter
from symprop.backends.numba_scalar import CALLS, RELATIONS, VECTORIZABLE, ScalarPrinter
from symprop.backends.numba_vector import LANES, shortest
from symprop.errors import LoweringError
from symprop.program import Program
from symprop.steps import Nest, Statement
from symprop.tensor import extent, indices, label_of, subscripts_of

START, STOP = Symbol("start", integer=True), Symbol("stop", integer=True)
SOME = "‡"
"""Stands in a line where the last, partly filled vector is handled otherwise than a whole one."""


class NoVectorsError(LoweringError):
    """A nest that cannot run in vectors."""


def vector_kernel(
    nest: Nest,
    program: Program,
    dtype: np.dtype[np.generic],
    lanes: int,
    own: Collection[str] = VECTORIZABLE,
    ranged: bool = False,
) -> Kernel | None:
    """The nest in vectors of so many lanes, or of the fewest that hold its inner loop; None where
    that does not work.

    With ``ranged``, its one loop runs from START to STOP, arguments of the kernel.
    """
    if not lanes or not nest.loops or not extent(nest.loops[-1]).is_Integer:
        return None
    size = int(extent(nest.loops[-1]))
    if size < 2 and not ranged:
        return None
    some = lanes if ranged else shortest(size, lanes)
    try:
        kernel = _VectorWriter(nest, program, dtype, some, own, ranged).write()
        return replace(kernel, decorator="vectors")
    except NoVectorsError:
        return None


class _VectorPrinter(ScalarPrinter):
    """Prints expressions whose values may be vectors; ``vectors`` are the variables that are."""

    vectors: set[Symbol]

    def _is_vector(self, node: Expr) -> bool:
        return bool(self.vectors & node.free_symbols)

    def _power(self, base: Expr, exponent: Expr) -> str:
        text = super()._power(base, exponent)
        if "math.pow" in text and (self._is_vector(base) or self._is_vector(exponent)):
            raise NoVectorsError(f"{base}**{exponent}")
        return text.replace("math.sqrt", "sqrt")

    def _function(self, node: Expr) -> tuple[str, int]:
        kind = type(node).__name__
        if kind in CALLS and kind not in self._own and self._is_vector(node):
            raise NoVectorsError(f"{kind} has no vector form")
        if kind == "Floor" and self._is_vector(node):
            raise NoVectorsError("a quotient has no vector form")
        if type(node) in RELATIONS:
            return self._where(self.condition(node), self.literal(S.One), self.literal(S.Zero)), 3
        return super()._function(node)

    def _where(self, condition: str, u: str, v: str) -> str:
        return f"where({condition}, {u}, {v})"

    def _choice(self, kind: str, node: Expr) -> str:
        """Sign, maximum and minimum compare as the interpreter does, NaN included."""
        if kind == "Select":
            condition, u, v = node.args
            return self._where(self.condition(condition), self._local(u), self._local(v))
        names, zero = [self._local(argument) for argument in node.args], self.literal(S.Zero)
        if kind == "Sign":
            (u,), one = names, self.literal(S.One)
            above, below = (self._where(f"{u} {r} {zero}", one, zero) for r in "><")
            return self._where(f"{u} == {u}", f"{above} - {below}", u)
        u, v = names
        chosen = f"{u} {'<=' if kind == 'Maximum' else '>='} {v}"
        if not node.args[1].is_number:
            chosen = f"either({chosen}, {v} != {v})"
        return self._where(chosen, v, u)


class _VectorWriter(NestWriter):
    """Writes a nest with vectors along its innermost index."""

    def __init__(
        self,
        nest: Nest,
        program: Program,
        dtype: np.dtype[np.generic],
        lanes: int,
        own: Collection[str],
        ranged: bool,
    ):
        super().__init__(nest, program, dtype, own)
        self._along, self._lanes, self._ranged = nest.loops[-1], lanes, ranged
        self._short = f", {lanes}" if lanes < LANES[dtype.name] else ""
        self._print = _VectorPrinter(dtype, self._local, own)
        self._print.vectors = self._vectors = set[Symbol]()
        for statement in nest.statements:
            for access in (statement.target, *statement.reads):
                self._is_along(access)

    def _is_along(self, access: Expr) -> bool:
        """Whether an element moves along memory with the vector index, one by one; NoVectorsError
        if it moves otherwise.
        """
        subscripts = subscripts_of(access)
        if self._along not in indices(access):
            return False
        tensor = self._program.by_label.get(label_of(access))
        shape = tensor.shape if tensor else ()
        last = max((n for n, size in enumerate(shape) if size != 1), default=len(shape) - 1)
        last = len(shape) - 1 if self._ranged else last
        one_by_one = last >= 0 and subscripts[last] == self._along
        others = (s for n, s in enumerate(subscripts) if n != last)
        if not one_by_one or any(self._along in indices(s) for s in others):
            raise NoVectorsError(f"{access} does not lie along {self._along}")
        if label_of(access) in self._program.integers:
            raise NoVectorsError(f"{access} holds whole numbers")
        return True

    def _place(self, access: Expr) -> str:
        """The arguments that say where an element lies."""
        picks = [self._integer(s) for s in subscripts_of(access)]
        where = picks[0] if len(picks) == 1 else f"({', '.join(picks)})"
        return f"{self._token(label_of(access))}, {where}"

    def _load(self, access: Expr) -> Symbol:
        if access == self._along:
            raise NoVectorsError(f"{access} is used as a number")
        fresh = access not in self._loaded
        symbol = super()._load(access)
        if fresh and not isinstance(access, Idx) and self._is_along(access):
            self._vectors.add(symbol)
        return symbol

    def _read(self, access: Expr) -> str:
        if isinstance(access, Idx) or not self._is_along(access):
            return super()._read(access)
        return f"load{SOME}({self._place(access)}{self._short})"

    def _values(self) -> list[Expr]:
        values = super()._values()
        for number, (statement, value) in enumerate(
            zip(self._nest.statements, values, strict=True)
        ):
            full = self._nest.depth(statement) == len(self._nest.loops)
            if full and (statement.reduce == "max" or not self._is_along(statement.target)):
                raise NoVectorsError(f"{statement.target} is not put along {self._along}")
            if full and self._vectors & value.free_symbols:
                self._vectors.add(Symbol(f"r_{number}"))
        return values

    def _define(self, symbol: Symbol, text: str, level: int) -> None:
        super()._define(symbol, text, level)
        if level == len(self._nest.loops):
            self._vectors.add(symbol)

    def _statement(self, number: int, statement: Statement, value: Expr, read: bool) -> None:
        depth, inner = self._nest.depth(statement), self._lines[-1]
        if depth < len(self._nest.loops):
            self._reduction(f"s_{number}", statement, value, depth)
            return
        text = self._text(value)
        if read or not statement.stored:
            inner.append(f"r_{number} = {text}")
            text = f"r_{number}"
        if statement.stored:
            inner.append(f"store{SOME}({self._place(statement.target)}, {text}{self._short})")

    def _reduction(self, name: str, statement: Statement, value: Expr, depth: int) -> None:
        """Σ or max over the inner loops in a vector, then over its lanes into the target."""
        element, largest = self._element(statement.target), statement.reduce == "max"
        start = self._print.literal(S.NegativeInfinity if largest else S.Zero)
        self._lines[depth] += [f"{name}_0 = every({start}{self._short})", f"{name} = {name}_0"]
        term = self._local_of(value) if largest else self._text(value)
        part = f"first{SOME}({term}, {name}_0)"
        if largest:
            part = self._part_name(part)
            found = f"where(either({part} > {name}, {part} != {part}), {part}, {name})"
        else:
            found = f"{name} + {part}"
        self._lines[-1].append(f"{name} = {found}")
        after = self._after[depth]
        if not largest:
            after.append(f"{element} {'=' if statement.fresh else '+='} total({name})")
        elif statement.fresh:
            after.append(f"{element} = largest({name})")
        else:
            after += [
                f"{name}_1 = largest({name})",
                f"if {name}_1 > {element} or {name}_1 != {name}_1:",
                f"{INDENT}{element} = {name}_1",
            ]

    def _part_name(self, text: str) -> str:
        name = f"p_{len(self._lines[-1])}"
        self._lines[-1].append(f"{name} = {text}")
        return name

    def _render(self, level: int) -> Iterable[str]:
        if level < len(self._nest.loops) - 1:
            yield from super()._render(level)
            return
        indent = INDENT * (level + 1)
        yield from (indent + line for line in self._lines[level])
        write = self._over_range if self._ranged else self._over_all
        yield from (indent + line for line in write(self._lines[level + 1]))
        yield from (indent + line for line in self._after[level])

    def _over_all(self, body: list[str]) -> Iterator[str]:
        """The loop over all vectors, the last of them partly filled."""
        size, index = int(extent(self._along)), self._token(self._along)
        whole, rest = size - size % self._lanes, size % self._lanes
        if whole:
            yield f"for {index} in range(0, {whole}, {self._lanes}):"
            yield from (INDENT + _whole(line) for line in body)
        if rest:
            yield f"{index} = {whole}"
            yield from (_some(line, str(rest)) for line in body)

    def _over_range(self, body: list[str]) -> Iterator[str]:
        """The loop over the vectors of a range."""
        index, start, stop = map(self._token, (self._along, START, STOP))
        yield f"whole = {stop} - ({stop} - {start}) % {self._lanes}"
        yield f"for {index} in range({start}, whole, {self._lanes}):"
        yield from (INDENT + _whole(line) for line in body)
        yield f"rest, {index} = {stop} - whole, whole"
        yield "if rest > 0:"
        yield from (INDENT + _some(line, "rest") for line in body)


def _whole(line: str) -> str:
    """A line for a vector that is filled."""
    line = re.sub(rf"first{SOME}\((.*), \w+\)$", r"\1", line)
    return line.replace(SOME, "")


def _some(line: str, count: str) -> str:
    """A line for a vector of which so many lanes are filled."""
    line = re.sub(rf"(load|store){SOME}\(", rf"\1_some({count}, ", line)
    return line.replace(f"first{SOME}(", f"first({count}, ")
