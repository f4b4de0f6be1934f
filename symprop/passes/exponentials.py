"""Quotients of exponentials in e = exp(−|u|), which never overflows.

    R(eᵘ) = N(eᵘ)/D(eᵘ)   →   N₊(e)/D₊(e) for u ≥ 0,  N(e)/D(e) for u < 0

where N₊ and D₊ have the coefficients of N and D in reverse order. If D has positive coefficients,
nothing cancels below the line, and what cancels above it is a zero of R itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sympy import (
    Add,
    Expr,
    Integer,
    Mul,
    Poly,
    Pow,
    Symbol,
    cancel,
    collect,
    cosh,
    exp,
    expand_mul,
    factor,
    fraction,
    horner,
    log,
    sinh,
    tanh,
)

from symprop.passes.algebra import LARGEST, exponential_groups, leaves
from symprop.passes.cost import effort, parts_of
from symprop.passes.rule import Rule
from symprop.passes.signs import sign_of
from symprop.primitives import Absolute, GreaterEqual, Select
from symprop.tensor import accesses

E, DECAY, GROWTH = (
    Symbol("E", positive=True),
    Symbol("e", positive=True),
    Symbol("G", positive=True),
)
"""exp(u), exp(−|u|) and exp(|u|)."""


@dataclass(frozen=True)
class Quotient:
    """A value as outside + factor · inside, and inside as N/D, polynomials in exp(unit)."""

    above: Expr
    below: Expr
    unit: Expr
    names: dict[Expr, Expr]

    def written(self, form: Expr) -> Expr:
        """A form in E, e and G, and in symbols for the other leaves, as it is meant."""
        size = self.unit if sign_of(self.unit) == 1 else Absolute(self.unit)
        meaning = {E: exp(self.unit), DECAY: exp(-size), GROWTH: exp(size)}
        return form.xreplace({**self.names, **meaning})


def split(node: Expr) -> tuple[Expr, Expr]:
    """The part of a sum or product that depends on exponentials, and the rest of it.

    What is added to an exponential belongs to it if it is a number or reads the same elements.
    """
    if not isinstance(node, (Add, Mul)):
        return node, Integer(1)
    inside = [part for part in node.args if _has_exponential(part)]
    if isinstance(node, Add):
        read = {access for part in inside for access in accesses(part)}
        inside = [p for p in node.args if p in inside or p.is_number or read & {*accesses(p)}]
    return node.func(*inside), node.func(*(part for part in node.args if part not in inside))


def _has_exponential(node: Expr) -> bool:
    return any(isinstance(leaf, exp) for leaf in leaves(node))


def quotient_of(value: Expr) -> Quotient | None:
    """A value as a quotient of polynomials in one exponential; None where it is no such thing."""
    found = [leaf for leaf in leaves(value) if isinstance(leaf, exp)]
    if not found or not _divides_by_exponential(value) or parts_of(value) > LARGEST:
        return None
    groups = exponential_groups(found)
    if len(groups) != 1:
        return None
    ((unit, members),) = groups.items()
    if unit.has(Absolute):
        return None
    others = (leaf for leaf in leaves(value) if not isinstance(leaf, exp))
    plain = {leaf: Symbol(f"u{number}") for number, leaf in enumerate(others)}
    powers = {leaf: E**power for leaf, power in members.items()}
    above, below = _fraction(value.xreplace({**plain, **powers}))
    if not below.has(E):
        return None
    return Quotient(above, below, unit, {symbol: leaf for leaf, symbol in plain.items()})


def _divides_by_exponential(value: Expr) -> bool:
    if isinstance(value, Pow):
        return bool(value.exp.is_negative) and _has_exponential(value.base)
    return isinstance(value, (Add, Mul)) and any(map(_divides_by_exponential, value.args))


@lru_cache(maxsize=4096)
def _fraction(value: Expr) -> tuple[Expr, Expr]:
    above, below = fraction(cancel(value))
    return above, below


def by_sign(node: Expr) -> Expr:
    inside, outside = split(node)
    found = quotient_of(inside)
    if found is None:
        return node
    form = _formby_sign(found.above, found.below)
    if form is None:
        return node
    positive = sign_of(found.unit) == 1
    above, below = (
        nonnegative
        if positive or nonnegative == negative
        else Select(Symbol("sign"), nonnegative, negative)
        for nonnegative, negative in form
    )
    sign = {Symbol("sign"): GreaterEqual(found.unit, 0)}
    return _joined(node, found.written(above / below).xreplace(sign), outside)


def _joined(node: Expr, inside: Expr, outside: Expr) -> Expr:
    return node.func(inside, outside) if isinstance(node, (Add, Mul)) else inside


Branches = tuple[Expr, Expr]


@lru_cache(maxsize=4096)
def _formby_sign(above: Expr, below: Expr) -> tuple[Branches, Branches] | None:
    """Numerators and denominators for u ≥ 0 and u < 0; None where the denominator may cancel."""
    fixed, varying = _separated(factor(below))
    denominator = Poly(varying, E)
    if not _is_safe(denominator):
        return None
    numerator = Poly(expand_mul(above), E)
    rise = numerator.degree() - denominator.degree()
    scale = DECAY**-rise if rise < 0 else GROWTH**rise
    return (
        (_shortest(_reversed(numerator) * scale), _shortest(numerator.as_expr(DECAY))),
        (fixed * _shortest(_reversed(denominator)), fixed * _shortest(denominator.as_expr(DECAY))),
    )


def _separated(product: Expr) -> tuple[Expr, Expr]:
    parts = Mul.make_args(product)
    varying = Mul(*(part for part in parts if part.has(E)))
    return Mul(*(part for part in parts if not part.has(E))), varying


def _is_safe(denominator: Poly) -> bool:
    """Whether all coefficients are positive numbers, or it is a power less a number: eⁿᵘ − 1."""
    coefficients = denominator.coeffs()
    if not all(coefficient.is_number for coefficient in coefficients):
        return False
    return all(c.is_positive for c in coefficients) or (
        len(coefficients) == 2 and denominator.length() == 2 and sum(coefficients) == 0
    )


def _reversed(polynomial: Poly) -> Expr:
    degree = polynomial.degree()
    return Add(*(c * DECAY ** (degree - power) for (power,), c in polynomial.terms()))


def _shortest(value: Expr) -> Expr:
    """Factored, or by the other leaves, with polynomials in e by Horner's rule.

    z·(4e + 4e²)·e stays finite where (4z + 6)·e² does not; 2 + e·(2 + e) needs one exponential.
    """
    others = value.free_symbols - {DECAY, GROWTH}
    terms = collect(expand_mul(value), sorted(others, key=str), evaluate=False)
    spread = Add(*(leaf * _nested(inner, leaf != 1) for leaf, inner in terms.items()))
    factored = Mul(*(_nested_power(part) for part in Mul.make_args(factor(value))))
    risky = any(_scaled(term) & others for total in factored.atoms(Add) for term in total.args)
    return spread if risky else min((spread, factored), key=lambda v: (_powers(v), effort(v)))


def _nested(polynomial: Expr, small: bool) -> Expr:
    """Horner's rule; ``small``: every factor vanishes with e."""
    terms = Add.make_args(expand_mul(polynomial))
    lowest = min(Poly(term, DECAY).degree() for term in terms)
    if not small or lowest == 0 or len(terms) == 1 or polynomial.has(GROWTH):
        return horner(polynomial, wrt=DECAY)
    return DECAY ** (lowest - 1) * Add(*(term / DECAY ** (lowest - 1) for term in terms))


