"""A loop nest as the text of a function for Numba. A 0-d tensor is an array of one element."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from sympy import Add, Expr, Idx, Indexed, S, Symbol, cse, numbered_symbols

from symprop.backends.numba_scalar import PRODUCTS, VECTORIZABLE, ScalarPrinter, subscript
from symprop.equation import Equation
from symprop.program import Program
from symprop.steps import Nest, Statement
from symprop.tensor import accesses, extent, indices, label_of, subscripts_of

INDENT = "    "
RESERVED = re.compile(
    r"[rsuvw]_\d+(_\d)?|i\d+|(nest|product|gather|fill|stage|phase)_\d+|np|math|numba|F|kernel|vectors|stage|entry|blas"
    r"|Alone|Apart|Entry|Sequence|OPTIONS|BLAS"
    r"|all_.*|.*_(part|parts|own)|run|predict|loss|gradients|train|begin_epoch|(product|strips|transpose)(32|64)(x\d)?"
    r"|p_\d+|at|row|either|every|fetch|largest|load|load_some|sqrt|store|store_some|total|where"
    r"|join|join_others|parts_used|share|sums_beside|others|wait|(start|stop|left|right)(_\d+)?|parts?|thread|threads|barrier|low|high|active"
    r"|first|last|stride|rows_all|order|seeds|losses|done|count|step|epoch|batch|begin|block|blocks|layer"
    r"|table_\d+|(line|matrix|cube)(32|64)|(rows|columns)_from|entry_at|least"
    r"|height|noise|noise_key|key_\d+|draw(32|64)"
    rf"|{'|'.join((*VECTORIZABLE, *PRODUCTS))}"
)
"""Names that generated code uses itself."""
AHEAD = 8
"""Rows between one that is read and one that is asked for, which is long on its way."""


class Names:
    """Python names for labels: distinct, none a keyword, a builtin or a name of generated code."""

    def __init__(self, labels: Iterable[object] = ()):
        self._names: dict[object, str] = {}
        self.labels: dict[str, object] = {}
        self.within_block = False
        for label in labels:
            self[label]

    def __getitem__(self, label: object) -> str:
        if label not in self._names:
            self._names[label] = self._free(_spelled(str(label)))
            self.labels[self._names[label]] = label
        return self._names[label]

    def but(self, other: Mapping[object, str], within_block: bool = True) -> Names:
        """The names inside a block of rows, say, some labels having others there."""
        inner = Names()
        inner._names = {**self._names, **other}
        inner.labels = {name: label for label, name in inner._names.items()}
        inner.within_block = within_block
        return inner

    def _free(self, name: str) -> str:
        while (
            name in self.labels
            or keyword.iskeyword(name)
            or hasattr(builtins, name)
            or RESERVED.fullmatch(name)
        ):
            name += "_"
        return name


def _spelled(label: str) -> str:
    """W1 → W1, its cotangent → d_W1, of second order → d2_W1, a part of its sum → part_W1."""
    name, _, order = label.partition("′")
    prefix = "" if not order else "part_" if order.startswith("-") else f"d{order}_"
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{'d_' if order == '1' else prefix}{name if name[:1].isalpha() else 'i_' + name}"


@dataclass(frozen=True)
class Kernel:
    """A function's body in tokens ‹0›, ‹1›, …, what these stand for first, which are parameters."""

    lines: tuple[str, ...]
    labels: tuple[Expr, ...]
    parameters: tuple[int, ...]
    notes: tuple[Equation | str, ...] = ()
    decorator: str = "kernel"

    @property
    def key(self) -> str:
        """Equal for kernels that differ in names only."""
        return "\n".join((str(self.parameters), *self.lines))

    @property
    def arguments(self) -> tuple[Expr, ...]:
        return tuple(self.labels[number] for number in self.parameters)

    def text(self, name: str) -> str:
        """The function, in the names of its first use."""
        names = Names(self.labels)
        body = (
            re.sub(r"‹(\d+)›", lambda found: names[self.labels[int(found[1])]], line)
            for line in self.lines
        )
        found = (note if isinstance(note, str) else comment(note) for note in self.notes)
        comments = dict.fromkeys(f"# {note}" for note in found)
        head = f"def {name}({', '.join(names[label] for label in self.arguments)}):"
        return "\n".join((*comments, f"@{self.decorator}", head, *body)) + "\n"


