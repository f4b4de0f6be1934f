"""A document as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

from sympy import Expr

from symprop.printers.breaking import broken
from symprop.printers.display import CAPTION, Words, alignment, grouped, wrapped
from symprop.printers.document import Fold, Item, Section, Sentence, Table, Title
from symprop.printers.latex import LatexPrinter
from symprop.printers.prose import escaped
from symprop.printers.width import TALL, text_width, width

PREAMBLE = r"""\documentclass[10pt, fleqn]{article}
\usepackage[a4paper, hmargin=2cm, top=1.4cm, bottom=1.6cm, footskip=0.8cm]{geometry}
\usepackage{amsmath}
\usepackage{amssymb}
\IfFileExists{hyperref.sty}{\usepackage[hidelinks]{hyperref}}{}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.6ex plus 0.4ex}
\setlength{\mathindent}{0pt}
\makeatletter
\renewcommand{\subsection}{\@startsection{subsection}{2}{0pt}{2ex}{0.6ex}%
  {\normalfont\large\bfseries}}
\renewcommand{\subsubsection}{\@startsection{subsubsection}{3}{0pt}{1ex}{0.2ex}%
  {\normalfont\bfseries}}
\makeatother
\AtBeginDocument{%
  \setlength{\jot}{2.5pt}%
  \setlength{\abovedisplayskip}{0.4ex plus 0.6ex}%
  \setlength{\belowdisplayskip}{0.4ex plus 0.6ex}%
  \setlength{\abovedisplayshortskip}{\abovedisplayskip}%
  \setlength{\belowdisplayshortskip}{\belowdisplayskip}}
"""
"""The head of a complete LaTeX document."""

LINE, PAGE = 32.0, 47.5
"""The width of a line in em: of the standard classes at 10, 11 and 12 pt; of our own document."""
CLOSE = r"\nopagebreak\vspace{-\baselineskip}"
"""A display right below a heading opens with an empty line; this takes it back."""
TABLE, FRAGMENT = 28, 20
"""The lines of a table that stand on one page: of our own document; of any, at 12 pt below a title.
"""
STRETCH = 1.4
"""The height of a table's lines, with room between a subscript and what stands above the next."""
BESIDE = 8
"""A narrow table of more lines is set as two, side by side."""
CELL = 10
"""The lines of a formula that stand in one cell."""
STRUT = r"\rule[-2.6ex]{0pt}{5.6ex}"
"""As high and deep as a fraction, with a little room above and below."""
Cell = tuple[str, int]
"""A cell's LaTeX, and its lines."""


def as_latex(items: Iterable[Item]) -> str:
    """A LaTeX fragment; it needs amsmath and amssymb."""
    return _fragment(items, LINE)


def as_latex_document(items: Iterable[Item]) -> str:
    """A complete document for pdflatex, from packages that every TeX installation has."""
    return f"{PREAMBLE}\\begin{{document}}\n{_fragment(items, PAGE)}\\end{{document}}\n"


def _fragment(items: Iterable[Item], room: float) -> str:
    body = "\n".join(_Page(room).lines(items))
    return f"\\begingroup\\sloppy\\allowdisplaybreaks\n{body}\n\\par\\endgroup\n"


