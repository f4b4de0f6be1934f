"""Smooth functions that are typed with kinks which cancel."""

from __future__ import annotations

from sympy import Add, Expr, Mul, exp, log

from symprop.primitives import Absolute, Maximum


def smooth(value: Expr) -> Expr:
    """max(u, v) + log(1 + e^−|u − v|) = log(eᵘ + eᵛ), which has no kink where u = v.

    It is typed so for the sake of large u, which stabilizing cares for; its slope where u = v is
    1/2 for u, not what the conventions at the kinks of max and |u| happen to add up to.

    >>> from sympy import Symbol
    >>> u = Symbol("u", real=True)
    >>> smooth(Maximum(u, 0) + log(1 + exp(-Absolute(u))))
    log(exp(u) + 1)
    """
    if not value.has(Maximum) or not value.has(log):
        return value
    value = value.func(*map(smooth, value.args))
    for term in value.args if isinstance(value, Add) else ():
        for part in Mul.make_args(term):
            if isinstance(part, Maximum):
                u, v = part.args
                factor = term / part
                other = factor * log(1 + exp(-Absolute(u - v)))
                if other in value.args:
                    return smooth(value - term - other + factor * log(exp(u) + exp(v)))
    return value
