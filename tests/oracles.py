"""What derivatives are compared with: complex step, central differences, and a scalar evaluator of
its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from symprop.adjoint import backward
from symprop.backends.numpy import run
from symprop.equation import Equation
from symprop.scope import Scope
from sympy import Expr, Idx, Indexed, Symbol

from cases import Array, Case, draw


def gradients(case: Case, dtype: Any = np.float64) -> dict[str, Array]:
    """The adjoint, interpreted, by label of the tensor."""
    whole = case.program + backward(case.program, case.of, case.wrt)
    values = run(whole, case.arrays, dtype)
    return {
        str(tensor.label): values[str(output.label)]
        for tensor, output in zip(case.wrt, whole.outputs[-len(case.wrt) :], strict=True)
    }


def complex_step(case: Case, of: str | None = None) -> dict[str, Array]:
    """∂of/∂x = Im of(x + ih)/h, exact to rounding as h² vanishes."""
    step = 1e-30
    return _by_element(case, lambda x: x + 1j * step, lambda up, _: up.imag / step, complex, of)


def central_differences(case: Case, step: float = 1e-6) -> dict[str, Array]:
    return _by_element(
        case, lambda x: x + step, lambda up, down: (up - down) / (2 * step), float, None, step
    )


def _by_element(
    case: Case, move: Any, slope: Any, dtype: Any, of: str | None, back: float = 0.0
) -> dict[str, Array]:
    result = {}
    label = of or str(case.of.label)
    for tensor in case.wrt:
        name = str(tensor.label)
        derivative = np.zeros(case.arrays[name].shape)
        for place in np.ndindex(derivative.shape):
            values = []
            for change in (move, lambda x: x - back):
                array = case.arrays[name].astype(dtype)
                array[place] = change(array[place])
                values.append(run(case.program, {**case.arrays, name: array}, dtype)[label][()])
                if not back:
                    values.append(None)
                    break
            derivative[place] = slope(*values)
        result[name] = derivative
    return result


def worst_error(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference, relative to the largest entry of its tensor; NaN where either holds a
    NaN.
    """
    assert set(found) == set(expected)
    errors = []
    for name, array in expected.items():
        assert np.shape(found[name]) == array.shape, name
        size = np.max(np.abs(array), initial=0.0)
        errors.append(np.max(np.abs(found[name] - array), initial=0.0) / (size if size else 1.0))
    return float(np.max(errors))


def second_order(case: Case, seed: int = 5) -> Case:
    """The program of Σ g·v for the gradients g of a case and fixed v: its gradient is a Hessian
    times a vector.
    """
    first = case.program + backward(case.program, case.of, case.wrt)
    scope = Scope()
    scope.adopt(*first.tensors)
    total = scope.tensor(f"product_{seed}")
    arrays = dict(case.arrays)
    for position, gradient in enumerate(first.outputs[-len(case.wrt) :]):
        v = scope.tensor(f"direction_{seed}_{position}", gradient.axes, role="input")
        scope.define(total[()], gradient[gradient.axes] * v[v.axes], over=gradient.axes)
        arrays[v.name] = draw(seed + position, *case.arrays[str(case.wrt[position].label)].shape)
    whole = first + scope.freeze((total,))
    return Case(whole, arrays, total, case.wrt)


def points(equation: Equation) -> Iterator[dict[Idx, int]]:
    """All values of the loop indices."""
    ranges = [range(int(i.upper) + 1) for i in equation.loops]
    for point in itertools.product(*ranges):
        yield dict(zip(equation.loops, point, strict=True))


def evaluate(node: Expr, point: Mapping[Expr, int], arrays: Mapping[str, Array]) -> Any:
    """A value at one point of the loops in Python's floats, apart from the interpreter."""
    if node in point:
        return point[node]
    if isinstance(node, Indexed):
        return arrays[str(node.base.label)][subscripts(node, point, arrays)]
    if isinstance(node, Symbol):
        return arrays[str(node)][()]
    if node.is_Integer:
        return int(node)
    if node.is_number:
        return float(node)
    return SCALAR[type(node).__name__](
        *(evaluate(argument, point, arrays) for argument in node.args)
    )


def subscripts(
    access: Expr, point: Mapping[Expr, int], arrays: Mapping[str, Array]
) -> tuple[int, ...]:
    if not isinstance(access, Indexed):
        return ()
    return tuple(int(evaluate(s, point, arrays)) for s in access.indices)


SCALAR = {
    "Add": lambda *terms: sum(terms),
    "Mul": lambda *factors: math.prod(factors),
    "Pow": lambda base, exponent: base**exponent,
    "sin": math.sin,
    "cos": math.cos,
    "exp": math.exp,
    "tanh": math.tanh,
    "Greater": lambda u, v: float(u > v),
    "GreaterEqual": lambda u, v: float(u >= v),
    "Equal": lambda u, v: float(u == v),
    "Sign": lambda u: float(u > 0) - float(u < 0),
    "Absolute": abs,
    "Maximum": max,
    "Minimum": min,
    "Select": lambda c, u, v: u if c else v,
    "KroneckerDelta": lambda i, j: int(i == j),
}
