"""The softplus log(1 + eᵘ) beside what it cancels: its argument, its slope."""

from __future__ import annotations

from sympy import Add, Expr, Mul, exp, log

from symprop.passes.rule import Rule
from symprop.primitives import Greater, Maximum, Select
from symprop.smooth import softplus_of


def _slope_of_softplus(node: Expr) -> Expr:
    """1/((1 + e^−u)·log(1 + eᵘ)) = 1 for u < −40, in a product."""
    for part in node.args if isinstance(node, Mul) else ():
        base, power = part.as_base_exp()
        u = softplus_of(base) if power == -1 else None
        if u is None or u.has(Maximum):
            continue
        logistic = 1 / (1 + exp(-u))
        if logistic in node.args:
            kept = Maximum(u, -40)
            near = 1 / ((1 + exp(-kept)) * log(1 + exp(kept)))
            return node / logistic / part * Select(Greater(-40, u), 1, near)
    return node


def _less_argument(node: Expr) -> Expr:
    """c·u − c·log(1 + eᵘ) = −c·log(1 + e^−u), in a sum."""
    for term in node.args if isinstance(node, Add) else ():
        factor, function = term.as_coeff_Mul()
        u = softplus_of(function)
        if u is not None and -factor * u in node.args:
            return node - term + factor * u + factor * log(1 + exp(-u))
    return node


SLOPE_OF_SOFTPLUS = Rule(
    "slope of the logarithm of a softplus",
    "1/((1 + exp(−u))·log(1 + exp(u)))",
    "1 for u < −40",
    "every u: 1/(1 + exp(−u)) and log(1 + exp(u)) underflow for u < −745 (−103 in float32)",
    _slope_of_softplus,
)
"""The rule for the slope of log log(1 + eᵘ)."""
SOFTPLUS_LESS_ARGUMENT = Rule(
    "softplus less its argument",
    "log(1 + exp(u)) − u",
    "log(1 + exp(−u))",
    "every u: the difference cancels for large u",
    _less_argument,
)
"""The rule for a softplus that its argument is taken from."""
