"""The MathML spelling: MathML Core, which browsers render by themselves."""
# ruff: noqa: N802 (SymPy calls _print_ and the name of a class)

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from html import escape

from sympy import Expr
from sympy.printing.precedence import precedence
from sympy.printing.printer import Printer

from symprop.printers.index import Block, Line, line_text, text
from symprop.printers.spelling import POWER, SUM, Spelling, decimal, greek, name_parts
from symprop.printers.structure import ACTIVATIONS, LARGE, Access, Call, Compare, Minus, entries
from symprop.printers.unicode import UnicodePrinter

FUNCTION_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
APPLY = "<mo>\N{FUNCTION APPLICATION}</mo>"
COMMA = "<mo>,</mo>"
HAT = '<mo stretchy="false">\N{MODIFIER LETTER CIRCUMFLEX ACCENT}</mo>'
MINUS = "<mo>\N{MINUS SIGN}</mo>"
PARTIAL = "<mi>∂</mi>"
TALL = ("<mfrac", "<munder", "<mtable")
THIN = "0.167em"
TOP = "<mi>⊤</mi>"
PART = re.compile(r"\d+|[^\W\d]|\S")
"""A number, a letter or a sign of a layer's number such as l-1."""


class MathmlPrinter(Spelling, Printer):  # type: ignore[misc]  # SymPy has no types
    """Writes nodes as the children of an mrow: ``<msub><mi>x</mi><mi>j</mi></msub>``.

    An operator's form (prefix, infix) and how far a parenthesis stretches follow from the mrow it
    stands in; what begins with an operator therefore has an mrow of its own.
    """

    times = product = f'<mo lspace="{THIN}" rspace="0">\N{INVISIBLE TIMES}</mo>'
    dot = "<mo>·</mo>"
    hadamard, quotient = "<mo>⊙</mo>", "<mo>⊘</mo>"
    both, either = "<mtext>\u00a0and\u00a0</mtext>", "<mtext>\u00a0or\u00a0</mtext>"

    def __init__(self) -> None:
        super().__init__()
        self.plain = UnicodePrinter(layers=True)

    def emptyPrinter(self, node: Expr) -> str:
        """What has no spelling of its own, as text."""
        return f"<mtext>{escape(self.plain.doprint(node))}</mtext>"

    def wrap(self, node: Expr, level: int, strict: bool = True) -> str:
        """The node, in parentheses if it binds weaker than ``level`` (not strict: or equally)."""
        own, text = precedence(node), str(self._print(node))
        return _enclosed(text) if own < level or (not strict and own == level) else text

    def name(self, name: str, subscripts: str = "", mark: str = "") -> str:
        """A name with its layer's number above, then the mark, and the subscripts after its own."""
        base, hatted, number, rest = name_parts(name)
        letter = f'<mover accent="true">{_letter(base)}{HAT}</mover>' if hatted else _letter(base)
        own = _digits(rest) if rest.isdigit() else self.name(rest) if rest else ""
        below = COMMA.join(part for part in (own, subscripts) if part)
        return _scripts(letter, below, (_layer(number) if number else "") + mark)

    def _print_Access(self, node: Expr) -> str:
        return self._access(node)

    def _access(self, node: Expr, mark: str = "") -> str:
        label, *subscripts = node.args
        short = all(len(self.plain.doprint(subscript)) == 1 for subscript in subscripts)
        return self.name(label.name, self.all(subscripts, "" if short else COMMA), mark)

    def _print_Slope(self, node: Expr) -> str:
        above, below = (self.wrap(part, POWER) for part in node.args)
        return _fraction(PARTIAL + above, PARTIAL + below)

    def _print_Differential(self, node: Expr) -> str:
        above, below = node.args
        operator = _fraction(PARTIAL, PARTIAL + self.wrap(below, POWER))
        return operator + _enclosed(self._print(above))

    def _print_Plus(self, node: Expr) -> str:
        first, *rest = node.args
        return _row(
            str(self._print(first))
            + "".join(
                MINUS + self._minuend(term)
                if isinstance(term, Minus)
                else f"<mo>+</mo>{self._print(term)}"
                for term in rest
            )
        )

    def _print_Minus(self, node: Expr) -> str:
        return _row(MINUS + self._minuend(node))

    def _print_Fraction(self, node: Expr) -> str:
        above, below = map(self._print, node.args)
        return _fraction(above, below)

    def _print_Power(self, node: Expr) -> str:
        base, exponent = node.args
        above = self._print(exponent)
        layered = isinstance(base, Access) and name_parts(base.args[0].name)[2]
        return _enclosed(self._print(base), above) if layered else self._raised(base, above)

    def _raised(self, base: Expr, mark: str) -> str:
        """The base with a mark above right: of a function, of its parentheses."""
        if isinstance(base, (Access, Call)):
            return self._access(base, mark) if isinstance(base, Access) else self._call(base, mark)
        inside = self._print(base)
        closed = precedence(base) > POWER
        return _scripts(_row(inside), "", mark) if closed else _enclosed(inside, mark)

    def _print_Root(self, node: Expr) -> str:
        return f"<msqrt>{self._print(node.args[0])}</msqrt>"

    def _print_Reduction(self, node: Expr) -> str:
        kind, body, *over = node.args
        sign = "<mo>∑</mo>"
        if kind.name != "sum":
            shape = f'movablelimits="true" lspace="0" rspace="{THIN}"'
            sign = f'<mo form="prefix" {shape}>{escape(kind.name)}</mo>'
        below = _row(self.all(over, COMMA))
        return _row(f"<munder>{sign}{below}</munder>{self.wrap(body, SUM + 5)}")

    def _print_Call(self, node: Expr) -> str:
        return self._call(node)

    def _call(self, node: Expr, mark: str = "") -> str:
        function, *arguments = node.args
        inside = _enclosed(self.all(arguments, COMMA), mark)
        return _row(_function(function.name) + APPLY + inside)

    def _print_Magnitude(self, node: Expr) -> str:
        return _enclosed(self._print(node.args[0]), signs="||")

    def _print_Compare(self, node: Expr) -> str:
        relation, left, right = node.args
        return f"{self._print(left)}<mo>{escape(relation.name)}</mo>{self._print(right)}"

    def _condition(self, node: Expr) -> str:
        text = str(self._print(node))
        return text if isinstance(node, Compare) else _enclosed(text)

    def _print_Bracket(self, node: Expr) -> str:
        return _enclosed(self._print(node.args[0]), signs="[]")

    def _print_Case(self, node: Expr) -> str:
        *branches, last = map(self._print, node.args)
        pairs = zip(branches[::2], branches[1::2], strict=True)
        rows = [(u, f"<mtext>if\u00a0</mtext>{c}") for u, c in pairs]
        table = _table([*rows, (last, "<mtext>otherwise</mtext>")], "left")
        return _row(f"<mo>{{</mo>{table}")

    def _print_Transposed(self, node: Expr) -> str:
        return self._raised(node.args[0], TOP)

    def _print_Shape(self, node: Expr) -> str:
        return self.all(node.args, "<mo>×</mo>") or "<mtext>scalar</mtext>"

    def _print_Numeral(self, node: Expr) -> str:
        return _digits(node.args[0].name)

    def _print_Dots(self, node: Expr) -> str:
        return "<mi>…</mi>"

    def _print_Entries(self, node: Expr) -> str:
        return _enclosed(_table([map(self._print, row) for row in entries(node)], "right"))

    def _print_Ones(self, node: Expr) -> str:
        return "<mn>\N{MATHEMATICAL BOLD DIGIT ONE}</mn>"

    def _print_Integer(self, node: Expr) -> str:
        return _digits(str(node.p))

    def _print_Rational(self, node: Expr) -> str:
        if node.q > LARGE:
            return self._print_Float(node)
        fraction = _fraction(_digits(str(abs(node.p))), _digits(str(node.q)))
        return fraction if node.p > 0 else _row(MINUS + fraction)

    def _print_Float(self, node: Expr) -> str:
        digits, _, power = decimal(node).partition("e")
        if not power:
            return _digits(digits)
        ten = _scripts("<mn>10</mn>", "", _digits(power))
        return ten if digits == "1" else _row(f"{_digits(digits)}<mo>·</mo>{ten}")

    def _print_Pi(self, node: Expr) -> str:
        return "<mi>π</mi>"

    def _print_Exp1(self, node: Expr) -> str:
        return "<mi>e</mi>"

    def _print_Infinity(self, node: Expr) -> str:
        return "<mi>∞</mi>"

    def _print_NegativeInfinity(self, node: Expr) -> str:
        return _row(f"{MINUS}<mi>∞</mi>")


