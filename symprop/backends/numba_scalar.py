"""Scalar expressions as Python source for Numba, every literal of the program's type.

The meaning is that of the interpreter's ``FUNCTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import reduce
from typing import Any

import numpy as np
import sympy
from sympy import Add, Expr, Idx, Indexed, Integer, Mul, Pow, Rational, S, Symbol

from symprop.errors import LoweringError
from symprop.passes.functions import Written
from symprop.primitives import Equal, Greater, GreaterEqual

CALLS = {
    **{name: name for name in ("exp", "log", "log1p", "expm1", "erf", "erfc", "sin", "cos", "tan")},
    **{name: name for name in ("asin", "acos", "atan", "sinh", "cosh", "tanh")},
    **{name: name for name in ("asinh", "acosh", "atanh")},
}
"""Functions of Python's ``math``, which Numba compiles in the type of their argument."""
PRODUCTS = ("erfc_product", "exp_product")
"""Those of ``numba_math`` that multiply: of a weight, two factors, and the rest of the first."""
VECTORIZABLE = ("cosh", "erf", "erfc", "exp", "expm1", "log", "log1p", "sech2", "sinh", "tanh")
"""Those that ``numba_math`` has too."""
RELATIONS = {Greater: ">", GreaterEqual: ">=", Equal: "=="}
GREATEST_POWER = 64
"""Up to this exponent a power is a chain of products."""
SUM, PRODUCT, ATOM = 1, 2, 3


