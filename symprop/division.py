"""Products whose sum is divided among the parts of a batch.

    Z[b, j] = Σ_k X[b, k] · W[k, j]

Threads that share the rows b read all of W each, though each has updated only some of its rows k:
the others come from another processor's cache, batch after batch. Threads that share the numbers k
need about those rows of W that they update themselves. Together with their gradient and moments
these may stay in a cache that is too small for all. Each part gives a sum of its own for all b, j.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from math import prod

from sympy import Expr, Integer, Symbol

from symprop.steps import Divided, Gather, Gemm, Nest, Step, touched, written
from symprop.tensor import Tensor, extent, label_of, subscripts_of

LEAST = 1 << 17
"""Numbers of a matrix and its moments from which on a cache does not keep them beside the batch:
from there on a division gains more than its barrier costs.
"""
LONG = 256
"""Numbers of a sum that is worth a division: more than what each part's result takes for a row."""


def divided(
    steps: Iterable[Step],
    given: Iterable[Tensor],
    gathered: Collection[Symbol],
    another: Callable[[Expr], Expr],
) -> tuple[Step, ...]:
    """The steps, the first product being divided if it is large: of rows that are ``gathered`` and
    a matrix that the steps update; ``given`` are the tensors that hold values from batch to batch,
    ``another`` gives an element's counterpart in a tensor of its own.
    """
    found = tuple(steps)
    sizes = {tensor.label: prod(tensor.shape, start=Integer(1)) for tensor in given}
    for number, step in enumerate(found):
        if isinstance(step, Gemm) and _may(step, found[:number], gathered):
            if _changing(label_of(step.right), found, sizes) < LEAST:
                return found
            before = [s for s in found[:number] if s != Gather(label_of(step.left))]
            return (*before, Divided(step, another(step.target)), *found[number + 1 :])
    return found


def _may(step: Gemm, before: Iterable[Step], gathered: Collection[Symbol]) -> bool:
    """Whether a product sums along the rows of a batch and those of a matrix as it was given, and
    is the first to use either.
    """
    rows, matrix = label_of(step.left), label_of(step.right)
    along = (subscripts_of(step.left)[1:], subscripts_of(step.right)[:1])
    if rows not in gathered or along != ((step.summed,), (step.summed,)):
        return False
    if not step.vectors or not step.fresh or step.batch or not extent(step.summed) >= LONG:
        return False
    others = (s for s in before if not isinstance(s, Gather))
    return not any(rows in touched(s) or matrix in written(s) for s in others)


def _changing(matrix: Symbol, steps: Iterable[Step], sizes: Mapping[Symbol, Expr]) -> Expr:
    """The numbers of a matrix and of all of its size that are updated with it; 0 if it is not."""
    updates = (s for s in steps if isinstance(s, Nest) and matrix in written(s))
    used = {label for step in updates for label in touched(step)}
    return sum(sizes[label] for label in used if sizes.get(label) == sizes[matrix])
