"""Matrix notation in exact numbers: what a printed line of matrices says is multiplied out.

Shapes are those of linear algebra. Only a number or a 1 × 1 matrix goes with a matrix of another
shape, so that a transpose in the wrong place is seen. A column of ones is as long as what it meets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from sympy import Expr, Idx

from symprop.derive.exact import Array, Exact, difference
from symprop.derive.exact_terms import FUNCTIONS, REALS, Number, exact_number, power, sign
from symprop.equation import Equation
from symprop.errors import DerivationError, LoweringError, ShapeError
from symprop.formula import Largest, Total
from symprop.tensor import extent, subscripts_of

if TYPE_CHECKING:
    from symprop.printers.structure import Names


@dataclass(frozen=True)
class Matrix:
    """Elements in rows and columns; along an axis that is ``loose``, one that repeats at need."""

    elements: Array
    loose: tuple[bool, bool] = (False, False)

    @property
    def is_number(self) -> bool:
        return self.elements.shape == (1, 1) and not any(self.loose)

    @property
    def number(self) -> Number:
        return self.elements[0, 0]

    def over(self, rows: int, columns: int) -> Array:
        """The elements, repeated along loose axes up to this shape."""
        wanted = (rows, columns)
        if any(
            size != want and not loose
            for size, want, loose in zip(self.elements.shape, wanted, self.loose, strict=True)
        ):
            raise ShapeError(f"a {_shape(self)} matrix stands where one of {rows} × {columns} fits")
        return np.broadcast_to(self.elements, wanted)


Values = Mapping[Expr, Array]
"""The matrix that each name stands for."""


def matrix_value(node: Expr, values: Values, shape: tuple[int, int] | None = None) -> Array:
    """The matrix that a formula of matrix notation stands for; a number is 1 × 1.

    Where ones leave its shape open it is ``shape``; a number alone is every element, as in δ = 0.
    Raises ShapeError for shapes that do not fit.
    """
    found = _matrix(node, values)
    if shape is not None and node.is_number:
        found = Matrix(found.elements, (True, True))
    if shape is None and any(found.loose):
        raise ShapeError(f"{_written(node)}: nothing says how long its column of ones is")
    elements = found.over(*(shape or _rows_columns(found.elements)))
    if any(element != element for element in elements.flat):
        raise DerivationError(f"{_written(node)}: not every element has a finite real value")
    return elements


def matrix_difference(
    exact: Exact, node: Expr, equations: Iterable[Equation], names: Names, form: str = "batch"
) -> float:
    """How far a formula of matrix notation is from the equations of one target that it stands for,
    relative to their size; infinite where shapes do not fit.

    ``form`` is "batch", or "sample", for which ``exact`` is drawn with a batch of 1.
    """
    values = _named(exact, names, form)
    expected = reduce(_plus, (_put(exact, equation, form) for equation in equations))
    try:
        found = matrix_value(node, values, _rows_columns(expected))
    except ShapeError:
        return math.inf
    return difference(found, expected)


def _named(exact: Exact, names: Names, form: str) -> dict[Expr, Array]:
    """The tensors of up to two axes and the sizes, by the nodes that name them."""
    found = {names.access(str(size)): _filled(number) for size, number in exact.sizes.items()}
    for tensor in exact.program.tensors:
        array = _one_sample(exact.values[str(tensor.label)], tensor.axes, form)
        if array.ndim <= 2:
            found[names.access(str(tensor.label))] = _standing(array)
    return found


def _put(exact: Exact, equation: Equation, form: str) -> Array:
    """What an equation puts into its target, as a matrix."""
    kind = Largest if equation.reduce == "max" else Total
    body = kind(equation.value, *equation.over) if equation.over else equation.value
    free = subscripts_of(equation.target)
    return _standing(_one_sample(exact.value(body, free), free, form))


def _one_sample(array: Array, axes: tuple[Idx, ...], form: str) -> Array:
    """The array without its batch axes, if the form is for one sample."""
    if form == "batch":
        return array
    kept = array[tuple(slice(None) if extent(axis).is_Integer else 0 for axis in axes)]
    return np.asarray(kept, dtype=object)


def _standing(array: Array) -> Array:
    """A vector as a column, a number as 1 × 1."""
    return array.reshape(*array.shape, *[1] * (2 - array.ndim))


def _written(node: Expr) -> str:
    from symprop.printers.unicode import UnicodePrinter

    return str(UnicodePrinter().doprint(node))


def _filled(number: Number) -> Array:
    return np.full((1, 1), number, dtype=object)


def _plus(first: Array, second: Array) -> Array:
    return np.asarray(first + second, dtype=object)


def _rows_columns(array: Array) -> tuple[int, int]:
    rows, columns = array.shape
    return rows, columns


def _shape(matrix: Matrix) -> str:
    return " × ".join(map(str, matrix.elements.shape))


def _matrix(node: Expr, values: Values) -> Matrix:
    if node in values:
        return Matrix(values[node])
    if node.is_Number or node.is_NumberSymbol:
        return Matrix(_filled(exact_number(node)))
    build = FORMS.get(type(node).__name__)
    if build is None:
        raise LoweringError(
            f"{type(node).__name__} has no value in matrix notation: {_written(node)}"
        )
    return build(node, values)


def _elementwise(function: Callable[..., Number], *matrices: Matrix) -> Matrix:
    """A function of the elements at the same place; numbers go with every element."""
    shaped = [matrix for matrix in matrices if not matrix.is_number] or [matrices[0]]
    shape = [_common(shaped, axis) for axis in (0, 1)]
    loose = tuple(all(matrix.loose[axis] for matrix in shaped) for axis in (0, 1))
    arrays = [
        np.broadcast_to(m.elements, shape) if m.is_number else m.over(*shape) for m in matrices
    ]
    found = np.frompyfunc(_safe(function), len(arrays), 1)(*arrays)
    return Matrix(np.asarray(found, dtype=object), (loose[0], loose[1]))


def _safe(function: Callable[..., Number]) -> Callable[..., Number]:
    """The function, NaN where it has no value: a branch that is not taken may have none."""

    def value(*arguments: Number) -> Number:
        try:
            return function(*arguments)
        except (ArithmeticError, ValueError):
            return REALS.nan

    return value


def _common(matrices: list[Matrix], axis: int) -> int:
    """The extent of an axis; loose ones follow."""
    firm = [m.elements.shape[axis] for m in matrices if not m.loose[axis]]
    return firm[0] if firm else 1


def _folded(function: Callable[[Number, Number], Number]) -> Callable[[Expr, Values], Matrix]:
    def build(node: Expr, values: Values) -> Matrix:
        parts = (_matrix(part, values) for part in node.args)
        return reduce(lambda u, v: _elementwise(function, u, v), parts)

    return build


def _applied(function: Callable[..., Number]) -> Callable[[Expr, Values], Matrix]:
    def build(node: Expr, values: Values) -> Matrix:
        return _elementwise(function, *(_matrix(part, values) for part in node.args))

    return build


def _times(node: Expr, values: Values) -> Matrix:
    """Numbers times at most one matrix: ⊙ and the matrix product say so."""
    parts = [_matrix(part, values) for part in node.args]
    if sum(not part.is_number for part in parts) > 1:
        raise ShapeError(f"{_written(node)}: two matrices stand side by side without ⊙")
    return reduce(lambda u, v: _elementwise(lambda a, b: a * b, u, v), parts)


def _fraction(node: Expr, values: Values) -> Matrix:
    """A number below or above the line: of two matrices ⊘ is the quotient."""
    above, below = (_matrix(part, values) for part in node.args)
    if not (above.is_number or below.is_number):
        raise ShapeError(f"{_written(node)}: a matrix is divided by a matrix without ⊘")
    return _elementwise(_ratio, above, below)


def _ratio(u: Number, v: Number) -> Number:
    return u * power(v, -1)


def _product(node: Expr, values: Values) -> Matrix:
    return reduce(_multiplied, (_matrix(part, values) for part in node.args))


def _multiplied(left: Matrix, right: Matrix) -> Matrix:
    inner = _inner(left, right)
    rows, columns = left.elements.shape[0], right.elements.shape[1]
    found = left.over(rows, inner) @ right.over(inner, columns)
    return Matrix(found, (left.loose[0], right.loose[1]))


def _inner(left: Matrix, right: Matrix) -> int:
    """The length over which a product sums; at ones it is that of the other side."""
    if left.loose[1] and right.loose[0]:
        raise ShapeError("a product of ones with ones has no length")
    return int(left.elements.shape[1] if right.loose[0] else right.elements.shape[0])


def _transposed(node: Expr, values: Values) -> Matrix:
    inner = _matrix(node.args[0], values)
    return Matrix(inner.elements.T, inner.loose[::-1])


def _ones(node: Expr, values: Values) -> Matrix:
    return Matrix(_filled(1), (True, False))


def _numeral(node: Expr, values: Values) -> Matrix:
    return Matrix(_filled(Fraction(node.args[0].name)))


def _call(node: Expr, values: Values) -> Matrix:
    """A function of each element; max of one matrix is its largest element, rowmax each row's."""
    name, *arguments = node.args
    parts = [_matrix(argument, values) for argument in arguments]
    if name.name in ("max", "min") and len(parts) == 1:
        return Matrix(_filled(reduce(CALLS[name.name], parts[0].elements.flat)))
    if name.name == "rowmax":
        rows = [[reduce(CALLS["max"], row)] for row in parts[0].elements]
        return Matrix(np.array(rows, dtype=object))
    function = CALLS.get(name.name) or FUNCTIONS.get(name.name)
    if function is None:
        raise LoweringError(f"{name} has no value in matrix notation")
    return _elementwise(function, *parts)


