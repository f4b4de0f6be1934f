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
from symprop.passes.algebra import overflows, tidy
from symprop.passes.edges import EDGES, GUARDS
from symprop.passes.exponentials import EXPONENTIALS
from symprop.passes.logarithms import LOGARITHMS
from symprop.passes.rewrite import replaced, stored_value
from symprop.passes.rule import Rule
from symprop.passes.tails import TAILS
from symprop.program import Program
from symprop.tensor import accesses, label_of

Fired = tuple[Rule, ...]


def _without_overflow(value: Expr) -> Expr:
    """The cheapest form that algebra finds of what is ∞/∞."""
    if not overflows(value):
        return value
    found = tidy(value)
    return value if overflows(found) else found


RULES: tuple[Rule, ...] = (
    *TAILS,
    *LOGARITHMS[:-1],
    *EXPONENTIALS,
    Rule(
        "ratio of exponentials",
        "exp(u)/(v + exp(u))",
        "1/(1 + v·exp(−u)), or what else algebra finds",
        "every u: ∞/∞ where exp(u) overflows",
        _without_overflow,
    ),
    *EDGES,
    LOGARITHMS[-1],
    *GUARDS,
)
"""All rules, in the order in which they are tried."""


@dataclass(frozen=True)
class Change:
    """An equation before and after stabilizing, and the rules that made the difference."""

    before: Equation
    after: Equation
    rules: Fired


def stabilize(program: Program, rules: Iterable[Rule] = RULES) -> Program:
    """Rewrite every value into a form that holds at the edges of the floating-point range.

    ``rules`` are those to apply.
    """
    rules = tuple(rules)
    for rule in rules:
        if rule.level == "program":
            program = rule.rewrite(program)
    found = _changes(program, rules)
    return replaced(program, {position: (change.after,) for position, change in found})


def changes(program: Program, rules: Iterable[Rule] = RULES) -> tuple[Change, ...]:
    """What ``stabilize`` changes, equation by equation."""
    return tuple(change for _, change in _changes(program, tuple(rules)))


def _changes(program: Program, rules: tuple[Rule, ...]) -> Iterator[tuple[int, Change]]:
    stored = {label: found for label in program.defined if (found := stored_value(program, label))}
    given = {tensor.label for tensor in program.with_role("target")}
    for position, equation in enumerate(program.flat):
        fired: list[Rule] = []
        value = equation.value
        for rule in rules:
            if rule.level == "stored" and value != (value := rule.rewrite(value, stored)):
                fired.append(rule)
        targets = frozenset(a for a in accesses(value) if label_of(a) in given)
        value, others = _stable(value, rules, targets)
        if value != equation.value:
            change = Change(equation, replace(equation, value=value), (*fired, *others))
            yield position, change


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
    return found.xreplace(back), fired


@lru_cache(maxsize=16384)
def _rewritten(
    value: Expr, rules: tuple[Rule, ...], targets: frozenset[Expr]
) -> tuple[Expr, Fired]:
    """Rules for values from the outside in until none fits, then those for edges on the way out."""
    fired: dict[Rule, None] = {}
    inner = [rule for rule in rules if rule.level == "value"]
    while (rule := next((r for r in inner if r.rewrite(value) != value), None)) is not None:
        value = rule.rewrite(value)
        fired[rule] = None
    if isinstance(value, (Add, Mul, Pow, Function)):
        parts = [_rewritten(argument, rules, targets) for argument in value.args]
        value = value.func(*(part for part, _ in parts))
        fired |= dict.fromkeys(rule for _, found in parts for rule in found)
    for rule in rules:
        if rule.level == "edge" and value != (value := rule.rewrite(value, targets)):
            fired[rule] = None
    return value, tuple(fired)
