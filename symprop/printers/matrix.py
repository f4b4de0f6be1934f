"""Matrix notation, for one sample (column vectors) or for a batch (samples in rows).

Tensors with one axis are columns, with two axes matrices whose rows are the first axis. Functions,
powers and comparisons hold element by element, and a number added to a matrix is added to each of
its elements. What has no such form (three axes, gathers, scatters) gives None.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from sympy import Expr, Idx, Indexed, IndexedBase, Integer, Mul, Rational, Symbol

from symprop.equation import Equation
from symprop.passes.contraction import contraction
from symprop.printers.arrange import Arrange, factors, split
from symprop.printers.index import Line
from symprop.printers.signs import signed
from symprop.printers.structure import (
    LARGE,
    Call,
    Fraction,
    Hadamard,
    Minus,
    Names,
    Ones,
    Power,
    Product,
    Quotient,
    Transposed,
    negate,
    plus,
    times,
)
from symprop.tensor import accesses, extent, indices, label_of, subscripts_of

Form = Literal["sample", "batch"]
Layout = tuple[Idx, ...]
"""The indices that run along rows and columns."""


class _NoForm(Exception):  # noqa: N818 (an outcome, not an error: this formula stays in index notation)
    """The formula has no matrix form."""


def in_matrices(line: Line, names: Names, form: Form) -> Line | None:
    """The line of index notation in matrix notation; None where it has no such form."""
    if line.relation == "+=" or line.each:
        return None
    try:
        equations = [_signed(_for(form, equation), names) for equation in line.equations]
        terms = [_term(equation, names) for equation in equations]
    except _NoForm:
        return None
    return replace(line, target=names.access(str(equations[0].label)), value=plus(terms))


def _for(form: Form, equation: Equation) -> Equation:
    """The equation itself for a batch; for one sample without the batch index, and with m = 1."""
    if form == "batch":
        return equation
    batch = {index for index in equation.loops if not extent(index).is_Integer}
    replaced = {size: Integer(1) for index in batch for size in extent(index).free_symbols}
    for access in (equation.target, *accesses(equation.value)):
        replaced[access] = _one_sample(access, batch)
    return replace(
        equation,
        target=equation.target.xreplace(replaced),
        value=equation.value.xreplace(replaced),
        over=tuple(index for index in equation.over if index not in batch),
    )


def _signed(equation: Equation, names: Names) -> Equation:
    return replace(equation, value=signed(equation.value, names))


def _one_sample(access: Expr, batch: set[Idx]) -> Expr:
    kept = tuple(s for s in subscripts_of(access) if s not in batch)
    if any(set(indices(s)) & batch for s in kept):
        raise _NoForm
    if not isinstance(access, Indexed):
        return (
            Integer(1) if access in {s for i in batch for s in extent(i).free_symbols} else access
        )
    return IndexedBase(label_of(access))[kept] if kept else label_of(access)


def _term(equation: Equation, names: Names) -> Expr:
    """One equation's contribution to its target."""
    layout = subscripts_of(equation.target)
    if len(layout) > 2 or len(set(layout)) != len(layout):
        raise _NoForm
    if not all(isinstance(s, Idx) for s in layout):
        raise _NoForm
    first = equation.target if equation.reduce == "set" else None
    arrange = MatrixArrange(names, layout, first)
    if equation.reduce == "max":
        return _maximum(equation, names)
    if equation.over:
        return _sum(equation, arrange)
    return _outer(equation, arrange) or arrange(equation.value)


def _maximum(equation: Equation, names: Names) -> Expr:
    rows = subscripts_of(equation.target)
    if len(rows) + len(equation.over) > 2:
        raise _NoForm
    name = "rowmax" if rows else "max"
    return Call(Symbol(name), MatrixArrange(names, (*rows, *equation.over))(equation.value))


def _outer(equation: Equation, arrange: MatrixArrange) -> Expr | None:
    """u[j] v[k] is u vᵀ; None if a factor depends on both indices, or none on one of them."""
    if len(arrange.layout) != 2:
        return None
    row, column = arrange.layout
    parts = tuple(factors(equation.value))
    left, right = ([f for f in parts if set(indices(f)) == {index}] for index in (row, column))
    scale = [f for f in parts if not indices(f)]
    if not left or not right or len(left) + len(right) + len(scale) != len(parts):
        return None
    product = Product(
        arrange.along(row)(Mul(*left)), Transposed(arrange.along(column)(Mul(*right)))
    )
    return arrange.scaled(scale, product)


