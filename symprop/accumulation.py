"""Products added straight into what they change: then the gradient of a step of gradient descent,
say, is never stored.

    D[j, k] = Σ_s A[j, s] · B[s, k],  T[j, k] ← T[j, k] + f · D[j, k]    becomes
    T[j, k] ← T[j, k] + f · Σ_s A[j, s] · B[s, k]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from sympy import Expr, Symbol

from symprop.steps import Gemm, Nest, Statement, Step, is_plain, touched, written
from symprop.tensor import accesses, label_of, subscripts_of


def accumulated(
    steps: Iterable[Step], kept: Collection[Symbol], scalars: Collection[Symbol]
) -> tuple[Step, ...]:
    """The steps, with products in place of the updates that alone use them; ``kept`` are the labels
    of the tensors that must hold their values at the end, ``scalars`` those of numbers.
    """
    found: list[Step | None] = list(steps)
    users: dict[Symbol, list[int]] = {}
    for number, used in enumerate(found):
        for label in touched(used) if used else ():
            users.setdefault(label, []).append(number)
    for start, step in enumerate(found):
        if not isinstance(step, Gemm) or label_of(step.target) in kept:
            continue
        first, *others = users[label_of(step.target)]
        if first != start or len(others) != 1:
            continue
        (end,) = others
        joined = _joined(step, found[end], scalars)
        read = {label_of(step.left), label_of(step.right)}
        between = (s for s in found[start + 1 : end] if s is not None)
        if joined and all(read.isdisjoint(written(s)) for s in between):
            found[start], found[end] = None, joined
    return tuple(step for step in found if step is not None)


def _joined(step: Gemm, update: Step | None, scalars: Collection[Symbol]) -> Gemm | None:
    """The product added to what an update changes."""
    if not step.vectors or not step.fresh or step.batch or step.fixed is not None:
        return None
    if not isinstance(update, Nest) or len(update.statements) != 1:
        return None
    (statement,) = update.statements
    changed, factor = statement.label, _factor(statement, step.target, scalars)
    if factor is None or changed in (label_of(step.left), label_of(step.right)):
        return None
    names = dict(zip(subscripts_of(statement.target), subscripts_of(step.target), strict=True))
    return replace(step, target=statement.target.xreplace(names), fresh=False, factor=factor)


def _factor(statement: Statement, result: Expr, scalars: Collection[Symbol]) -> Expr | None:
    """f where a statement is T ← T + f·D with the same subscripts of T and D, and f is known before
    its loops.
    """
    target = statement.target
    read = [a for a in statement.reads if label_of(a) == label_of(result)]
    if statement.reduce != "set" or not is_plain(target) or len(read) != 1:
        return None
    if not is_plain(result) or subscripts_of(read[0]) != subscripts_of(target):
        return None
    factor, rest = (statement.value - target).as_independent(read[0], as_Add=False)
    return factor if rest == read[0] and set(accesses(factor)) <= set(scalars) else None
