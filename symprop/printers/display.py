"""Formulas as the rows of one LaTeX alignment, broken to the width there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from symprop.printers.breaking import INDENT, broken, cut
from symprop.printers.document import Formulas, Item, Row
from symprop.printers.index import Block, Line
from symprop.printers.latex import RELATIONS, LatexPrinter
from symprop.printers.width import TALL, text_width, width

CAPTION = 6.5
"""The width of the column in which captions stand, in em."""
TARGET = 0.3
"""The part of the width that the left sides of formulas may take; wider ones get their own row."""
NOTE = 0.9
"""The size of a note's type."""
FRAMED = 36
"""The lines that a frame may be high; it cannot break across pages."""


@dataclass(frozen=True)
class Words:
    """How the words beside formulas are written: captions, notes, numbers and functions' names."""

    spell: LatexPrinter
    caption: Callable[[str], str]
    note: Callable[[str], str]
    plain: Callable[[str], str]


@dataclass(frozen=True)
class Shown:
    """One row of an alignment: words at left, the two sides of a formula, words at right.

    ``left`` and ``right`` are LaTeX, ``caption``, ``note`` and ``number`` are prose. A row that
    ``opens`` begins a group of formulas.
    """

    right: str
    left: str = ""
    caption: str = ""
    note: str = ""
    number: str = ""
    opens: bool = False


def grouped(items: Iterable[Item]) -> Iterator[Item | tuple[Formulas, ...]]:
    """The items, plain formulas that follow each other as one group, each result by itself."""
    group: list[Formulas] = []
    for item in items:
        if isinstance(item, Formulas):
            if not item.rows:
                continue
            if group and (item.important or group[-1].important):
                yield tuple(group)
                group = []
            group.append(item)
            continue
        if group:
            yield tuple(group)
            group = []
        yield item
    if group:
        yield tuple(group)


def alignment(group: tuple[Formulas, ...], words: Words, room: float) -> Iterator[str]:
    """The lines of a display whose relations stand under each other; a frame around results."""
    framed = group[0].important
    rows = shown(group, words.spell, room - (3 if framed else 0))
    if framed and sum(map(_height, rows)) <= FRAMED:
        yield from _framed(rows, words)
        return
    captions = any(row.caption for row in rows)
    kind, columns = ("alignat*", "{2}") if captions else ("align*", "")
    yield rf"\begin{{{kind}}}{columns}"
    yield stacked(rows, [row_text(row, words, captions) + _tag(row, words) for row in rows])
    yield rf"\end{{{kind}}}"


def _height(row: Shown) -> float:
    """About how many lines of text a row is high."""
    cases = row.right.count(r"\\")
    return 1.5 + 1.5 * bool(TALL.search(row.left + row.right)) + 1.5 * cases


def _framed(rows: list[Shown], words: Words) -> Iterator[str]:
    """One number stands outside the frame, several stand inside."""
    captions = any(row.caption for row in rows)
    numbered = [row for row in rows if row.number]
    outside = _tag(numbered[0], words) if len(numbered) == 1 else ""
    texts = [row_text(row, words, captions, inside=not outside) for row in rows]
    yield from (r"\begin{equation*}", r"\boxed{\begin{aligned}", stacked(rows, texts))
    yield from (rf"\end{{aligned}}}}{outside}", r"\end{equation*}")


def row_text(row: Shown, words: Words, captions: bool, inside: bool = False) -> str:
    """The columns of one row; its number as words where it stands ``inside`` a frame."""
    caption = f"& {words.caption(row.caption) if row.caption else ''} & " if captions else ""
    parts = [row.right, words.note(row.note) if row.note else ""]
    parts.append(rf"\text{{({words.plain(row.number)})}}" if inside and row.number else "")
    right = r" \quad ".join(filter(None, parts))
    return f"{caption}{row.left} &{right}"


def _tag(row: Shown, words: Words) -> str:
    return rf" \tag{{{words.plain(row.number)}}}" if row.number else ""