def _sum(equation: Equation, arrange: MatrixArrange) -> Expr:
    """Σ as a matrix product; factors free of the summed indices multiply it elementwise."""
    matched = contraction(equation)
    if matched is not None and not matched.batch:
        row, column = _along(matched.row), _along(matched.column)
        summed = (matched.summed,)
        left = arrange.along(*row, *summed) if row else arrange.along(*summed)
        right = arrange.along(*summed, *column)
        first = left(matched.left) if row else Transposed(left(matched.left))
        product = times([first, right(matched.right)], Product)
        return arrange.scaled(factors(matched.scale), product)
    over = set(equation.over)
    parts = tuple(factors(equation.value))
    inside = [factor for factor in parts if set(indices(factor)) & over]
    total = _total(inside, equation, arrange)
    return arrange.scaled([factor for factor in parts if factor not in inside], total)


def _along(index: Idx | None) -> Layout:
    return () if index is None else (index,)


def _total(inside: list[Expr], equation: Equation, arrange: MatrixArrange) -> Expr:
    """Σ over rows or columns of an elementwise expression, by columns of ones."""
    rank, over = len(arrange.layout), equation.over
    if not inside or rank + len(over) > 2:
        raise _NoForm
    along = arrange.along(*arrange.layout, *over)
    if rank == 0 and len(over) == 1 and len(inside) == 2:
        return times([Transposed(along(inside[0])), along(inside[1])], Product)
    value = along(Mul(*inside))
    if rank == 1:
        return times([value, Ones()], Product)
    return times([Transposed(Ones()), value, *([Ones()] if len(over) == 2 else [])], Product)


class MatrixArrange(Arrange):
    """An elementwise expression over rows and columns, as nodes of matrix notation."""

    def __init__(self, names: Names, layout: Layout = (), first: Expr | None = None):
        super().__init__(names, first)
        self.layout = layout

    def along(self, *layout: Idx) -> MatrixArrange:
        return MatrixArrange(self.names, layout)

    def access(self, value: Expr) -> Expr:
        """A matrix, its transpose, or a column repeated along the other index: v 1ᵀ, 1 vᵀ."""
        subscripts = subscripts_of(value)
        node = self.names.access(str(label_of(value)))
        if not subscripts or subscripts == self.layout:
            return node
        if subscripts == self.layout[::-1]:
            return Transposed(node)
        if len(self.layout) == 2 and subscripts == self.layout[:1]:
            return Product(node, Transposed(Ones()))
        if len(self.layout) == 2 and subscripts == self.layout[1:]:
            return Product(Ones(), Transposed(node))
        raise _NoForm

    def fraction(self, coefficient: Rational, above: list[Expr], below: list[Expr]) -> Expr:
        """Numbers and scalars in front of (or below) the elementwise product."""
        above, below = self._with_conditions_joined(above), list(below)
        upper = self._elementwise([f for f in above if indices(f)])
        lower = self._elementwise([f for f in below if indices(f)])
        over = [self(f) for f in self._ordered([f for f in above if not indices(f)], False)]
        under = [self(f) for f in self._ordered([f for f in below if not indices(f)], False)]
        if coefficient.q > LARGE:
            over.append(coefficient)
        else:
            over += [Integer(coefficient.p)] if coefficient.p != 1 else []
            under += [Integer(coefficient.q)] if coefficient.q != 1 else []
        if upper is not None and lower is not None:
            upper, lower = Quotient(upper, lower), None
        elif lower is not None:
            under.append(lower)
        numerator = times([*over[::-1], *([] if upper is None else [upper])])
        return Fraction(numerator, times(under[::-1])) if under else numerator

    def _elementwise(self, parts: list[Expr]) -> Expr | None:
        compound = any(not isinstance(f, Indexed) for f in parts)
        nodes = [self(factor) for factor in self._ordered(parts, compound)]
        return times(nodes, Hadamard) if nodes else None

    def power(self, base: Expr, exponent: Expr) -> Expr:
        """a² as a ⊙ a; other powers are elementwise by the legend."""
        node = super().power(base, exponent)
        plain = isinstance(node, Power) and isinstance(base, Indexed)
        return Hadamard(*[node.args[0]] * int(exponent)) if plain and exponent in (2, 3) else node

    def scaled(self, parts: Iterable[Expr], product: Expr) -> Expr:
        """A matrix product times scalars, and elementwise times what depends on indices."""
        coefficient, above, below = split(Mul(*parts))
        inner = [f for f in above if indices(f)] + [1 / f for f in below if indices(f)]
        slope = self._elementwise(inner)
        node = product if slope is None else times([product, slope], Hadamard)
        outer = Mul(coefficient, *(f for f in (*above, *(1 / f for f in below)) if not indices(f)))
        return _times_scalar(self(outer), node)


def _times_scalar(scalar: Expr, node: Expr) -> Expr:
    if isinstance(scalar, Minus):
        return negate(_times_scalar(scalar.args[0], node))
    if isinstance(scalar, Fraction):
        return Fraction(_times_scalar(scalar.args[0], node), scalar.args[1])
    if isinstance(scalar, Rational) and not scalar.is_Integer:
        return Fraction(_times_scalar(Integer(scalar.p), node), Integer(scalar.q))
    return times([scalar, node])
