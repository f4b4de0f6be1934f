"""The Unicode spelling: one line of plain text."""
# ruff: noqa: N802 (SymPy calls _print_ and the name of a class)

from __future__ import annotations

import unicodedata

from sympy import Expr
from sympy.printing.str import StrPrinter

from symprop.printers.spelling import POWER, PRODUCT, SUM, Spelling, decimal, greek, name_parts
from symprop.printers.structure import ACTIVATIONS, LARGE, Node, Product, Reduction, Times, entries

SUPERSCRIPTS = str.maketrans("0123456789+-()lL", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ˡᴸ")
FUNCTIONS = {letter: greek(letter) for letter in ACTIVATIONS}
FUNCTIONS |= {f"{letter}_prime": f"{greek(letter)}′" for letter in ACTIVATIONS}


class UnicodePrinter(Spelling, StrPrinter):  # type: ignore[misc]  # SymPy has no types
    """Writes nodes as ``z1[b, j] = Σ_k W1[j, k]·x[b, k]``; with ``layers`` z1 is z⁽¹⁾."""

    def __init__(self, layers: bool = False):
        super().__init__()
        self.layers = layers

    def name(self, name: str) -> str:
        """A tensor's or index's name: yhat is ŷ, gamma3 is γ3 (γ⁽³⁾ with layers)."""
        base, hatted, number, rest = name_parts(name)
        text = greek(base)
        if hatted:
            text = unicodedata.normalize("NFC", text + "\u0302")
        superscript = f"({number})".translate(SUPERSCRIPTS) if self.layers and number else number
        return f"{text}{superscript}" + (f"_{self.name(rest)}" if rest else "")

    def _print_Access(self, node: Expr) -> str:
        label, *subscripts = node.args
        inside = f"[{self.all(subscripts, ', ')}]" if subscripts else ""
        return self.name(label.name) + inside

    def _print_Slope(self, node: Expr) -> str:
        above, below = node.args
        return f"∂{self.wrap(above, POWER)}/∂{self.wrap(below, POWER)}"

    def _print_Differential(self, node: Expr) -> str:
        above, below = node.args
        return f"∂({self._print(above)})/∂{self.wrap(below, POWER)}"

    def _print_Fraction(self, node: Expr) -> str:
        above, below = node.args
        upper = self.wrap(above, PRODUCT)
        closes = above.args[-1] if isinstance(above, Times) else above
        if isinstance(closes, Product) or (above is not closes and isinstance(closes, Reduction)):
            upper = f"({upper})"
        return f"{upper}/{self.wrap(below, PRODUCT, strict=False)}"

    def _print_Power(self, node: Expr) -> str:
        base, exponent = node.args
        text = self.wrap(base, POWER, strict=False)
        if exponent.is_Integer:
            return text + str(exponent).translate(SUPERSCRIPTS)
        return f"{text}^{self.wrap(exponent, POWER)}"

    def _print_Root(self, node: Expr) -> str:
        text = self._print(node.args[0])
        return f"√{text}" if text.isalnum() else f"√({text})"

    def _print_Reduction(self, node: Expr) -> str:
        kind, body, *over = node.args
        names = ", ".join(map(self._print, over))
        below = f"{{{names}}}" if len(over) > 1 else names
        sign = "Σ" if kind.name == "sum" else kind.name
        return f"{sign}_{below} {self.wrap(body, SUM + 5)}"

    def _print_Call(self, node: Expr) -> str:
        function, *arguments = node.args
        name = FUNCTIONS.get(function.name, function.name)
        return f"{name}({self.all(arguments, ', ')})"

    def _print_Magnitude(self, node: Expr) -> str:
        return f"|{self._print(node.args[0])}|"

    def _print_Compare(self, node: Expr) -> str:
        relation, left, right = node.args
        return f"{self._print(left)} {relation.name} {self._print(right)}"

    def _print_Bracket(self, node: Expr) -> str:
        return f"[{self._print(node.args[0])}]"

    def _print_Case(self, node: Expr) -> str:
        *branches, last = map(self._print, node.args)
        pairs = zip(branches[::2], branches[1::2], strict=True)
        return "{" + ", ".join(f"{u} if {c}" for u, c in pairs) + f", else {last}}}"

    def _print_Transposed(self, node: Expr) -> str:
        return self.wrap(node.args[0], POWER, strict=False) + "ᵀ"

    def _print_Shape(self, node: Expr) -> str:
        return self.all(node.args, " × ") or "scalar"

    def _print_Numeral(self, node: Expr) -> str:
        return str(node.args[0].name)

    def _print_Dots(self, node: Expr) -> str:
        return "…"

    def _print_Entries(self, node: Expr) -> str:
        rows = (" ".join(map(self._print, row)) for row in entries(node))
        return f"[{'; '.join(rows)}]"

    def _print_Ones(self, node: Node) -> str:
        return "1"

    def _print_Rational(self, node: Expr) -> str:
        return f"{node.p}/{node.q}" if node.q <= LARGE else decimal(node)

    def _print_Float(self, node: Expr) -> str:
        return decimal(node)

    def _print_Pi(self, node: Expr) -> str:
        return "π"

    def _print_Exp1(self, node: Expr) -> str:
        return "e"