WORD = re.compile(r"\b[a-zA-Z_]\w*\b(?![(.])")
"""A word that is neither called nor has parts."""


@dataclass(frozen=True)
class Passage(Kernel):
    """Lines of an entry that may be a function: its tokens stand for all variables in them, which
    keep their names; those are parameters that are not assigned there.
    """

    @classmethod
    def of(cls, lines: Iterable[str], note: str) -> Passage:
        text = "\n".join(INDENT + line for line in lines)
        found = (word for word in WORD.findall(text) if not keyword.iskeyword(word))
        numbers = {word: n for n, word in enumerate(dict.fromkeys(found))}
        own = {word for line in text.splitlines() for word in WORD.findall(_assigned(line))}
        tokens = WORD.sub(
            lambda word: f"‹{numbers[word[0]]}›" if word[0] in numbers else word[0], text
        )
        given = (n for word, n in numbers.items() if word not in own)
        labels = tuple(map(Symbol, numbers))
        return cls(tuple(tokens.splitlines()), labels, tuple(given), (note,), "stage")

    @property
    def plain(self) -> Iterator[str]:
        """The lines as they were."""
        for line in self.lines:
            yield self._filled(line).removeprefix(INDENT)

    def text(self, name: str) -> str:
        """The function, in the names of its first use."""
        head = f"def {name}({', '.join(map(str, self.arguments))}):"
        comments = (f"# {note}" for note in self.notes)
        body = map(self._filled, self.lines)
        return "\n".join((*comments, f"@{self.decorator}", head, *body)) + "\n"

    def _filled(self, line: str) -> str:
        return re.sub(r"‹(\d+)›", lambda found: str(self.labels[int(found[1])]), line)


def _assigned(line: str) -> str:
    """The part of a line that names what it assigns."""
    loop, _, _ = line.partition(" in ")
    if loop.lstrip().startswith("for "):
        return loop
    names, equals, _ = line.partition(" = ")
    return names if equals else ""


