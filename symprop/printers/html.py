"""A document as HTML with MathML: one page that needs neither network nor script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from sympy import Expr

from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import Line, line_text
from symprop.printers.mathml import MathmlPrinter, block_mathml, line_mathml, node_mathml
from symprop.printers.style import BUTTONS, PAGE, PAGE_STYLE, SCRIPT, STYLE

FEW = 3
"""A page with more sections than this has a table of contents."""
NARROW = 24
"""A formula with more characters than this may be wider than a telephone."""
REFERENCE = re.compile(r"(?<!\w)\(([\w.]+)\)")
"""An equation's number in prose: (7)."""


def as_html(items: Iterable[Item]) -> str:
    """A complete page."""
    items = tuple(items)
    numbers = frozenset(row.number for row in _rows(items) if row.number)
    writer = _Writer(numbers, linked=True)
    heading = [item.title for item in items[:1] if isinstance(item, Title)]
    above = writer.items(items[: len(heading)])
    below = writer.items(items[len(heading) :])
    folded = any(isinstance(item, Fold) for item in items)
    return PAGE.format(
        title=escape(heading[0] if heading else "Derivation"),
        page=PAGE_STYLE,
        style=STYLE,
        body=f"{above}{writer.contents()}{BUTTONS if folded else ''}{below}",
        script=SCRIPT if folded else "",
    )


def as_fragment(items: Iterable[Item]) -> str:
    """The body alone, for a notebook's cell; its style touches nothing outside it."""
    return f'<style>{STYLE}</style>\n<div class="symprop">\n{_Writer().items(items)}</div>\n'


def _rows(items: Iterable[Item]) -> Iterator[Row]:
    for item in items:
        if isinstance(item, Formulas):
            yield from item.rows
        elif isinstance(item, Fold):
            yield from _rows(item.items)


class _Writer:
    """Writes items; where ``linked``, sections and the ``numbers`` of equations have anchors."""

    def __init__(self, numbers: frozenset[str] = frozenset(), linked: bool = False):
        self.numbers = numbers
        self.linked = linked
        self.spell = MathmlPrinter()
        self.sections: list[str] = []
        """The titles of the sections written so far."""

    def items(self, items: Iterable[Item]) -> str:
        return "".join(map(self.item, items))

    def item(self, item: Item) -> str:
        if isinstance(item, Title):
            return f"<h1>{escape(item.title)}</h1>\n"
        if isinstance(item, Section):
            return self.section(item)
        if isinstance(item, Sentence):
            return f"<p>{self.words(item.words)}</p>\n"
        if isinstance(item, Table):
            return self.table(item)
        if isinstance(item, Fold):
            summary = f"<summary>{escape(item.title)}</summary>"
            return f"<details>{summary}\n{self.items(item.items)}</details>\n"
        return self.formulas(item)

    def section(self, item: Section) -> str:
        anchor = ""
        if self.linked and item.level == 1:
            self.sections.append(item.title)
            anchor = f' id="section-{len(self.sections)}"'
        level = min(item.level + 1, 6)
        return f"<h{level}{anchor}>{escape(item.title)}</h{level}>\n"

    def contents(self) -> str:
        """Links to the sections written so far."""
        if len(self.sections) <= FEW:
            return ""
        links = "".join(
            f'<li><a href="#section-{number}">{escape(title)}</a></li>\n'
            for number, title in enumerate(self.sections, start=1)
        )
        return f'<nav aria-label="Contents"><ol>\n{links}</ol></nav>\n'

    def words(self, words: str) -> str:
        """Prose, in which (7) is a link to equation 7 if there is one."""
        return REFERENCE.sub(self._reference, escape(words))

    def _reference(self, match: re.Match[str]) -> str:
        number = match[1]
        return f'<a href="#eq-{number}">({number})</a>' if number in self.numbers else match[0]

    def table(self, item: Table) -> str:
        head = ""
        if any(item.header):
            cells = (f'<th scope="col">{self.words(cell)}</th>' for cell in item.header)
            head = f"<thead><tr>{''.join(cells)}</tr></thead>\n"
        rows = "".join(f"<tr>{''.join(map(self._cell, row))}</tr>\n" for row in item.rows)
        table = f"<table>\n{head}<tbody>\n{rows}</tbody></table>"
        return f'<div class="scroll" tabindex="0" role="group" aria-label="table">{table}</div>\n'

    def _cell(self, cell: str | Expr) -> str:
        shown = self.words(cell) if isinstance(cell, str) else node_mathml(cell, self.spell)
        return f"<td>{shown}</td>"

    def formulas(self, item: Formulas) -> str:
        kind = "formulas important" if item.important else "formulas"
        return f'<div class="{kind}">\n{"".join(map(self.row, item.rows))}</div>\n'

    def row(self, row: Row) -> str:
        """A formula; of a recurrence its index, then its lines."""
        caption = f'<div class="caption">{self.words(row.caption)}</div>' if row.caption else ""
        if isinstance(row.line, Line):
            return self._row(caption + self._sides(row.line, row.note), row.number)
        *front, last = row.line.lines
        heading = f'<div class="heading">{block_mathml(row.line, self.spell)}</div>'
        rows = [caption + heading, *(self._sides(line, inner=True) for line in front)]
        end = self._sides(last, row.note, inner=True)
        return "".join(map(self._row, rows)) + self._row(end, row.number)

    def _row(self, cells: str, number: str = "") -> str:
        if not number:
            return f'<div class="row">{cells}</div>\n'
        anchor = f' id="eq-{escape(number)}"' if self.linked else ""
        cells += f'<div class="number">({escape(number)})</div>'
        return f'<div class="row"{anchor}>{cells}</div>\n'

    def _sides(self, line: Line, note: str = "", inner: bool = False) -> str:
        """The cells left and right of the relation, which stand below each other in all rows."""
        target, value = line_mathml(line, self.spell)
        place = "target inner" if inner else "target"
        left = f'<div class="{place}">{target}</div>' if target else ""
        wide = len(line_text(line, self.spell.plain)) > NARROW
        focus = ' tabindex="0" role="group" aria-label="formula"' if wide else ""
        aside = f'<div class="note">{self.words(note)}</div>' if note else ""
        return f'{left}<div class="value"><div class="scroll"{focus}>{value}</div>{aside}</div>'
