"""Sums of exponentials and of squares in logarithms, powers and quotients: what overflows on the
way, and what cancels.
"""

from __future__ import annotations

from sympy import Add, Expr, Integer, Mul, Poly, Pow, Rational, asinh, exp, log, sqrt
from sympy.codegen.cfunctions import log1p

from symprop.passes.algebra import accesses_elements, exponential_groups
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Greater, GreaterEqual, Maximum, Minimum, Select
from symprop.tensor import accesses


def _scaled(total: Expr) -> tuple[Expr, Expr] | None:
    """m and f of a sum of exponentials Σ c_k e^ku = eᵐ·f, c_k > 0: m the largest ku of the ends, f
    the sum of the rest in e^−|u|.
    """
    if not isinstance(total, Add):
        return None
    terms = [term.as_coeff_Mul() for term in total.args]
    exponents = [f.args[0] if isinstance(f, exp) else Integer(0) for _, f in terms]
    plain = all(f == 1 or isinstance(f, exp) for _, f in terms)
    if not plain or not all(c.is_positive for c, _ in terms) or not any(exponents):
        return None
    groups = exponential_groups(f for _, f in terms if f != 1)
    if len(groups) != 1:
        return None
    ((unit, members),) = groups.items()
    if unit.has(Absolute):
        return None
    powers = [members.get(f, Integer(0)) for _, f in terms]
    low, high = min(powers), max(powers)
    decay = exp(-Absolute(unit))
    rising = Add(*(c * decay ** (high - k) for (c, _), k in zip(terms, powers, strict=True)))
    falling = Add(*(c * decay ** (k - low) for (c, _), k in zip(terms, powers, strict=True)))
    return _largest(unit, low, high), Select(GreaterEqual(unit, 0), rising, falling)


def _largest(unit: Expr, low: Expr, high: Expr) -> Expr:
    """high·u for u ≥ 0, low·u for u < 0."""
    if low == 0:
        return high * Maximum(unit, 0)
    if high == 0:
        return -low * Maximum(-unit, 0)
    return Select(GreaterEqual(unit, 0), high * unit, low * unit)


def _logarithm(node: Expr) -> Expr:
    """log Σ c_k e^ku = m + log f; m + log1p(f − 1) where the ends have the factor 1."""
    total = node.args[0] if isinstance(node, log) else node
    found = _scaled(total) if total != node and len(total.args) > 2 else None
    if found is None:
        return node
    largest, rest = found
    branches = rest.args[1:] if isinstance(rest, Select) else (rest,)
    if all(branch.as_coeff_Add()[0] == 1 for branch in branches):
        small = [branch - 1 for branch in branches]
        return largest + log1p(Select(rest.args[0], *small) if len(small) == 2 else small[0])
    return largest + log(rest)


def _power(node: Expr) -> Expr:
    """(Σ c_k e^ku)^r = e^rm·f^r, r a fraction."""
    if not isinstance(node, Pow) or not node.exp.is_Rational or node.exp.is_Integer:
        return node
    found = _scaled(node.base)
    return node if found is None else exp(node.exp * found[0]) * found[1] ** node.exp


def _root_less_number(node: Expr) -> Expr:
    """√(n² + v²) − n = v·(v/(n + √(n² + v²))), the quotient as min(…, 1): it is less than 1."""
    if not isinstance(node, Add) or not node.args[0].is_number:
        return node
    number = node.args[0]
    for term in node.args[1:]:
        factor, root = term.as_coeff_Mul()
        if not (isinstance(root, Pow) and root.exp == Rational(1, 2) and root.base.is_Add):
            continue
        square, rest = root.base.as_coeff_Add()
        scale, side = rest.as_coeff_Mul()
        base, power = side.as_base_exp()
        if square.is_positive and factor * sqrt(square) == -number and scale.is_positive:
            below = sqrt(square) + root
            if power == 2:
                size = sqrt(scale) * Absolute(base)
                return node - number - term + factor * size * Minimum(size / below, 1)
            return node - number - term + factor * rest / below
    return node


def _quotient(node: Expr, _targets: object = ()) -> Expr:
    """c·uᵏ/(1 + uⁿ) and the like by powers of 1/u where |u| > 1, so that nothing overflows."""
    if not isinstance(node, Mul):
        return node
    for below in node.args:
        if not (isinstance(below, Pow) and below.exp.is_Integer and below.exp.is_negative):
            continue
        read = accesses(below.base)
        if len(read) != 1 or not below.base.is_Add or not below.base.is_polynomial(*read):
            continue
        (u,) = read
        polynomial = Poly(below.base, u)
        power, degree = node.as_powers_dict().get(u, Integer(0)), polynomial.degree()
        if degree >= 2 and power.is_positive and _is_positive(polynomial):
            least = power + degree * below.exp
            turned = Add(*(c * u ** (k - degree) for (k,), c in polynomial.terms()))
            far = u**least * turned**below.exp
            return node / below / u**power * Select(Greater(Absolute(u), 1), far, u**power * below)
    return node


def _is_positive(polynomial: Poly) -> bool:
    """Whether a polynomial has even powers only, with positive factors."""
    return all(k % 2 == 0 and c.is_positive for (k,), c in polynomial.terms())


def _hyperbolic_inverse(node: Expr) -> Expr:
    """log(u + √(u² + 1)) = asinh u."""
    argument = node.args[0] if isinstance(node, log) else Integer(0)
    if isinstance(argument, Add) and len(argument.args) == 2:
        for root, u in (argument.args, argument.args[::-1]):
            if accesses_elements(u) and root == sqrt(u**2 + 1):
                return asinh(u)
    return node


POWERS = (
    Rule(
        "logarithm of many exponentials",
        "log(1 + exp(u) + exp(2u))",
        "2·max(u, 0) + log1p(e + e²), e = exp(−|u|)",
        "every u: exp(2u) overflows for u > 354 (44 in float32)",
        _logarithm,
    ),
    Rule(
        "power of a sum of exponentials",
        "√(1 + exp(u))",
        "exp(max(u, 0)/2)·√(1 + exp(−|u|))",
        "every u: exp(u) overflows for u > 709 (88 in float32)",
        _power,
    ),
    Rule(
        "inverse hyperbolic sine",
        "log(u + √(u² + 1))",
        "asinh(u)",
        "every u: the sum cancels for u < 0, and is rounded to 1 near 0",
        _hyperbolic_inverse,
    ),
    Rule(
        "root less a number",
        "√(1 + u²) − 1",
        "|u|·min(|u|/(1 + √(1 + u²)), 1)",
        "every u: the difference cancels near 0",
        _root_less_number,
    ),
    Rule(
        "quotient of polynomials",
        "u²/(1 + u²)",
        "1/(1 + u⁻²) where |u| > 1",
        "every u: ∞/∞ for |u| > 1.3e154 (1.8e19 in float32)",
        _quotient,
        "edge",
    ),
)
"""The rules for sums of exponentials and of squares."""
