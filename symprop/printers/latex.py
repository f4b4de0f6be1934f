"""The LaTeX spelling."""
# ruff: noqa: N802 (SymPy calls _print_ and the name of a class)

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sympy import Expr
from sympy.printing.latex import LatexPrinter as SymPyLatexPrinter

from symprop.printers.index import Block, Line
from symprop.printers.spelling import POWER, SUM, Spelling, decimal, greek, name_parts
from symprop.printers.structure import ACTIVATIONS, LARGE, Access, entries

RELATIONS = {"≤": r"\le", "≥": r"\ge", "≠": r"\ne", "←": r"\leftarrow", "+=": r"\mathrel{+}="}
FUNCTIONS = {*ACTIVATIONS, "max", "min", "exp", "log", "sin", "cos", "tan", "cot", "sec", "csc"}
FUNCTIONS |= {"sinh", "cosh", "tanh", "coth", "arcsin", "arccos", "arctan"}
FUNCTION_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
FUNCTION_NAMES |= {f"{letter}_prime": f"{letter}'" for letter in ACTIVATIONS}


class LatexPrinter(Spelling, SymPyLatexPrinter):  # type: ignore[misc]  # SymPy has no types
    r"""Writes nodes as LaTeX: ``z^{(1)}_{bj} = \sum_{k} W^{(1)}_{jk} \, x_{bk} + b^{(1)}_{j}``."""

    parentheses = (r"\left(", r"\right)")
    times = product = r" \, "
    dot = r" \cdot "
    hadamard, quotient = r" \odot ", r" \oslash "
    both, either = r" \text{ and } ", r" \text{ or } "
    operator = "operatorname"

    def __init__(self, euler: bool = True):
        super().__init__()
        self.euler = euler
        """Whether exp(u) may be written as a power of e, which is also the name of a tensor."""

    def name(self, name: str, subscripts: str = "") -> str:
        r"""A name as \gamma^{(3)}, \hat{y}, v_{W^{(1)}}; subscripts follow its own.

        A name with several underscores is one word.
        """
        base, hatted, number, rest = name_parts(name)
        if "_" in rest or name.endswith("_"):
            return word(name) + (f"_{{{subscripts}}}" if subscripts else "")
        text = rf"\hat{{{_letter(base)}}}" if hatted else _letter(base)
        upper = f"^{{({number})}}" if number else ""
        own = rest if rest.isdigit() else self.name(rest) if rest else ""
        below = ", ".join(part for part in (own, subscripts) if part)
        return text + upper + (f"_{{{below}}}" if below else "")

    def _print_Access(self, node: Expr) -> str:
        label, *subscripts = node.args
        texts = list(map(self._print, subscripts))
        short = all(len(text) == 1 for text in texts)
        return self.name(label.name, ("" if short else ", ").join(texts))

    def _print_Slope(self, node: Expr) -> str:
        above, below = (self.wrap(part, POWER) for part in node.args)
        return rf"\frac{{\partial {above}}}{{\partial {below}}}"

    def _print_Differential(self, node: Expr) -> str:
        above, below = node.args
        inside = rf"\left({self._print(above)}\right)"
        return rf"\frac{{\partial}}{{\partial {self.wrap(below, POWER)}}} {inside}"

    def _print_Fraction(self, node: Expr) -> str:
        above, below = map(self._print, node.args)
        return rf"\frac{{{above}}}{{{below}}}"

    def _print_Power(self, node: Expr) -> str:
        base, exponent = node.args
        text = self.wrap(base, POWER, strict=False)
        crowded = isinstance(base, Access) and "^" in text
        text = rf"\left({text}\right)" if crowded else text
        return f"{text}^{{{self._print(exponent)}}}"

    def _print_Root(self, node: Expr) -> str:
        return rf"\sqrt{{{self._print(node.args[0])}}}"

    def _print_Reduction(self, node: Expr) -> str:
        return f"{self.reduction_sign(node)} {self.wrap(node.args[1], SUM + 5)}"

    def reduction_sign(self, node: Expr) -> str:
        r"""What stands in front of the body: \sum_{k}."""
        kind, _, *over = node.args
        sign = r"\sum" if kind.name == "sum" else rf"\{kind.name}"
        return f"{sign}_{{{self.all(over, ', ')}}}"

    def _print_Call(self, node: Expr) -> str:
        function, *arguments = node.args
        inside = self.all(arguments, ", ")
        if function.name == "exp" and self.euler:
            return rf"e^{{{inside}}}"
        return rf"{self.function(function.name)}\left({inside}\right)"

    def function(self, name: str) -> str:
        r"""A function's name: \sigma', \tanh, \operatorname{erf}."""
        name = FUNCTION_NAMES.get(name, name)
        known = name.rstrip("'") in FUNCTIONS
        return rf"\{name}" if known else word(name, self.operator)

    def _print_Magnitude(self, node: Expr) -> str:
        return rf"\left|{self._print(node.args[0])}\right|"

    def _print_Compare(self, node: Expr) -> str:
        relation, left, right = node.args
        sign = RELATIONS.get(relation.name, relation.name)
        return f"{self._print(left)} {sign} {self._print(right)}"

    def _print_Bracket(self, node: Expr) -> str:
        return rf"\left[{self._print(node.args[0])}\right]"

    def _print_Case(self, node: Expr) -> str:
        *branches, last = map(self._print, node.args)
        pairs = zip(branches[::2], branches[1::2], strict=True)
        rows = [rf"{u} & \text{{if }} {c}" for u, c in pairs] + [rf"{last} & \text{{otherwise}}"]
        return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"

    def _print_Transposed(self, node: Expr) -> str:
        (inner,) = node.args
        text = self.wrap(inner, POWER, strict=False)
        crowded = isinstance(inner, Access) and "^" in text
        # {}: TeX takes a group of nothing but an accented letter for the letter itself
        return rf"{{{text}{{}}}}^{{\top}}" if crowded else rf"{text}^{{\top}}"

    def _print_Shape(self, node: Expr) -> str:
        return self.all(node.args, r" \times ") or r"\text{scalar}"

    def _print_Numeral(self, node: Expr) -> str:
        return str(node.args[0].name)

    def _print_Dots(self, node: Expr) -> str:
        return r"\dots"

    def _print_Entries(self, node: Expr) -> str:
        rows = (" & ".join(map(self._print, row)) for row in entries(node))
        return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"

    def _print_Ones(self, node: Expr) -> str:
        return r"\mathbf{1}"

    def _print_Integer(self, node: Expr) -> str:
        return str(node.p)

    def _print_Rational(self, node: Expr) -> str:
        if node.q <= LARGE:
            sign = "-" if node.p < 0 else ""
            return rf"{sign}\frac{{{abs(node.p)}}}{{{node.q}}}"
        return self._decimal(node)

    def _print_Float(self, node: Expr) -> str:
        return self._decimal(node)

    def _decimal(self, node: Expr) -> str:
        digits, _, power = decimal(node).partition("e")
        if not power:
            return digits
        return f"10^{{{power}}}" if digits == "1" else rf"{digits} \cdot 10^{{{power}}}"


