"""What is 0·∞, 0/0 or ∞ on the way to a finite value, and tails that a difference would lose."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import (
    Add,
    Expr,
    Function,
    Integer,
    Mul,
    Pow,
    Rational,
    apart,
    cancel,
    exp,
    expand_mul,
    log,
    sqrt,
    zoo,
)
from sympy.codegen.cfunctions import log1p

from symprop.passes.cost import accesses_elements, is_decay
from symprop.passes.rule import Rule
from symprop.primitives import Absolute, Equal, Greater, Indicator, Maximum, Minimum, Select
from symprop.tensor import accesses

Elements = frozenset[Expr]
SMALL = Rational(1, 10**30)
"""Denominators below are as good as 0: their reciprocals may overflow in float32."""


def _root(node: Expr) -> Expr:
    """√(u² + v²) = h·√(1 + (l/h)²), h the larger of |u| and |v|, l the smaller.

    l/h stands as min(l/h, 1), for SymPy would make l²/h² of its square.
    """
    if not (isinstance(node, Pow) and node.exp.is_Rational and node.exp.q == 2):
        return node
    if not isinstance(node.base, Add) or node.base.has(Maximum, Minimum):
        return node
    sides = [_side(term) for term in node.base.args]
    if None in sides or not any(accesses_elements(side) for side in sides if side is not None):
        return node
    first, *rest = sorted((s for s in sides if s is not None), key=lambda s: (s.is_number, str(s)))
    largest = first
    for side in rest:
        largest = Maximum(largest, side)
    smaller = (Minimum(first, rest[0]),) if len(rest) == 1 else (first, *rest)
    total = Add(*(Minimum(side / largest, 1) ** 2 for side in smaller))
    value = largest ** (2 * node.exp) * (total + (1 if len(rest) == 1 else 0)) ** node.exp
    if node.exp.is_negative or any(side.is_number for side in rest):
        return value
    return Select(Equal(largest, 0), Integer(0), value)


def _side(term: Expr) -> Expr | None:
    """|v| of a term v²; None where it is no square."""
    factor, rest = term.as_coeff_Mul()
    if rest == 1:
        return sqrt(factor) if factor.is_positive else None
    parts = [part.as_base_exp() for part in Mul.make_args(rest)]
    if not factor.is_positive or any(not (power / 2).is_Integer for _, power in parts):
        return None
    root = Mul(*(base ** (power / 2) for base, power in parts))
    return sqrt(factor) * Absolute(root)


def _difference_of_quotient(node: Expr) -> Expr:
    """u + v/a = (a·u + v)/a, for a number u: exact where the sum cancels."""
    if not isinstance(node, Add) or len(node.args) != 2 or not node.args[0].is_number:
        return node
    number, quotient = node.args
    below = [p.base for p in Mul.make_args(quotient) if isinstance(p, Pow) and p.exp == -1]
    if len(below) != 1 or not (below[0].is_Symbol or below[0].is_Indexed):
        return node
    above = quotient * below[0]
    plain = all(p.is_number or p.is_Symbol or p.is_Indexed for p in Mul.make_args(above))
    return (number * below[0] + above) / below[0] if plain and not above.is_number else node


def _entropy(node: Expr, _targets: Elements = frozenset()) -> Expr:
    """u · log v = 0 where u = 0, even if v = 0 there; so is u · (log(u·v) + w)."""
    if isinstance(node, Select) and node.args[:2] == node.args[-1].args[:2]:
        return node.args[-1]  # a guard that stands there already
    if not isinstance(node, Mul):
        return node
    logarithms = [p for p in node.args if isinstance(p, (log, log1p)) and accesses(p)]
    logarithms = logarithms or [p for p in node.args if _of_factors(p) & {*node.args}]
    weight = Mul(*(p for p in node.args if p not in logarithms and accesses_elements(p)))
    whole = all(p.exp.is_Integer and p.exp.is_positive for p in weight.atoms(Pow))
    if len(logarithms) != 1 or weight == 1 or weight.has(Function) or not whole:
        return node
    return Select(Equal(weight, 0), 0, node)


def _switched_off(node: Expr, _targets: Elements = frozenset()) -> Expr:
    """[u > v]·w = 0 where u ≤ v, even if w is not finite there."""
    switches = [p for p in node.args if isinstance(p, Indicator)] if node.is_Mul else []
    rest = node / Mul(*switches) if switches else node
    powers = (p for p in rest.atoms(Pow) if accesses_elements(p))
    fails = rest.has(exp, log) or any(not p.exp.is_positive for p in powers)
    if not switches or not fails:
        return node
    for switch in switches:
        rest = Select(switch, rest, 0)
    return rest


def _of_factors(total: Expr) -> set[Expr]:
    """The elements that are factors in a logarithm of a sum: u of log(u·v) + w."""
    terms = total.args if isinstance(total, Add) else ()
    logarithms = (p for term in terms for p in Mul.make_args(term) if isinstance(p, log))
    found = (Mul.make_args(branch) for p in logarithms for branch in _branches(p.args[0]))
    return {p for parts in found for p in parts if p.is_Symbol or p.is_Indexed}


def _branches(value: Expr) -> tuple[Expr, ...]:
    return value.args[1:] if isinstance(value, Select) else (value,)


def _absent(node: Expr, targets: Elements = frozenset()) -> Expr:
    """y/p = 0 where y = 0, even if p = 0 there: that of y·log p, which is 0 for every p.

    So is (p − y)/p = 1, (p − y)²/(p + y) = p, where p stands on both sides of the bar.
    """
    if not isinstance(node, Mul) or not any(map(_is_infinite, node.args)):
        return node
    weight = Mul(*(p for p in node.args if not _is_infinite(p) and _is_of(p, targets)))
    if weight != 1:
        return Select(Equal(weight, 0), 0, node)
    divisors = frozenset().union(*(_elements(p) for p in node.args if _is_below(p)))
    part = Mul(*(p for p in node.args if not p.has(Function) and _elements(p) & divisors))
    read = _elements(part)
    if len(read) != 2 or len(read & targets) != 1:
        return node
    (y,), (p,) = read & targets, read - targets
    left = part.xreplace({y: Integer(0)})
    left = cancel(left) if left.is_rational_function(p) else left
    below = Mul(*(factor.base for factor in Mul.make_args(part) if _is_below(factor)))
    vanishes = below.xreplace({y: Integer(0), p: Integer(0)}) == 0
    if not vanishes or _divides(left) or left.has(zoo):
        return node
    return node / part * Select(Equal(y, 0), left, part)


def _is_of(part: Expr, targets: Elements) -> bool:
    """Whether a factor is computed from targets, and by arithmetic only."""
    return accesses_elements(part) and _elements(part) <= targets and not part.has(Function)


def _is_below(part: Expr) -> bool:
    """Whether a factor has elements, and stands below the fraction bar."""
    return isinstance(part, Pow) and bool(part.exp.is_negative) and accesses_elements(part)


def _is_infinite(part: Expr) -> bool:
    """Whether a factor may be infinite: a divisor, an exponential that grows, the logarithm of a
    tail, which has a square on one of its branches.
    """
    branches = _branches(part)
    grows = any(isinstance(branch, exp) and not is_decay(branch) for branch in branches)
    return grows or _is_below(part) or (len(branches) > 1 and any(map(_has_square, branches)))


def _has_square(branch: Expr) -> bool:
    """Whether a power of elements is added to something."""
    terms = branch.args if isinstance(branch, Add) else ()
    powers = (p for term in terms for p in Mul.make_args(term) if isinstance(p, Pow))
    return any(p.exp.is_number and p.exp > 1 and accesses_elements(p) for p in powers)


def _divides(value: Expr) -> bool:
    """Whether elements stand below a fraction bar."""
    return any(map(_is_below, value.atoms(Pow)))


def _corner(node: Expr, targets: Elements = frozenset()) -> Expr:
    """(p − y)/(p·(1 − p)) = (1 − y)/(1 − p) − y/p near p = 0 and p = 1, where it may be 0/0."""
    if not isinstance(node, Mul):
        return node
    below = [b for b in _below(node) if not _elements(b) & targets]
    mixed = [p for p in node.args if isinstance(p, Add) and _elements(p) & targets]
    read = frozenset().union(*map(_elements, below)) if below else frozenset()
    if len(read) != 1 or len(mixed) != 1 or not read <= _elements(mixed[0]):
        return node
    (p,) = read
    if not all(b.is_polynomial(p) for b in below) or not mixed[0].is_polynomial(p):
        return node
    spread = apart(expand_mul(mixed[0]) / Mul(*below), p)
    rest = node / mixed[0] * Mul(*below)
    if not isinstance(spread, Add):
        return node
    terms = (_absent(_divided_anew(term.factor()), targets) for term in spread.args)
    return Select(Greater(SMALL, Absolute(Mul(*below))), rest * Add(*terms), node)


def _divided_anew(term: Expr) -> Expr:
    """v/p as v/min(p, 1), so that nobody multiplies v by a shared 1/p, which may overflow."""
    below = (part for part in Mul.make_args(term) if isinstance(part, Pow) and part.exp == -1)
    return term.xreplace({p: 1 / Minimum(p.base, 1) for p in below if accesses_elements(p)})


def _below(node: Mul) -> Iterator[Expr]:
    """What a product divides by."""
    for part in node.args:
        if isinstance(part, Pow) and part.exp == -1 and accesses_elements(part):
            yield part.base


def _elements(node: Expr) -> Elements:
    return frozenset(access for access in accesses(node) if not access.is_integer)


EDGES = (
    Rule(
        "root of squares",
        "√(u² + v²)",
        "h·√(1 + (l/h)²), h and l the larger and the smaller of |u| and |v|",
        "every u and v: u² overflows for |u| > 1.3e154 (1.8e19 in float32), underflows below the "
        "inverse",
        _root,
    ),
    Rule(
        "difference of a quotient",
        "1 − y/p",
        "(p − y)/p",
        "every y and p: y/p is rounded before the difference cancels",
        _difference_of_quotient,
    ),
)
"""The rules that rewrite what they find."""

GUARDS = (
    Rule(
        "entropy",
        "u·log(v), u²·log(v), u·(log(u·v) + w)",
        "0 where u = 0",
        "u = 0: 0·∞ where v = 0 too",
        _entropy,
        "edge",
    ),
    Rule(
        "switched off",
        "[u > v]·w",
        "w where u > v, else 0",
        "every u and v: 0·∞ where w overflows on the other side",
        _switched_off,
        "edge",
    ),
    Rule(
        "corner",
        "(p − y)/(p·(1 − p))",
        "(1 − y)/(1 − p) − y/p where the denominator is below 1e-30",
        "p near 0 and 1: 0/0 where y = p",
        _corner,
        "edge",
    ),
    Rule(
        "absent target",
        "y/p, (p − y)/p, (p − y)²/(p + y)",
        "0, 1, p where y = 0",
        "y = 0: 0/0 where p = 0 too; y·log(p) is 0 there for every p",
        _absent,
        "edge",
    ),
)
"""The rules that choose what a value is at a point."""