def stacked(rows: list[Shown], texts: list[str]) -> str:
    """Rows under each other, a little space before each group of formulas."""
    ends = [r" \\[0.8ex]" if row.opens else r" \\" for row in rows[1:]] + [""]
    return "\n".join(text + end for text, end in zip(texts, ends, strict=True))


def shown(group: Iterable[Formulas], spell: LatexPrinter, room: float) -> list[Shown]:
    """The rows of formulas, together at most ``room`` em wide."""
    found: list[Shown] = []
    rows = [row for formulas in group for row in formulas.rows]
    display = _Display(rows, spell, room)
    for formulas in group:
        fresh = [line for row in formulas.rows for line in display.lines(row)]
        found += [replace(line, opens=bool(found) and n == 0) for n, line in enumerate(fresh)]
    return found


class _Display:
    """Shares the width between captions, left sides, right sides and numbers."""

    def __init__(self, rows: list[Row], spell: LatexPrinter, room: float):
        self.spell = spell
        self.target = room * TARGET
        targets = (self.left(line) for row in rows for line in _lines(row.line))
        widths = [w for w in map(width, targets) if w <= self.target]
        captions = CAPTION + 1 if any(row.caption for row in rows) else 0
        numbers = max((text_width(row.number) + 3 for row in rows if row.number), default=0)
        self.room = room - captions - numbers - max(widths, default=0)

    def left(self, line: Line) -> str:
        return "" if line.target is None else str(self.spell.doprint(line.target))

    def lines(self, row: Row) -> list[Shown]:
        """The rows of a formula and of what stands beside it."""
        first, *rest = self.item(row.line)
        found = [replace(first, caption=row.caption), *rest]
        found[-1] = replace(found[-1], number=row.number)
        if not row.note:
            return found
        return [*found[:-1], *self.noted(found[-1], f"({row.note})")]

    def noted(self, last: Shown, note: str) -> Iterator[Shown]:
        """The note behind the formula, or on rows below."""
        if width(last.right) + 2 + NOTE * text_width(note) <= self.room:
            yield replace(last, note=note)
            return
        yield last
        for words in wrapped(note, (self.room - 2) / NOTE):
            yield Shown("", note=words)

    def item(self, item: Line | Block) -> Iterator[Shown]:
        if isinstance(item, Line):
            yield from self.line(item, "")
            return
        ends = [self.spell.doprint(item.last), "0"]
        first, last = ends if item.reverse else ends[::-1]
        index = self.spell.doprint(item.index)
        yield Shown(rf"\text{{for }} {index} = {first}, \dots, {last}:")
        for line in item.lines:
            yield from self.line(line, INDENT)

    def line(self, line: Line, indent: str) -> Iterator[Shown]:
        """The left side beside the first row, or, where it is wide, on rows of its own."""
        left = self.left(line)
        relation = RELATIONS.get(line.relation, line.relation)
        room = self.room - (3.2 if indent else 2.0)
        if line.target is not None and width(left) > self.target:
            for text in broken(line.target, self.spell, self.room - 1):
                yield Shown(f"{indent}{text}")
            left = ""
        first, *rest = broken(line.value, self.spell, room, self.each(line))
        yield Shown(f"{indent}{relation} {first}", f"{indent if left else ''}{left}")
        for text in rest:
            yield Shown(f"{indent}{INDENT}{text}")

    def each(self, line: Line) -> str:
        names = ", ".join(map(self.spell.doprint, line.each))
        return rf"\text{{for each }} {names}" if names else ""


def _lines(item: Line | Block) -> tuple[Line, ...]:
    return (item,) if isinstance(item, Line) else item.lines


def wrapped(words: str, room: float) -> Iterator[str]:
    """Prose in rows at most ``room`` em wide."""
    row = ""
    for word in (part for long in words.split() for part in cut(long, room)):
        longer = f"{row} {word}".strip()
        if row and text_width(longer) > room:
            yield row
            longer = word
        row = longer
    yield row
