"""Stabilizing: forms that are equal on paper and stay finite and accurate in floating point.

Each rule is found by the shape of the expression, whoever wrote it:

===================  ===================================  ====================================
rule                 from                                 to
===================  ===================================  ====================================
stored logarithm     log a, where a = eᵘ/w                u − log w: a may underflow to 0
logarithm of 1 − a   log(1 − a), where a = 1/(1 + eᵘ)     u − log(1 + eᵘ): a may round to 1
softplus             log(1 + eᵘ)                          max(u, 0) + log1p(e^−|u|)
log cosh             log cosh u                           |u| + log1p(e^−2|u|) − log 2
log1p                log(1 + u)                           log1p(u): exact for small u
expm1                eᵘ − 1, 1 − eᵘ, 1 − βᵗ               expm1(u), −expm1(u), −expm1(t log β)
logistic             eᵘ/(1 + eᵘ), and what holds it       s = 1/(1 + e^−u) for it: no ∞/∞
entropy              u · log v                            0 where u = 0: no 0 · ∞
===================  ===================================  ====================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from sympy import Add, Expr, Function, Integer, Mul, Pow, Symbol, cosh, exp, log
from sympy.codegen.cfunctions import expm1, log1p

from symprop.equation import Equation
from symprop.passes.algebra import accesses_elements, overflows, tidy
from symprop.passes.rewrite import Stored, bind, replaced, stored_value
from symprop.primitives import Absolute, Equal, Maximum, Select
from symprop.program import Program
from symprop.tensor import accesses, label_of


def stabilize(program: Program) -> Program:
    """Rewrite every value into a form that holds at the edges of the floating-point range."""
    stored = {label: found for label in program.defined if (found := stored_value(program, label))}
    changes = {}
    for position, equation in enumerate(program.flat):
        value = stable(_stored_logarithms(equation, stored))
        if value != equation.value:
            changes[position] = (replace(equation, value=value),)
    return replaced(program, changes)


@lru_cache(maxsize=16384)
def stable(value: Expr) -> Expr:
    """The value with every rule applied to it and its parts, innermost first."""
    if not value.has(exp, log, Pow):
        return value
    if overflows(value):
        value = tidy(value)
    if _rewritable(value):
        value = value.func(*(stable(argument) for argument in value.args))
    for rule in RULES:
        value = rule(value)
    return value


def _rewritable(value: Expr) -> bool:
    return isinstance(value, (Add, Mul, Pow, Function))


def _stored_logarithms(equation: Equation, stored: dict[Symbol, Stored]) -> Expr:
    """log a and log(1 − a) in terms of what a is computed from, where exponentials and logarithms
    cancel.
    """
    changed = {}
    for logarithm in sorted(equation.value.atoms(log), key=str):
        (argument,) = logarithm.args
        opened = tidy(_opened(argument, stored))
        if opened != argument and opened.has(exp) and _splits(opened):
            changed[logarithm] = _expanded(opened)
    return equation.value.xreplace(changed)


def _opened(argument: Expr, stored: dict[Symbol, Stored]) -> Expr:
    """An argument in what its elements are computed from, twice: a = e/s, e = exp(z − c)."""
    for _ in range(2):
        found = {}
        for access in accesses(argument):
            definition = stored.get(label_of(access))
            names = bind(definition.target, access) if definition else None
            if definition and names is not None and _is_open(definition.value):
                found[access] = definition.value.xreplace(names)
        argument = argument.xreplace(found)
    return argument


def _is_open(value: Expr) -> bool:
    """Whether the logarithm of a value may be a sum: it holds an exponential, or is a quotient."""
    quotient = value.is_Mul and not any(isinstance(part, Add) for part in value.args)
    return quotient or value.has(exp)


def _splits(argument: Expr) -> bool:
    """Whether the logarithm of an argument is a sum of others: it has an exponential factor, or is
    a reciprocal.
    """
    parts = Mul.make_args(argument)
    return any(isinstance(part, exp) for part in parts) or _is_denominator(argument)


def _expanded(argument: Expr) -> Expr:
    """log(eᵘ · w⁻¹) = u − log w: exponentials are positive."""
    total, rest = Integer(0), Integer(1)
    for part in Mul.make_args(argument):
        if isinstance(part, exp):
            total += part.args[0]
        else:
            rest *= part
    inverse = 1 / rest
    return total - log(inverse) if _is_denominator(rest) else total + log(rest)


def _is_denominator(rest: Expr) -> bool:
    return all(isinstance(part, Pow) and part.exp.is_negative for part in Mul.make_args(rest))


def _softplus(value: Expr) -> Expr:
    """log(1 + eᵘ) = max(u, 0) + log1p(e^−|u|)."""
    if isinstance(value, log) and isinstance(value.args[0], Add) and len(value.args[0].args) == 2:
        one, power = value.args[0].args
        if one == 1 and isinstance(power, exp):
            u = power.args[0]
            return Maximum(u, 0) + log1p(exp(-Absolute(u)))
    return value


def _log_cosh(value: Expr) -> Expr:
    """log cosh u = |u| + log1p(e^−2|u|) − log 2."""
    if isinstance(value, log) and isinstance(value.args[0], cosh):
        u = Absolute(value.args[0].args[0])
        return u + log1p(exp(-2 * u)) - log(2)
    return value


def _log1p(value: Expr) -> Expr:
    """log(1 + u) = log1p(u)."""
    if isinstance(value, log) and isinstance(value.args[0], Add) and value.args[0].args[0] == 1:
        return log1p(Add(*value.args[0].args[1:]))
    return value


def _expm1(value: Expr) -> Expr:
    """eᵘ − 1 = expm1 u and 1 − eᵘ = −expm1 u, where βᵗ is e^(t log β)."""
    if isinstance(value, Add) and len(value.args) == 2 and abs(value.args[0]) == 1:
        sign, power = -value.args[0], value.args[1] * -value.args[0]
        if isinstance(power, exp):
            return sign * expm1(power.args[0])
        if isinstance(power, Pow) and power.base.is_positive and accesses(power.exp):
            return sign * expm1(power.exp * log(power.base))
    return value


def _entropy(value: Expr) -> Expr:
    """u · log v = 0 where u = 0, even if v = 0 there."""
    if not isinstance(value, Mul):
        return value
    logarithms = [part for part in value.args if isinstance(part, log) and accesses(part)]
    weight = Mul(*(p for p in value.args if p not in logarithms and accesses_elements(p)))
    if len(logarithms) != 1 or weight == 1 or weight.has(Pow, Function):
        return value
    return Select(Equal(weight, 0), 0, value)


RULES: tuple[Callable[[Expr], Expr], ...] = (_softplus, _log_cosh, _log1p, _expm1, _entropy)
