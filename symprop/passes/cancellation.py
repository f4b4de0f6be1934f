"""What vanishes in a product and cancels what it is multiplied by: 0·∞ and 0/0 on the way."""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr, Integer, Mul, Pow, exp, expand_mul, log
from sympy.codegen.cfunctions import expm1

from symprop.passes.cost import accesses_elements
from symprop.passes.edges import SMALL
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Greater, Maximum, Select
from symprop.tensor import accesses


def common_difference(node: Expr) -> Expr:
    """(u + v/a)·(1 − e^ca) = (a·u + v)·((1 − e^ca)/a), the last factor −c near a = 0.

    So is (1 − e^ca)/aⁿ = a^(1 − n)·((1 − e^ca)/a), n > 1, where aⁿ underflows before a does.
    """
    if isinstance(node, Mul) and node.has(exp):
        return _with_quotient(Mul(*map(_factored, node.args)))
    return node


def outside_exponents(value: Expr, _stored: object = ()) -> Expr:
    """The same in a whole value, but for exponents: these are read as they are by what takes
    exponentials for finite.
    """
    if isinstance(value, exp) or not value.has(exp):
        return value
    return common_difference(value.func(*map(outside_exponents, value.args)))


def _factored(total: Expr) -> Expr:
    """v·eᵘ − v = −v·(1 − eᵘ)."""
    if isinstance(total, Add) and len(total.args) == 2:
        for v, other in (total.args, total.args[::-1]):
            ratio = -other / v
            if isinstance(ratio, exp) and accesses_elements(v) and not v.has(exp):
                return v * (1 - ratio)
    return total


def _with_quotient(product: Expr) -> Expr:
    for difference in Mul.make_args(product):
        found = _vanishing(difference)
        left = None if found is None else _times(product / difference, found[0])
        if found is not None and left is not None:
            a, rate, value = found
            return left * Select(Greater(SMALL, Absolute(a)), rate, value / a)
    return product


def _vanishing(node: Expr) -> tuple[Expr, Expr, Expr] | None:
    """a, c and c·a-like difference by expm1, of e^ca − 1; a, −c, … of 1 − e^ca."""
    if isinstance(node, Add) and len(node.args) == 2 and node.args[0] in (1, -1):
        sign, power = -node.args[0], node.args[1] * -node.args[0]
        rate, a = power.args[0].as_coeff_Mul() if isinstance(power, exp) else (Integer(0), node)
        if a.is_Symbol or a.is_Indexed:
            return a, sign * rate, sign * expm1(power.args[0])
    return None


def _times(product: Expr, a: Expr) -> Expr | None:
    """A product times a, which it is divided by; None where it is not."""
    parts = Mul.make_args(product)
    for part in parts:
        terms = part.args if isinstance(part, Add) else (part,)
        if any(_is_lost(term, a) for term in terms):
            return product / part * Add(*(expand_mul(term * a) for term in terms))
    return product * a if any(_power(part, a) < -1 for part in parts) else None


def _power(term: Expr, a: Expr) -> Expr:
    """n of a factor aⁿ; 0 where there is none."""
    powers = (part.as_base_exp() for part in Mul.make_args(term))
    return next((n for base, n in powers if base == a and n.is_Rational), Integer(0))


def cancelled(value: Expr, _stored: object = ()) -> Expr:
    """u·(v + w/√u) = u·v + w·√u, (u·v + w)/√u = v·√u + w/√u, for every power from −1 to 0; u·(v +
    log u) = u·v + u·log u.
    """
    changed = {}
    for product in value.atoms(Mul) if value.has(Add) else ():
        for total in product.args:
            factor = _cancels(total, product) if isinstance(total, Add) else None
            if factor is not None:
                terms = (term * factor for term in total.args)
                changed[product] = product / total / factor * Add(*terms)
    return value.xreplace(changed) if changed else value


def _cancels(total: Add, product: Mul) -> Expr | None:
    """A factor of the product that cancels a power of an element in a term of the sum."""
    for factor in product.args:
        u, own = factor.as_base_exp()
        if u not in accesses(u) or not (own == 1 or (own.is_Rational and -1 < own < 0)):
            continue
        if any(_is_lost(term, u) if own == 1 else _power(term, u) >= 1 for term in total.args):
            return factor
    return None


def _is_lost(term: Expr, u: Expr) -> bool:
    """Whether a term divides by a power of u up to the first, or has its logarithm."""
    logarithms = (part for part in Mul.make_args(term) if isinstance(part, log))
    return -1 <= _power(term, u) < 0 or any(u in accesses(part) for part in logarithms)


def _falling_quotient(node: Expr) -> Expr:
    """eᵘ/(1 − e^−v) = 1/c for v = c·eᵘ < e⁻⁴⁰, in a product: the rest, v/2, is below every ulp."""
    for below in node.args if isinstance(node, Mul) else ():
        v = _decay(below.base) if isinstance(below, Pow) and below.exp == -1 else None
        rate, power = v.as_coeff_Mul() if v is not None else (Integer(0), node)
        if not rate.is_positive or power not in node.args or not isinstance(power, exp):
            continue
        (u,) = power.args
        if not u.has(Maximum):
            own = Mul(*(part for part in node.args if {*accesses(part)} <= {*accesses(u)}))
            near = own / (power * below * rate) * below.base.args[0]
            far = own.xreplace({u: Maximum(u, -40 - log(rate))})
            return node / own * Select(Greater(-40 - log(rate), u), near, far)
    return node


def _decay(total: Expr) -> Expr | None:
    """v of 1 − e^−v and of e^−v − 1."""
    if not isinstance(total, Add) or len(total.args) != 2 or total.args[0] not in (1, -1):
        return None
    power = -total.args[1] / total.args[0]
    return -power.args[0] if isinstance(power, exp) else None


FALLING_QUOTIENT = Rule(
    "quotient of a falling exponential",
    "exp(u)/(1 − exp(−exp(u)))",
    "1 for u < −40",
    "every u: 0/0 where exp(u) underflows, for u < −745 (−103 in float32)",
    _falling_quotient,
)
"""The rule for what divides by a complement of exp(−exp(u))."""
CANCELLED_POWER = Rule(
    "cancelled power",
    "u·(v + w/√u), u·(v + w/u), (u·v + w)/√u, u·(v + log(u))",
    "u·v + w·√u, u·v + w, v·√u + w/√u, u·v + u·log(u)",
    "every u: 0·∞ and 0/0 where u = 0",
    cancelled,
    "stored",
)
"""The rule for powers, tried before what takes exponentials for finite."""
COMMON_DIFFERENCE = Rule(
    "common difference",
    "(u + v/a)·(1 − exp(−a)), (1 − exp(−a))/a²",
    "(a·u + v)·((1 − exp(−a))/a), ((1 − exp(−a))/a)/a, the last quotient 1 where |a| < 1e-30",
    "every a: 1/a overflows where 1 − exp(−a) underflows, a² underflows where a does not",
    outside_exponents,
    "stored",
)
"""The rule for differences."""
DIFFERENCE_IN_EXPONENT = replace(
    COMMON_DIFFERENCE,
    name="common difference in an exponent",
    rewrite=common_difference,
    level="value",
)
"""The same, tried after what looks into exponents."""
