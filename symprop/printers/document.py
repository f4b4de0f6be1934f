"""A derivation as a document: sections, sentences and formulas, as text, Markdown or LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from symprop.printers.index import Block, Line, text
from symprop.printers.latex import LatexPrinter, escaped, latex
from symprop.printers.unicode import UnicodePrinter

WIDTH = 80


@dataclass(frozen=True)
class Title:
    """The heading of the whole document."""

    title: str


@dataclass(frozen=True)
class Section:
    """A heading."""

    title: str


@dataclass(frozen=True)
class Sentence:
    """Prose."""

    words: str


@dataclass(frozen=True)
class Formulas:
    """Formulas under a caption."""

    caption: str
    lines: tuple[Line | Block, ...]


@dataclass(frozen=True)
class Table:
    """Rows of: a tensor's name, its shape as nodes, what it is."""

    rows: tuple[tuple[Line, str], ...]


Item = Title | Section | Sentence | Formulas | Table


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
        shown = [(*next(text([line], spell)).split(" = ", 1), words) for line, words in item.rows]
        wide, wider = (max(len(row[column]) for row in shown) for column in (0, 1))
        yield ""
        yield from (f"  {name:<{wide}}  {shape:<{wider}}  {words}" for name, shape, words in shown)
    else:
        yield from _formulas(item, spell)


def _formulas(item: Formulas, spell: UnicodePrinter) -> Iterator[str]:
    for number, line in enumerate(text(item.lines, spell)):
        caption = item.caption if number == 0 else ""
        wrapped = textwrap.wrap(
            f"  {caption:<12}{line.replace(', ', GLUED)}",  # an element's subscripts stay together
            WIDTH,
            subsequent_indent=" " * 18,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (row.replace(GLUED, ", ") for row in wrapped)


def as_latex(items: Iterable[Item]) -> str:
    """A LaTeX fragment; it needs amsmath and amssymb."""
    return "\n".join(line for item in items for line in _latex(item)) + "\n"


def _latex(item: Item) -> Iterator[str]:
    spell = LatexPrinter(euler=False)
    if isinstance(item, Title):
        yield rf"\section*{{{escaped(item.title)}}}"
    elif isinstance(item, Section):
        yield rf"\subsection*{{{escaped(item.title)}}}"
    elif isinstance(item, Sentence):
        yield from ("", rf"\medskip {escaped(item.words)}", "")
    elif isinstance(item, Table):
        yield from (r"\begin{center}", r"\begin{tabular}{lll}", "symbol & shape & what it is \\\\")
        yield r"\hline"
        for line, words in item.rows:
            cells = (spell.doprint(line.target), spell.doprint(line.value))
            yield " & ".join([*(f"${cell}$" for cell in cells), escaped(words)]) + r" \\"
        yield from (r"\end{tabular}", r"\end{center}")
    else:
        caption = escaped(item.caption)
        yield (rf"\noindent\emph{{{caption}}}" if caption else "") + r"\begin{align*}"
        yield " \\\\\n".join(latex(item.lines, spell))
        yield r"\end{align*}"


def as_markdown(items: Iterable[Item]) -> str:
    """Markdown with formulas in dollar signs."""
    return "\n".join(line for item in items for line in _markdown(item)).strip("\n") + "\n"


def _markdown(item: Item) -> Iterator[str]:
    spell = LatexPrinter(euler=False)
    if isinstance(item, Title):
        yield f"# {item.title}"
    elif isinstance(item, Section):
        yield from ("", f"## {item.title}")
    elif isinstance(item, Sentence):
        yield from ("", item.words)
    elif isinstance(item, Table):
        yield from ("", "| symbol | shape | what it is |", "|---|---|---|")
        for line, words in item.rows:
            yield f"| ${spell.doprint(line.target)}$ | ${spell.doprint(line.value)}$ | {words} |"
    else:
        yield from ("", f"*{item.caption}*") if item.caption else ()
        yield from ("", r"$$\begin{aligned}", " \\\\\n".join(latex(item.lines, spell)))
        yield r"\end{aligned}$$"


GLUED = ",\N{NO-BREAK SPACE}"
"""A comma after which a line does not break."""

DOCUMENT = r"""\documentclass[11pt]{article}
\usepackage[a4paper, margin=2.2cm]{geometry}
\usepackage{amsmath}
\usepackage{amssymb}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\begin{document}
%s\end{document}
"""
"""The frame of a complete LaTeX document."""


def as_latex_document(items: Iterable[Item]) -> str:
    return DOCUMENT % as_latex(items)
