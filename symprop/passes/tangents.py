"""What tanh, cosh and cos leave of 1, and the logarithm of tanh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sympy import Add, Expr, Integer, Mul, Pow, Symbol, cos, cosh, exp, log, sin, sinh, tanh
from sympy.codegen.cfunctions import expm1, log1p

from symprop.passes.cost import accesses_elements
from symprop.passes.exponentials import by_sign
from symprop.passes.functions import sech2
from symprop.passes.powers import HALF
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Equal, Greater, Maximum, Minimum, Select
from symprop.tensor import accesses


def logarithm_of_tangent(node: Expr) -> Expr:
    """log tanh u = log1p(−2/(1 + e²ᵘ)) for u > 1/2; log(c ± c·tanh u) = log 2c − log(1 + e^∓2u)."""
    if not isinstance(node, log):
        return node
    factor, rest = node.args[0].as_content_primitive()
    if isinstance(rest, Add) and len(rest.args) == 2 and rest.args[0] == 1:
        sign, tangent = rest.args[1].as_coeff_Mul()
        if abs(sign) == 1 and isinstance(tangent, tanh):
            return log(2 * factor) - log(1 + exp(-2 * sign * tangent.args[0]))
    if not isinstance(node.args[0], tanh):
        return node
    (u,) = node.args[0].args
    if u.has(Minimum):
        return node
    below = 1 + exp(2 * Maximum(u, HALF))
    return Select(Greater(u, HALF), log1p(-2 / below), log(tanh(Minimum(u, HALF))))


def _slope_of_logarithm(node: Expr, _targets: object = ()) -> Expr:
    """c/tanh u − c·tanh u = c/(cosh² u·tanh u), in a sum."""
    for tangent in sorted(node.atoms(tanh), key=str) if isinstance(node, Add) else ():
        for term in node.args:
            weight = term * tangent
            if not weight.has(tangent) and -weight * tangent in node.args:
                slope = weight * sech2(tangent.args[0]) / tangent
                return node - term + weight * tangent + slope
    return node


def _weighted(total: Expr) -> tuple[Expr, Expr, Expr] | None:
    """c, w and u of c·(1 + w·tanh u), where w is read."""
    factor, rest = total.as_content_primitive()
    if not isinstance(rest, Add) or len(rest.args) != 2 or rest.args[0] != 1:
        return None
    for tangent in Mul.make_args(rest.args[1]):
        w = rest.args[1] / tangent
        if isinstance(tangent, tanh) and accesses_elements(w) and not w.has(tanh):
            return factor, w, tangent.args[0]
    return None


def _rest(w: Expr) -> Expr:
    """1 − |w|, as min(1 − |w|, 1) so that nothing is added to 1 before the difference."""
    return Minimum(1 - Absolute(w), 1)


def of_weighted_tangent(node: Expr) -> Expr:
    """log(1 + w·tanh u) = log(1 − |w| + (1 + |w|)·e) − log(1 + e), e = e^−2|u|, for w·tanh u <
    −1/2; log(1 + |w|) − 2|u| − … for |w| = 1.
    """
    found = _weighted(node.args[0]) if isinstance(node, log) else None
    if found is None:
        return node
    factor, w, u = found
    a, b, size = _rest(w), 1 + Absolute(w), 2 * Absolute(u)
    far = Select(Equal(a, 0), log(b) - size, log(a + b * exp(-size))) - log1p(exp(-size))
    value = Select(Greater(-HALF, w * tanh(u)), far, log1p(w * tanh(u)))
    return value if factor == 1 else value + log(factor)


def _slope_of_weighted_tangent(node: Expr) -> Expr:
    """(1 − tanh² u)/(1 + w·tanh u) = 4e/((1 + e)·(1 − |w| + (1 + |w|)·e)), e = e^−2|u|, for w·tanh
    u < −1/2; 4/((1 + e)·(1 + |w|)) for |w| = 1.
    """
    for below in node.args if isinstance(node, Mul) else ():
        found = _weighted(below.base) if isinstance(below, Pow) and below.exp == -1 else None
        if found is None:
            continue
        factor, w, u = found
        for above in node.args:
            number = above.args[0] if isinstance(above, Add) else Integer(0)
            if not number.is_number or above != number - number * tanh(u) ** 2:
                continue
            a, b, e = _rest(w), 1 + Absolute(w), exp(-2 * Absolute(u))
            far = Select(Equal(a, 0), 4 / ((1 + e) * b), 4 * e / ((1 + e) * (a + b * e)))
            near = sech2(u) / (1 + Maximum(w * tanh(u), -HALF))
            value = Select(Greater(-HALF, w * tanh(u)), far, near)
            return node / below / above * number / factor * value
    return node


def slope_by_stored_tangent(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """(1 − a²)/(1 + w·a), where a = tanh u is stored, in tanh u."""
    known = {
        access: inner
        for access in accesses(value)
        if isinstance(inner := computed(access, stored), tanh)
    }
    changed = {}
    for product in value.atoms(Mul) if known else ():
        opened = product.xreplace(known)
        if opened != _slope_of_weighted_tangent(opened):
            changed[product] = opened
    return value.xreplace(changed) if changed else value


def _half_angle(node: Expr) -> Expr:
    """c − c·cos u = 2c·sin²(u/2), c·cosh u − c = 2c·sinh²(u/2), in a sum."""
    if not isinstance(node, Add) or not node.args[0].is_number:
        return node
    number = node.args[0]
    for term in node.args[1:]:
        half = {cos: sin, cosh: sinh}.get(type(-term / number))
        if half is not None:
            (u,) = (-term / number).args
            sign = 1 if half is sin else -1
            return node - number - term + 2 * sign * number * half(u / 2) ** 2
    return node


def _rest_of_cotangent(node: Expr) -> Expr:
    """c − c/tanh² u = −c/sinh² u, in a sum: sinh² u = (1 − e^−2|u|)²/(4·e^−2|u|)."""
    for term in node.args if isinstance(node, Add) else ():
        for part in Mul.make_args(term):
            base, power = part.as_base_exp()
            weight = term / part
            if isinstance(base, tanh) and power == -2 and -weight in node.args:
                u = -2 * Absolute(base.args[0])
                return node - term + weight + 4 * weight * exp(u) / expm1(u) ** 2
    return node


def rest_of_tangent(node: Expr, _targets: object = ()) -> Expr:
    """w ± w·tanh u = 2w/(1 + e^∓2u), w − w·tanh² u = w/cosh² u, in a sum."""
    if not isinstance(node, Add):
        return node
    for term in node.args:
        tangents = [p for p in Mul.make_args(term) if isinstance(p.as_base_exp()[0], tanh)]
        if len(tangents) != 1:
            continue
        base, exponent = tangents[0].as_base_exp()
        weight = term / tangents[0]
        for sign in (1, -1):
            if sign * weight in node.args or (sign * weight == node.args[0]):
                rest = node - term - sign * weight
                if exponent == 1:
                    below = 1 + exp(-2 * sign * base.args[0])
                    return rest_of_tangent(rest) + 2 * sign * weight * by_sign(1 / below)
                if exponent == 2 and sign == -1:
                    return rest_of_tangent(rest) - weight * sech2(base.args[0])
    return node


LOGARITHM_OF_TANGENT = Rule(
    "logarithm of a tangent",
    "log(tanh(u)), log(1 ± tanh(u))",
    "log1p(−2/(1 + exp(2u))) for u > 1/2; log(2) − log(1 + exp(∓2u))",
    "u > 0, every u: tanh(u) is rounded to ±1 for |u| > 19 (9 in float32)",
    logarithm_of_tangent,
)
WEIGHTED_TANGENT = Rule(
    "logarithm of a weighted tangent",
    "log(1 + w·tanh(u))",
    "log(1 − |w| + (1 + |w|)·e) − log(1 + e), e = exp(−2|u|), for w·tanh(u) < −1/2; with log(1 + "
    "|w|) − 2|u| for the first logarithm where |w| = 1",
    "|w| ≤ 1, every u: tanh(u) is rounded to ±1 for |u| > 19 (9 in float32)",
    of_weighted_tangent,
)
SLOPE_OF_WEIGHTED_TANGENT = Rule(
    "slope of the logarithm of a weighted tangent",
    "(1 − tanh²(u))/(1 + w·tanh(u))",
    "4e/((1 + e)·(1 − |w| + (1 + |w|)·e)), e = exp(−2|u|), for w·tanh(u) < −1/2; 4/((1 + e)·(1 + "
    "|w|)) where |w| = 1",
    "|w| ≤ 1, every u: 0/0 where tanh(u) is rounded to ±1, for |u| > 19 (9 in float32)",
    _slope_of_weighted_tangent,
)
SLOPE_BY_STORED_TANGENT = replace(
    SLOPE_OF_WEIGHTED_TANGENT,
    name="slope of the logarithm of a stored tangent",
    shape="(1 − a²)/(1 + w·a), where a = tanh(u) is stored",
    form="the same in tanh(u)",
    rewrite=slope_by_stored_tangent,
    level="stored",
)
"""The rules for what 1 + w·tanh u keeps where it is nearly 0."""
HALF_ANGLE = Rule(
    "half angle",
    "1 − cos(u), cosh(u) − 1",
    "2·sin²(u/2), 2·sinh²(u/2)",
    "every u: the difference cancels near 0, and near each 2πn",
    _half_angle,
)
"""The rule for what cos and cosh leave of 1."""
SLOPE_OF_LOGARITHM = Rule(
    "slope of the logarithm of a tangent",
    "1/tanh(u) − tanh(u)",
    "1/(cosh²(u)·tanh(u))",
    "every u: the difference cancels for large |u|",
    _slope_of_logarithm,
)
"""The rules for what log tanh and its slope keep."""

REST_OF_COTANGENT = Rule(
    "rest of a cotangent",
    "1/tanh²(u) − 1",
    "1/sinh²(u) = 4·exp(−2|u|)/(1 − exp(−2|u|))²",
    "every u: tanh(u) is rounded to ±1 for |u| > 19 (9 in float32)",
    _rest_of_cotangent,
)
"""The rule for what 1/tanh leaves of 1."""
REST_OF_TANGENT = Rule(
    "rest of a tangent",
    "v − v·tanh²(u), v ± v·tanh(u)",
    "v/cosh²(u), 2v/(1 + exp(∓2u))",
    "every u: tanh(u) is rounded to ±1 for |u| > 19 (9 in float32)",
    rest_of_tangent,
    "edge",
)
"""The rule for what tanh leaves of 1."""
