"""What all spellings have in common: parentheses, sums, products and the parts of a name."""
# ruff: noqa: N802 (SymPy calls _print_ and the name of a class)

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, ClassVar

from sympy import Expr
from sympy.core.alphabets import greeks
from sympy.printing.precedence import PRECEDENCE, precedence

from symprop.printers.structure import Compare, Minus, Numeral, Reduction

SUM, PRODUCT, POWER = PRECEDENCE["Add"], PRECEDENCE["Mul"], PRECEDENCE["Pow"]


class Spelling:
    """Mixed into a SymPy printer, which then writes the nodes of ``structure``.

    A spelling fills in ``parentheses``, the signs between factors, the words between conditions
    and ``name``.
    """

    parentheses: ClassVar[tuple[str, str]] = ("(", ")")
    times: ClassVar[str] = "·"
    dot: ClassVar[str] = "·"
    product: ClassVar[str] = " "
    hadamard: ClassVar[str] = " ⊙ "
    quotient: ClassVar[str] = " ⊘ "
    both: ClassVar[str] = " and "
    either: ClassVar[str] = " or "
    _print: Any

    def name(self, name: str) -> str:
        """A tensor's or index's name."""
        raise NotImplementedError

    def wrap(self, node: Expr, level: int, strict: bool = True) -> str:
        """The node, in parentheses if it binds weaker than ``level`` (not strict: or equally)."""
        own, text = precedence(node), str(self._print(node))
        left, right = self.parentheses
        return f"{left}{text}{right}" if own < level or (not strict and own == level) else text

    def all(self, nodes: Iterable[Expr], separator: str, level: int = 0) -> str:
        return separator.join(self.wrap(node, level) for node in nodes)

    def _print_Plus(self, node: Expr) -> str:
        first, *rest = node.args
        return str(self._print(first)) + "".join(
            f" - {self._minuend(term)}" if isinstance(term, Minus) else f" + {self._print(term)}"
            for term in rest
        )

    def _minuend(self, node: Expr) -> str:
        return self.wrap(node.args[0], SUM + 5)

    def _print_Minus(self, node: Expr) -> str:
        return f"-{self._minuend(node)}"

    def _print_Times(self, node: Expr) -> str:
        *front, last = node.args
        tail = self._print(last) if isinstance(last, Reduction) else self.wrap(last, PRODUCT)
        factors = [*(self.wrap(factor, PRODUCT) for factor in front), tail]
        return self.sign(node).join(factors)

    def sign(self, product: Expr) -> str:
        """The sign between factors; between numbers it must be seen: 0.2·0.1."""
        return self.dot if product.has(Numeral) else self.times

    def _print_AllOf(self, node: Expr) -> str:
        return self.both.join(map(self._condition, node.args))

    def _print_AnyOf(self, node: Expr) -> str:
        return self.either.join(map(self._condition, node.args))

    def _condition(self, node: Expr) -> str:
        text = self._print(node)
        return str(text) if isinstance(node, Compare) else f"({text})"

    def _print_Product(self, node: Expr) -> str:
        return self.all(node.args, self.product, PRODUCT)

    def _print_Hadamard(self, node: Expr) -> str:
        return self.hadamard.join(self.wrap(part, PRODUCT, strict=False) for part in node.args)

    def _print_Quotient(self, node: Expr) -> str:
        return self.quotient.join(self.wrap(part, PRODUCT, strict=False) for part in node.args)

    def _print_Idx(self, node: Expr) -> str:
        return self.name(node.label.name)

    def _print_Symbol(self, node: Expr) -> str:
        return self.name(node.name)


def decimal(number: Expr) -> str:
    """The shortest decimal that is the same float64, as 0.001 or 1e-8."""
    return re.sub(r"e([+-])0*", lambda m: "e" + m[1].strip("+"), repr(float(number)))


def name_parts(name: str) -> tuple[str, bool, str, str]:
    """Letters, whether hatted, layer number and the rest: v_W1 is v, not hatted, no number, W1.

    The number may be one that stands for every layer: a(l-1), which no tensor can be called.
    """
    head, _, rest = name.partition("_")
    stem, parenthesis, number = head.partition("(")
    if not parenthesis:
        stem = head.rstrip("0123456789")
        number = head[len(stem) :]
    base = stem.removesuffix("hat") or stem
    return base, base != stem, number.rstrip(")"), rest


def greek(name: str) -> str:
    """The Greek letter of that name; any other name as it is."""
    if name.lower() not in greeks:
        return name
    kind = "SMALL" if name[0].islower() else "CAPITAL"
    letter = name.upper().replace("LAMBDA", "LAMDA")
    return unicodedata.lookup(f"GREEK {kind} LETTER {letter}")
