"""Differentiation told rule by rule: each line applies one named rule to the line before it.

A road starts from a derivative that is not yet taken and ends in a value that a program can hold.
Elements of tensors differentiate to Kronecker deltas, ∂x[k]/∂x[j] = [k = j], and a sum over k in
which [k = j] stands keeps only its term k = j. That is the long way to what the adjoint rule finds
by swapping reading and writing; nothing here is used to compute a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from sympy import Add, Expr, Function, Idx, Indexed, Integer, Mul, Pow, Symbol, exp, log

from symprop.formula import Largest, Rate, Total
from symprop.primitives import KINKED, Equal, Select
from symprop.tensor import accesses, indices, label_of, subscripts_of

LONGEST = 60
"""More lines than any road needs; a road that is longer does not end."""


@dataclass(frozen=True)
class Move:
    """One line of a road: by a rule, the line before becomes ``after``."""

    rule: str
    after: Expr
    reason: str


def road(start: Expr) -> Iterator[Move]:
    """The lines from a derivative not yet taken to one that is."""
    return _moves(start, _next)


def _moves(line: Expr, following: Callable[[Expr], Move | None]) -> Iterator[Move]:
    """The moves that follow one another, until there is none."""
    for _ in range(LONGEST):
        move = following(line)
        if move is None:
            return
        line = move.after
        yield move


def _next(line: Expr) -> Move | None:
    """The next move: differentiate what stands outermost, then let Kronecker deltas act."""
    rate = _first(line, Rate)
    if rate is not None:
        taken = differentiated(rate)
        return Move(taken.rule, settled(line.xreplace({rate: taken.after})), taken.reason)
    return _collapse(line)


def _first(line: Expr, kind: type[Expr]) -> Expr | None:
    """The outermost part of a kind; of several, the one whose text comes first."""
    found = sorted(_outermost(line, kind), key=str)
    return found[0] if found else None


def _outermost(line: Expr, kind: type[Expr]) -> Iterator[Expr]:
    if isinstance(line, kind):
        yield line
    elif not isinstance(line, (Indexed, Idx)):
        for argument in line.args:
            yield from _outermost(argument, kind)


def settled(line: Expr) -> Expr:
    """The line with the derivatives that need no rule taken: of what does not depend, and dx/dx."""
    found = {rate: _obvious(rate) for rate in line.atoms(Rate)}
    known = {rate: value for rate, value in found.items() if value is not None}
    return settled(_replaced(line, known)) if known else line


def _replaced(line: Expr, values: dict[Expr, Expr]) -> Expr:
    """The line with parts replaced, and sums of nothing left out."""
    line = line.xreplace(values)
    empty = {total: Integer(0) for total in line.atoms(Total) if total.args[0] == 0}
    return _replaced(line, empty) if empty else line


def _obvious(rate: Expr) -> Expr | None:
    value, element = rate.args
    if not depends(value, element):
        return Integer(0)
    return Integer(1) if value == element else None


def depends(value: Expr, element: Expr) -> bool:
    """Whether a value reads the tensor of an element (not only inside a subscript)."""
    if isinstance(value, (Total, Largest, Rate)):
        return depends(value.args[0], element)
    if any(isinstance(part, (Total, Largest, Rate)) for part in value.args):
        return any(depends(part, element) for part in value.args)
    return any(label_of(access) == label_of(element) for access in accesses(value))


def differentiated(rate: Expr) -> Move:
    """One rule applied to a derivative not yet taken."""
    value, element = rate.args
    rule = next(rule for holds, rule in RULES if holds(value, element))
    return rule(value, element)


def _linearity(value: Expr, element: Expr) -> Move:
    body, *over = value.args
    return Move("linearity", Total(Rate(body, element), *over), "∂Σ = Σ∂")


def _kronecker(value: Expr, element: Expr) -> Move:
    pairs = zip(subscripts_of(value), subscripts_of(element), strict=True)
    same = Mul(*(equal(one, other) for one, other in pairs if one != other))
    return Move("Kronecker delta", same, "∂x[k]/∂x[j] = [k = j]")


def equal(one: Expr, other: Expr) -> Expr:
    """[one = other] for subscripts."""
    return Integer(1) if one == other else Equal(one, other)


def _sum(value: Expr, element: Expr) -> Move:
    return Move(
        "sum rule", Add(*(Rate(term, element) for term in value.args)), "(u + v)′ = u′ + v′"
    )


def _is_scaled(value: Expr, element: Expr) -> bool:
    return isinstance(value, Mul) and any(not depends(part, element) for part in value.args)


def _constant_factor(value: Expr, element: Expr) -> Move:
    fixed = [part for part in value.args if not depends(part, element)]
    rest = Mul(*(part for part in value.args if part not in fixed))
    return Move("constant factor", Mul(*fixed) * Rate(rest, element), "(c·u)′ = c·u′")


def _is_quotient(value: Expr, element: Expr) -> bool:
    above, below = _fraction(value)
    return below != 1 and isinstance(value, (Mul, Pow)) and not (above == 1 and _leaf(below))


def _fraction(value: Expr) -> tuple[Expr, Expr]:
    parts = Mul.make_args(value)
    below = [part for part in parts if isinstance(part, Pow) and part.exp.is_negative]
    return Mul(*(p for p in parts if p not in below)), Mul(*(1 / part for part in below))


def _leaf(value: Expr) -> bool:
    base = value.base if isinstance(value, Pow) else value
    return isinstance(base, (Indexed, Symbol))


def _quotient(value: Expr, element: Expr) -> Move:
    u, v = _fraction(value)
    if not depends(u, element):
        return Move("quotient rule", -u * Rate(v, element) / v**2, "(c/v)′ = −c·v′/v²")
    after = (Rate(u, element) * v - u * Rate(v, element)) / v**2
    return Move("quotient rule", after, "(u/v)′ = (u′·v − u·v′)/v²")


def _product(value: Expr, element: Expr) -> Move:
    parts = value.args
    terms = (
        Mul(*(Rate(p, element) if i == k else p for k, p in enumerate(parts)))
        for i in range(len(parts))
    )
    return Move("product rule", Add(*terms), "(u·v)′ = u′·v + u·v′")


def _power(value: Expr, element: Expr) -> Move:
    base, power = value.base, value.exp
    after = power * base ** (power - 1) * Rate(base, element)
    return Move("power rule", after, "(uⁿ)′ = n·uⁿ⁻¹·u′")


def _exponential(value: Expr, element: Expr) -> Move:
    (inner,) = value.args
    return Move("exponential", value * Rate(inner, element), "exp(u)′ = exp(u)·u′")


def _general_power(value: Expr, element: Expr) -> Move:
    base, power = value.base, value.exp
    after = value * Rate(power * log(base), element)
    return Move("exponential", after, "uᵛ = exp(v·log u)")


def _logarithm(value: Expr, element: Expr) -> Move:
    (inner,) = value.args
    return Move("logarithm", Rate(inner, element) / inner, "log(u)′ = u′/u")


def _select(value: Expr, element: Expr) -> Move:
    condition, u, v = value.args
    after = Select(condition, Rate(u, element), Rate(v, element))
    return Move("kink convention", after, "the derivative is that of the branch taken")


def _chain(value: Expr, element: Expr) -> Move:
    """f(u, …)′ = ∂f/∂u·u′ + …"""
    slopes = (value.fdiff(i + 1) for i in range(len(value.args)))
    terms = [s * Rate(u, element) for s, u in zip(slopes, value.args, strict=True)]
    if isinstance(value, KINKED):
        return Move("kink convention", Add(*terms), _convention(value))
    name = type(value).__name__
    return Move("chain rule", Add(*terms), f"{name}(u)′ = {_slope_in_words(value.func)}·u′")


def _convention(value: Expr) -> str:
    return CONVENTIONS.get(type(value).__name__, "a comparison is flat, its derivative is 0")


CONVENTIONS = {
    "Absolute": "|u|′ = sign(u)·u′, with sign(0) = 0",
    "Maximum": "max(u, v)′ is u′ where u > v, else v′",
    "Minimum": "min(u, v)′ is u′ where u < v, else v′",
}


@lru_cache(maxsize=64)
def _slope_in_words(function: type[Function]) -> str:
    """The derivative of a function, as (1 − tanh(u)²)."""
    from symprop.printers.arrange import Arrange
    from symprop.printers.structure import Names
    from symprop.printers.unicode import UnicodePrinter

    spell = UnicodePrinter()
    slope = function(Symbol("u")).diff(Symbol("u"))
    text: str = spell.doprint(Arrange(Names())(slope))
    return f"({text})" if isinstance(slope, Add) else text


Holds = Callable[[Expr, Expr], bool]
RULES: tuple[tuple[Holds, Callable[[Expr, Expr], Move]], ...] = (
    (lambda value, _: isinstance(value, Total), _linearity),
    (lambda value, _: isinstance(value, (Indexed, Symbol)), _kronecker),
    (lambda value, _: isinstance(value, Add), _sum),
    (_is_scaled, _constant_factor),
    (_is_quotient, _quotient),
    (lambda value, _: isinstance(value, Mul), _product),
    (lambda value, element: isinstance(value, Pow) and not depends(value.exp, element), _power),
    (lambda value, _: isinstance(value, Pow), _general_power),
    (lambda value, _: isinstance(value, exp), _exponential),
    (lambda value, _: isinstance(value, log), _logarithm),
    (lambda value, _: isinstance(value, Select), _select),
    (lambda value, _: True, _chain),
)
"""Which rule applies: the first whose condition holds."""


def collapsed(line: Expr) -> Expr:
    """The line after every Kronecker delta has acted."""
    for move in _moves(line, _collapse):
        line = move.after
    return line


def _collapse(line: Expr) -> Move | None:
    """Let one Kronecker delta act, in the innermost sum that has one."""
    for total in sorted(line.atoms(Total), key=lambda t: (len(str(t)), str(t))):
        spread = _over_terms(total)
        if spread is not None:
            return Move("linearity", line.xreplace({total: spread}), "Σ(u + v) = Σu + Σv")
        pulled = _pulled(total)
        if pulled is not None:
            return Move("common factor", line.xreplace({total: pulled}), "[k = j] taken out")
        merged = _joined(total)
        if merged is not None:
            return Move("linearity", line.xreplace({total: merged}), "c·Σu = Σ c·u")
        for kept, (index, other) in _survivors(total):
            after = line.xreplace({total: kept})
            return Move("Kronecker delta", after, f"only the term {index} = {other} survives")
    return None


def _over_terms(total: Expr) -> Expr | None:
    """Σ(u + v) as Σu + Σv, where a Kronecker delta stands in one of them."""
    body, *over = total.args
    if isinstance(body, Add) and any(_deltas(term, over) for term in body.args):
        return Add(*(Total(term, *over) for term in body.args))
    return None


def _joined(total: Expr) -> Expr | None:
    """Σ_j u·Σ_k v as one sum over j and k, where a Kronecker delta stands inside."""
    body, *over = total.args
    for inner in Mul.make_args(body):
        if isinstance(inner, Total) and _deltas(inner.args[0], over):
            value, *more = inner.args
            rest = Mul(*(part for part in Mul.make_args(body) if part != inner))
            if not set(more) & {*over, *indices(rest)}:
                return Total(rest * value, *over, *more)
    return None


def _pulled(total: Expr) -> Expr | None:
    """Σ w·([k = j]·u + [k = j]·v) as Σ [k = j]·w·(u + v); where not all terms have it, multiplied
    out.
    """
    body, *over = total.args
    for part in Mul.make_args(body):
        if isinstance(part, Add) and any(_deltas(term, over) for term in part.args):
            rest = Mul(*(other for other in Mul.make_args(body) if other != part))
            common = set.intersection(*(set(_deltas(term, over)) for term in part.args))
            if not common:
                return Total(Add(*(rest * term for term in part.args)), *over)
            shared = Mul(*sorted(common, key=str))
            inner = Add(*(_without(term, common) for term in part.args))
            return Total(shared * rest * inner, *over)
    return None


def _without(term: Expr, factors: set[Expr]) -> Expr:
    return Mul(*(part for part in Mul.make_args(term) if part not in factors))


def _deltas(value: Expr, over: list[Idx]) -> list[Expr]:
    """The factors [k = j] of a value with a summed index k."""
    found = (part for part in Mul.make_args(value) if isinstance(part, Equal))
    return [delta for delta in found if _bound_side(delta, over)]


def _bound_side(delta: Expr, over: list[Idx]) -> tuple[Idx, Expr] | None:
    """The summed index of a Kronecker delta and what it is equal to."""
    one, other = delta.args
    for index, value in ((one, other), (other, one)):
        if index in over and index not in indices(value):
            return index, value
    return None


def _survivors(total: Expr) -> Iterator[tuple[Expr, tuple[Idx, Expr]]]:
    """The sum with one index less, for each Kronecker delta in it."""
    body, *over = total.args
    for delta in _deltas(body, over):
        side = _bound_side(delta, over)
        if side is not None:
            index, other = side
            rest = Mul(*(part for part in Mul.make_args(body) if part != delta))
            kept = rest.xreplace({index: other})
            left = [i for i in over if i != index]
            yield (Total(kept, *left) if left else kept), side
