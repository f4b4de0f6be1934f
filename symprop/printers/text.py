"""A document as Unicode text, 80 columns wide."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import text
from symprop.printers.unicode import UnicodePrinter

WIDTH = 80
CAPTION = 18
"""The width of the column in which captions stand."""


def as_text(items: Iterable[Item], width: int = WIDTH) -> str:
    """Unicode text, at most so many columns wide where a formula allows."""
    found = "\n".join(line for item in items for line in _text(item, width)).strip("\n")
    return re.sub(r"\n{3,}", "\n\n", found)


def _text(item: Item, width: int) -> Iterator[str]:
    spell = UnicodePrinter(layers=True)
    if isinstance(item, Title):
        yield from (*textwrap.wrap(item.title, width), "")
    elif isinstance(item, Section):
        main = item.level == 1
        yield from ("", item.title, "─" * len(item.title)) if main else ("", item.title)
    elif isinstance(item, Sentence):
        yield from ("", *textwrap.wrap(item.words, width))
    elif isinstance(item, Table):
        yield from ("", *_table(item, spell))
    elif isinstance(item, Fold):
        yield from ("", f"{BAR}{item.title}")
        inner = as_text(item.items, width - len(BAR)).splitlines()
        yield from (*(f"{BAR}{line}".rstrip() for line in inner), "")
    else:
        space = ("",) if item.important else ()
        yield from (*space, *_formulas(item, spell, width), *space)


BAR = "  │ "
"""What stands before every line of a fold."""


def _table(item: Table, spell: UnicodePrinter) -> Iterator[str]:
    rows = [item.header] if any(item.header) else []
    rows += [tuple(c if isinstance(c, str) else spell.doprint(c) for c in row) for row in item.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _formulas(item: Formulas, spell: UnicodePrinter, width: int) -> Iterator[str]:
    for row in item.rows:
        *first, last = text((row.line,), spell)
        caption = row.caption
        for line in first:
            yield from _wrapped(caption, line, width)
            caption = ""
        yield from _with_note(_wrapped(caption, last, width), row, width)


def _wrapped(caption: str, line: str, width: int) -> list[str]:
    """A formula in lines of the width, under its caption."""
    indent = " " * (CAPTION + 6)
    rows = [f"  {caption:<{CAPTION - 2}}{UNBROKEN.sub(_glued, line)}"]
    while len(rows[-1]) > width:
        place = _break(rows[-1], len(indent), width)
        if place is None:
            break
        first, rest = rows[-1][:place].rstrip(" "), rows[-1][place:].lstrip(" ")
        rows[-1:] = [first, indent + rest]
    return [row.replace(NO_BREAK, " ") for row in rows]


def _break(row: str, start: int, width: int) -> int | None:
    """Where to break: in the last part of the line, outside of as many brackets as can be."""
    depth, found = 0, []
    for place, sign in enumerate(row[: width + 1]):
        depth += (sign in "([{") - (sign in ")]}")
        if place >= start and (sign == " " or row[place - 1] == "·") and place <= width:
            early = place < start + (width - start) // 3
            found.append(((early, depth + 0.5 * (sign != " "), -place), place))
    return min(found)[1] if found else None


UNBROKEN = re.compile(r"\[[^][]*\]|[Σ∂max]+_(\{[^}]*\}|\w+) |\{[^}]*\}")
"""What stays on one line: subscripts, short conditions, a Σ and what follows it."""
NO_BREAK = "\N{NO-BREAK SPACE}"


def _glued(found: re.Match[str]) -> str:
    return found[0].replace(" ", NO_BREAK)


def _with_note(rows: list[str], row: Row, width: int) -> Iterator[str]:
    """The lines with the formula's number, right, and the note, on a line below if need be."""
    *above, last = rows
    yield from above
    number = f"({row.number})" if row.number else ""
    note = f"({row.note})" if row.note else ""
    if note and len(last) + len(number) + len(note) + 2 <= width:
        last, note = f"{last}  {note}", ""
    if number and width - len(last) > len(number):
        last = f"{last}{number:>{width - len(last)}}"
    elif number:
        yield last
        last = f"{number:>{width}}"
    yield last
    indent = " " * (CAPTION + 2)
    yield from textwrap.wrap(note, width, initial_indent=indent, subsequent_indent=indent)
