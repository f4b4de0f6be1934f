"""Exponentials of products: the rounding of a product u·v is multiplied by u·v itself."""

from __future__ import annotations

from sympy import Add, Expr, Integer, Mul, Pow, exp

from symprop.passes.cost import accesses_elements
from symprop.passes.functions import decimal, erfc, erfc_product, exp_product, sech2
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Equal, Greater, Select
from symprop.tensor import accesses

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
                vast = isinstance(part, exp_product) and _may_overflow(weight)
                return Select(Greater(-VANISHED, product), Integer(0), value) if vast else value
    return node


def _may_overflow(weight: Expr) -> bool:
    """Whether a polynomial has a power of an element."""
    return any(accesses_elements(power) for power in weight.atoms(Pow))


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


def _vanishing(node: Expr, _targets: Elements = frozenset()) -> Expr:
    """u/cosh² v = 0 where 1/cosh² v has vanished, however large u may be."""
    if not isinstance(node, Mul):
        return node
    for part in node.args:
        rest = node / part
        if (
            isinstance(part, sech2)
            and rest.has(Pow, Add, exp)
            and set(accesses(rest)) & set(accesses(part))
        ):
            return Select(Equal(part, 0), Integer(0), node)
    return node


PRODUCTS = (
    Rule(
        "exponential of a product",
        "exp(u·v), erfc(u·v)",
        "the same with u·v in two parts, multiplied by what else is to be before it underflows",
        "large u·v: its rounding is an error of as many ulp as u·v is large",
        _exact_product,
        "edge",
    ),
    Rule(
        "vanished slope",
        "u/cosh²(v)",
        "0 where 1/cosh²(v) is 0",
        "large v: ∞·0 where u overflows",
        _vanishing,
        "edge",
    ),
)
"""The rules for products, applied last."""
