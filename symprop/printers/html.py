"""A document as HTML with MathML."""

from __future__ import annotations

from collections.abc import Iterable

from symprop.printers.document import Item


def as_html(items: Iterable[Item]) -> str:
    """A complete page."""
    raise NotImplementedError


def as_fragment(items: Iterable[Item]) -> str:
    """The body alone, for a notebook's cell."""
    raise NotImplementedError