def math(content: str, alternative: str) -> str:
    """A formula in display style with its plain text for whoever cannot see it."""
    shown = f'displaystyle="true" alttext="{escape(alternative)}"'
    return f"<math {shown}>{_row(content)}</math>"


def node_mathml(node: Expr, spell: MathmlPrinter) -> str:
    """A node as a formula of its own."""
    return math(spell.doprint(node), spell.plain.doprint(node))


def line_mathml(line: Line, spell: MathmlPrinter) -> tuple[str, str]:
    """What stands left of the relation, empty in a continued line, and the rest from it on."""
    target = "" if line.target is None else node_mathml(line.target, spell)
    each = ""
    if line.each:
        names = spell.all(line.each, COMMA)
        each = f'<mspace width="2em"></mspace><mtext>for each\u00a0</mtext>{names}'
    relation = f'<mo form="infix">{escape(line.relation)}</mo>'
    alternative = line_text(replace(line, target=None), spell.plain).strip()
    return target, math(f"{relation}{spell.doprint(line.value)}{each}", alternative)


def block_mathml(block: Block, spell: MathmlPrinter) -> str:
    """The heading of a recurrence's lines: for t = 0, …, n."""
    ends = [spell.doprint(block.last), "<mn>0</mn>"]
    first, last = ends if block.reverse else ends[::-1]
    index = spell.doprint(block.index)
    heading = f"<mtext>for\u00a0</mtext>{index}<mo>=</mo>{first}{COMMA}<mi>…</mi>{COMMA}{last}"
    (alternative,) = text((replace(block, lines=()),), spell.plain)
    return math(f"{heading}<mtext>:</mtext>", alternative)


