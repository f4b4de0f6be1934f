"""The interpreter: runs a Program equation by equation in NumPy. Slow and obvious, it defines what
a program means.

Every loop index becomes an axis of its own; the value is evaluated on the whole grid at once and
then put into the target. Numbers may be real or complex: comparisons look at the real part, so that
complex step differentiation, f′(x) = Im f(x + ih)/h, holds on both sides of a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Add, Expr, Idx, Indexed, Mul, Pow, Symbol

from symprop.backends import NO_NOISE, Batches
from symprop.backends.given import given, in_order, step_data
from symprop.backends.noise import drawn
from symprop.equation import Equation, Recurrence
from symprop.errors import DataError, LoweringError, ShapeError
from symprop.passes import lower
from symprop.program import Program
from symprop.tensor import Tensor, extent, label_of, subscripts_of

if TYPE_CHECKING:
    from symprop.network import Network

Array = np.ndarray[Any, Any]
GRID = 1 << 22
"""Above this many loop points an equation is evaluated in slices of its first index, to bound the
memory.
"""


def run(program: Program, arrays: Mapping[str, Any], dtype: Any = np.float64) -> dict[str, Array]:
    """Run a program on the given arrays (by label) and return every tensor, by label.

    Tensors of the program that are not given start from 0 (from −∞ under a maximum); given arrays
    are not changed.
    """
    sizes = size_values(program, arrays)
    values = {str(t.label): start_array(program, t, arrays, sizes, dtype) for t in program.tensors}
    with np.errstate(all="ignore"):
        for equation in program.equations:
            if isinstance(equation, Recurrence):
                _run_recurrence(equation, values, sizes, dtype)
            else:
                _run_equation(equation, values, sizes, {}, dtype)
    return values


def size_values(program: Program, arrays: Mapping[str, Any]) -> dict[Symbol, int]:
    """The symbolic extents, read off the shapes of the given arrays."""
    found: dict[Symbol, int] = {}
    for tensor in program.tensors:
        if str(tensor.label) in arrays:
            shape = np.shape(arrays[str(tensor.label)])
            if len(shape) != len(tensor.axes):
                raise ShapeError(
                    f"{tensor.label}: expected {len(tensor.axes)} axes {tensor.shape}, got shape "
                    f"{shape}"
                )
            found.update(
                {
                    size: n
                    for size, n in zip(tensor.shape, shape, strict=True)
                    if isinstance(size, Symbol)
                }
            )
    missing = [size for size in program.sizes if size not in found]
    if missing:
        raise ShapeError(f"no given array tells the size {missing[0]}; give one whose shape has it")
    return found


def start_array(
    program: Program,
    tensor: Tensor,
    arrays: Mapping[str, Any],
    sizes: dict[Symbol, int],
    dtype: Any,
) -> Array:
    label = str(tensor.label)
    shape = tuple(int(size.subs(sizes)) for size in tensor.shape)
    if label in arrays:
        array = (
            _whole_numbers(label, arrays[label])
            if tensor.label in program.integers
            else np.array(arrays[label], dtype=dtype)
        )
        if array.shape != shape:
            raise ShapeError(f"{label}: expected shape {shape}, got {array.shape}")
        return array
    if tensor.role not in ("intermediate", "constant"):
        raise LoweringError(
            f"the program reads {tensor.role} {label}, for which no array was given"
        )
    maxima = any(e.reduce == "max" for e in program.defined.get(tensor.label, ()))
    return np.full(shape, -np.inf if maxima else 0.0, dtype=dtype)


def _whole_numbers(label: str, given: Any) -> Array:
    """The array of a tensor of whole numbers: a subscript or a counter."""
    array = np.asarray(np.real(given)).astype(np.int64)
    if (array != given).any():
        raise DataError(
            f"{label}: expected whole numbers, as it is a subscript or a counter, got {given}"
        )
    return array


def _run_recurrence(
    group: Recurrence, values: dict[str, Array], sizes: dict[Symbol, int], dtype: Any
) -> None:
    steps = range(int(extent(group.index).subs(sizes)))
    for step in reversed(steps) if group.reverse else steps:
        for equation in group.equations:
            _run_equation(equation, values, sizes, {group.index: np.array(step)}, dtype)


def _run_equation(
    equation: Equation,
    values: dict[str, Array],
    sizes: dict[Symbol, int],
    fixed: dict[Idx, Array],
    dtype: Any,
) -> None:
    loops = [index for index in equation.loops if index not in fixed]
    for grid in _grids([int(extent(index).subs(sizes)) for index in loops]):
        points = {**fixed, **dict(zip(loops, grid, strict=True))}
        evaluate = Evaluator(values, sizes, points, dtype)
        shape = np.broadcast_shapes(*(axis.shape for axis in grid)) if grid else ()
        _put(equation, values[str(equation.label)], evaluate, shape)


def _grids(extents: list[int]) -> Iterator[tuple[Array, ...]]:
    """The loop points, as broadcastable axes; cut into slices of the first index when there are
    many.
    """
    if not extents:
        yield ()
        return
    rest = int(np.prod(extents[1:], dtype=np.int64)) or 1
    step = max(1, GRID // rest)
    for first in range(0, extents[0], step):
        yield np.ix_(
            np.arange(first, min(first + step, extents[0])), *(np.arange(n) for n in extents[1:])
        )


def _put(equation: Equation, target: Array, evaluate: Evaluator, shape: tuple[int, ...]) -> None:
    whole = target.dtype.kind == "i"
    value = evaluate.subscript(equation.value) if whole else evaluate(equation.value)
    value = np.broadcast_to(value, shape)
    where = tuple(np.broadcast_to(s, shape) for s in evaluate.subscripts(equation.target))
    if equation.reduce == "set":
        target[where] = value
    elif equation.reduce == "max" and where == ():
        target[...] = np.maximum(target, value.max())
    elif equation.reduce == "max":
        np.maximum.at(target, where, value)
    elif where == ():
        target[...] += value.sum()
    else:
        np.add.at(target, where, value)


class Evaluator:
    """Evaluates values and subscripts on a grid of loop points."""

    def __init__(
        self,
        values: Mapping[str, Array],
        sizes: Mapping[Symbol, int],
        points: Mapping[Idx, Array],
        dtype: Any,
    ):
        self._values, self._sizes, self._points, self._dtype = (
            values,
            sizes,
            points,
            np.dtype(dtype),
        )

    def subscripts(self, access: Expr) -> tuple[Array, ...]:
        """Which elements an access means; none of them lies outside of the tensor."""
        found = tuple(self.subscript(s) for s in subscripts_of(access))
        extents = self._values[str(label_of(access))].shape
        for number, size in zip(found, extents, strict=True):
            if number.size and (number.min() < 0 or number.max() >= size):
                raise DataError(
                    f"{access}: subscript {number.min() if number.min() < 0 else number.max()} "
                    "lies "
                    f"outside of an axis of extent {size}"
                )
        return found

    def subscript(self, node: Expr) -> Array:
        """An integer expression of indices, sizes and gathered integers."""
        return np.asarray(self._arithmetic(node, self.subscript, int))

    def __call__(self, node: Expr) -> Any:
        function = FUNCTIONS.get(type(node).__name__)
        if function is not None:
            return function(*(self(argument) for argument in node.args))
        result = self._arithmetic(node, self, self._dtype.type)
        return self._dtype.type(result) if isinstance(node, (Idx, Indexed, Symbol)) else result

    def _arithmetic(
        self, node: Expr, recurse: Callable[[Expr], Any], literal: Callable[[Any], Any]
    ) -> Any:
        if isinstance(node, Idx):
            return self._points[node]
        if isinstance(node, Indexed):
            return self._values[str(label_of(node))][self.subscripts(node)]
        if isinstance(node, Symbol):
            return (
                literal(self._sizes[node]) if node in self._sizes else self._values[str(node)][()]
            )
        if node.is_Number or node.is_NumberSymbol:
            return literal(int(node) if node.is_Integer else float(node))
        if isinstance(node, Add):
            return _fold(np.add, map(recurse, node.args))
        if isinstance(node, Mul):
            return _fold(np.multiply, map(recurse, node.args))
        if isinstance(node, Pow):
            return _power(recurse(node.base), node.exp, recurse)
        raise LoweringError(f"{type(node).__name__} cannot be evaluated: {node}")


def _fold(operation: Callable[[Any, Any], Any], values: Iterator[Any]) -> Any:
    result = next(values)
    for value in values:
        result = operation(result, value)
    return result


def _power(base: Any, exponent: Expr, recurse: Callable[[Expr], Any]) -> Any:
    if exponent == -1:
        return 1 / base
    if exponent.is_Rational and abs(exponent) == 0.5:
        root = np.sqrt(base)
        return root if exponent > 0 else 1 / root
    return base ** (int(exponent) if exponent.is_Integer else recurse(exponent))


def _erf(u: Any) -> Any:
    from scipy.special import erf

    return erf(u)


def _erfc(u: Any) -> Any:
    from scipy.special import erfc

    return erfc(u)


def _of_product(function: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """w·f(u·v), computed in more digits where NumPy has them."""

    def value(w: Any, u: Any, v: Any) -> Any:
        kind = np.result_type(w, u, v)
        wide = np.result_type(kind, np.longdouble)
        return (np.asarray(w, wide) * function(np.asarray(u, wide) * v)).astype(kind)

    return value


def _tail(u: Any) -> Any:
    """erfc of a product in more digits, which SciPy has not."""
    return _erfc(u.astype(np.complex128 if np.iscomplexobj(u) else np.float64))


def _compare(holds: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda u, v: np.where(holds(np.real(u), np.real(v)), np.ones_like(u), np.zeros_like(u))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p", "expm1")
    },
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _erf,
    "erfc": _erfc,
    "exp_product": _of_product(np.exp),
    "erfc_product": _of_product(_tail),
    "sech2": lambda u: (1 / np.cosh(u)) ** 2,
    "Greater": _compare(np.greater),
    "GreaterEqual": _compare(np.greater_equal),
    "Equal": _compare(np.equal),
    "Floor": lambda u, v: np.floor(np.real(u) / np.real(v)) + np.zeros_like(u),
    "Sign": lambda u: np.sign(np.real(u)) + np.zeros_like(u),
    "Absolute": lambda u: np.where(np.real(u) < 0, -u, u),
    "Maximum": lambda u, v: np.where((np.real(u) <= np.real(v)) | np.isnan(v), v, u),
    "Minimum": lambda u, v: np.where((np.real(u) >= np.real(v)) | np.isnan(v), v, u),
    "Select": lambda c, u, v: np.where(np.real(c) != 0, u, v),
}
"""What each scalar function means."""


class NumpyExecutable:
    """A network's programs run by the interpreter: the meaning of training, slow and obvious.

    ``values`` holds parameters and optimizer state by label. A training step computes all new
    values first and then puts them into ``values`` by one ``dict.update``, which no signal
    interrupts: whenever KeyboardInterrupt comes, the values are those after a finished batch.
    """

    def __init__(
        self, network: Network, optimizer: Any, dtype: np.dtype[Any], values: dict[str, Array]
    ):
        self._values, self._dtype = values, dtype
        self._prediction = network.named("yhat")
        self._loss = network.named("L")
        forward = lower(network.inference, (self._prediction,))
        given = tuple(tensor for tensor in forward.tensors if tensor.role != "target")
        self._forward = replace(forward, tensors=given)
        self._evaluation = lower(network.inference)
        self._gradients = lower(network.gradients)
        self._cotangents = dict(zip(network.parameters, network.raw_gradients.outputs, strict=True))
        self._step = lower(network.step(optimizer))

    @cached_property
    def source(self) -> str:
        """The training step in index notation: what the interpreter runs."""
        return str(self._step)

    def predict(self, x: Array) -> Array:
        """The prediction for every row of x."""
        return self._run(self._forward, x=x)[str(self._prediction.label)]

    def loss(self, x: Array, y: Array) -> float:
        """The mean loss over all rows."""
        return float(self._run(self._evaluation, x=x, y=y)[str(self._loss.label)])

    def gradients(
        self, x: Array, y: Array, noise: Array = NO_NOISE
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows, as one batch, and its gradient by parameter name."""
        draws = drawn(self._gradients.tensors, noise, len(x), self._dtype)
        values = self._run(self._gradients, x=x, y=y, **draws)
        return float(values[str(self._loss.label)]), {
            parameter.name: values[str(cotangent.label)]
            for parameter, cotangent in self._cotangents.items()
        }

    def lower(self) -> None:
        """Nothing is lowered."""

    def prepare(self, batches: Batches) -> None:
        """Nothing is compiled."""

    def train(self, batches: Batches, first: int, last: int) -> None:
        """Train on a range of batches, counted through all epochs."""
        for number in range(first, last):
            data = step_data(self._step, batches, number, self._dtype)
            after = self._run(self._step, **data)
            self._values.update({label: after[label] for label in self._values})
            loss = float(after[str(self._loss.label)])
            with np.errstate(over="ignore"):
                batches.losses[number // batches.per_epoch] += loss * len(data["x"])
            batches.done[0] = number + 1

    def whole(self, batches: Batches) -> bool:
        """Never: Python runs between a batch and its count."""
        return False

    def steps(self, batches: Batches, number: int) -> Iterator[tuple[Tensor, Array]]:
        """Each tensor of one batch's training step with its value, in the order of the program."""
        data = step_data(self._step, batches, number, self._dtype)
        arrays = given(self._step, {**self._values, **data})
        return in_order(self._step, arrays, run(self._step, arrays, self._dtype))

    def _run(self, program: Program, **data: Array) -> dict[str, Array]:
        """Run one of the programs on the values that it uses."""
        return run(program, given(program, {**self._values, **data}), self._dtype)
