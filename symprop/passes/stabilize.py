"""Stabilizing: forms that are equal on paper and stay finite and accurate in floating point.

Each rule of ``RULES`` is found by the shape of the expression, whoever wrote it, in the forward
pass and in derivatives alike; ``stabilize(program, rules)`` takes some of them only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from sympy import Add, Expr, Function, Mul, Pow, Symbol, exp, log

from symprop.equation import Equation
from symprop.passes.algebra import tidy
from symprop.passes.cancellation import (
    CANCELLED_POWER,
    COMMON_DIFFERENCE,
    DIFFERENCE_IN_EXPONENT,
    FALLING_QUOTIENT,
)
from symprop.passes.cost import overflows
from symprop.passes.edges import EDGES, GUARDS
from symprop.passes.ends import ENDS
from symprop.passes.exponentials import EXPONENTIALS
from symprop.passes.inverses import INVERSE
from symprop.passes.logarithms import LESS_NUMBER, LOGARITHMS
from symprop.passes.others import OTHERS
from symprop.passes.powers import OF_POWER, POWERS
from symprop.passes.products import PRODUCTS
from symprop.passes.relative import RELATIVE
from symprop.passes.rewrite import Stored, replaced, stored_value
from symprop.passes.roots import ROOTS
from symprop.passes.rule import Rule
from symprop.passes.saturation import SATURATED_TANGENT, SATURATION
from symprop.passes.series import NEAR_ZERO
from symprop.passes.shift import SHIFT
from symprop.passes.tails import TAILS
from symprop.passes.tangents import (
    HALF_ANGLE,
    LOGARITHM_OF_TANGENT,
    REST_OF_COTANGENT,
    REST_OF_TANGENT,
    SLOPE_BY_STORED_TANGENT,
    SLOPE_OF_LOGARITHM,
    SLOPE_OF_WEIGHTED_TANGENT,
    WEIGHTED_TANGENT,
)
from symprop.primitives import Minimum
from symprop.program import Program
from symprop.tensor import accesses, label_of

Place = tuple[Expr, Expr]
"""What a rule found first, and what it wrote for it."""
Fired = tuple[tuple[Rule, Place], ...]
"""The rules that changed a value, each with its place."""


def _without_overflow(value: Expr) -> Expr:
    """The cheapest form that algebra finds of what is ∞/∞."""
    if not overflows(value):
        return value
    found = tidy(value)
    return value if overflows(found) else found


RULES: tuple[Rule, ...] = (
    SHIFT,
    RELATIVE,
    OTHERS,
    ENDS,
    SATURATION,
    INVERSE,
    NEAR_ZERO,
    COMMON_DIFFERENCE,
    CANCELLED_POWER,
    LESS_NUMBER,
    OF_POWER,
    *TAILS,
    *POWERS,
    *ROOTS,
    LOGARITHM_OF_TANGENT,
    SLOPE_OF_LOGARITHM,
    REST_OF_COTANGENT,
    WEIGHTED_TANGENT,
    SLOPE_OF_WEIGHTED_TANGENT,
    SLOPE_BY_STORED_TANGENT,
    HALF_ANGLE,
    *LOGARITHMS[:-1],
    FALLING_QUOTIENT,
    *EXPONENTIALS,
    Rule(
        "ratio of exponentials",
        "exp(u)/(v + exp(u))",
        "1/(1 + v·exp(−u)), or what else algebra finds",
        "every u: ∞/∞ where exp(u) overflows",
        _without_overflow,
    ),
    DIFFERENCE_IN_EXPONENT,
    *EDGES,
    LOGARITHMS[-1],
    *GUARDS,
    REST_OF_TANGENT,
    *PRODUCTS,
)
"""The rules, in the order in which they are tried."""
EXACT_SLOPES = (SATURATED_TANGENT, *RULES)
"""The same with what costs speed: the slope of tanh to its last digits."""


@dataclass(frozen=True)
class Change:
    """An equation before and after stabilizing, and the rules that made the difference.

    There is none before where a rule brings in a tensor of its own. ``whole`` are the rules for
    whole programs, ``fired`` the others.
    """

    before: Equation | None
    after: Equation
    whole: tuple[Rule, ...]
    fired: Fired

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        return (*self.whole, *(rule for rule, _ in self.fired))


def stabilize(program: Program, rules: Iterable[Rule] = RULES) -> Program:
    """Rewrite every value into a form that holds at the edges of the floating-point range.

    ``rules`` are those to apply, in this order.

    >>> from symprop import Dense, Network
    >>> forward = Network([Dense(1, "softplus")], inputs=1, loss="mse").forward
    >>> print(stabilize(forward).flat[2])
    ŷ[b, j] = max(z1[b, j], 0) + log1p(exp(-|z1[b, j]|))
    >>> kept = [rule for rule in RULES if rule.name != "logarithm of a sum of exponentials"]
    >>> print(stabilize(forward, kept).flat[2])
    ŷ[b, j] = log1p(exp(z1[b, j]))
    """
    rules = tuple(rules)
    program, _ = _as_a_whole(program, rules)
    found = _changes(program, rules)
    return replaced(program, {place: (value,) for place, value, _ in found})


def changes(program: Program, rules: Iterable[Rule] = RULES) -> tuple[Change, ...]:
    """What ``stabilize`` changes, equation by equation."""
    rules = tuple(rules)
    whole, first = _as_a_whole(program, rules)
    rewritten = {place: (after, fired) for place, after, fired in _changes(whole, rules)}
    before, found = iter(program.flat), []
    for place, equation in enumerate(whole.flat):
        known = equation.label in program.by_label
        original = next(e for e in before if e.label == equation.label) if known else None
        after, fired = rewritten.get(place, (equation, ()))
        if after != original:
            found.append(Change(original, after, first if equation != original else (), fired))
    return tuple(found)


def _as_a_whole(program: Program, rules: tuple[Rule, ...]) -> tuple[Program, tuple[Rule, ...]]:
    """The program after the rules for whole programs, and those of them that did something."""
    fired = []
    for rule in rules:
        if rule.level == "program" and program != (program := rule.rewrite(program)):
            fired.append(rule)
    return program, tuple(fired)


def _changes(program: Program, rules: tuple[Rule, ...]) -> Iterator[tuple[int, Equation, Fired]]:
    """The equations that the other rules change, by their place, with the rules."""
    stored = _known(program)
    given = {tensor.label for tensor in program.with_role("target")}
    for place, equation in enumerate(program.flat):
        fired: list[tuple[Rule, Place]] = []
        value = equation.value
        for rule in rules:
            if rule.level == "stored" and (new := rule.rewrite(value, stored)) != value:
                fired.append((rule, (value, new)))
                value = new
        targets = frozenset(a for a in accesses(value) if label_of(a) in given)
        value, others = _stable(value, rules, targets)
        if value != equation.value:
            yield place, replace(equation, value=value), (*fired, *others)


def _known(program: Program) -> dict[Symbol, Stored]:
    """What is stored, by its label; e^(z − c) as e^min(z − c, 0), where c is the largest z.

    So z − c stays a difference: added up in another order, as compilers may, z − c − log s would
    be rounded at the size of c.
    """
    found = {label: known for label in program.defined if (known := stored_value(program, label))}
    for label, known in found.items():
        exponent = known.value.args[0] if isinstance(known.value, exp) else None
        if isinstance(exponent, Add) and any(
            _is_largest(program, exponent, -t) for t in exponent.args
        ):
            found[label] = Stored(known.target, exp(Minimum(exponent, 0)))
    return found


def _is_largest(program: Program, exponent: Expr, shift: Expr) -> bool:
    """Whether the exponent is z − c, and c the maximum of z."""
    equations = program.defined.get(label_of(shift), ()) if accesses(shift) == (shift,) else ()
    return any(e.reduce == "max" and e.value == exponent + shift for e in equations)


def stable(value: Expr, rules: Iterable[Rule] = RULES) -> Expr:
    """A value with every rule applied to it and its parts."""
    return _stable(value, tuple(rules), frozenset())[0]


def _stable(value: Expr, rules: tuple[Rule, ...], targets: frozenset[Expr]) -> tuple[Expr, Fired]:
    """The same with elements as plain symbols, so that equal layers need it once."""
    if not value.has(exp, log, Pow, Function):
        return value, ()
    read = [access for access in dict.fromkeys(accesses(value)) if not access.is_integer]
    short = {access: Symbol(f"x{number}") for number, access in enumerate(read)}
    back = {symbol: access for access, symbol in short.items()}
    given = frozenset(short[access] for access in targets if access in short)
    found, fired = _rewritten(value.xreplace(short), rules, given)
    places = ((rule, (u.xreplace(back), v.xreplace(back))) for rule, (u, v) in fired)
    return found.xreplace(back), tuple(places)


@lru_cache(maxsize=16384)
def _rewritten(
    value: Expr, rules: tuple[Rule, ...], targets: frozenset[Expr]
) -> tuple[Expr, Fired]:
    """Rules for values from the outside in until none fits, then those for edges on the way out."""
    fired: dict[Rule, Place] = {}
    inner = [rule for rule in rules if rule.level == "value"]
    while (rule := next((r for r in inner if r.rewrite(value) != value), None)) is not None:
        before, value = value, rule.rewrite(value)
        fired.setdefault(rule, (before, value))
    if isinstance(value, (Add, Mul, Pow, Function)):
        parts = [_rewritten(argument, rules, targets) for argument in value.args]
        value = value.func(*(part for part, _ in parts))
        for _, found in parts:
            fired |= {rule: place for rule, place in found if rule not in fired}
    for rule in rules:
        if rule.level == "edge" and (new := rule.rewrite(value, targets)) != value:
            fired.setdefault(rule, (value, new))
            value = new
    return value, tuple(fired.items())
