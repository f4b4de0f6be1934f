"""Sums of exponentials and of squares in logarithms, powers and quotients: what overflows on the
way.
"""

from __future__ import annotations

from sympy import (
    Add,
    Expr,
    Function,
    Integer,
    Mul,
    Poly,
    Pow,
    Rational,
    Symbol,
    asinh,
    exp,
    log,
    sqrt,
)
from sympy.codegen.cfunctions import log1p

from symprop.passes.algebra import exponential_groups
from symprop.passes.cost import accesses_elements
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Greater, GreaterEqual, Maximum, Minimum, Select
from symprop.tensor import accesses

HALF = Rational(1, 2)
SIZE = Symbol("v", positive=True)
"""What a polynomial is of."""


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
    """high·u for u ≥ 0, low·u for u < 0; of c·u, c is a factor outside: c·u may overflow."""
    number, u = unit.as_coeff_Mul()
    size, u = abs(number), u * number / abs(number)
    if low == 0:
        return size * high * Maximum(u, 0)
    if high == 0:
        return -size * low * Maximum(-u, 0)
    return Select(GreaterEqual(unit, 0), high * unit, low * unit)


def _logarithm(node: Expr) -> Expr:
    """log Σ c_k e^ku = m + log f; m + log1p(f − 1) where the ends have the factor 1."""
    total = node.args[0] if isinstance(node, log) else node
    found = _scaled(total) if total != node and _has_rates(total) else None
    if found is None:
        return node
    largest, rest = found
    branches = rest.args[1:] if isinstance(rest, Select) else (rest,)
    if all(branch.as_coeff_Add()[0] == 1 for branch in branches):
        small = [branch - 1 for branch in branches]
        return largest + log1p(Select(rest.args[0], *small) if len(small) == 2 else small[0])
    if len(branches) == 1:
        return largest + log(rest)
    return largest + Select(rest.args[0], *map(_log, branches))


def _log(value: Expr) -> Expr:
    number, rest = value.as_coeff_Add()
    return log1p(rest) if number == 1 else log(value)


def _has_rates(total: Expr) -> bool:
    """Whether a sum has more than two terms, or two with different factors."""
    return len(total.args) > 2 or len({term.as_coeff_Mul()[0] for term in total.args}) > 1


def _power(node: Expr) -> Expr:
    """(Σ c_k e^ku)^r = e^rm·f^r, r a fraction; in a product with its other exponentials."""
    for part in Mul.make_args(node):
        if isinstance(part, Pow) and part.exp.is_Rational and not part.exp.is_Integer:
            found = _scaled(part.base)
            if found is not None:
                others = [factor for factor in Mul.make_args(node) if factor != part]
                exponents = [factor.args[0] for factor in others if isinstance(factor, exp)]
                rest = Mul(*(factor for factor in others if not isinstance(factor, exp)))
                return rest * exp(Add(part.exp * found[0], *exponents)) * found[1] ** part.exp
    return node


def _of_squares(node: Expr) -> Expr:
    """log(c + u²) = 2·log|u| + log1p(c/u²) where |u| > 2¹⁶, for polynomials of u of high degree."""
    argument = node.args[0] if isinstance(node, log) else Integer(0)
    u = element_of(argument, argument) if isinstance(argument, Add) else None
    if u is None or argument.has(Function) or not argument.is_polynomial(*accesses(u)):
        return node
    polynomial = Poly(argument.xreplace({u: SIZE}), SIZE)
    degree, first = polynomial.degree(), polynomial.LC()
    if degree < 2 or not is_positive(polynomial) or not first.is_number:
        return node
    rest = Add(*(c / first * u ** (k - degree) for (k,), c in polynomial.terms()[1:]))
    far = degree * log(Absolute(u)) + log(first) + log1p(rest)
    near = log(argument.xreplace({u: Minimum(Absolute(u), 2**16)}))
    return Select(Greater(Absolute(u), 2**16), far, near)


def _quotient(node: Expr, _targets: object = ()) -> Expr:
    """c·uᵏ/(1 + uⁿ) and the like by powers of 1/u where |u| > 1, so that nothing overflows."""
    if not isinstance(node, Mul):
        return node
    for below in node.args:
        if isinstance(below, Pow) and below.exp.is_Integer and below.exp.is_negative:
            found = _turned(node, below)
            if found is not None:
                return found
    return node


def _turned(node: Mul, below: Expr) -> Expr | None:
    """The factors of a product that are polynomials of u, or of |u|, by powers of its inverse."""
    u = element_of(node, below)
    if u is None:
        return None
    unit = Absolute(u) if node.has(Absolute(u)) else u
    polynomials = ((part, polynomial_of(part, u, unit)) for part in node.args)
    found = {part: p for part, p in polynomials if p is not None and p[1].is_Integer}
    if below not in found or not is_positive(found[below][0], even=unit == u):
        return None
    degrees = [polynomial.degree() * power for polynomial, power in found.values()]
    if max(degrees) < 1 or (min(degrees) > -2 and max(degrees) < 2):
        return None
    odd = unit != u and node.as_powers_dict().get(u, Integer(0)) % 2
    far = Mul(*(_by_inverse(polynomial, unit) ** power for polynomial, power in found.values()))
    near, scale = Mul(*found), unit ** sum(degrees) * (u / unit if odd else 1)
    return node / near * Select(Greater(Absolute(u), 1), scale * far, near)