def _compare(node: Expr, values: Values) -> Matrix:
    relation, *sides = node.args
    holds = RELATIONS[relation.name]
    matrices = (_matrix(side, values) for side in sides)
    return _elementwise(lambda u, v: int(holds(sign(u + -v))), *matrices)


def _case(node: Expr, values: Values) -> Matrix:
    """u₁ if c₁, u₂ if c₂, …, else v, element by element."""
    parts = [_matrix(part, values) for part in node.args]
    return _elementwise(_first_that_holds, *parts)


def _first_that_holds(*parts: Number) -> Number:
    *branches, otherwise = parts
    pairs = zip(branches[::2], branches[1::2], strict=True)
    return next((value for value, holds in pairs if holds), otherwise)


def _same(node: Expr, values: Values) -> Matrix:
    return _matrix(node.args[0], values)


CALLS: dict[str, Callable[..., Number]] = {
    "max": lambda u, v: u if u + -v > 0 else v,
    "min": lambda u, v: v if u + -v > 0 else u,
    "sign": sign,
    "floor": math.floor,
}

RELATIONS: dict[str, Callable[[int], bool]] = {
    ">": lambda s: s > 0,
    "≥": lambda s: s >= 0,
    "<": lambda s: s < 0,
    "≤": lambda s: s <= 0,
    "=": lambda s: s == 0,
    "≠": lambda s: s != 0,
}
"""The relations by the sign of the difference of their sides."""

FORMS: dict[str, Callable[[Expr, Values], Matrix]] = {
    "Plus": _folded(lambda u, v: u + v),
    "Hadamard": _folded(lambda u, v: u * v),
    "AllOf": _folded(min),
    "AnyOf": _folded(max),
    "Minus": _applied(lambda u: -u),
    "Quotient": _applied(_ratio),
    "Power": _applied(power),
    "Root": _applied(lambda u: REALS.sqrt(u)),
    "Magnitude": _applied(abs),
    "Times": _times,
    "Fraction": _fraction,
    "Product": _product,
    "Transposed": _transposed,
    "Ones": _ones,
    "Numeral": _numeral,
    "Call": _call,
    "Compare": _compare,
    "Bracket": _same,
    "Case": _case,
}
"""What each node of matrix notation means."""
