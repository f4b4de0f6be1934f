"""A document: what a derivation is told in, before it takes a form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sympy import Expr

from symprop.printers.index import Block, Line


@dataclass(frozen=True)
class Title:
    """The heading of the whole document."""

    title: str


@dataclass(frozen=True)
class Section:
    """A heading; level 2 is a heading within a section."""

    title: str
    level: int = 1


@dataclass(frozen=True)
class Sentence:
    """Prose."""

    words: str


@dataclass(frozen=True)
class Row:
    """A formula with what stands beside it: a rule or notation, its number, a reason in words."""

    line: Line | Block
    caption: str = ""
    number: str = ""
    note: str = ""


@dataclass(frozen=True)
class Formulas:
    """Formulas under each other; a line without a target continues the line before it: = ….

    ``important`` are results, to be framed or shaded where a form can.
    """

    rows: tuple[Row, ...]
    important: bool = False


@dataclass(frozen=True)
class Table:
    """A table; a cell is words or a formula's node."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | Expr, ...], ...]


@dataclass(frozen=True)
class Fold:
    """Items that a reader may skip: folded where a form can, printed in place where it cannot."""

    title: str
    items: tuple[Item, ...]


Item = Title | Section | Sentence | Formulas | Table | Fold


def formulas_of(found: Iterable[Line | Block]) -> tuple[Item, ...]:
    """A document of formulas alone."""
    return (Formulas(tuple(map(Row, found))),)
