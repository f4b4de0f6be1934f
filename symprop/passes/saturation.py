"""Slopes of saturated activations, which the stored value no longer tells.

    1 − a²,  a = tanh z stored   →   4e/(1 + e)²,  e = exp(−2|z|)

Where a has been rounded to 1 the stored form gives 0. Its error is below the ulp of 1, as small as
that of a itself, and the other form costs an exponential: ``RULES`` does without.
"""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Add, Expr, Function, Mul, Pow, Symbol, exp, tanh

from symprop.passes.rewrite import Stored, bind
from symprop.passes.rule import Rule
from symprop.primitives import Select
from symprop.tensor import accesses, label_of

Known = Mapping[Symbol, Stored]


def _opened(node: Expr, stored: Known, taken: Mapping[Expr, bool]) -> Expr:
    """Sums such as 1 − aⁿ in what a is computed from; ``taken`` are the conditions decided."""
    if isinstance(node, Select):
        condition, u, v = node.args
        branches = ((u, True), (v, False))
        return Select(
            condition, *(_opened(b, stored, {**taken, condition: holds}) for b, holds in branches)
        )
    if isinstance(node, Mul):
        return Mul(*(_opened(part, stored, taken) for part in node.args))
    if isinstance(node, Pow) and node.exp.is_Integer:
        return _opened(node.base, stored, taken) ** node.exp
    if isinstance(node, Add) and node.args[0].is_number:
        return _computed(node, stored, taken)
    return node


def _computed(total: Expr, stored: Known, taken: Mapping[Expr, bool]) -> Expr:
    read = [access for access in accesses(total) if not access.is_integer]
    definition = stored.get(label_of(read[0])) if len(read) == 1 else None
    names = bind(definition.target, read[0]) if definition else None
    if definition is None or names is None or total.has(Function):
        return total
    value = definition.value.xreplace(names)
    for choice in sorted(value.atoms(Select), key=str):
        if choice.args[0] in taken:
            value = value.xreplace({choice: choice.args[1 if taken[choice.args[0]] else 2]})
    if not value.has(exp, tanh) or value.has(Select):
        return total
    value = value.xreplace({t: t.rewrite(exp) for t in value.atoms(tanh)})
    return total.xreplace({read[0]: value})


SATURATION = Rule(
    "slope of a saturated activation",
    "1 − a², a·(1 − a), 1 + a, where a is stored and computed from exponentials",
    "the slope in what a is computed from",
    "every a: the difference cancels where a is near 1 or −1",
    lambda value, stored: _opened(value, stored, {}),
    "stored",
)
"""The rule; not one of ``RULES``: ``stabilize(program, (SATURATION, *RULES))``."""
