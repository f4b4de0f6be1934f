"""A document as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from symprop.printers.document import Fold, Item, Section, Sentence, Table, Title
from symprop.printers.latex import LatexPrinter, escaped, latex

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
        yield from _latex_table(item, spell)
    elif isinstance(item, Fold):
        yield from ("", rf"\medskip {escaped(item.title)}", "")
        yield from (line for inner in item.items for line in _latex(inner))
    else:
        yield r"\begin{align*}"
        yield " \\\\\n".join(latex((row.line for row in item.rows), spell))
        yield r"\end{align*}"


def _latex_table(item: Table, spell: LatexPrinter) -> Iterator[str]:
    yield from (r"\begin{center}", rf"\begin{{tabular}}{{{'l' * len(item.header)}}}")
    for row in (item.header, *item.rows):
        cells = (escaped(c) if isinstance(c, str) else f"${spell.doprint(c)}$" for c in row)
        yield " & ".join(cells) + r" \\"
    yield from (r"\end{tabular}", r"\end{center}")


def as_latex_document(items: Iterable[Item]) -> str:
    return DOCUMENT % as_latex(items)


def as_math(items: Iterable[Item]) -> str:
    """All formulas as one block of mathematics, as a notebook shows it."""
    raise NotImplementedError
