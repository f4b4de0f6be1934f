"""Formulas in rows: a formula that is too wide for one row of LaTeX is opened where it may break.

The formula's nodes become pieces that stay whole; the pieces are then laid into rows so that rows
break at sums sooner than at products, and outside parentheses sooner than inside.
"""

# ruff: noqa: N802 (a method is called _open_ and the name of a class)

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from sympy import Expr, preorder_traversal
from sympy.printing.precedence import precedence

from symprop.printers.latex import RELATIONS, LatexPrinter, word
from symprop.printers.spelling import POWER, PRODUCT, SUM
from symprop.printers.structure import (
    Call,
    Case,
    Differential,
    Entries,
    Fraction,
    Minus,
    Power,
    Reduction,
    Slope,
    entries,
)
from symprop.printers.width import text_width, width

CASE, LIST, ADDITION, MULTIPLICATION, OPENING, CLOSING, NAME = 0, 2, 3, 6, 9, 40, 60
"""How unwelcome a row is that begins at a term, a factor, behind a parenthesis, …"""
DEEPER = 10
"""How much less welcome it is inside a pair of parentheses."""
ROW, RAGGED = 25, 15
"""What a row costs, and a row that is left empty."""
SIGN = 2.0
"""The widest sign that a row begins with, in em."""
ENCLOSING = 2.2
"""The width of the parentheses around a formula, in em."""
INDENT = r"\quad "
SLASH = r"\big/ "
TALL = (Fraction, Slope, Reduction, Differential, Case, Entries)
CASES = 6
"""The cases that stand behind one brace; more are set so that a page may end among them."""


@dataclass(frozen=True)
class Piece:
    """A part of a formula that stays on one row.

    ``glue`` joins it to the piece before, ``start`` stands in its place where a row begins with
    the piece, which costs ``cost``.
    """

    text: str
    glue: str = ""
    start: str = ""
    cost: float = 0

    @cached_property
    def joined(self) -> str:
        return self.glue + self.text

    @cached_property
    def first(self) -> str:
        return self.start + self.text


def broken(node: Expr, spell: LatexPrinter, room: float, behind: str = "") -> list[str]:
    """The formula in rows of LaTeX at most ``room`` em wide; ``behind`` follows it."""
    pieces = Breaker(spell, room).whole(node) or Breaker(spell, room - SIGN).pieces(node)
    if behind:
        pieces.append(Piece(behind, r" \qquad "))
    return filled(pieces, room)


def filled(pieces: list[Piece], room: float) -> list[str]:
    """The pieces in the rows that cost least."""
    glued = [width(piece.joined) for piece in pieces]
    begun = [width(piece.first) for piece in pieces]
    best: list[tuple[float, int]] = [(0.0, 0)]
    for start in reversed(range(len(pieces))):
        options = []
        used = 0.0
        for end in range(start + 1, len(pieces) + 1):
            used += glued[end - 1] if end - 1 > start else begun[start]
            if used > room and end - 1 > start:
                break
            slack = 0.0 if end == len(pieces) else max(0.0, 1 - used / room)
            after = best[len(pieces) - end]
            breaks = 0.0 if end == len(pieces) else pieces[end].cost
            options.append((ROW + RAGGED * slack**2 + breaks + after[0], end))
        best.append(min(options))
    return list(_rows(pieces, best[::-1]))


def _rows(pieces: list[Piece], best: list[tuple[float, int]]) -> Iterator[str]:
    start = 0
    while start < len(pieces):
        _, end = best[start]
        head = pieces[start].first if start else pieces[0].text
        yield head + "".join(piece.joined for piece in pieces[start + 1 : end])
        start = end


def joined(pieces: list[Piece], glue: str, start: str, cost: float) -> list[Piece]:
    """The pieces, joined by a sign to what stands before them."""
    return [replace(pieces[0], glue=glue, start=start, cost=cost), *pieces[1:]]


def behind(pieces: list[Piece], text: str) -> list[Piece]:
    """The pieces with a text that the last one holds."""
    return [*pieces[:-1], replace(pieces[-1], text=pieces[-1].text + text)]


def before(text: str, pieces: list[Piece]) -> list[Piece]:
    """The pieces with a text that the first one holds."""
    return [replace(pieces[0], text=text + pieces[0].text), *pieces[1:]]