class NestWriter:
    """Writes one nest: each element is read once, in the outermost loop where it is known."""

    def __init__(
        self,
        nest: Nest,
        program: Program,
        dtype: np.dtype[np.generic],
        own: Collection[str] = VECTORIZABLE,
    ):
        self._nest, self._program = nest, program
        self._tokens: dict[Expr, int] = {}
        self._lines: list[list[str]] = [[] for _ in range(len(nest.loops) + 1)]
        self._after: list[list[str]] = [[] for _ in range(len(nest.loops) + 1)]
        self._level: dict[Symbol, int] = {}
        self._pending: dict[Symbol, tuple[str, int]] = {}
        self._loaded: dict[Expr, Symbol] = {}
        self._locals: dict[Expr, str] = {}
        self._shared: dict[Symbol, Expr] = {}
        self._written = {statement.label for statement in nest.statements}
        self._print = ScalarPrinter(dtype, self._local, own)

    def write(self) -> Kernel:
        values = self._values()
        shared, values = cse(values, symbols=numbered_symbols("u_"))
        self._shared = dict(shared)
        for number, (statement, value) in enumerate(
            zip(self._nest.statements, values, strict=True)
        ):
            later = (*values[number + 1 :], *self._shared.values())
            self._statement(number, statement, value, Symbol(f"r_{number}") in _symbols(later))
        notes = dict.fromkeys(s.source for s in self._nest.statements)
        body = tuple(self._render(0))
        parameters = (n for label, n in self._tokens.items() if label not in self._nest.loops)
        return Kernel(body, tuple(self._tokens), tuple(parameters), tuple(notes))

    def _render(self, level: int) -> Iterable[str]:
        indent = INDENT * (level + 1)
        yield from (indent + line for line in self._lines[level])
        if level < len(self._nest.loops):
            index = self._nest.loops[level]
            yield f"{indent}for {self._token(index)} in range({self._integer(extent(index))}):"
            yield from self._render(level + 1)
            yield from (indent + line for line in self._after[level])
        elif not self._lines[level]:
            yield f"{indent}pass"

    def _token(self, label: Expr) -> str:
        return f"‹{self._tokens.setdefault(label, len(self._tokens))}›"

    def _integer(self, node: Expr) -> str:
        return subscript(node, self._integer_leaf)

    def _integer_leaf(self, leaf: Expr) -> str:
        held = isinstance(leaf, Indexed) or leaf in self._program.by_label
        return self._element(leaf) if held else self._token(leaf)

    def _element(self, access: Expr) -> str:
        """The text of an element of an array."""
        subscripts = ", ".join(self._integer(s) for s in subscripts_of(access)) or "0"
        return f"{self._token(label_of(access))}[{subscripts}]"

    def _values(self) -> list[Expr]:
        """The value of each statement in local variables, with what it adds to."""
        values, depth = [], len(self._nest.loops)
        for number, statement in enumerate(self._nest.statements):
            value = self._scalar(statement.value)
            if self._nest.depth(statement) == depth:
                if statement.reduce == "sum" and not statement.fresh:
                    value = Add(self._load(statement.target), value)
                result = Symbol(f"r_{number}")
                self._loaded[statement.target], self._level[result] = result, depth
            values.append(value)
        return values

    def _scalar(self, value: Expr) -> Expr:
        """A value with local variables for the elements, sizes and indices that it reads."""
        found = {access: self._load(access) for access in accesses(value)}
        value = value.xreplace(found)
        return value.xreplace({index: self._load(index) for index in indices(value)})

    def _load(self, access: Expr) -> Symbol:
        if access not in self._loaded:
            symbol = Symbol(f"v_{len(self._pending)}")
            self._loaded[access] = symbol
            self._pending[symbol] = (self._read(access), self._depth(access))
        return self._loaded[access]

    def _read(self, access: Expr) -> str:
        if isinstance(access, Idx) or access in self._program.sizes:
            return f"F({self._token(access)})"
        text = self._element(access)
        return f"F({text})" if label_of(access) in self._program.integers else text

    def _depth(self, access: Expr) -> int:
        """The loop where an element is known; what the nest writes is read at the point itself."""
        if label_of(access) in self._written:
            return len(self._nest.loops)
        known = set(indices(access))
        return max((n for n, i in enumerate(self._nest.loops, start=1) if i in known), default=0)

    def _text(self, value: Expr) -> str:
        self._require(value)
        return self._print(value)

    def _require(self, value: Expr) -> None:
        """Define the variables that a value uses."""
        for symbol in sorted(_symbols((value,)), key=str):
            if symbol in self._level:
                continue
            if symbol in self._pending:
                text, level = self._pending[symbol]
                self._define(symbol, text, level)
            else:
                shared = self._shared[symbol]
                self._define(symbol, self._text(shared), self._deepest(shared))

    def _define(self, symbol: Symbol, text: str, level: int) -> None:
        self._level[symbol] = level
        self._lines[level].append(f"{symbol} = {text}")

    def _deepest(self, value: Expr) -> int:
        return max((self._level.get(symbol, 0) for symbol in _symbols((value,))), default=0)

    def _local(self, value: Expr) -> str:
        """The name of a variable that holds a value."""
        if isinstance(value, Symbol):
            return str(value)
        if value.is_Number or value.is_NumberSymbol:
            return self._print.literal(value)
        if value not in self._locals:
            text = self._print(value)
            symbol = Symbol(f"w_{len(self._locals)}")
            self._locals[value] = str(symbol)
            self._define(symbol, text, self._deepest(value))
        return self._locals[value]

    def _statement(self, number: int, statement: Statement, value: Expr, read: bool) -> None:
        depth, inner = self._nest.depth(statement), self._lines[-1]
        if statement.label in self._program.integers:
            element = self._element(statement.target)
            inner.append(f"{element} = {self._integer(statement.value)}")
            inner += [f"r_{number} = F({element})"] if read else []
        elif depth < len(self._nest.loops):
            self._reduction(f"s_{number}", statement, value, depth)
        elif statement.reduce == "max" and not statement.fresh:
            name, element = self._local_of(value), self._element(statement.target)
            inner += [f"if {name} > {element} or {name} != {name}:", f"{INDENT}{element} = {name}"]
        else:
            text = self._text(value)
            if read or not statement.stored:
                inner.append(f"r_{number} = {text}")
                text = f"r_{number}"
            if statement.stored:
                inner.append(f"{self._element(statement.target)} = {text}")

    def _local_of(self, value: Expr) -> str:
        self._require(value)
        return self._local(value)

    def _reduction(self, name: str, statement: Statement, value: Expr, depth: int) -> None:
        """Σ or max over the inner loops in a local variable, then into the target."""
        inner, element = self._lines[-1], self._element(statement.target)
        largest = statement.reduce == "max"
        start = self._print.literal(S.NegativeInfinity if largest else S.Zero)
        self._lines[depth].append(f"{name} = {start}")
        if not largest:
            inner.append(f"{name} += {self._text(value)}")
            self._after[depth].append(f"{element} {'=' if statement.fresh else '+='} {name}")
            return
        term = self._local_of(value)
        inner.append(f"if {term} > {name} or {term} != {term}:")
        inner.append(f"{INDENT}{name} = {term}")
        if not statement.fresh:
            self._after[depth].append(f"if {name} > {element} or {name} != {name}:")
        lead = "" if statement.fresh else INDENT
        self._after[depth].append(f"{lead}{element} = {name}")