@dataclass(frozen=True)
class _Page:
    """Writes items for lines that are ``room`` em wide."""

    room: float
    small: bool = False

    def lines(self, items: Iterable[Item]) -> Iterator[str]:
        heading = False
        for item in grouped(items):
            if isinstance(item, tuple):
                yield from (CLOSE,) if heading else ()
                yield from alignment(item, WORDS, self.room)
            elif isinstance(item, Title):
                yield rf"\section*{{\raggedright {escaped(item.title)}}}"
            elif isinstance(item, Section):
                command = "subsection" if item.level == 1 else "subsubsection"
                yield from ("", rf"\{command}*{{\raggedright {escaped(item.title)}}}")
            elif isinstance(item, Sentence):
                yield from ("", escaped(item.words))
            elif isinstance(item, Table):
                yield from self.table(item)
            elif isinstance(item, Fold):
                yield from self.fold(item)
            heading = isinstance(item, Section)

    def fold(self, item: Fold) -> Iterator[str]:
        """In place, indented and in small type, under its title."""
        room = (self.room - 1.5) / (1 if self.small else 0.925)
        yield from ("", r"\begin{list}{}{\leftmargin1.5em\rightmargin0pt\parsep\parskip}")
        yield rf"\item\relax\small \textbf{{{escaped(item.title)}}}\par"
        yield from replace(self, room=room, small=True).lines(item.items)
        yield r"\end{list}"

    def table(self, item: Table) -> Iterator[str]:
        """Tables of at most a page's lines, each under the header."""
        room = self.room - 1.2 * len(item.header)
        found = zip(item.header, *item.rows, strict=True)
        natural = [max(map(self.cell_width, column)) for column in found]
        widths = _shares(natural, room)
        columns = "".join("l" if share is None else f"p{{{share:.2f}em}}" for share in widths)
        cells = ([self.cell(c, w) for c, w in zip(row, widths, strict=True)] for row in item.rows)
        rows = [row for parts in cells for row in zip_longest(*parts, fillvalue=("", 1))]
        beside = 2 * sum(natural) + len(natural) < self.room and len(rows) > BESIDE
        yield from ("", r"\par\medskip\begingroup")
        yield rf"\renewcommand{{\arraystretch}}{{{STRETCH}}}\noindent"
        most = FRAGMENT if self.room <= LINE else TABLE
        for page in _pages(rows, min(-(-len(rows) // 2), most) if beside else most):
            yield rf"\begin{{tabular}}[t]{{@{{}}{columns}@{{}}}}"
            if any(item.header):
                header = (self.cell(c, w)[0][0] for c, w in zip(item.header, widths, strict=True))
                yield " & ".join(header) + r" \tabularnewline \hline \noalign{\smallskip}"
            yield from (" & ".join(text for text, _ in row) + r" \tabularnewline" for row in page)
            yield from (r"\end{tabular}", r"\hfill" if beside else r"\par\medskip")
        yield r"\null\par\medskip\endgroup" if beside else r"\endgroup"

    def cell_width(self, cell: str | Expr) -> float:
        if isinstance(cell, str):
            return text_width(cell)
        return width(WORDS.spell.doprint(cell))

    def cell(self, cell: str | Expr, share: float | None) -> list[Cell]:
        """A cell; a formula of many lines in several, under each other."""
        if isinstance(cell, str):
            if share is None:
                return [(escaped(cell), 1)]
            return [(rf"\raggedright {escaped(cell)}", len(list(wrapped(cell, share))))]
        rows = broken(cell, WORDS.spell, share or self.room)
        lines = [(f"{STRUT}${row}$", 2) if TALL.search(row) else (f"${row}$", 1) for row in rows]
        groups = (lines[n : n + CELL] for n in range(0, len(lines), CELL))
        return [(r" \newline ".join(t for t, _ in g), sum(n for _, n in g)) for g in groups]


def _caption(words: str) -> str:
    text = rf"\small\itshape {escaped(words)}"
    if 1.1 * text_width(words) * 0.92 <= CAPTION:
        return rf"\makebox[{CAPTION + 1}em][l]{{{text}}}"
    return rf"\parbox[t]{{{CAPTION + 1}em}}{{\raggedright {text}}}"


def _note(words: str) -> str:
    return rf"\text{{\small {escaped(words)}}}"


WORDS = Words(LatexPrinter(euler=False), _caption, _note, escaped)


def _shares(natural: list[float], room: float) -> list[float | None]:
    """The columns' widths: None where a column fits as it is, else its share of the room."""
    found: list[float | None] = [None] * len(natural)
    by_width = sorted(range(len(natural)), key=lambda n: natural[n])
    for place, n in enumerate(by_width):
        share = room / (len(natural) - place)
        if natural[n] > share:
            found[n] = share
        room -= min(natural[n], share)
    return found


def _pages(rows: list[tuple[Cell, ...]], most: int) -> Iterator[list[tuple[Cell, ...]]]:
    page: list[tuple[Cell, ...]] = []
    used = 0
    for row in rows:
        lines = max(count for _, count in row)
        if page and used + lines > most:
            yield page
            page, used = [], 0
        page.append(row)
        used += lines
    yield page
