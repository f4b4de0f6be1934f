"""What a stored value loses, and what reads it can still tell from its definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Add, Expr, Mul, Pow, Rational, Symbol, exp, expand

from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule


def without_stored(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """z − a, where a = z − v is stored, as v; z·a, where a = v/z is stored; a/√u, where a = √u − v
    is, as 1 − v/√u; eᵘ·a, where a is a power of a sum of exponentials, by that.
    """
    changed = {}
    for total in value.atoms(Add):
        for term in total.args:
            number, access = term.as_coeff_Mul()
            inner = computed(access, stored)
            if inner is None or not inner.is_Add:
                continue
            opened = total - term + Add(*(number * part for part in inner.args))
            if len(Add.make_args(opened)) < len(total.args) + len(inner.args) - 2:
                changed[total] = opened
        for opened in _opened_squares(total, stored):
            changed[total] = opened
    for product in value.atoms(Mul):
        for part in product.args:
            access, power = part.as_base_exp()
            inner = computed(access, stored)
            if inner is not None and inner.is_Mul and power.is_Integer and power.is_positive:
                below = [p.base for p in inner.args if isinstance(p, Pow) and p.exp == -1]
                if any(base**power in product.args for base in below):
                    changed[product] = product / part * inner**power
            elif isinstance(inner, Pow) and inner.base.has(exp) and _has_exponential(product):
                changed[product] = product / part * inner**power
            elif inner is not None and power == 1 and _is_root_beside(inner, product):
                changed[product] = Add(*(product / part * term for term in inner.args))
            elif isinstance(inner, exp) and inner.args[0].has(exp) and _has_exponential(product):
                powers = [factor for factor in product.args if isinstance(factor, exp)]
                rest = product / part / Mul(*powers)
                exponent = Add(*(factor.args[0] for factor in powers))
                changed[product] = rest * exp(exponent + power * inner.args[0])
    return value.xreplace(changed) if changed else value


def _opened_squares(total: Expr, stored: Mapping[Symbol, Stored]) -> Iterator[Expr]:
    """1 − a² − 2a/z, where a = u − 1/z is stored, as 1 − u² + 1/z²: no longer, and without a."""
    squares = (term.as_coeff_Mul()[1].as_base_exp() for term in total.args)
    for access in (base for base, power in squares if power == 2):
        inner = computed(access, stored)
        if inner is not None and inner.is_Add:
            opened = expand(total.xreplace({access: inner}))
            if len(Add.make_args(opened)) <= len(total.args):
                yield opened


def _is_root_beside(total: Expr, product: Expr) -> bool:
    """Whether a product divides by the root that a sum adds."""
    roots = (term.as_coeff_Mul()[1] for term in total.args if total.is_Add)
    return any(r.is_Pow and r.exp == Rational(1, 2) and 1 / r in product.args for r in roots)


def _has_exponential(product: Expr) -> bool:
    return any(isinstance(part, exp) for part in product.args)


INVERSE = Rule(
    "inverse of what is stored",
    "u − a, where a = u − v is stored; u·a, where a = v/u is; exp(u)·a, where a = exp(−v) is; "
    "a/√u, where a = √u − v is; 1 − a² − 2a/v, where a = u − 1/v is",
    "v; exp(u − v); 1 − v/√u; 1 − u² + 1/v²",
    "every u: v is rounded away in u − v, u·a and exp(u)·a may be 0·∞, a may overflow",
    without_stored,
    "stored",
)
"""The rule for what a stored sum has lost."""
