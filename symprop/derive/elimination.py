"""How a stored value takes the place of what it was computed from.

Of a = f(z), solved for an exponential, exp(−z) = g(a); what is written in exp(−z) is then written
in a.
"""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Expr, exp, log

from symprop.derive.step import Step
from symprop.passes.algebra import views
from symprop.passes.reuse import solve_for


def elimination(before: Expr, after: Expr, stored: Expr, value: Expr) -> Iterator[Step]:
    """The lines from ``before`` to ``after``, in which the element ``stored`` stands for its value.

    No lines where no exponential of ``before`` can be had from the stored value.
    """
    while isinstance(value, log):
        value, stored = value.args[0], exp(stored)
    if not before.has(exp) or before == value:
        return
    for (view, definition), meaning in sorted(views((before, value)), key=_logistic):
        for symbol in sorted(view.free_symbols & definition.free_symbols, key=str):
            solved = solve_for(definition, symbol, stored)
            if solved is None:
                continue
            put_in = view.xreplace({symbol: solved})
            if not put_in.has(symbol):
                leaf, known = meaning[symbol], solved.xreplace(meaning)
                line = put_in.xreplace(meaning)
                yield Step("stored value", leaf, known, "solved for it", detail="full")
                yield Step("substitution", before, line, "with the line above", detail="full")
                if line != after:
                    yield Step("cancellation", line, after, detail="full")
                return


def _logistic(found: tuple[tuple[Expr, ...], dict[Expr, Expr]]) -> bool:
    """The view in the logistic function comes last: it is the stored value itself, or near it."""
    return any(not isinstance(leaf, exp) and leaf.has(exp) for leaf in found[1].values())
