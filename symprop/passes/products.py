"""Exponentials of products: the rounding of a product u·v is multiplied by u·v itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sympy import Add, Expr, Integer, Mul, Pow, Symbol, cosh, exp, log, sinh
from sympy.codegen.cfunctions import expm1

from symprop.passes.cost import accesses_elements, is_decay
from symprop.passes.functions import decimal, erfc, erfc_product, exp_product, sech2
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.passes.signs import is_expm1
from symprop.passes.tangents import rest_of_tangent
from symprop.primitives import Absolute, Equal, Greater, Maximum, Minimum, Select
from symprop.tensor import accesses, label_of

Elements = frozenset[Expr]
VANISHED = 10**6
"""exp(−u) is 0 from here on, multiplied by any power of u too."""


def _exact_product(node: Expr, _targets: Elements = frozenset()) -> Expr:
    """e^uv and erfc(uv) with the product in two parts, and with the weight that they have."""
    if isinstance(node, (exp, erfc)):
        factors = _factors(node.args[0])
        kind = exp_product if isinstance(node, exp) else erfc_product
        return node if factors is None else kind(Integer(1), *factors)
    if not isinstance(node, Mul):
        return node
    for part in node.args:
        if isinstance(part, (exp_product, erfc_product)) and part.args[0] == 1:
            read = set(accesses(part))
            weight = Mul(*(p for p in node.args if p != part and _is_weight(p, read)))
            if accesses_elements(weight):
                weight *= node.as_coeff_Mul()[0]
                value = node / part / weight * part.func(weight, *part.args[1:])
                product = Mul(*part.args[1:])
                vast = isinstance(part, exp_product) and may_overflow(weight)
                return Select(Greater(-VANISHED, product), Integer(0), value) if vast else value
    return node


def _is_weight(part: Expr, read: set[Expr]) -> bool:
    """Whether a factor is a polynomial of what an exponential reads too."""
    return accesses_elements(part) and {*accesses(part)} <= read and part.is_polynomial(*read)


def _factors(product: Expr) -> tuple[Expr, Expr] | None:
    """u and v of a product that is rounded; None where it is not, or has more factors."""
    number, rest = product.as_coeff_Mul()
    fixed = [part for part in Mul.make_args(rest) if not accesses_elements(part)]
    number, rest = _outside(Mul(number, *fixed), rest / Mul(*fixed))
    exact = _is_power_of_two(number)
    factors = [f for part in Mul.make_args(rest) for f in _repeated(part)]
    if len(factors) == 1 and not exact and number.is_number:
        return decimal(number), factors[0]
    return (number * factors[0], factors[1]) if len(factors) == 2 and exact else None


def _outside(number: Expr, rest: Expr) -> tuple[Expr, Expr]:
    """c·|nu| as c·|n|·|u|."""
    if isinstance(rest, Absolute):
        inner, u = rest.args[0].as_coeff_Mul()
        return number * abs(inner), Absolute(u)
    return number, rest


def _repeated(part: Expr) -> list[Expr]:
    base, power = part.as_base_exp()
    return [base, base] if isinstance(part, Pow) and power == 2 else [part]


def _is_power_of_two(number: Expr) -> bool:
    if not number.is_Rational:
        return False
    ends = (abs(int(number.p)), int(number.q))
    return min(ends) == 1 and max(ends).bit_count() == 1


def may_overflow(value: Expr) -> bool:
    """Whether a value may be infinite where its elements are not, a zero denominator aside."""
    if isinstance(value, (Add, Mul)):
        return any(map(may_overflow, value.args)) or _together_infinite(value)
    if isinstance(value, Pow):
        grows = value.exp.is_number and value.exp > 1 and is_unbounded(value.base)
        return grows or (not value.exp.is_negative and may_overflow(value.base))
    if isinstance(value, Select):
        return any(map(may_overflow, value.args[1:]))
    return isinstance(value, (exp, expm1, cosh, sinh)) and not is_decay(value)


def _together_infinite(value: Expr) -> bool:
    """Whether a sum or product of finite parts may be infinite: 2u, u·v, u + v."""
    number, rest = value.as_coeff_Mul()
    if isinstance(rest, Mul) and any(map(_always_vanishes, rest.args)):
        return False
    large = [part for part in rest.args if is_unbounded(part)] if rest.args else [rest]
    return len(large) > 1 or (abs(number) > 1 and is_unbounded(rest))


def is_unbounded(value: Expr) -> bool:
    """Whether a value is as large as one likes for some elements."""
    if isinstance(value, (Add, Mul)):
        bounded = isinstance(value, Mul) and any(map(_always_vanishes, value.args))
        return not bounded and any(map(is_unbounded, value.args))
    if isinstance(value, (Pow, Absolute)):
        positive = value.is_Function or not value.exp.is_negative
        return positive and is_unbounded(value.args[0])
    if isinstance(value, (Select, Maximum, Minimum)):
        return any(map(is_unbounded, value.args[isinstance(value, Select) :]))
    return may_overflow(value) or ((not value.args or value.is_Indexed) and not value.is_number)


def _vanishes(value: Expr) -> bool:
    """Whether a value is an exponential, or falls off like one."""
    if isinstance(value, Select):
        return any(map(_vanishes, value.args[1:]))
    if isinstance(value, Pow):
        return value.exp.is_positive and _vanishes(value.base)
    return isinstance(value, (exp, exp_product, erfc, erfc_product, sech2))


def _always_vanishes(value: Expr) -> bool:
    """The same on both branches of a choice."""
    branches = value.args[1:] if isinstance(value, Select) else (value,)
    return all(map(_vanishes, branches))


def _vanishing(node: Expr, _targets: Elements = frozenset()) -> Expr:
    """u·e^−v = 0 where e^−v has vanished, however large u may be."""
    for part in node.args if isinstance(node, Mul) else ():
        if _vanishes(part) and _outgrows(_without(node, part), part):
            return Select(Equal(part, 0), Integer(0), node)
    return node


def _without(product: Expr, part: Expr) -> Expr:
    return Mul(*(factor for factor in product.args if factor != part))


def _outgrows(rest: Expr, part: Expr) -> bool:
    """Whether what is multiplied by a part, and reads no other elements, may overflow."""
    read = set(accesses(part))
    beside = Mul(*(p for p in Mul.make_args(rest) if {*accesses(p)} <= read))
    return may_overflow(beside)


def vanished(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """The same for stored values that vanish: u·a = 0 and u·(e^a − 1) = 0 where a = e^−v is 0."""
    definitions = ((access, stored.get(label_of(access))) for access in accesses(value))
    falling = [access for access, known in definitions if known and _falls_off(known.value)]
    changed = {}
    for product in sorted(value.atoms(Mul), key=str) if falling else ():
        for access in falling:
            inner = computed(access, stored)
            parts = [p for p in product.args if p == access or (is_expm1(p) and p.has(access))]
            if inner is None or not parts:
                continue
            if _outgrows(_without(product, parts[0]).xreplace({access: inner}), inner):
                changed[product] = Select(Equal(access, 0), Integer(0), product)
    return value.xreplace(changed) if changed else value


@lru_cache(maxsize=4096)
def _falls_off(value: Expr) -> bool:
    """Whether a value vanishes with an exponential: as a product, as 1 − tanh² or log(1 + e^−v)."""
    if isinstance(value, log):
        value = value.args[0] - 1
    return any(map(_vanishes, Mul.make_args(rest_of_tangent(value))))


PRODUCTS = (
    Rule(
        "exponential of a product",
        "exp(u·v), erfc(u·v)",
        "the same with u·v in two parts, multiplied by what else is to be before it underflows; 0 "
        "for u·v < −10⁶, where exp(u·v) is 0 beside any other number",
        "large u·v: its rounding is an error of as many ulp as u·v is large",
        _exact_product,
        "edge",
    ),
    Rule(
        "vanished product",
        "u·exp(−v), u/cosh²(v)",
        "0 where exp(−v) or 1/cosh²(v) is 0",
        "large v: ∞·0 where u overflows",
        _vanishing,
        "edge",
    ),
    Rule(
        "vanished stored value",
        "u·a, where a = exp(−v) is stored",
        "0 where a is 0",
        "large v: ∞·0 where u overflows",
        vanished,
        "stored",
    ),
)
"""The rules for products, applied last."""
