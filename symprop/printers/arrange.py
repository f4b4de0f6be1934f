"""Index notation of one expression: the order of terms and factors, and how conditions read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sympy import Add, Expr, Idx, Indexed, Integer, Mul, Pow, Rational, Symbol

from symprop.formula import Beginning, Largest, Rate, Through, Total, free_indices
from symprop.passes.functions import Written
from symprop.primitives import (
    Absolute,
    Equal,
    Floor,
    Greater,
    GreaterEqual,
    Maximum,
    Minimum,
    Select,
    Sign,
)
from symprop.printers.signs import signed
from symprop.printers.structure import (
    LARGE,
    AllOf,
    AnyOf,
    Bracket,
    Call,
    Case,
    Compare,
    Differential,
    Dots,
    Fraction,
    Magnitude,
    Minus,
    Names,
    Power,
    Reduction,
    Root,
    Slope,
    plus,
    times,
)
from symprop.tensor import label_of, subscripts_of

RELATIONS: dict[type, tuple[str, str]] = {
    Greater: (">", "<"),
    GreaterEqual: ("≥", "≤"),
    Equal: ("=", "="),
}
"""The relation of an indicator, and the same with its sides exchanged."""
NEGATED = {">": "≤", "≤": ">", "≥": "<", "<": "≥", "=": "≠", "≠": "="}


class Arrange:
    """Index notation: an expression as nodes, in the order in which a person writes it."""

    def __init__(self, names: Names, first: Expr | None = None):
        self.names = names
        self.first = first
        """The element whose term opens a sum: w ← w − …, not w ← −… + w."""

    def __call__(self, value: Expr) -> Expr:
        """The expression as nodes."""
        if isinstance(value, Idx) or value.is_Number or value.is_NumberSymbol:
            return Minus(-value) if value.is_Number and value < 0 else value
        if isinstance(value, (Indexed, Symbol)):
            return self.access(value)
        value = signed(value, self.names)
        holds = self.condition(value)
        if holds is not None:
            return Bracket(holds)
        if isinstance(value, Add) and len(tuple(factors(value))) == 1:
            return self.total(value)
        if isinstance(value, Pow) and not _is_below(value):
            return self.power(value.base, value.exp)
        if isinstance(value, (Add, Mul, Pow)):
            return self.term(value)
        return self.function(value)

    def access(self, value: Expr) -> Expr:
        return self.names.access(str(label_of(value)), map(self.subscript, subscripts_of(value)))

    def subscript(self, value: Expr) -> Expr:
        """2·p + r, t + 1: steps, then indices, then numbers."""
        if not isinstance(value, Add):
            return self(value)
        by_kind = sorted(value.args, key=lambda term: (term.is_Number, not term.is_Mul, str(term)))
        terms = [self(term) for term in by_kind]
        return plus(sorted(terms, key=lambda node: isinstance(node, Minus)))

    def total(self, value: Expr) -> Expr:
        terms = [(self(term), term) for term in value.args]
        return plus(node for node, _ in sorted(terms, key=self._term_key))

    def _term_key(self, pair: tuple[Expr, Expr]) -> tuple[Any, ...]:
        node, term = pair
        leads = self.first is not None and term.has(self.first)
        plain = isinstance(term, (Indexed, Symbol))
        tiny = term.is_Rational and term.q > LARGE
        first = not leads, not term.has(Total), tiny, not term.is_Number, not plain
        return isinstance(node, Minus), *first, len(str(term)), str(term)

    def term(self, value: Expr) -> Expr:
        """± numerator/denominator, cotangents behind the fraction."""
        coefficient, above, below = split(value)
        node = self.fraction(abs(coefficient), above, below)
        return Minus(node) if coefficient < 0 else node

    def fraction(self, coefficient: Rational, above: list[Expr], below: list[Expr]) -> Expr:
        above = self._with_conditions_joined(above)
        bars = [f for f in above if self._is_slope(f)]
        compound = any(not _is_access(f) and not f.is_number for f in above)
        if bars and (below or coefficient.q != 1):
            rest = [f for f in above if f not in bars]
            front = self._ratio(coefficient, self._ordered(rest, False), below)
            return self.times([front, *map(self, self._ordered(bars, False))])
        return self._ratio(coefficient, self._ordered(above, compound), below)

    def _ratio(self, coefficient: Rational, above: list[Expr], below: list[Expr]) -> Expr:
        p, q = coefficient.p, coefficient.q
        if above and (q > LARGE or (p != 1 and q != 1 and not below)):
            front, p, q = [coefficient], 1, 1
        else:
            front = [Integer(p)] if p != 1 else []
        upper = [*front, *map(self, above)]
        lower = ([Integer(q)] if q != 1 else []) + [self(f) for f in self._ordered(below, False)]
        numerator = self.times(upper) if upper else Integer(1)
        if not above and not below:
            return coefficient
        return self.over(numerator, self.times(lower)) if lower else numerator

    def times(self, parts: list[Expr]) -> Expr:
        return times(parts)

    def over(self, numerator: Expr, denominator: Expr) -> Expr:
        return Fraction(numerator, denominator)

    def _is_slope(self, factor: Expr) -> bool:
        """Whether a factor stands behind a fraction: a cotangent, a derivative, a sum."""
        if isinstance(factor, (Total, Rate, Through)):
            return True
        plain = isinstance(factor, (Indexed, Symbol))
        return plain and isinstance(self.names.access(str(label_of(factor))), Slope)

    def _with_conditions_joined(self, factors: list[Expr]) -> list[Expr]:
        """The factors, indicators among them as one product, which then prints as one bracket."""
        holds = [f for f in factors if self.condition(f) is not None]
        if len(holds) < 2:
            return factors
        return [f for f in factors if f not in holds] + [Mul(*holds)]

    def _ordered(self, factors: list[Expr], compound: bool) -> list[Expr]:
        return sorted(factors, key=lambda f: (self._rank(f, compound), str(f)))

    def _rank(self, factor: Expr, compound: bool) -> int:
        """Numbers, scalars, matrices, cotangents, other elements, compounds, then cotangents."""
        base = factor.base if isinstance(factor, Pow) else factor
        if base.is_number:
            return 0
        if isinstance(base, (Total, Rate, Through)):
            return 8 if isinstance(base, Total) else 7
        if not _is_access(base):
            return 5
        node = self.names.access(str(label_of(base)))
        if isinstance(node, Slope) or node.args[0].name.startswith("delta"):
            return 6 if compound else 3
        if not isinstance(base, Indexed):
            return 1
        return 2 if node.args[0].name[0].isupper() else 4

    def power(self, base: Expr, exponent: Expr) -> Expr:
        """u^p with p not negative."""
        if exponent == Rational(1, 2):
            return Root(self(base))
        return self(base) if exponent == 1 else Power(self(base), self(exponent))

    def reduction(self, value: Expr, over: Iterable[Idx], kind: str = "sum") -> Expr:
        """Σ or max; factors free of the summed indices stand in front of the Σ."""
        over, value = tuple(over), signed(value, self.names)
        parts = tuple(factors(value))
        inside = [factor for factor in parts if set(free_indices(factor)) & set(over)]
        if kind != "sum" or not inside:
            return Reduction(Symbol(kind), self(value), *over)
        front = self(Mul(*(factor for factor in parts if factor not in inside)))
        total = Reduction(Symbol("sum"), self(Mul(*inside)), *over)
        if isinstance(front, Minus):
            return Minus(times([*front.args, total]))
        return times([front, total])

    def rate(self, value: Expr) -> Expr:
        """∂y/∂x of elements, ∂(u)/∂x of an expression."""
        above, below = value.args
        kind = Slope if isinstance(above, (Indexed, Symbol)) else Differential
        return kind(self(above), self(below))

    def function(self, value: Expr) -> Expr:
        if isinstance(value, (Total, Largest)):
            body, *over = value.args
            return self.reduction(body, over, "sum" if isinstance(value, Total) else "max")
        if isinstance(value, (Rate, Through)):
            return self.rate(value)
        if isinstance(value, Written):
            return self(value.meaning)
        if isinstance(value, Beginning):
            return plus((*map(self, value.args), Dots()))
        arguments = [self(a) for a in value.args if isinstance(a, Expr)]
        if isinstance(value, Select):
            return self._case(value)
        if isinstance(value, Absolute):
            return Magnitude(*arguments)
        if isinstance(value, Floor):
            return Call(Symbol("floor"), Fraction(*arguments))
        names = {Maximum: "max", Minimum: "min", Sign: "sign"}
        name = names.get(type(value), self.names.function(type(value).__name__))
        if isinstance(value, Maximum):  # max(max(u, v), w) is max(u, v, w)
            arguments = [part for node in arguments for part in _within_max(node)]
        return Call(Symbol(name), *arguments)

    def _case(self, value: Expr) -> Expr:
        branches: list[Expr] = []
        while isinstance(value, Select):
            condition, branch, value = value.args
            node, holds = self(branch), self._holds(condition)
            if branches and branches[-2] == node:
                branches[-1] = AnyOf(branches[-1], holds)
            else:
                branches += [node, holds]
        return Case(*branches, self(value))

    def _holds(self, value: Expr) -> Expr:
        found = self.condition(value)
        return Compare(Symbol("≠"), self(value), Integer(0)) if found is None else found

    def condition(self, value: Expr, negated: bool = False) -> Expr | None:
        """An indicator, a product of such, or 1 minus such, as a condition; else None."""
        if type(value) in RELATIONS:
            return self._compare(value, negated)
        if isinstance(value, Mul):
            parts = [self.condition(part, negated) for part in value.args]
            if any(part is None for part in parts):
                return None
            parts.sort(key=lambda part: _is_below_bound(part) != negated)
            return AnyOf(*parts) if negated else AllOf(*parts)
        if isinstance(value, Add) and value.args[0] == 1:
            return self.condition(1 - value, not negated)
        return None

    def _compare(self, value: Expr, negated: bool) -> Expr:
        left, right = value.args
        exchange = left.is_number and not right.is_number
        relation = RELATIONS[type(value)][exchange]
        relation = NEGATED[relation] if negated else relation
        sides = (right, left) if exchange else (left, right)
        return Compare(Symbol(relation), *map(self, sides))


def factors(value: Expr) -> Iterator[Expr]:
    """The factors of a value, a number shared by the terms of a sum taken out: 2·(u − v)."""
    for factor in Mul.make_args(value):
        content, rest = factor.primitive() if isinstance(factor, Add) else (Integer(1), factor)
        shared = content.is_Integer or all(t.as_coeff_Mul()[0] in (1, -1) for t in rest.args)
        yield from (content, rest) if shared and content != 1 else (factor,)


def split(value: Expr) -> tuple[Rational, list[Expr], list[Expr]]:
    """A product as a rational coefficient, the factors above the line and those below it."""
    coefficient, above, below = Rational(1), [], []
    for factor in factors(value):
        if factor.is_Rational:
            coefficient *= factor
        elif _is_below(factor):
            below.append(1 / factor)
        else:
            above.append(factor)
    return coefficient, above, below


def _is_below_bound(condition: Expr) -> bool:
    """Whether a condition is an upper bound: z > 0 and z < 2 reads from left to right."""
    return isinstance(condition, Compare) and condition.args[0].name in ("<", "≤")


def _is_below(factor: Expr) -> bool:
    return isinstance(factor, Pow) and factor.exp.could_extract_minus_sign()


def _is_access(factor: Expr) -> bool:
    base = factor.base if isinstance(factor, Pow) else factor
    return isinstance(base, (Indexed, Symbol))


def _within_max(node: Expr) -> tuple[Expr, ...]:
    """The arguments of a maximum of several, else the node itself."""
    several = isinstance(node, Call) and node.args[0] == Symbol("max") and len(node.args) > 2
    return node.args[1:] if several else (node,)
