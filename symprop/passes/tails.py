"""Tails of the error function: what is left of 1 where erf is nearly 1."""

from __future__ import annotations

from collections.abc import Mapping

import sympy
from sympy import Add, Expr, Mul, Pow, Rational, Symbol, erf, exp, expand_mul, log, pi, sqrt
from sympy.codegen.cfunctions import log1p

from symprop.passes.functions import erfc
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.primitives import Greater, Maximum, Minimum, Select
from symprop.tensor import accesses, label_of

FAR = 8
"""From here on erfc(u) is taken from its continued fraction: it underflows at 9.2 in float32."""
DEPTH = 12
"""So many of its fractions give log erfc(u) to 1e-16."""
NEAR = 6
"""From here on the difference of erfc(u) and its asymptote is taken from four fractions more."""


def tail_of(value: Expr) -> tuple[Expr, Expr] | None:
    """c and u of c·erfc(u), written so, as c ± c·erf(u) or as 2c − c·erfc(−u)."""
    factor, rest = value.as_content_primitive()
    if isinstance(rest, (erfc, sympy.erfc)):
        return factor, rest.args[0]
    if isinstance(rest, Add) and len(rest.args) == 2 and rest.args[0].is_number:
        sign, function = (rest.args[1] / rest.args[0]).as_coeff_Mul()
        factor *= rest.args[0]
        if isinstance(function, erf) and abs(sign) == 1:
            return factor, -sign * function.args[0]
        if isinstance(function, (erfc, sympy.erfc)) and sign == -Rational(1, 2):
            return factor / 2, -function.args[0]
    return None


def mills(u: Expr, first: int = 1, depth: int = DEPTH) -> Expr:
    """K of erfc u = e^−u²/(√π·K): u + (1/2)/(u + 1/(u + (3/2)/(u + …))); the rest of it from the
    fraction ``first`` on.
    """
    value = u
    for number in range(depth, first - 1, -1):
        value = u + Rational(number, 2) / value
    return value


def _number(product: Expr) -> Expr:
    """The numbers among the factors of a product, as √2/2."""
    return Mul(*(part for part in Mul.make_args(product) if part.is_number))


def _limited(u: Expr) -> Expr:
    """min(u, 8), of u = c·w as c·min(w, 8/c): erfc knows the product c·w without rounding."""
    number = _number(u)
    limit = Minimum if number.is_positive else Maximum
    return number * limit(u / number, FAR / number)


def _is_limited(u: Expr) -> bool:
    """Whether an argument is what _limited made of one."""
    number = _number(u)
    rest = u / number
    return isinstance(rest, (Minimum, Maximum)) and FAR / number in rest.args


def of_tail(node: Expr) -> Expr:
    """log erfc u = −u² − log(√π·K) beyond 8, by log1p where erfc u is near 1 or 2."""
    found = tail_of(node.args[0]) if isinstance(node, log) else None
    if found is None or _is_limited(found[1]):
        return node
    factor, u = found
    far, middle = -(u**2) - log(sqrt(pi) * mills(u)), log(erfc(_limited(u)))
    if factor == Rational(1, 2):
        near = Select(Greater(0, u), log1p(-erfc(-u) / 2), middle - log(2))
        return Select(Greater(u, FAR), far - log(2), near)
    near = Select(Greater(Rational(1, 2), u), log1p(-erf(u)), middle)
    value = Select(Greater(u, FAR), far, near)
    return value if factor == 1 else value + log(factor)


def _tail(node: Expr) -> Expr:
    """c + c·erf u = c·erfc(−u), c − c·erf u = c·erfc u, 2c − c·erfc u = c·erfc(−u), in a sum."""
    if not isinstance(node, Add) or not node.args[0].is_number:
        return node
    for term in node.args[1:]:
        factor, function = term.as_coeff_Mul()
        if isinstance(function, (erfc, sympy.erfc)) and node.args[0] == -2 * factor:
            return node - node.args[0] - term - factor * erfc(-function.args[0])
        if isinstance(function, erf) and abs(factor) == abs(node.args[0]):
            found = tail_of(node.args[0] / abs(factor) * (node.args[0] + term))
            if found is not None:
                sign = node.args[0] / abs(factor)
                return node - node.args[0] - term + sign * found[0] * erfc(found[1])
    return node


