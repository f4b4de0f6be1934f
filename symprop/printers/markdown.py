"""A document as Markdown, as GitHub renders it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from sympy import Expr

from symprop.printers.display import alignment, grouped
from symprop.printers.document import Fold, Item, Section, Sentence, Table, Title
from symprop.printers.mathjax import ROOM, WORDS, MathJaxPrinter


def as_markdown(items: Iterable[Item]) -> str:
    """Markdown with formulas in dollar signs and ``math`` blocks."""
    return "\n".join(_lines(items)).strip("\n") + "\n"


def _lines(items: Iterable[Item]) -> Iterator[str]:
    for item in grouped(items):
        yield ""
        if isinstance(item, tuple):
            yield from ("```math", *alignment(item, WORDS, ROOM), "```")
        elif isinstance(item, Title):
            yield f"# {prose(item.title)}"
        elif isinstance(item, Section):
            yield f"{'#' * (item.level + 1)} {prose(item.title)}"
        elif isinstance(item, Sentence):
            yield prose(item.words)
        elif isinstance(item, Table):
            yield from _table(item)
        elif isinstance(item, Fold):
            yield f"<details><summary>{html.escape(item.title)}</summary>"
            yield from _lines(item.items)
            yield from ("", "</details>")


def _table(item: Table) -> Iterator[str]:
    yield f"| {' | '.join(map(prose, item.header))} |"
    yield "|---" * len(item.header) + "|"
    for row in item.rows:
        cells = (prose(c) if isinstance(c, str) else inline(c) for c in row)
        yield f"| {' | '.join(cells)} |"


ESCAPED = {c: f"\\{c}" for c in "\\`*_$~|"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def prose(words: str) -> str:
    r"""Words with what Markdown gives a meaning escaped.

    >>> prose("z_1 < $5 [see](here)")
    'z\\_1 &lt; \\$5 [see]\\(here)'
    """
    line = " ".join(words.split())
    text = "".join(ESCAPED.get(character, character) for character in line)
    text = text.replace("](", r"]\(")
    return re.sub(r"^([#+-]|\d+[.)])", lambda m: f"{m[0][:-1]}\\{m[0][-1]}", text)


class _Inline(MathJaxPrinter):
    r"""Markdown takes a backslash before a punctuation mark away, so \, is \thinspace here."""

    times = product = r" \thinspace "


def inline(node: Expr) -> str:
    r"""A formula among words; a space after _ keeps Markdown from reading it as emphasis.

    Where a backslash stands before a punctuation mark, as in \_, GitHub's form with backquotes.
    """
    spelled = _Inline(euler=False).doprint(node).replace("_{", "_ {").replace("|", r"\vert ")
    mark = "`" if re.search(r"\\[^A-Za-z]", spelled) else ""
    return f"${mark}{spelled}{mark}$"