def _nested_power(part: Expr) -> Expr:
    base, power = part.as_base_exp()
    return _nested(base, False) ** power if base.free_symbols == {DECAY} else part


def _powers(value: Expr) -> int:
    """How many exponentials are computed besides e itself."""
    return len({power for power in value.atoms(Pow) if power.base == DECAY})


def _scaled(term: Expr) -> set[Expr]:
    """The symbols of a term that are multiplied by a number, and by no exponential."""
    number, rest = term.as_coeff_Mul()
    return rest.free_symbols if abs(number) != 1 and not rest.has(DECAY, GROWTH) else set()


def _tangent(node: Expr) -> Expr:
    """c·(eⁿᵘ − 1)/(eⁿᵘ + 1) = c·tanh(nu/2)."""
    inside, outside = split(node)
    found = quotient_of(inside)
    if found is None:
        return node
    degree = Poly(found.below, E).degree()
    scale = cancel(found.above * (E**degree + 1) / (found.below * (E**degree - 1)))
    if degree < 1 or scale.has(E):
        return node
    value = found.written(scale) * tanh(degree * found.unit / 2)
    return _joined(node, value, outside)


def _common(node: Expr) -> Expr:
    """eᵘ/(eᵘ + eᵛ) = 1/(1 + e^(v − u)): where two different exponentials are added below."""
    if not isinstance(node, (Mul, Pow)):
        return node
    for part in Mul.make_args(node):
        if isinstance(part, Pow) and part.exp == -1 and isinstance(part.base, Add):
            terms = part.base.args
            units = exponential_groups(leaf for leaf in leaves(part.base) if isinstance(leaf, exp))
            if len(units) == 2 and all(_is_exponential(term) for term in terms):
                first = next(f for f in Mul.make_args(terms[0]) if isinstance(f, exp))
                below = Add(*(_over(term, first) for term in terms))
                return _over(node / part, first) / below
    return node