def _row(inside: str) -> str:
    return f"<mrow>{inside}</mrow>"


def _enclosed(inside: str, mark: str = "", signs: str = "()") -> str:
    """In parentheses, which grow only around what is taller than a letter with its indices."""
    grow = "" if any(tall in inside for tall in TALL) else ' stretchy="false"'
    opening, closing = (f"<mo{grow}>{sign}</mo>" for sign in signs)
    return _row(opening + inside + _scripts(closing, "", mark))


def _fraction(above: str, below: str) -> str:
    return f"<mfrac>{_row(above)}{_row(below)}</mfrac>"


def _scripts(base: str, below: str, above: str) -> str:
    """The base with a subscript, a superscript, both or neither."""
    if below and above:
        return f"<msubsup>{base}{_row(below)}{_row(above)}</msubsup>"
    if below:
        return f"<msub>{base}{_row(below)}</msub>"
    return f"<msup>{base}{_row(above)}</msup>" if above else base


def _table(rows: Iterable[Iterable[str]], align: str) -> str:
    """A table of formulas; browsers differ in which of the two alignments they know."""
    cell = f'<mtd style="text-align: {align}">'
    lines = ("".join(f"{cell}{_row(inside)}</mtd>" for inside in row) for row in rows)
    inside = "".join(f"<mtr>{line}</mtr>" for line in lines)
    return f'<mtable columnalign="{align}">{inside}</mtable>'


def _letter(base: str) -> str:
    """A letter, in italics unless it is a Greek capital; or a word, upright."""
    letter = greek(base)
    variant = ' mathvariant="normal"' if letter != base and letter.isupper() else ""
    return f"<mi{variant}>{escape(letter)}</mi>"


def _digits(number: str) -> str:
    """A number by its decimal digits."""
    digits = f"<mn>{escape(number.lstrip('-'))}</mn>"
    return _row(MINUS + digits) if number.startswith("-") else digits


def _layer(number: str) -> str:
    """A layer's number in parentheses: (1), (l−1)."""
    inside = "".join(map(_part, PART.findall(number)))
    return f'<mo stretchy="false">(</mo>{inside}<mo stretchy="false">)</mo>'


def _part(part: str) -> str:
    if part == "-":
        return MINUS
    kind = "mn" if part.isdigit() else "mi" if part.isalpha() else "mo"
    return f"<{kind}>{escape(part)}</{kind}>"


def _function(name: str) -> str:
    """A function's name: σ and σ′ as symbols, all others upright."""
    letter = name.removesuffix("_prime")
    if letter in ACTIVATIONS:
        return f"<mi>{greek(letter)}</mi>{'' if letter == name else '<mo>′</mo>'}"
    return f"<mi>{escape(FUNCTION_NAMES.get(name, name))}</mi>"
