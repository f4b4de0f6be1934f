"""A document as PDF, by the TeX program that is installed."""

from __future__ import annotations

from collections.abc import Iterable

from symprop.printers.document import Item


def as_pdf(items: Iterable[Item]) -> bytes:
    """The LaTeX document, typeset by pdflatex or tectonic."""
    raise NotImplementedError
