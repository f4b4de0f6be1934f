"""Orienting: transposed copies, so that matrix products run along vectors.

A product C[r, c] = Σ_s A[r, s]·B[s, c] runs along vectors of c where c is the last axis of B and of
C; A may lie in any order. What does not, gets a copy that does:

    z[b, j] += W[j, k]·x[b, k] over k   →   U[k, j] += W[j, k],   z[b, j] += U[k, j]·x[b, k] over k

or, where the result is narrow (the gradient of a layer with one input), a result that is turned:

    D[j, k] += δ[b, j]·x[b, k] over b   →   U[k, j] += δ[b, j]·x[b, k] over b,   D[j, k] += U[k, j]

A copy costs one pass over a matrix, the product as many as the batch has rows. Of a large B strips
are copied anyway, by the product itself: B may lie in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from math import ceil, inf, prod
from typing import Literal

from sympy import Expr, Idx, S, Symbol

from symprop.equation import Equation, Recurrence
from symprop.passes.contraction import Contraction, contraction
from symprop.program import Program
from symprop.tensor import Tensor, extent, indices, label_of, subscripts_of

NOMINAL = 64
"""The size supposed for an axis whose extent is known only at run time: a common batch."""
LATENCY = 4
"""How many sums must be under way so that a fused multiply-add need not wait for another."""
DOT = 10
"""What adding up the lanes of a vector costs, in instructions."""
LARGEST = 1 << 24
"""A product with more known elements of its loops, such as 4096 × 4096 weights, is left to BLAS,
which has threads of its own: up to there it was slower, on two threads and batches of 16 to 1,024.
"""

LARGE = 1 << 17
"""Elements of a B that is left as it lies, for products turn its strips: more than a second cache
holds. A smaller one has a transposed copy as a whole, for all parts of a batch.
"""

Way = Literal["vectors", "loops", "BLAS"]


def way(found: Contraction, target: Expr, lanes: int) -> Way:
    """How a product with this target is computed fastest, as its matrices lie."""
    if _known(found) > LARGEST:
        return "BLAS"
    if found.batch or found.row is None or found.column is None or not lanes:
        return "BLAS" if _known(found) >= _WORTH_A_CALL else "loops"
    along = found.column == subscripts_of(target)[-1]
    straight = along and (found.column == subscripts_of(found.right)[-1] or _is_large(found.right))
    vectors = _vectors(found, found.row, found.column, lanes) if straight else inf
    if vectors <= _loops(found, lanes):
        return "vectors"
    plain = straight or _are_dot_products(found)
    return "loops" if plain or _known(found) < _WORTH_A_CALL else "BLAS"


_WORTH_A_CALL = 256
"""A product whose known extents multiply to less stays in plain loops: calling BLAS costs more."""


def orient(program: Program, lanes: int) -> Program:
    """Give matrix products transposed copies where that pays, with vectors of so many ``lanes``."""
    draft = _Draft(program, lanes)
    for group in program.equations:
        draft.add(group)
    if not draft.new:
        return program
    tensors = (*program.tensors, *draft.new)
    return replace(program, tensors=tensors, equations=tuple(draft.equations))


def copied_operand(equation: Equation, lanes: int) -> Expr | None:
    """The operand of a matrix product that should lie transposed."""
    return _choice(equation, lanes, (), strips=False).copied


def turned_tensor(tensor: Tensor, names: set[str]) -> Tensor:
    """The tensor with its axes in reverse order, under a name that is not taken, but is then."""
    name = f"{tensor.name}T"
    while name in names:
        name += "T"
    names.add(name)
    return replace(tensor, name=name, axes=tuple(reversed(tensor.axes)))


@dataclass(frozen=True)
class _Choice:
    """Which operand is copied, whether the result is turned, and what all that costs."""

    cost: float
    copied: Expr | None = None
    turned: bool = False


class _Draft:
    """The program in the making, with the copies that are up to date."""

    def __init__(self, program: Program, lanes: int):
        self.program, self.lanes = program, lanes
        self.equations: list[Equation | Recurrence] = []
        self.new: list[Tensor] = []
        self._copies: dict[Symbol, Tensor] = {}
        self._names = {tensor.name for tensor in program.tensors}

    def add(self, group: Equation | Recurrence) -> None:
        """Put an equation, with what it needs; a recurrence stays as it is."""
        if isinstance(group, Recurrence):
            self.equations.append(group)
            self._outdate(*(equation.label for equation in group.equations))
            return
        self.equations += self._oriented(group)
        self._outdate(group.label)

    def _outdate(self, *labels: Symbol) -> None:
        for label in labels:
            self._copies.pop(label, None)

    def _oriented(self, equation: Equation) -> Iterator[Equation]:
        choice = _choice(equation, self.lanes, self._copies)
        if choice.copied is not None:
            copy, fresh = self._copy(choice.copied)
            if fresh:
                yield fresh
            access = copy[tuple(reversed(subscripts_of(choice.copied)))]
            equation = replace(equation, value=equation.value.xreplace({choice.copied: access}))
        if not choice.turned:
            yield equation
            return
        target = equation.target
        turned = self._tensor(label_of(target))[tuple(reversed(subscripts_of(target)))]
        yield replace(equation, target=turned)
        yield Equation(target, turned, origin=equation.origin)

    def _copy(self, access: Expr) -> tuple[Tensor, Equation | None]:
        """The transposed copy of the tensor that is read, and the equation that makes it anew."""
        label = label_of(access)
        if label in self._copies:
            return self._copies[label], None
        copy = self._copies[label] = self._tensor(label)
        source = self.program.by_label[label]
        definition = Equation(copy[copy.axes], source[tuple(reversed(copy.axes))])
        return copy, definition

    def _tensor(self, label: Symbol) -> Tensor:
        """A new tensor with the axes of another in reverse order."""
        turned = turned_tensor(self.program.by_label[label], self._names)
        self.new.append(replace(turned, role="intermediate", init=None))
        return self.new[-1]


def _choice(
    equation: Equation, lanes: int, copies: Collection[Symbol], strips: bool = True
) -> _Choice:
    """The cheapest way to compute an equation, with transposed copies of some tensors at hand;
    ``strips`` says whether products may turn those of a large matrix.
    """
    found = contraction(equation)
    if found is None or found.batch or found.row is None or found.column is None:
        return _Choice(0)
    if _known(found) > LARGEST:
        return _Choice(0)
    as_it_is = _Choice(_loops(found, lanes))
    ways = _ways(equation, found, lanes, copies, strips)
    return min(*ways, as_it_is, key=lambda choice: choice.cost)


def _ways(
    equation: Equation,
    found: Contraction,
    lanes: int,
    copies: Collection[Symbol],
    strips: bool,
) -> Iterator[_Choice]:
    """The vectors along the columns of the result, or along its rows, which turns it."""
    for turned, right, i, v in (
        (False, found.right, found.row, found.column),
        (True, found.left, found.column, found.row),
    ):
        if i is None or v is None:
            continue
        copied = None if subscripts_of(right)[-1] == v else right
        if not _fixed(*indices(copied or S.Zero), *(indices(equation.target) if turned else ())):
            continue
        known = copied is not None and label_of(copied) in copies
        moved = _size(*indices(copied)) if copied is not None and not known else 0
        moved += _size(*indices(equation.target)) if turned else 0
        vectors = _vectors(found, i, v, lanes)
        yield _Choice(vectors + moved / 2, copied, turned)
        if strips and copied is not None and not turned and _is_large(copied):
            yield _Choice(vectors + _size(*indices(copied)) / 4)


def _fixed(*found: Idx) -> bool:
    """Whether all extents are known: only such a matrix is copied, others grow with the batch."""
    return all(extent(index).is_Integer for index in found)


def _is_large(access: Expr) -> bool:
    """Whether a matrix of known extents is so large that products copy its strips."""
    found = indices(access)
    return _fixed(*found) and _size(*found) >= LARGE


def _size(*found: Idx) -> int:
    return prod(int(extent(i)) if extent(i).is_Integer else NOMINAL for i in found)


def _known(found: Contraction) -> int:
    """The points of a product's loops, those known only at run time left out."""
    loops = [index for index in (found.summed, found.row, found.column) if index is not None]
    return prod(int(extent(i)) for i in loops if extent(i).is_Integer)


def _vectors(found: Contraction, row: Idx, column: Idx, lanes: int) -> float:
    """The multiply-adds of a product along vectors of the column."""
    sums = _size(row) * ceil(_size(column) / lanes)
    return _size(found.summed) * max(sums, LATENCY)


def _loops(found: Contraction, lanes: int) -> float:
    """What plain loops cost: nothing more than the rest of the nest, vectors of summed products,
    which load two numbers for each multiply-add, or one multiply-add after the other.
    """
    summed = _size(found.summed)
    results = _size(*(index for index in (found.row, found.column) if index is not None))
    if summed == 1:
        return 0
    return results * (2 * ceil(summed / lanes) + DOT if _are_dot_products(found) else summed)


def _are_dot_products(found: Contraction) -> bool:
    """Whether both matrices lie along the summed index."""
    return all(subscripts_of(part)[-1] == found.summed for part in (found.left, found.right))