def element_of(node: Expr, below: Expr) -> Expr | None:
    """The element that a polynomial is of, or the difference of elements."""
    read = accesses(below)
    if len(read) == 1:
        return read[0]
    for total in sorted(below.atoms(Add), key=str):
        linear = all(abs(term) in map(abs, read) for term in total.args)
        if linear and not accesses_elements(below.xreplace({total: Integer(2)})):
            return total
    return None


def polynomial_of(part: Expr, u: Expr, unit: Expr) -> tuple[Poly, Expr] | None:
    """A factor as a polynomial of |u| or u, to a power; a power of u itself as that of |u|."""
    base, power = part.as_base_exp()
    size = SIZE
    divides = any(inner.exp.is_negative for inner in base.atoms(Pow))
    if not power.is_Rational or divides or not accesses_elements(part):
        return None
    if unit != u and base != u:
        base = base.xreplace({unit: size, u**2: size**2})
    else:
        base = base.xreplace({u: size})
    if not base.is_polynomial(size) or base.free_symbols != {size}:
        return None
    return Poly(base, size), power


def _by_inverse(polynomial: Poly, unit: Expr) -> Expr:
    """P(u)/uⁿ, n the degree of P."""
    return Add(*(c * unit ** (k - polynomial.degree()) for (k,), c in polynomial.terms()))


def is_positive(polynomial: Poly, even: bool = True) -> bool:
    """Whether a polynomial has positive factors only; with ``even``, of even powers."""
    return all((k % 2 == 0 or not even) and c.is_positive for (k,), c in polynomial.terms())


def _hyperbolic_inverse(node: Expr) -> Expr:
    """log(u + √(u² + 1)) = asinh u."""
    argument = node.args[0] if isinstance(node, log) else Integer(0)
    if isinstance(argument, Add) and len(argument.args) == 2:
        for root, u in (argument.args, argument.args[::-1]):
            if accesses_elements(u) and root == sqrt(u**2 + 1):
                return asinh(u)
    return node


def _of_exponential(node: Expr) -> Expr:
    """asinh eᵘ = u + log(1 + √(1 + e^−2u)) for u > 0."""
    if not isinstance(node, asinh) or not isinstance(node.args[0], exp):
        return node
    (u,) = node.args[0].args
    if u.has(Minimum):
        return node
    far = u + log(1 + sqrt(1 + exp(-2 * Absolute(u))))
    return Select(Greater(u, 0), far, asinh(exp(Minimum(u, 0))))


def _of_root(value: Expr, _stored: object = ()) -> Expr:
    """log √u = log(u)/2, for every power that is a fraction."""
    found = {}
    for logarithm in value.atoms(log):
        base, power = logarithm.args[0].as_base_exp()
        if power.is_Rational and not power.is_Integer and accesses(base):
            found[logarithm] = power * log(base)
    return value.xreplace(found) if found else value


def _of_even_power(node: Expr) -> Expr:
    """log(u²) = 2·log|u|, for even powers."""
    if not isinstance(node, log) or not isinstance(node.args[0], Pow):
        return node
    base, power = node.args[0].as_base_exp()
    if base.is_number or not power.is_Integer or power % 2:
        return node
    return power * log(Absolute(base))


OF_POWER = Rule(
    "logarithm of a power",
    "log(u²)",
    "2·log|u|",
    "every u: u² overflows for |u| > 1.3e154 (1.8e19 in float32), underflows below the inverse",
    _of_even_power,
)
"""The rule for logarithms of even powers."""
POWERS = (
    Rule(
        "logarithm of a root",
        "log(√u)",
        "log(u)/2, where u may be stored",
        "u > 0: other rules know log(u) where u has underflowed to 0",
        _of_root,
        "stored",
    ),
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
        "inverse hyperbolic sine of an exponential",
        "asinh(exp(u))",
        "u + log(1 + √(1 + exp(−2u))) for u > 0",
        "every u: exp(u) overflows for u > 709 (88 in float32)",
        _of_exponential,
    ),
    Rule(
        "logarithm of a polynomial",
        "log(1 + u²)",
        "2·log|u| + log1p(1/u²) for |u| > 2¹⁶",
        "every u: u² overflows for |u| > 1.3e154 (1.8e19 in float32)",
        _of_squares,
    ),
    Rule(
        "quotient of polynomials",
        "u²/(1 + u²), u·(2 + |u|)/(1 + |u|)²",
        "1/(1 + u⁻²), … by powers of 1/u where |u| > 1",
        "every u: ∞/∞ for |u| > 1.3e154 (1.8e19 in float32)",
        _quotient,
        "edge",
    ),
)
"""The rules for sums of exponentials and of squares."""