LATIN = {"Alpha": "A", "Beta": "B", "Epsilon": "E", "Zeta": "Z", "Eta": "H", "Iota": "I"}
LATIN |= {"Kappa": "K", "Mu": "M", "Nu": "N", "Omicron": "O", "Rho": "P", "Tau": "T"}
LATIN |= {"Chi": "X", "omicron": "o"}
"""Greek letters that look like Latin ones: LaTeX has no command for them."""


def _letter(base: str) -> str:
    if greek(base) != base:
        base = base[0] + base[1:].lower()
        return rf"\mathrm{{{LATIN[base]}}}" if base in LATIN else rf"\{base}"
    return base if len(base) == 1 else word(base)


def word(text: str, font: str = "mathrm") -> str:
    r"""Letters, digits and underscores as one upright word: \mathrm{learning\_rate}."""
    underscored = text.replace("_", r"\_")
    return rf"\{font}{{{underscored}}}"


def line_latex(line: Line, spell: LatexPrinter, mark: str = "&") -> str:
    """One line for an ``aligned`` environment."""
    each = ""
    if line.each:
        names = ", ".join(map(spell.doprint, line.each))
        each = rf" \qquad \text{{for each }} {names}"
    relation = RELATIONS.get(line.relation, line.relation)
    target = "" if line.target is None else f"{spell.doprint(line.target)} "
    return f"{target}{mark}{relation} {spell.doprint(line.value)}{each}"


def latex(found: Iterable[Line | Block], printer: LatexPrinter | None = None) -> Iterator[str]:
    """Lines and blocks as rows of an ``aligned`` environment, the rows of a block indented."""
    spell = printer or LatexPrinter()
    for item in found:
        if isinstance(item, Line):
            yield line_latex(item, spell)
            continue
        ends = [spell.doprint(item.last), "0"]
        first, last = ends if item.reverse else ends[::-1]
        yield rf"& \text{{for }} {spell.doprint(item.index)} = {first}, \dots, {last}:"
        yield from (rf"\quad {line_latex(line, spell)}" for line in item.lines)
