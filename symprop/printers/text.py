"""A document as Unicode text, 80 columns wide."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import text
from symprop.printers.unicode import UnicodePrinter

WIDTH = 80
CAPTION = 18
"""The width of the column in which captions stand."""


def as_text(items: Iterable[Item], width: int = WIDTH) -> str:
    """Unicode text, at most so many columns wide where a formula allows."""
    items = tuple(items)
    captions = (row.caption for item in items if isinstance(item, Formulas) for row in item.rows)
    return _Writer(width, CAPTION if any(captions) else 2).text(items)


@dataclass(frozen=True)
class _Writer:
    """Writes items in lines of a width, formulas behind a margin in which captions stand."""

    width: int
    margin: int

    def text(self, items: Iterable[Item]) -> str:
        found = "\n".join(line for item in items for line in self.lines(item)).strip("\n")
        return re.sub(r"\n{3,}", "\n\n", found)

    def lines(self, item: Item) -> Iterator[str]:
        if isinstance(item, Title):
            yield from (*textwrap.wrap(item.title, self.width), "")
        elif isinstance(item, Section):
            main = item.level == 1
            yield from ("", item.title, "─" * len(item.title)) if main else ("", item.title)
        elif isinstance(item, Sentence):
            yield from ("", *textwrap.wrap(item.words, self.width))
        elif isinstance(item, Table):
            yield from ("", *_table(item))
        elif isinstance(item, Fold):
            yield from self.fold(item)
        else:
            space = ("",) if item.important else ()
            yield from (*space, *self.formulas(item), *space)

    def fold(self, item: Fold) -> Iterator[str]:
        """In place, behind a bar."""
        inner = _Writer(self.width - len(BAR), self.margin).text(item.items).splitlines()
        yield from ("", f"{BAR}{item.title}")
        yield from (*(f"{BAR}{line}".rstrip() for line in inner), "")

    def formulas(self, item: Formulas) -> Iterator[str]:
        for row in item.rows:
            *first, last = text((row.line,), SPELL)
            caption = row.caption
            for line in first:
                yield from self.wrapped(caption, line)
                caption = ""
            yield from self.with_note(self.wrapped(caption, last), row)

    def wrapped(self, caption: str, line: str) -> list[str]:
        """A formula in lines of the width."""
        indent = " " * (self.margin + 6)
        rows = [
            (f"  {caption} " if caption else "").ljust(self.margin) + UNBROKEN.sub(_glued, line)
        ]
        while len(rows[-1]) > self.width or (rows[1:] and ROW_END.search(rows[-1])):
            loose = rows[-1].replace(NO_BREAK, " ")
            places = (_break(row, len(indent), self.width) for row in (rows[-1], loose))
            place = next(filter(None, places), None)
            if place is None:
                break
            first, rest = rows[-1][:place].rstrip(), rows[-1][place:].lstrip()
            rows[-1:] = [first, indent + rest]
        return [row.replace(NO_BREAK, " ") for row in rows]

    def with_note(self, rows: list[str], row: Row) -> Iterator[str]:
        """The lines with the formula's number, right, and the note, on a line below if need be."""
        *above, last = rows
        yield from above
        number = f"({row.number})" if row.number else ""
        note = f"({row.note})" if row.note else ""
        if note and len(last) + len(number) + len(note) + 2 <= self.width:
            last, note = f"{last}  {note}", ""
        if number and self.width - len(last) > len(number):
            last = f"{last}{number:>{self.width - len(last)}}"
        elif number:
            yield last
            last = f"{number:>{self.width}}"
        yield last
        indent = " " * (self.margin + 2)
        yield from textwrap.wrap(note, self.width, initial_indent=indent, subsequent_indent=indent)


SPELL = UnicodePrinter(layers=True)
BAR = "  │ "
"""What stands before every line of a fold."""


def _table(item: Table) -> Iterator[str]:
    rows = [item.header] if any(item.header) else []
    rows += [tuple(c if isinstance(c, str) else SPELL.doprint(c) for c in row) for row in item.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _break(row: str, start: int, width: int) -> int | None:
    """Where to break: in the last part of the line, outside of as many brackets as can be.

    A matrix breaks behind each of its rows.
    """
    first = ROW_END.search(row, start, width)
    if first:
        return first.end()
    depth, found = 0, []
    for place, sign in enumerate(row[: width + 1]):
        depth += (sign in "([{") - (sign in ")]}")
        if place >= start and (sign == " " or row[place - 1] == "·") and place <= width:
            early = place < start + (width - start) // 3
            found.append(((early, depth + 0.5 * (sign != " "), -place), place))
    return min(found)[1] if found else None


UNBROKEN = re.compile(r"\[[^][]*\]|_\{[^}]*\} ?|(Σ|max)_\w+ ")
"""What stays on one line where it can: subscripts, a matrix's row, a Σ and what follows it."""
NO_BREAK = "\N{NO-BREAK SPACE}"
ROW_END = re.compile(rf";(?= [^];{NO_BREAK}]+{NO_BREAK})")
"""The end of a matrix's row, of several entries as the next one is."""


def _glued(found: re.Match[str]) -> str:
    return re.sub(r"(?<!;) ", NO_BREAK, found[0])
