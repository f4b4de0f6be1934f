"""Logarithms whose argument may overflow, underflow, or round to 1."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import (
    Add,
    Expr,
    Integer,
    Mul,
    Poly,
    Pow,
    Symbol,
    cosh,
    erf,
    erfc,
    exp,
    expand_mul,
    log,
    tanh,
)
from sympy.codegen.cfunctions import expm1, log1p

from symprop.passes.cost import accesses_elements
from symprop.passes.exponentials import E, quotient_of
from symprop.passes.functions import decimal
from symprop.passes.rewrite import Stored, computed
from symprop.passes.rule import Rule
from symprop.passes.softplus import SLOPE_OF_SOFTPLUS, SOFTPLUS_LESS_ARGUMENT
from symprop.passes.tails import of_tail
from symprop.passes.tangents import logarithm_of_tangent, of_weighted_tangent
from symprop.primitives import Absolute, Equal, Greater, Maximum, Select
from symprop.smooth import softplus_of
from symprop.tensor import accesses


def opened(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """Logarithms in what their arguments are computed from, where these are exponentials."""
    changed = {}
    for logarithm in sorted(value.atoms(log), key=str):
        argument = _opened(logarithm.args[0], stored)
        if _gains(argument) and not _gains(logarithm.args[0]):
            changed[logarithm] = log(argument)
    if not changed:
        return value
    kept = {product: _weighted(product, changed) for product in value.atoms(Mul)}
    return value.xreplace({p: new for p, new in kept.items() if new != p}).xreplace(changed)


def _weighted(product: Mul, changed: Mapping[Expr, Expr]) -> Expr:
    """u·log(u/(u + v)) as 0 where u = 0: opened, the logarithm is not a number there if v = 0."""
    for logarithm in product.args:
        if logarithm in changed and any(map(accesses_elements, logarithm.args[0].atoms(Add))):
            read = {*accesses(logarithm)}
            weight = next((part for part in product.args if part in read), None)
            if weight is not None:
                return Select(Equal(weight, 0), 0, product)
    return product


def _reopened(value: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """eᵘ·e^na as eᵘ·wⁿ, where a = log w is stored."""
    changed = {}
    powers = {p: [part for part in p.args if isinstance(part, exp)] for p in value.atoms(Mul)}
    for product in sorted((p for p in powers if len(powers[p]) > 1), key=str):
        for power in powers[product]:
            number, access = power.args[0].as_coeff_Mul()
            inner = computed(access, stored)
            if isinstance(inner, log) and number.is_Integer:
                changed[power] = inner.args[0] ** number
    return value.xreplace(changed) if changed else value


def _opened(argument: Expr, stored: Mapping[Symbol, Stored]) -> Expr:
    """An argument in what its elements are computed from, twice: a = e/s, e = exp(z − c)."""
    for _ in range(2):
        found = {}
        for access in accesses(argument):
            inner = computed(access, stored)
            if inner is not None and _is_open(inner):
                found[access] = inner
        argument = argument.xreplace(found)
    return argument


def _is_open(value: Expr) -> bool:
    quotient = value.is_Mul and not any(isinstance(part, Add) for part in value.args)
    return quotient or value.has(exp, erf, erfc, tanh)


def _gains(argument: Expr) -> bool:
    """Whether a rule finds something in the logarithm of an argument."""
    logarithm = log(argument, evaluate=False)
    rules = (
        *(_of_quotient, _apart, _of_softplus, of_tail, _log_cosh, _of_difference),
        *(logarithm_of_tangent, of_weighted_tangent),
    )
    return any(rule(logarithm) != logarithm for rule in rules)


def _argument(node: Expr) -> Expr | None:
    return node.args[0] if isinstance(node, log) else None


def _of_quotient(node: Expr) -> Expr:
    """log(eᵘ·N/D) = u + log N − log D, where N and D are positive."""
    argument = _argument(node)
    if argument is None:
        return node
    found = quotient_of(argument)
    if found is None:
        return _of_product(node, argument)
    above, below = Poly(found.above, E), Poly(found.below, E)
    if not (_positive(above) and _positive(below)):
        return _of_product(node, argument)
    lowest = min(power for (power,) in above.monoms())
    if above.length() == 1 and lowest == below.degree():
        return -log(found.written((found.below / found.above).expand()))
    rest = found.written((found.above / E**lowest).expand())
    return lowest * found.unit + log(rest) - log(found.written(found.below))


def _positive(polynomial: Poly) -> bool:
    return all(c.is_positive for c in polynomial.coeffs())


def _of_product(node: Expr, argument: Expr) -> Expr:
    """log(eᵘ·w) = u + log w: exponentials are positive."""
    parts = Mul.make_args(argument)
    exponents = [part.args[0] for part in parts if isinstance(part, exp)]
    if not exponents:
        return node
    return Add(*exponents) + _log(Mul(*(part for part in parts if not isinstance(part, exp))))


def _log(rest: Expr) -> Expr:
    """log v, as −log(1/v) where v divides only: 1/v overflows where v is subnormal."""
    parts = rest.as_coeff_Mul()[1]
    below = all(isinstance(p, Pow) and p.exp.is_negative for p in Mul.make_args(parts))
    return -log(1 / rest) if below else log(rest)


def _apart(node: Expr) -> Expr:
    """log((1 + eᵘ)ⁿ·w) = n·log(1 + eᵘ) + log w: sums of exponentials are positive."""
    parts = Mul.make_args(node.args[0]) if isinstance(node, log) else ()
    sums = [part.as_base_exp() for part in parts if len(parts) > 1 and _is_sum(part)]
    rest = Mul(*(part for part in parts if not _is_sum(part)))
    if not sums or not accesses_elements(rest):
        return node
    return Add(*(power * log(base) for base, power in sums), _log(rest))


def _is_sum(part: Expr) -> bool:
    """Whether a factor is a power of a sum of exponentials, or of the logarithm of one."""
    base, power = part.as_base_exp()
    logarithm = log(base, evaluate=False)
    return power.is_Rational and any(
        rule(logarithm) != logarithm for rule in (_of_softplus, _of_sum)
    )


def _log_cosh(node: Expr) -> Expr:
    """log cosh u = |u| + log1p(e^−2|u|) − log 2; log1p(s²/(2 + 2s)), s = e^|u| − 1, for |u| < 1."""
    argument = _argument(node)
    inverse = _inverse_square_of_cosh(argument)
    if inverse is not None:
        return -2 * _log_cosh(log(cosh(inverse)))
    found = None if argument is None else _cosh(argument)
    if found is None:
        return node
    factor, size = found
    s = expm1(size)
    far = size + log1p(exp(-2 * size)) - log(2)
    value = Select(Greater(1, size), log1p(s**2 / (2 + 2 * s)), far)
    return value if factor == 1 else value + log(factor)


def _inverse_square_of_cosh(argument: Expr | None) -> Expr | None:
    """u of 1 − tanh² u."""
    if isinstance(argument, Add) and len(argument.args) == 2 and argument.args[0] == 1:
        base, power = (-argument.args[1]).as_base_exp()
        if isinstance(base, tanh) and power == 2:
            return base.args[0]
    return None


def _cosh(argument: Expr) -> tuple[Expr, Expr] | None:
    """c and |u| of c·cosh u, or of c/2·(eᵘ + e^−u)."""
    factor, rest = argument.as_content_primitive()
    if isinstance(rest, cosh):
        return factor, Absolute(rest.args[0])
    pair = isinstance(rest, Add) and len(rest.args) == 2
    if pair and all(isinstance(term, exp) for term in rest.args) and Mul(*rest.args) == 1:
        return 2 * factor, Absolute(rest.args[0].args[0])
    return None


def _of_sum(node: Expr) -> Expr:
    """log(1 + eᵘ) = max(u, 0) + log1p(e^−|u|), log(eᵘ + eᵛ) likewise."""
    argument = _argument(node)
    factor, total = (1, argument) if argument is None else argument.as_content_primitive()
    if not isinstance(total, Add) or len(total.args) != 2:
        return node
    exponents = [e for term in total.args if (e := _exponent(term)) is not None]
    if len(exponents) != 2 or all(term.is_number for term in total.args):
        return node
    u, v = sorted(exponents, key=lambda e: (bool(e.is_number), str(e)))
    value = Maximum(u, v) + log1p(exp(-Absolute(u - v)))
    return value if factor == 1 else value + log(factor)


def _less_number(node: Expr) -> Expr:
    """log(n + v) − log n = log(1 + v/n); log(a + b·eᵘ) − log(a + b) = log1p(b·expm1(u)/(a + b)) for
    u < 1.
    """
    factor, rest = node.args[0].as_content_primitive() if isinstance(node, log) else (1, node)
    if isinstance(node, log):
        return node if factor == 1 else _near(node, rest, 1 / factor) or node
    for term in node.args if isinstance(node, Add) else ():
        number, function = term.as_coeff_Mul()
        argument = _argument(function)
        for other in node.args if isinstance(argument, Add) else ():
            scale = other / -number
            if isinstance(scale, log) and scale.args[0].is_number:
                value = _near(function - scale, argument, scale.args[0])
                if value is not None:
                    return node - term - other + number * value
    return node


def _near(node: Expr, total: Expr, number: Expr) -> Expr | None:
    """``node`` = log total − log number near 0; None where it is never there."""
    rest = total - number
    constant, terms = rest.as_coeff_Add()
    if constant == 0:
        return log(1 + expand_mul(rest / number))
    scale, power = terms.as_coeff_Mul()
    if scale != -constant or not isinstance(power, exp) or power.has(Maximum):
        return None
    u = power.args[0]
    near = log1p(scale / number * expm1(u))
    return Select(Greater(1, u), near, node.xreplace({u: Maximum(u, 1)}))


def _exponent(term: Expr) -> Expr | None:
    if isinstance(term, exp):
        return term.args[0]
    return Integer(0) if term == 1 else None


def _of_difference(node: Expr) -> Expr:
    """log(eᵘ − 1) and log(1 − eᵘ) by the size of u; log(1 − e^−eᵛ) = v for v < −40."""
    argument = _argument(node)
    if not isinstance(argument, Add) or len(argument.args) != 2 or abs(argument.args[0]) != 1:
        return node
    sign, power = -argument.args[0], argument.args[1] * -argument.args[0]
    if not isinstance(power, exp):
        return node
    u = power.args[0]
    if sign == 1:
        return Select(Greater(u, 1), u + log1p(-exp(-u)), log(expm1(u)))
    value = Select(Greater(-1, u), log1p(-exp(u)), log(-expm1(u)))
    inner = (-u).as_coeff_Mul()[1]
    if isinstance(inner, exp) and (-u / inner).is_positive:
        v = inner.args[0] + log(-u / inner)
        return Select(Greater(-40, v), v, value)
    return value


def _of_softplus(node: Expr) -> Expr:
    """log log(1 + eᵘ) = u for u < −40: the rest, eᵘ/2, is below every ulp."""
    argument = _argument(node)
    u = None if argument is None else softplus_of(argument)
    return node if u is None else Select(Greater(-40, u), u, log(_of_sum(argument)))


def _log1p(node: Expr) -> Expr:
    """log(1 + u) = log1p(u)."""
    argument = _argument(node)
    if isinstance(argument, Add) and argument.args[0] == 1:
        return log1p(Add(*argument.args[1:]))
    return node


def _expm1(node: Expr) -> Expr:
    """c·eᵘ − c = c·expm1 u in a sum, where βᵗ is e^(t log β); β near 1, rounded, has another
    logarithm.
    """
    number, *terms = node.args if isinstance(node, Add) else (node,)
    for term in terms if number.is_number else ():
        power = -term / number
        if isinstance(power, exp):
            return node - number - term - number * expm1(power.args[0])
        if isinstance(power, Pow) and power.base.is_positive and accesses(power.exp):
            return node - number - term - number * expm1(power.exp * decimal(log(power.base)))
    return node


LESS_NUMBER = Rule(
    "logarithm less a number",
    "log(1 + exp(u)) − log(2), log((1 + exp(u))/2), log(n + v) − log(n)",
    "log1p(expm1(u)/2) for u < 1; log(1 + v/n)",
    "every u and v: the difference cancels near 0",
    _less_number,
)
"""The rule for logarithms that are nearly 0 somewhere; before those that take sums apart."""
LOGARITHMS = (
    Rule(
        "stored logarithm",
        "log(a), log(1 − a), where a is stored and computed from exponentials",
        "the logarithm of what a is computed from, with z − c kept apart as min(z − c, 0) where c "
        "is the largest z",
        "every a: a may have underflowed to 0 or been rounded to 1",
        opened,
        "stored",
    ),
    Rule(
        "exponential of a stored logarithm",
        "exp(u)·exp(−a), where a = log(w) is stored",
        "exp(u)/w",
        "every u: 0·∞ where exp(u) vanishes, and an error of a is one of as many ulp as a is large",
        _reopened,
        "stored",
    ),
    Rule(
        "logarithm of a quotient",
        "log(exp(u)·v/w)",
        "u + log(v) − log(w)",
        "every u: exp(u) overflows for u > 709 (88 in float32), underflows for u < −745 (−103)",
        _of_quotient,
    ),
    Rule(
        "logarithm of a product",
        "log(v·(1 + exp(u))), log(v/log(1 + exp(u)))",
        "log(v) + log(1 + exp(u)), log(v) − log(log(1 + exp(u)))",
        "every u: exp(u) overflows for u > 709 (88 in float32), or the quotient does",
        _apart,
    ),
    Rule(
        "log cosh",
        "log(cosh(u)), log(1 − tanh²(u)) = −2·log(cosh(u))",
        "|u| + log1p(exp(−2|u|)) − log(2); for |u| < 1 log1p(s²/(2 + 2s)), s = expm1(|u|)",
        "every u: cosh(u) overflows for |u| > 710 (89 in float32) and is rounded to 1 near 0",
        _log_cosh,
    ),
    Rule(
        "logarithm of a softplus",
        "log(log(1 + exp(u)))",
        "u for u < −40",
        "every u: log(1 + exp(u)) underflows for u < −745 (−103 in float32)",
        _of_softplus,
    ),
    SLOPE_OF_SOFTPLUS,
    SOFTPLUS_LESS_ARGUMENT,
    Rule(
        "logarithm of a sum of exponentials",
        "log(1 + exp(u)), log(exp(u) + exp(v))",
        "max(u, v) + log1p(exp(−|u − v|)), v = 0 for 1",
        "every u and v: exp(u) overflows for u > 709 (88 in float32)",
        _of_sum,
    ),
    Rule(
        "logarithm of a difference of exponentials",
        "log(exp(u) − 1), log(1 − exp(u))",
        "by expm1 for small |u|, by log1p for large",
        "u > 0 and u < 0: the difference cancels near 0, and one term is lost for large |u|",
        _of_difference,
    ),
    Rule(
        "log1p",
        "log(1 + u)",
        "log1p(u), which does not round 1 + u",
        "u > −1: for |u| below 1e-16 (6e-8 in float32) 1 + u is 1",
        _log1p,
    ),
    Rule(
        "expm1",
        "exp(u) − 1, 1 − exp(u)",
        "expm1(u), −expm1(u), which subtract nothing",
        "every u: the difference cancels near 0",
        _expm1,
    ),
)
"""The rules for logarithms, and that for expm1."""
