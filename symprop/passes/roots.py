"""Roots of sums of squares: what cancels beside them, and what overflows in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Add, Expr, Integer, Mul, Poly, Pow, Symbol, exp, expand_mul, sqrt

from symprop.passes.cost import accesses_elements
from symprop.passes.powers import HALF, element_of, is_positive, polynomial_of
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Greater, Maximum, Minimum, Select, Sign
from symprop.smooth import softplus_of
from symprop.tensor import accesses


def _root_less_number(node: Expr) -> Expr:
    """√(n² + v²) − n = v·(v/(n + √(n² + v²))), the quotient as min(…, 1): it is less than 1."""
    if not isinstance(node, Add) or not node.args[0].is_number:
        return node
    number = node.args[0]
    for term in node.args[1:]:
        factor, root = term.as_coeff_Mul()
        if not (isinstance(root, Pow) and root.exp == HALF and root.base.is_Add):
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


def _part_of_root(node: Expr) -> Expr:
    """v − v·u/√(u² + c) = v·c/(√(u² + c)·(√(u² + c) + u)) for u > 0, with + likewise, in a sum; in
    a product with u as c·min(u/√(u² + c), 1)/(√(u² + c) + u).
    """
    if isinstance(node, Add):
        for term in node.args:
            for v, side, root, number in _opposite(node, term):
                small = number * root / (1 / root + Maximum(side, 0))
                value = Select(Greater(side, 0), small, 1 - Minimum(side, 0) * root)
                return node - term - v + v * value
    for total in node.args if isinstance(node, Mul) else ():
        for v, side, root, number in _opposite(total, total.args[-1]) if total.is_Add else ():
            u = next((part for part in node.args if (side / part).is_number), None)
            if u is not None and len(total.args) == 2:
                scale, sign = node.as_coeff_Mul()[0], u / side
                small = number * sign * Minimum(side * root, 1) / (1 / root + Maximum(side, 0))
                large = scale * u * (1 - Minimum(side, 0) * root)
                value = Select(Greater(side, 0), scale * small, large)
                return node / total / u / scale * v * value
    return node


def _opposite(total: Expr, term: Expr) -> Iterator[tuple[Expr, Expr, Expr, Expr]]:
    """v, u, 1/√(u² + c) and c, where a sum has v and the term −v·u/√(u² + c)."""
    for root in Mul.make_args(term):
        if not (isinstance(root, Pow) and root.exp == -HALF and root.base.is_Add):
            continue
        number, square = root.base.as_coeff_Add()
        scale, power = square.as_coeff_Mul()
        base, exponent = power.as_base_exp()
        if not (number.is_positive and scale.is_positive and (exponent / 2).is_Integer):
            continue
        u = sqrt(scale) * base ** (exponent / 2)
        weight = term / root / u
        for v, side in ((-weight, u), (weight, -u)):
            if v in total.args and not base.has(Maximum, Minimum):
                yield v, side, root, number


def _root_of_product(node: Expr) -> Expr:
    """√(u²·v) = |u|·√v, v > 0; u/√(u²·v) = sign(u)/√v."""
    for part in Mul.make_args(node):
        if not (isinstance(part, Pow) and abs(part.exp) == HALF):
            continue
        product = part.base if part.base.is_Mul else _common_square(part.base)
        for square in product.args:
            base, power = square.as_base_exp()
            v = product / square
            read = accesses(v)
            if power != 2 or len(read) != 1 or not v.is_polynomial(*read):
                continue
            if is_positive(Poly(v, *read)):
                rest, root = node / part, v**part.exp
                if part.exp.is_negative and base in Mul.make_args(rest):
                    return rest / base * Sign(base) * root
                return rest * Absolute(base) ** (2 * part.exp) * root
    return node


def _common_square(total: Expr) -> Expr:
    """u² + u⁴ as u²·(1 + u²)."""
    read = accesses(total)
    if not isinstance(total, Add) or len(read) != 1 or not total.is_polynomial(*read):
        return Integer(0)
    (u,) = read
    lowest = min(power for (power,) in Poly(total, u).monoms())
    return u**2 * expand_mul(total / u**2) if lowest >= 2 else Integer(0)


def _with_roots(node: Expr) -> Expr:
    """u²/√(1 + u²) and the like by powers of 1/u where |u| > 1, so that nothing overflows."""
    for root in Mul.make_args(node):
        fraction = isinstance(root, Pow) and root.exp.is_Rational and not root.exp.is_Integer
        u = element_of(root, root) if fraction and root.base.is_Add else None
        if u is None or root.has(Maximum, Minimum, Absolute):
            continue
        found = {p: q for p in Mul.make_args(node) if (q := polynomial_of(p, u, u)) is not None}
        if root not in found or not is_positive(found[root][0]):
            continue
        degrees = [polynomial.degree() * power for polynomial, power in found.values()]
        degree = found[root][0].degree()
        if max(degrees) > 1 or degree > 2 or (degree == 2 and root.exp.q != 2):
            return _far_and_near(node, found, u)
    return node


def _far_and_near(node: Expr, found: Mapping[Expr, tuple[Poly, Expr]], u: Expr) -> Expr:
    """Polynomials of u to any powers by those of its inverse where |u| > 1."""
    total = Add(*(polynomial.degree() * power for polynomial, power in found.values()))
    odd = Add(*(q.degree() * power for q, power in found.values() if power.is_Integer)) % 2
    far = Mul(*(_of_inverse(polynomial, u) ** power for polynomial, power in found.values()))
    scale = Absolute(u) ** total * (Sign(u) if odd else 1)
    near = Mul(*found)
    kept = near.xreplace({u: Maximum(Minimum(u, 1), -1)})
    return node / near * Select(Greater(Absolute(u), 1), scale * far, kept)


def _of_inverse(polynomial: Poly, u: Expr) -> Expr:
    """P(u)/uⁿ, n the degree of P, by 1/|u|."""
    terms = ((c, polynomial.degree() - k) for (k,), c in polynomial.terms())
    return Add(*(c * Sign(u) ** (n % 2) / Maximum(Absolute(u), 1) ** n for c, n in terms))


def _sum_with_root(node: Expr) -> Expr:
    """u + √(u² + c) = c/(√(u² + c) − u) for u < 0, u − √(u² + c) likewise for u > 0."""
    if not isinstance(node, Add) or len(node.args) != 2:
        return node
    for root, other in (node.args, node.args[::-1]):
        factor, power = root.as_coeff_Mul()
        if not (isinstance(power, Pow) and power.exp == HALF and power.base.is_Add):
            continue
        number, square = power.base.as_coeff_Add()
        if number.is_positive and accesses_elements(other) and other**2 == factor**2 * square:
            sign = factor / abs(factor)
            apart = root + sign * Maximum(-sign * other, 0)
            together = root + sign * Maximum(sign * other, 0)
            return Select(Greater(0, sign * other), factor**2 * number / apart, together)
    return node


def _root_of_softplus(node: Expr) -> Expr:
    """log(1 + eᵘ)ʳ = e^ru for u < −40, r a fraction."""
    if not isinstance(node, Pow) or not node.exp.is_Rational or node.exp.is_Integer:
        return node
    u = softplus_of(node.base)
    if u is None or u.has(Maximum):
        return node
    return Select(Greater(-40, u), exp(node.exp * u), node.xreplace({u: Maximum(u, -40)}))


def of_stored(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """aʳ, r a fraction, where a = eᵘ·v is stored, as e^ru·vʳ; a = (1 + eᵘ)ⁿ as (1 + eᵘ)^rn; a =
    log(1 + eᵘ) as e^ru for u < −40; uⁿ/aⁿ, where a = vʳ is stored, in v.
    """
    found = {}
    for power in value.atoms(Pow):
        inner = None if power.exp.is_Integer else computed(power.base, stored)
        if inner is not None and power.exp.is_Rational:
            found[power] = _power_of(inner, power, stored)
    for product in value.atoms(Mul):
        for part in product.args:
            access, exponent = part.as_base_exp()
            inner = computed(access, stored) if exponent.is_Integer and exponent < 0 else None
            if isinstance(inner, Pow) and inner.exp.is_Rational and not inner.exp.is_Integer:
                found |= _beside_root(product, part, inner.base, inner.exp * exponent)
    return value.xreplace(found) if found else value


def _beside_root(product: Expr, part: Expr, v: Expr, power: Expr) -> dict[Expr, Expr]:
    """A product that divides by a stored root, a factor vⁿ, by v where that keeps its digits."""
    rest, u = product / part, softplus_of(v)
    logistic = None if u is None else 1 / (1 + exp(-u))
    if u is not None and logistic in product.args:
        choice = Select(Greater(-40, u), exp((1 + power) * u), part * logistic)
        return {product: rest / logistic * choice}
    opened = rest * v**power
    return {product: opened} if _with_roots(opened) != opened else {}


def _power_of(inner: Expr, power: Pow, stored: Mapping[Symbol, Stored]) -> Expr:
    """A power of what is computed from exponentials; of anything else as it was."""
    u = softplus_of(inner)
    if u is not None:
        return Select(Greater(-40, u), exp(power.exp * u), power)
    parts = [computed(p, stored) or p for p in Mul.make_args(inner)]
    powers = [part.as_base_exp() for part in parts if not isinstance(part, exp)]
    if len(powers) == len(parts) and not any(base.has(exp) for base, _ in powers):
        return power
    exponents = (power.exp * part.args[0] for part in parts if isinstance(part, exp))
    return Mul(*(exp(u) for u in exponents), *(base ** (n * power.exp) for base, n in powers))


ROOTS = (
    Rule(
        "root of a softplus",
        "√(log(1 + exp(u)))",
        "exp(u/2) for u < −40",
        "every u: log(1 + exp(u)) underflows for u < −745 (−103 in float32), its root does not",
        _root_of_softplus,
    ),
    Rule(
        "root less a number",
        "√(1 + u²) − 1",
        "|u|·min(|u|/(1 + √(1 + u²)), 1)",
        "every u: the difference cancels near 0",
        _root_less_number,
    ),
    Rule(
        "part of a root",
        "1 − u/√(u² + c), 1 + u/√(u² + c)",
        "c/(√(u² + c)·(√(u² + c) ± u)) where the terms have opposite signs; times u, c·min(u/√(u² "
        "+ c), 1)/(√(u² + c) ± u)",
        "every u: the difference cancels for large |u|",
        _part_of_root,
    ),
    Rule(
        "root of a product",
        "√(u²·v), u/√(u²·v), v > 0",
        "|u|·√v, sign(u)/√v",
        "every u: the product overflows, or underflows to 0",
        _root_of_product,
    ),
    Rule(
        "root of a polynomial",
        "u²/√(1 + u²), (1 + u²)^(1/4)",
        "|u|/√(1 + 1/u²), … by powers of 1/u where |u| > 1",
        "every u: u² overflows for |u| > 1.3e154 (1.8e19 in float32)",
        _with_roots,
    ),
    Rule(
        "sum with a root",
        "u + √(u² + c), u − √(u² + c)",
        "c/(√(u² + c) ∓ u) where the terms have opposite signs",
        "every u: the sum cancels for large |u|",
        _sum_with_root,
    ),
    Rule(
        "root of a stored exponential",
        "√a, where a = exp(u)·v, a = 1/(1 + exp(u)), a = log(1 + exp(u)) is stored; 1/(a·(1 + "
        "exp(−u))), u²/a², where a = √log(1 + exp(u)), a = √(1 + u²) is",
        "exp(u/2)·√v, 1/√(1 + exp(u)), exp(u/2) for u < −40; exp(u/2) for u < −40, u²/(1 + u²)",
        "every u: a underflows for u < −745 (−103 in float32), √a does not; u² and a² overflow",
        of_stored,
        "stored",
    ),
)
"""The rules for roots."""