class Breaker:
    """Opens a node into pieces at most ``room`` em wide; what fits stays whole."""

    def __init__(self, spell: LatexPrinter, room: float):
        self.spell, self.room = spell, room

    def fits(self, text: str, depth: int = 0) -> bool:
        """Whether a text may stay whole; inside parentheses there is to be room for them too."""
        return width(text) <= max(self.room - ENCLOSING * depth, self.room / 2)

    def whole(self, node: Expr, depth: int = 0) -> list[Piece]:
        """The node as one piece; none where it is too wide or has too many cases."""
        text = self.spell.doprint(node)
        parts = preorder_traversal(node)
        many = any(isinstance(part, Case) and len(part.args) > 2 * CASES for part in parts)
        return [] if many or not self.fits(text, depth) else [Piece(text)]

    def pieces(self, node: Expr, depth: int = 0) -> list[Piece]:
        """The pieces of a node, ``depth`` parentheses deep."""
        whole = self.whole(node, depth)
        if whole:
            return whole
        opened: Callable[[Expr, int], list[Piece]]
        opened = getattr(self, f"_open_{type(node).__name__}", self._open_number)
        return opened(node, depth)

    def wrapped(self, node: Expr, level: int, depth: int, strict: bool = True) -> list[Piece]:
        """The pieces of a node, in parentheses where ``Spelling.wrap`` sets them."""
        text, own = self.spell.wrap(node, level, strict), precedence(node)
        if self.fits(text, depth) and self.whole(node):
            return [Piece(text)]
        if own < level or (not strict and own == level):
            return self.enclosed("(", self.pieces(node, depth + 1), ")", depth, node)
        return self.pieces(node, depth)

    def enclosed(
        self, left: str, inside: list[Piece], right: str, depth: int, *nodes: Expr
    ) -> list[Piece]:
        """The pieces between delimiters whose size does not depend on what stands on a row."""
        parts = [part for node in nodes for part in preorder_traversal(node)]
        nested = any(isinstance(part, (Call, Power)) for part in parts)
        size = "Big" if nested else "big"
        size = "bigg" if any(isinstance(part, TALL) for part in parts) else size
        cost = DEEPER * depth
        return [
            Piece(rf"\{size}l{left}"),
            *joined(inside, "", INDENT, cost + OPENING),
            Piece(rf"\{size}r{right}", cost=cost + CLOSING),
        ]

    def chain(
        self, parts: Iterable[list[Piece]], glue: str, start: str, cost: float
    ) -> list[Piece]:
        """The parts one behind the other, with the same sign between them."""
        first, *rest = parts
        return first + [p for part in rest for p in joined(part, glue, start, cost)]

    def listed(self, nodes: Iterable[Expr], depth: int) -> list[Piece]:
        """u, v, …"""
        *front, last = (self.pieces(node, depth) for node in nodes)
        parts = [*(behind(part, ", ") for part in front), last]
        return self.chain(parts, "", "", DEEPER * depth + LIST)

    def _open_Plus(self, node: Expr, depth: int) -> list[Piece]:
        found = self.pieces(node.args[0], depth)
        for term in node.args[1:]:
            less = isinstance(term, Minus)
            inner = term.args[0] if less else term
            body = self.wrapped(inner, SUM + 5, depth) if less else self.pieces(inner, depth)
            sign = "-" if less else "+"
            found += joined(body, f" {sign} ", f"{{}} {sign} ", DEEPER * depth + ADDITION)
        return found

    def _open_Minus(self, node: Expr, depth: int) -> list[Piece]:
        return before("-", self.wrapped(node.args[0], SUM + 5, depth))

    def _open_Times(self, node: Expr, depth: int) -> list[Piece]:
        *front, last = node.args
        level = 0 if isinstance(last, Reduction) else PRODUCT
        parts = [self._factor(part, PRODUCT, depth) for part in front]
        parts.append(self._factor(last, level, depth))
        return self.chain(
            parts, self.spell.sign(node), r"{} \cdot ", DEEPER * depth + MULTIPLICATION
        )

    def _factor(self, node: Expr, level: int, depth: int) -> list[Piece]:
        """A factor; a quotient that is written with a slash in parentheses."""
        found = self.wrapped(node, level, depth)
        if any(piece.start == SLASH for piece in found) and isinstance(node, Fraction | Slope):
            return self.enclosed("(", self.pieces(node, depth + 1), ")", depth, *node.args)
        return found

    def _open_Product(self, node: Expr, depth: int) -> list[Piece]:
        parts = (self.wrapped(part, PRODUCT, depth) for part in node.args)
        return self.chain(parts, self.spell.product, r"{} \cdot ", DEEPER * depth + MULTIPLICATION)

    def _open_Hadamard(self, node: Expr, depth: int) -> list[Piece]:
        return self._elementwise(node, self.spell.hadamard, depth)

    def _open_Quotient(self, node: Expr, depth: int) -> list[Piece]:
        return self._elementwise(node, self.spell.quotient, depth)

    def _elementwise(self, node: Expr, sign: str, depth: int) -> list[Piece]:
        parts = (self.wrapped(part, PRODUCT, depth, strict=False) for part in node.args)
        return self.chain(parts, sign, f"{{}}{sign}", DEEPER * depth + MULTIPLICATION)

    def _open_Fraction(self, node: Expr, depth: int) -> list[Piece]:
        r"""\frac{1}{v}·u where v fits, else u/v in one line."""
        above, below = node.args
        front = rf"\frac{{1}}{{{self.spell.doprint(below)}}}"
        cost = DEEPER * depth + MULTIPLICATION
        if self.fits(front):
            body = self.wrapped(above, PRODUCT, depth)
            return [Piece(front), *joined(body, self.spell.sign(node), r"{} \cdot ", cost)]
        upper = self.wrapped(above, POWER, depth)
        return upper + joined(self.wrapped(below, POWER, depth), f" {SLASH}", SLASH, cost)

    def _open_Power(self, node: Expr, depth: int) -> list[Piece]:
        base, exponent = node.args
        upper = f"^{{{self.spell.doprint(exponent)}}}"
        if width(upper) > self.room / 2:
            inside = self.listed(node.args, depth + 1)
            return before(self.spell.function("pow"), self._bracketed(inside, depth, node))
        inside = self.pieces(base, depth + 1)
        return behind(self._bracketed(inside, depth, base), upper)

    def _bracketed(self, inside: list[Piece], depth: int, node: Expr) -> list[Piece]:
        return self.enclosed("(", inside, ")", depth, node)

    def _open_Root(self, node: Expr, depth: int) -> list[Piece]:
        (inner,) = node.args
        return behind(self._bracketed(self.pieces(inner, depth + 1), depth, inner), "^{1/2}")

    def _open_Reduction(self, node: Expr, depth: int) -> list[Piece]:
        body = self.wrapped(node.args[1], SUM + 5, depth)
        return [
            Piece(self.spell.reduction_sign(node)),
            *joined(body, " ", INDENT, DEEPER * depth + OPENING),
        ]

    def _open_Call(self, node: Expr, depth: int) -> list[Piece]:
        function, *arguments = node.args
        inside = self.enclosed("(", self.listed(arguments, depth + 1), ")", depth, *arguments)
        return before(self.spell.function(function.name), inside)

    def _open_Magnitude(self, node: Expr, depth: int) -> list[Piece]:
        return self.enclosed("|", self.pieces(node.args[0], depth + 1), "|", depth, node.args[0])

    def _open_Bracket(self, node: Expr, depth: int) -> list[Piece]:
        return self.enclosed("[", self.pieces(node.args[0], depth + 1), "]", depth, node.args[0])

    def _open_Compare(self, node: Expr, depth: int) -> list[Piece]:
        relation, left, right = node.args
        sign = f" {RELATIONS.get(relation.name, relation.name)} "
        sides = (self.pieces(side, depth) for side in (left, right))
        return self.chain(sides, sign, f"{{}}{sign}", DEEPER * depth)

    def _open_AllOf(self, node: Expr, depth: int) -> list[Piece]:
        return self._conditions(node, self.spell.both, depth)

    def _open_AnyOf(self, node: Expr, depth: int) -> list[Piece]:
        return self._conditions(node, self.spell.either, depth)

    def _conditions(self, node: Expr, word: str, depth: int) -> list[Piece]:
        parts = (self._condition(part, depth) for part in node.args)
        return self.chain(parts, word, word, DEEPER * depth)

    def _condition(self, node: Expr, depth: int) -> list[Piece]:
        pieces = self.pieces(node, depth)
        return pieces if type(node).__name__ == "Compare" else before("(", behind(pieces, ")"))

    def _open_Case(self, node: Expr, depth: int) -> list[Piece]:
        r"""The cases under each other behind a brace: { u if c; v otherwise }."""
        *branches, last = node.args
        found = [Piece(r"\bigl\{ ")]
        cost = DEEPER * depth + CASE
        for value, condition in zip(branches[::2], branches[1::2], strict=True):
            found += joined(self.pieces(value, depth + 1), "", INDENT, cost - ROW)
            holds = before(r"\text{if } ", behind(self.pieces(condition, depth + 1), "; "))
            found += joined(holds, r" \quad ", INDENT * 2, cost + LIST)
        found[1] = replace(found[1], cost=cost + OPENING)
        found += joined(self.pieces(last, depth + 1), "", INDENT, cost - ROW)
        return [*found, Piece(r"\text{otherwise} \bigr\}", r" \quad ", INDENT * 2, cost + LIST)]

    def _open_Slope(self, node: Expr, depth: int) -> list[Piece]:
        above, below = (before(r"\partial ", self.wrapped(n, POWER, depth)) for n in node.args)
        return above + joined(below, f" {SLASH}", SLASH, DEEPER * depth + MULTIPLICATION)

    def _open_Differential(self, node: Expr, depth: int) -> list[Piece]:
        above, below = node.args
        front = rf"\frac{{\partial}}{{\partial {self.spell.wrap(below, POWER)}}} "
        head = [Piece(front)]
        if not self.fits(front):
            head = before(r"\partial \big/ \partial ", self.wrapped(below, POWER, depth))
        return head + self._bracketed(self.pieces(above, depth + 1), depth, above)

    def _open_Transposed(self, node: Expr, depth: int) -> list[Piece]:
        (inner,) = node.args
        inside = self._bracketed(self.pieces(inner, depth + 1), depth, inner)
        return behind(inside, r"^{\top}")

    def _open_Access(self, node: Expr, depth: int) -> list[Piece]:
        """A name cut behind its underscores, then the subscripts in brackets."""
        label, *subscripts = node.args
        found = [Piece(self.spell.name(label.name))]
        if not self.fits(found[0].text):
            found = self._cut(label.name, "mathrm", depth)
        if not subscripts:
            return found
        return found + self.enclosed("[", self.listed(subscripts, depth + 1), "]", depth)

    def _open_Idx(self, node: Expr, depth: int) -> list[Piece]:
        return self._cut(node.label.name, "mathrm", depth)

    def _open_Shape(self, node: Expr, depth: int) -> list[Piece]:
        parts = (self.pieces(part, depth) for part in node.args)
        return self.chain(parts, r" \times ", r"{} \times ", DEEPER * depth)

    def _open_Entries(self, node: Expr, depth: int) -> list[Piece]:
        """A matrix in small type; where that is too wide, its rows in brackets."""
        small = self.spell.doprint(node).replace("{pmatrix}", "{smallmatrix}")
        spaced = small.replace(r"\\", r"\\[0.8ex]")
        text = rf"\left({spaced}\right)"
        if self.fits(text):
            return [Piece(text)]
        rows = (
            self.enclosed("[", self.listed(row, depth + 1), "]", depth) for row in entries(node)
        )
        return self.chain(rows, r" \; ", "", DEEPER * depth + LIST)

    def _open_number(self, node: Expr, depth: int) -> list[Piece]:
        """Digits, or whatever else is a word."""
        return self._cut(str(node.args[0] if node.args else node), "mathrm", depth)

    def _cut(self, text: str, font: str, depth: int) -> list[Piece]:
        parts = [word(part, font) for part in cut(text, self.room)]
        return [Piece(parts[0]), *(Piece(p, "", INDENT, DEEPER * depth + NAME) for p in parts[1:])]


def cut(text: str, room: float) -> list[str]:
    """A word in parts at most ``room`` em wide, each as long as can be, cut behind underscores."""
    found = []
    while text_width(text) > room:
        end = max(n for n in range(1, len(text)) if n == 1 or text_width(text[:n]) <= room)
        end = text.rfind("_", 0, end) + 1 or end
        found.append(text[:end])
        text = text[end:]
    return [*found, text]
