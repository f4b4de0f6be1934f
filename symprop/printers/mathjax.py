"""LaTeX for browsers: what MathJax reads, for notebooks and for Markdown on GitHub."""
# ruff: noqa: N802 (SymPy calls _print_ and the name of a class)

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sympy import Expr

from symprop.printers.display import Shown, Words, grouped, row_text, shown, stacked
from symprop.printers.document import Fold, Item, Section, Sentence, Title
from symprop.printers.latex import LatexPrinter

ROOM = 48.0
"""The width of a page in a browser, in em."""
SHORT = 70
"""The characters of a sentence that is still worth a row among formulas."""


class MathJaxPrinter(LatexPrinter):
    r"""LaTeX without what GitHub's MathJax refuses (\operatorname) or its tables cut (|)."""

    operator = "mathrm"

    def _print_Magnitude(self, node: Expr) -> str:
        return rf"\left\vert {self._print(node.args[0])} \right\vert"


def text_words(words: str) -> str:
    r"""Prose within \text; MathJax takes every character as it is, except these."""
    plain = " ".join(words.replace("\\", "\N{SET MINUS}").split())
    return "".join("\\" + c if c in "{}$" else c for c in plain)


def text(words: str) -> str:
    """Prose as a part of a formula."""
    return rf"\text{{{text_words(words)}}}"


def caption(words: str) -> str:
    return rf"\textit{{{text_words(words)}}}"


WORDS = Words(MathJaxPrinter(euler=False), caption, text, text_words)


def as_math(items: Iterable[Item]) -> str:
    """All formulas as one block of mathematics, as a notebook shows it; long prose left out."""
    rows = list(_rows(items))
    if not rows:
        return ""
    captions = any(row.caption for row in rows)
    texts = [row_text(row, WORDS, captions, inside=True) for row in rows]
    return f"$$\\begin{{aligned}}\n{stacked(rows, texts)}\n\\end{{aligned}}$$"


def _rows(items: Iterable[Item]) -> Iterator[Shown]:
    for item in grouped(items):
        if isinstance(item, tuple):
            yield from shown(item, WORDS.spell, ROOM)
        elif isinstance(item, Fold):
            yield from _rows((Sentence(item.title), *item.items))
        elif isinstance(item, Title | Section | Sentence):
            words = item.words if isinstance(item, Sentence) else item.title
            if len(words) <= SHORT:
                yield Shown(text(words), opens=True)