def _tail_quotient(node: Expr) -> Expr:
    """e^−u²/erfc u = √π·K beyond 8."""
    if not isinstance(node, Mul):
        return node
    for below in node.args:
        found = tail_of(below.base) if isinstance(below, Pow) and below.exp == -1 else None
        if found is None or _is_limited(found[1]):
            continue
        factor, u = found
        for above in node.args:
            if isinstance(above, exp) and expand_mul(above.args[0] + u**2) == 0:
                number = _number(node)
                scale, near = number / factor, above / erfc(_limited(u))
                value = Select(Greater(u, FAR), scale * sqrt(pi) * mills(u), scale * near)
                return node / number / above / below * value
    return node


def _tail_product(node: Expr) -> Expr:
    """e^u²·erfc u = 1/(√π·K) beyond 8."""
    if not isinstance(node, Mul):
        return node
    for tail in node.args:
        found = tail_of(tail) if not isinstance(tail, Pow) else None
        if found is None or _is_limited(found[1]):
            continue
        factor, u = found
        for above in node.args:
            if isinstance(above, exp) and expand_mul(above.args[0] - u**2) == 0:
                least = _limited(u)
                value = Select(
                    Greater(u, FAR), 1 / (sqrt(pi) * mills(u)), exp(least**2) * erfc(least)
                )
                return node / above / tail * factor * value
    return node


def slope_of_product(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """2u·e^u²·erfc u − 2/√π = −1/(√π·K·K₁) beyond 6, K = u + 1/(2·K₁), in a sum."""
    products = {
        access: computed(access, stored)
        for access in accesses(value)
        if label_of(access) in stored and stored[label_of(access)].value.has(erfc, sympy.erfc)
    }
    changed = {}
    for total in sorted(value.atoms(Add), key=str) if products else ():
        for term in total.args:
            found = _tail_times(term.xreplace(products))
            number = None if found is None else -found[0] / sqrt(pi)
            if found is not None and number in total.args:
                u, rest = found[1], total - term - number
                fractions = (mills(u, first, DEPTH + 4) for first in (1, 2))
                far = rest + number / (2 * Mul(*fractions))
                changed[total] = Select(Greater(u, NEAR), far, total)
    return value.xreplace(changed) if changed else value


def _tail_times(term: Expr) -> tuple[Expr, Expr] | None:
    """c and u of c·u·e^u²·erfc u."""
    parts = Mul.make_args(term)
    for tail in parts:
        found = tail_of(tail) if not isinstance(tail, Pow) else None
        u = found[1] if found is not None else None
        if found is not None and u is not None and exp(u**2) in parts:
            return found[0] * term / (tail * exp(u**2) * u), u
    return None


TAILS = (
    Rule(
        "logarithm of a tail",
        "log(erfc(u)), log(1 ± erf(u))",
        "−u² − log(√π·K) for u > 8, K the continued fraction u + (1/2)/(u + 1/(u + …))",
        "every u: erfc(u) underflows for u > 26.5 (9.2 in float32)",
        of_tail,
    ),
    Rule(
        "tail of erf",
        "1 + erf(u), 1 − erf(u), 2 − erfc(u)",
        "erfc(−u), erfc(u), erfc(−u), which subtract nothing",
        "every u: the sum cancels for u < −0.5, and is 0 for u < −5.9 (−3.9 in float32)",
        _tail,
    ),
    Rule(
        "quotient of tails",
        "exp(−u²)/erfc(u)",
        "√π·K for u > 8, K the continued fraction u + (1/2)/(u + 1/(u + …))",
        "every u: 0/0 for u > 27 (10 in float32)",
        _tail_quotient,
    ),
    Rule(
        "product of tails",
        "exp(u²)·erfc(u)",
        "1/(√π·K) for u > 8, K the continued fraction u + (1/2)/(u + 1/(u + …))",
        "every u: ∞·0 for u > 26.6 (9.4 in float32)",
        _tail_product,
    ),
    Rule(
        "slope of a product of tails",
        "2u·a − 2/√π, where a = exp(u²)·erfc(u)",
        "−1/(√π·K·K₁) for u > 6, K = u + 1/(2·K₁) = u + (1/2)/(u + 1/(u + …))",
        "every u: the difference cancels for large u",
        slope_of_product,
        "stored",
    ),
)
"""The rules for tails."""