def gather_kernel(sizes: Sequence[int], ranged: bool = False) -> Kernel:
    """into[i, …] = data[picks[start + i], …] for rows of these sizes; ``ranged``, from number low
    of a row to high, of one axis.

    The rows lie anywhere in memory, so that each is asked for some rows before it is read. Indices
    are unsigned: for others, Numba asks at each whether it counts from the end.
    """
    ends = ["np.uintp(‹5›), np.uintp(‹6›)"] if ranged else [f"np.uintp({m})" for m in sizes]
    rows = "columns_from(‹0›, ‹5›)" if ranged else "‹0›"
    lines = [
        "last = np.uintp(‹1›.size - 1)",
        "for i0 in range(np.uintp(‹3›)):",
        f"{INDENT}at = np.uintp(‹2›) + i0",
        f"{INDENT}row = np.uintp(‹1›[at])",
        f"{INDENT}fetch({rows}, np.uintp(‹1›[min(at + np.uintp({AHEAD}), last)]), {prod(sizes)})",
        *(f"{INDENT * n}for i{n} in range({end}):" for n, end in enumerate(ends, 1)),
    ]
    inner = [f"i{n}" for n in range(1, len(sizes) + 1)]
    target, source = (", ".join((row, *inner)) for row in ("i0", "row"))
    lines.append(f"{INDENT * (len(sizes) + 1)}‹4›[{target}] = ‹0›[{source}]")
    names = ("data", "picks", "start", "number", "into", *(("low", "high") if ranged else ()))
    labels, every = tuple(map(Symbol, names)), tuple(range(len(names)))
    note = "into[i, …] = data[picks[start + i], …]"
    return Kernel(tuple(INDENT + line for line in lines), labels, every, (note,))


def _symbols(values: Iterable[Expr]) -> set[Symbol]:
    return {symbol for value in values for symbol in value.free_symbols}


def comment(equation: Equation) -> str:
    """The formula that a kernel implements, with its origin, in one printable line."""
    text = f"{equation.origin}: {equation}" if str(equation.origin) else str(equation)
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