class ScalarPrinter:
    """Prints an expression; ``local`` gives the name of a variable that holds an expression,
    ``own`` are the functions taken from ``numba_math``.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        local: Callable[[Expr], str],
        own: Collection[str] = VECTORIZABLE,
    ):
        self._dtype, self._single = np.dtype(dtype), dtype == np.float32
        self._largest = Integer(int(np.finfo(dtype).max))
        self._local, self._own = local, own

    def literal(self, number: Expr) -> str:
        """A number in the program's type."""
        if not number.is_finite:
            return {S.Infinity: "F(np.inf)", S.NegativeInfinity: "F(-np.inf)"}.get(
                number, "F(np.nan)"
            )
        if abs(number) > self._largest:
            raise LoweringError(
                f"{sympy.N(number, 6)} does not fit {self._dtype}, whose largest number is "
                f"{float(self._largest):.4g}; use dtype='float64' or scale the expression"
            )
        return f"F({np.float32(float(number))!s})" if self._single else repr(float(number))

    def __call__(self, node: Expr) -> str:
        return self._at(node, 0)

    def _at(self, node: Expr, level: int) -> str:
        """The text of a node, in parentheses where its place binds stronger than its operator."""
        text, own = self._text(node)
        return text if own >= level else f"({text})"

    def _text(self, node: Expr) -> tuple[str, int]:
        if isinstance(node, Symbol):
            return str(node), ATOM
        if node.is_Number or node.is_NumberSymbol:
            return self.literal(node), PRODUCT if node.is_negative else ATOM
        if isinstance(node, Add):
            return self._sum(node), SUM
        if isinstance(node, (Mul, Pow)):
            return self._product(node), PRODUCT
        return self._function(node)

    def _sum(self, node: Add) -> str:
        first, *rest = sorted(node.args, key=lambda term: term.could_extract_minus_sign())
        text = self._at(first, SUM)
        for term in rest:
            negative = term.as_coeff_Mul()[0].is_negative
            text += f" - {self._at(-term, PRODUCT)}" if negative else f" + {self._at(term, SUM)}"
        return text

    def _product(self, node: Expr) -> str:
        """Numerators, then one division after the other: denominators multiplied might overflow.

        u⁻ⁿ is (1/u)ⁿ, for uⁿ overflows before its reciprocal vanishes.
        """
        coefficient, rest = node.as_coeff_Mul()
        above, below = [], []
        for factor in Mul.make_args(rest):
            if isinstance(factor, Pow) and factor.exp.is_Number and factor.exp.is_negative:
                if factor.exp.is_Integer and -GREATEST_POWER <= factor.exp < -1:
                    inverse = self._local(Symbol(self._local(factor.base)) ** -1)
                    above.append(_grouped(self._factors(inverse, -int(factor.exp))))
                else:
                    below.append(self._power(factor.base, -factor.exp))
            else:
                above.append(self._factor(factor))
        sign = "-" if coefficient == -1 else ""
        if coefficient not in (1, -1):
            above.insert(0, self.literal(coefficient))
        top = sign + (" * ".join(above) or self.literal(S.One))
        return " / ".join([top, *below])

    def _factor(self, factor: Expr) -> str:
        if isinstance(factor, Pow):
            return self._power(factor.base, factor.exp)
        return self._at(factor, ATOM)

    def _power(self, base: Expr, exponent: Expr) -> str:
        """A positive power of a base: products, square roots, or ``math.pow``."""
        if exponent == 1:
            return self._at(base, ATOM)
        twice = 2 * exponent
        if not twice.is_Integer or not 0 < twice <= 2 * GREATEST_POWER:
            return f"math.pow({self(base)}, {self(exponent)})"
        if exponent == S.Half:
            return f"math.sqrt({self(base)})"
        name = self._local(base)
        root = [f"math.sqrt({name})"] if twice.is_odd else []
        return _grouped(root + self._factors(name, int(exponent)))

    def _factors(self, name: str, exponent: int) -> list[str]:
        """name^exponent as factors, by squaring its half."""
        if exponent <= 3:
            return [name] * exponent
        half = self._local(Symbol(name) ** (exponent // 2))
        return [half, half] + [name] * (exponent % 2)

    def _function(self, node: Expr) -> tuple[str, int]:
        kind = type(node).__name__
        if isinstance(node, Written):
            return self._written(kind, node)
        if kind in CALLS:
            name = kind if kind in self._own else f"math.{CALLS[kind]}"
            return f"{name}({self(node.args[0])})", ATOM
        if type(node) in RELATIONS:
            return f"F({self.condition(node)})", ATOM
        if kind == "Absolute":
            return f"abs({self(node.args[0])})", ATOM
        if kind == "Floor":
            return self._floor(*map(self._local, node.args)), SUM
        if kind in ("Sign", "Maximum", "Minimum", "Select"):
            return self._choice(kind, node), 0
        raise LoweringError(f"{kind} cannot be compiled: {node}")

    def _written(self, kind: str, node: Written) -> tuple[str, int]:
        """A function of stabilizing; what it means where it is not to be had. A number in a
        product is given in two parts, for that of the type is rounded.
        """
        if not self._own or kind not in (*self._own, *PRODUCTS):
            return self._text(node.meaning)
        if len(node.args) == 1:
            return f"{kind}({self(node.args[0])})", ATOM
        w, u, v = node.args
        text = self(u)
        low = u - Rational(float(self._dtype.type(float(u)))) if u.is_number else S.Zero
        return f"{kind}({self(w)}, {text}, {self.literal(sympy.N(low))}, {self(v)})", ATOM

    def _floor(self, u: str, v: str) -> str:
        """⌊u/v⌋ for v > 0: u times a rounded 1/v, which LLVM may take, can be one off."""
        found, one = f"np.floor({u} / {v})", self.literal(S.One)
        return f"{found} + F(({found} + {one}) * {v} <= {u}) - F({found} * {v} > {u})"

    def condition(self, node: Expr) -> str:
        """A number as a condition: whether it is not 0."""
        if type(node) in RELATIONS:
            left, right = (self._at(argument, SUM) for argument in node.args)
            return f"{left} {RELATIONS[type(node)]} {right}"
        return f"{self._at(node, SUM)} != {self.literal(S.Zero)}"

    def _choice(self, kind: str, node: Expr) -> str:
        """Sign, maximum and minimum compare as the interpreter does, NaN included."""
        if kind == "Select":
            condition, u, v = node.args
            return f"{self._local(u)} if {self.condition(condition)} else {self._local(v)}"
        names = [self._local(argument) for argument in node.args]
        if kind == "Sign":
            (u,), zero = names, self.literal(S.Zero)
            return f"F({u} > {zero}) - F({u} < {zero}) if {u} == {u} else {u}"
        u, v = names
        undefined = "" if node.args[1].is_number else f" or {v} != {v}"
        return f"{v} if {u} {'<=' if kind == 'Maximum' else '>='} {v}{undefined} else {u}"


def _grouped(factors: list[str]) -> str:
    return factors[0] if len(factors) == 1 else f"({' * '.join(factors)})"


def subscript(node: Expr, name: Callable[[Expr], str]) -> str:
    """An integer expression of indices, sizes and gathered integers; ``name`` spells these."""
    if isinstance(node, (Idx, Indexed, Symbol)):
        return name(node)
    if node.is_Integer:
        return str(int(node))
    if isinstance(node, (Add, Mul)):
        parts = [subscript(argument, name) for argument in sorted(node.args, key=str)]
        sign = " + " if isinstance(node, Add) else "*"
        text = reduce(lambda left, right: f"{left}{sign}{right}", parts)
        return f"({text})" if isinstance(node, Add) else text
    if isinstance(node, Pow) and node.exp.is_Integer and node.exp > 0:
        return "*".join([subscript(node.base, name)] * int(node.exp))
    raise LoweringError(f"{type(node).__name__} cannot be compiled in a subscript: {node}")
