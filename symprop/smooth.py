"""Smooth functions that are typed with kinks which cancel."""

from __future__ import annotations

from sympy import Add, Expr, Mul, exp, expand, log

from symprop.primitives import Absolute, Maximum, Minimum


def smooth(value: Expr) -> Expr:
    """max(u, v) + log(1 + e^−|u − v|) = v + log(1 + e^(u − v)), which has no kink where u = v; so
    with −min(−u, −v) for max(u, v).

    It is typed so for the sake of large u, which stabilizing cares for; its slope where u = v is
    1/2 for u, not what the conventions at the kinks of max and |u| happen to add up to. Where u or
    v is a logarithm it is left: e^(u − v) would be multiplied out, which may overflow.

    >>> from sympy import Symbol
    >>> u = Symbol("u", real=True)
    >>> smooth(Maximum(u, 0) + log(1 + exp(-Absolute(u))))
    log(exp(u) + 1)
    """
    if not value.has(Maximum, Minimum) or not value.has(log):
        return value
    value = value.func(*map(smooth, value.args))
    for term in value.args if isinstance(value, Add) else ():
        for part in Mul.make_args(term):
            if isinstance(part, (Maximum, Minimum)) and not part.has(log):
                other = _together_smooth(term, part, value.args)
                if other is not None:
                    kinked, joined = other
                    return smooth(value - term - kinked + joined)
    return value


def _together_smooth(term: Expr, part: Expr, terms: tuple[Expr, ...]) -> tuple[Expr, Expr] | None:
    """The term that takes the kink of another, and what both are together."""
    sign = 1 if isinstance(part, Maximum) else -1
    u, v = sorted((sign * side for side in part.args), key=lambda side: bool(side.is_number))
    factor = sign * term / part
    for other in terms:
        distance = _distance(other / factor)
        if distance is not None and 0 in (expand(u - v - distance), expand(u - v + distance)):
            return other, factor * (v + log(1 + exp(u - v)))
    return None


def _distance(value: Expr) -> Expr | None:
    """a of log(1 + e^−|a|); c·b where it says c·|b|."""
    exponent = softplus_of(value)
    if exponent is None:
        return None
    rate, size = exponent.as_coeff_Mul()
    return rate * size.args[0] if isinstance(size, Absolute) and rate < 0 else None


def softplus_of(value: Expr) -> Expr | None:
    """u of log(1 + eᵘ)."""
    if not isinstance(value, log) or not isinstance(value.args[0], Add):
        return None
    one, *others = value.args[0].args
    if one != 1 or len(others) != 1 or not isinstance(others[0], exp):
        return None
    return others[0].args[0]