def _over(product: Expr, divisor: Expr) -> Expr:
    """A product over eᵛ, with one exponential for all that it has."""
    parts = [part for part in Mul.make_args(product) if isinstance(part, exp)]
    exponent = Add(*(part.args[0] for part in parts)) - divisor.args[0]
    rest = Mul(*(part for part in Mul.make_args(product) if part not in parts))
    return rest * exp(exponent)


def _is_exponential(term: Expr) -> bool:
    parts = [part for part in Mul.make_args(term) if isinstance(part, exp)]
    return len(parts) == 1 and not (term / parts[0]).has(exp)


def _tangent_of_logarithm(node: Expr) -> Expr:
    """tanh(log w) = (w² − 1)/(w² + 1)."""
    found = {}
    for tangent in node.atoms(tanh):
        (u,) = tangent.args
        if isinstance(u, log) and _has_exponential(u.args[0]):
            square = u.args[0] ** 2
            found[tangent] = (square - 1) / (square + 1)
    return node.xreplace(found) if found else node


def _hyperbolic(node: Expr) -> Expr:
    """cosh u and sinh u below a fraction bar as exponentials: they overflow before they vanish."""
    found = {
        part.base: part.base.rewrite(exp)
        for part in Mul.make_args(node)
        if isinstance(part, Pow) and part.exp.is_negative and isinstance(part.base, (cosh, sinh))
    }
    if not found:
        return node
    above = {sine: sine.rewrite(exp) for sine in node.atoms(cosh, sinh)}
    return node.xreplace(above)


EXPONENTIALS = (
    Rule(
        "tanh of a logarithm",
        "tanh(log w), w = 1 + exp(u)",
        "(w² − 1)/(w² + 1)",
        "every u: one exponential and one quotient; the logarithm rounds where w is near 1",
        _tangent_of_logarithm,
    ),
    Rule(
        "hyperbolic quotient",
        "1/cosh(u), 1/sinh(u), sinh(u)/cosh(u)",
        "the same in exp(u)",
        "every u: cosh(u) overflows for |u| > 710 (89 in float32)",
        _hyperbolic,
    ),
    Rule(
        "common exponential",
        "exp(u)/(exp(u) + exp(v))",
        "1/(1 + exp(v − u))",
        "every u and v: ∞/∞ where an exponential overflows, 0/0 where both underflow",
        _common,
    ),
    Rule(
        "tanh from exponentials",
        "(exp(2u) − 1)/(exp(2u) + 1)",
        "tanh(u)",
        "every u: the difference cancels near 0, the quotient is ∞/∞ for large u",
        _tangent,
    ),
    Rule(
        "exponentials by sign",
        "1/(1 + exp(−u)) and other quotients of exponentials of u",
        "the same in exp(−|u|), apart for u ≥ 0 and u < 0",
        "every u: exp(u) overflows for u > 709 (88 in float32)",
        by_sign,
    ),
)
"""The rules for quotients."""
