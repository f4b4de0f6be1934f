"""What tanh, cosh and cos leave of 1, and the logarithm of tanh."""

from __future__ import annotations

from sympy import Add, Expr, Mul, Rational, cos, cosh, exp, log, sin, sinh, tanh
from sympy.codegen.cfunctions import log1p

from symprop.passes.exponentials import by_sign
from symprop.passes.functions import sech2
from symprop.passes.rule import Rule
from symprop.primitives import Greater, Maximum, Minimum, Select


def _logarithm_of_tangent(node: Expr) -> Expr:
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
    half = Rational(1, 2)
    below = 1 + exp(2 * Maximum(u, half))
    return Select(Greater(u, half), log1p(-2 / below), log(tanh(Minimum(u, half))))


def _slope_of_logarithm(node: Expr, _targets: object = ()) -> Expr:
    """c/tanh u − c·tanh u = c/(cosh² u·tanh u), in a sum."""
    for tangent in sorted(node.atoms(tanh), key=str) if isinstance(node, Add) else ():
        for term in node.args:
            weight = term * tangent
            if not weight.has(tangent) and -weight * tangent in node.args:
                slope = weight * sech2(tangent.args[0]) / tangent
                return node - term + weight * tangent + slope
    return node


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
    _logarithm_of_tangent,
)
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

REST_OF_TANGENT = Rule(
    "rest of a tangent",
    "v − v·tanh²(u), v ± v·tanh(u)",
    "v/cosh²(u), 2v/(1 + exp(∓2u))",
    "every u: tanh(u) is rounded to ±1 for |u| > 19 (9 in float32)",
    rest_of_tangent,
    "edge",
)
"""The rule for what tanh leaves of 1."""
