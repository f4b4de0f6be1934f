"""A document as Unicode text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import text
from symprop.printers.unicode import UnicodePrinter

WIDTH = 80
CAPTION = 14
"""The width of the column in which captions stand."""
GLUED = ",\N{NO-BREAK SPACE}"
"""A comma after which a line does not break."""


def as_text(items: Iterable[Item]) -> str:
    """Unicode text, at most 80 columns wide where a formula allows."""
    return "\n".join(line for item in items for line in _text(item)).strip("\n")


def _text(item: Item) -> Iterator[str]:
    spell = UnicodePrinter(layers=True)
    if isinstance(item, Title):
        yield from textwrap.wrap(item.title, WIDTH)
    elif isinstance(item, Section):
        yield from ("", "", item.title, "─" * len(item.title))
    elif isinstance(item, Sentence):
        yield from ("", *textwrap.wrap(item.words, WIDTH))
    elif isinstance(item, Table):
        yield from _table(item, spell)
    elif isinstance(item, Fold):
        yield from ("", *textwrap.wrap(item.title, WIDTH))
        yield from (line for inner in item.items for line in _text(inner))
    else:
        yield from _formulas(item, spell)


def _table(item: Table, spell: UnicodePrinter) -> Iterator[str]:
    rows = [item.header] if any(item.header) else []
    rows += [tuple(c if isinstance(c, str) else spell.doprint(c) for c in row) for row in item.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _formulas(item: Formulas, spell: UnicodePrinter) -> Iterator[str]:
    for row in item.rows:
        *first, last = text((row.line,), spell)
        caption = row.caption
        for line in first:
            yield from _wrapped(caption, line)
            caption = ""
        yield from _with_note(_wrapped(caption, last), row)


def _wrapped(caption: str, line: str) -> list[str]:
    """A formula in lines of the document's width, under its caption."""
    rows = textwrap.wrap(
        f"  {caption:<{CAPTION - 2}}{line.replace(', ', GLUED)}",  # subscripts stay together
        WIDTH,
        subsequent_indent=" " * (CAPTION + 6),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [row.replace(GLUED, ", ") for row in rows]


def _with_note(rows: list[str], row: Row) -> Iterator[str]:
    """The lines with the formula's number, right, and the note, on a line below if need be."""
    *above, last = rows
    yield from above
    number = f"({row.number})" if row.number else ""
    room = WIDTH - len(last) - len(number) - 2
    note = f"({row.note})" if row.note else ""
    if note and len(note) <= room:
        last, note = f"{last}  {note}", ""
    if number and WIDTH - len(last) > len(number):
        last = f"{last}{number:>{WIDTH - len(last)}}"
    elif number:
        yield last
        last = f"{number:>{WIDTH}}"
    yield last
    if note:
        yield from textwrap.wrap(
            note,
            WIDTH,
            initial_indent=" " * (CAPTION + 2),
            subsequent_indent=" " * (CAPTION + 2),
        )
