"""A document as Markdown, as GitHub renders it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from symprop.printers.document import Fold, Item, Section, Sentence, Table, Title
from symprop.printers.latex import LatexPrinter, latex


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
        yield from ("", f"| {' | '.join(item.header)} |", "|---" * len(item.header) + "|")
        for row in item.rows:
            cells = (c if isinstance(c, str) else f"${spell.doprint(c)}$" for c in row)
            yield f"| {' | '.join(cells)} |"
    elif isinstance(item, Fold):
        yield from ("", item.title)
        yield from (line for inner in item.items for line in _markdown(inner))
    else:
        lines = latex((row.line for row in item.rows), spell)
        yield from ("", r"$$\begin{aligned}", " \\\\\n".join(lines))
        yield r"\end{aligned}$$"
