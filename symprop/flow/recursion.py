"""Signals through a program: forward by their laws, and back by the adjoint rule.

Forward, the mean-field theory of wide networks: the elements of a tensor are alike, and those that
an equation reads together independent. A sum over many units is then normal: behind n units,
weights of variance σ_w² and biases of variance σ_b² give pre-activations of variance

    q⁽ˡ⁾ = n σ_w² E[φ(√q⁽ˡ⁻¹⁾ Z)²] + σ_b²,    Z standard normal.

Back, for each occurrence of x in an equation for y, with N loop points for each element of x,

    E[x̄²] += N E[(∂value/∂x)²] E[ȳ²],        |x̄| += ‖∂y/∂x‖ |ȳ|  at most:

through a layer, χ = n σ_w² E[φ′(√q Z)²] for n units above, and at most ‖W‖ max|φ′|.

Source: Poole et al. 2016, "Exponential expressivity in deep neural networks through transient
chaos", (3); Schoenholz et al. 2017, "Deep information propagation", (4) and (8).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from sympy import Add, Expr, Integer, Mul, Symbol, nan

from symprop.activations import ARGUMENT
from symprop.adjoint import partial
from symprop.backends import Array
from symprop.equation import Equation
from symprop.flow.gauss import Law, expectation
from symprop.flow.pieces import largest
from symprop.flow.values import values_at
from symprop.program import Program
from symprop.tensor import accesses, extent, indices, label_of, subscripts_of

UNKNOWN = Law(math.nan, math.nan)
Element = tuple[Symbol, tuple[Expr, ...]]
Factor = Callable[[Equation, Expr], float]


class MeanField:
    """The laws of a program's tensors, from the given ones, by label.

    ``images`` has what is a function of one other element, with that element's tensor: a = φ(z). A
    tensor whose equations are not of the theory's shape has a law of NaN.
    """

    def __init__(self, program: Program, given: Mapping[Symbol, Law]):
        self.program = program
        self.laws = dict(given)
        self.images: dict[Symbol, tuple[Symbol, Expr]] = {}
        last = {equation.label: n for n, equation in enumerate(program.flat)}
        for label in sorted(program.defined, key=last.__getitem__):
            self._declare(label, program.defined[label])

    def _declare(self, label: Symbol, equations: tuple[Equation, ...]) -> None:
        self.laws[label] = self._law(equations)
        first, *more = equations
        found = accesses(first.value)
        if not more and not first.over and len(found) == 1:
            (base, _), image = self._image(found[0])
            self.images[label] = (base, first.value.xreplace({found[0]: image}))

    def _law(self, equations: Iterable[Equation]) -> Law:
        """Means and variances of independent terms add."""
        mean = variance = 0.0
        for equation in equations:
            count = Mul(*map(extent, equation.over))
            if not count.is_Integer or equation.reduce == "max":
                return UNKNOWN
            each, square = self.mean(equation.value), self.mean_square(equation.value)
            mean += int(count) * each
            variance += int(count) * max(square - each**2, 0.0)
        return Law(mean, variance)

    def mean(self, value: Expr) -> float:
        """E[value]."""
        return math.fsum(map(self._product, _terms(value)))

    def mean_square(self, value: Expr) -> float:
        """E[value²]."""
        terms = _terms(value)
        return math.fsum(self._product(u * v) for u, v in itertools.product(terms, terms))

    def carried(self, equation: Equation, access: Expr) -> float:
        """N E[(∂value/∂x)²]: what an equation makes of the mean square of its cotangent."""
        points = Mul(*map(extent, equation.loops))
        count = points / Mul(*self.program.by_label[label_of(access)].shape)
        square = self.mean_square(partial(equation.value, access))
        return float(count) * square if count.is_number else math.nan

    def _image(self, access: Expr) -> tuple[Element, Expr]:
        """The element that an access is a function of, and the function."""
        label = label_of(access)
        base, image = self.images.get(label, (label, ARGUMENT))
        return (base, subscripts_of(access)), image

    def _product(self, term: Expr) -> float:
        """The mean of a product: that of each element's factors, multiplied."""
        constant, by_access = _by_access(term)
        parts: dict[Element, Expr] = {}
        for access, part in by_access.items():
            element, image = self._image(access)
            parts[element] = parts.get(element, Integer(1)) * part.xreplace({ARGUMENT: image})
        means = (self._mean(base, part) for (base, _), part in parts.items())
        return float(constant) * math.prod(means)

    def _mean(self, base: Symbol, part: Expr) -> float:
        """E[part] of an element of a tensor, whose law has the first two moments."""
        law = self.laws.get(base, UNKNOWN)
        moments = {ARGUMENT: law.mean, ARGUMENT**2: law.second}
        return moments[part] if part in moments else expectation(part, law)


def _terms(value: Expr) -> tuple[Expr, ...]:
    """The terms of a sum of products; a function of a single element is one term."""
    several = len(accesses(value)) > 1
    return tuple(Add.make_args(value.expand())) if several else (value,)


class Norms:
    """How much an equation can lengthen a cotangent, for given parameters by label."""

    def __init__(self, program: Program, arrays: Mapping[str, Array]):
        self.program, self.arrays = program, arrays

    def carried(self, equation: Equation, access: Expr) -> float:
        """‖∂y/∂x‖: ‖W‖ for a product with a matrix, max|φ′| element by element, else NaN."""
        slope = partial(equation.value, access)
        above, below = set(indices(equation.target)), set(indices(access))
        if above == below == set(equation.loops):
            return math.fsum(map(self._largest, _terms(slope)))
        matrices = [found for found in accesses(slope) if str(label_of(found)) in self.arrays]
        if len(matrices) != 1 or not (slope / matrices[0]).is_number:
            return math.nan
        (matrix,) = matrices
        sides = [set(indices(s)) for s in subscripts_of(matrix)]
        if sides not in ([above - below, below - above], [below - above, above - below]):
            return math.nan
        return abs(float(slope / matrix)) * spectral(self.arrays[str(label_of(matrix))])

    def _largest(self, term: Expr) -> float:
        """The largest |term|: that of each element's factors, multiplied."""
        constant, parts = _by_access(term)
        return abs(float(constant)) * math.prod(itertools.starmap(self._part, parts.items()))

    def _part(self, access: Expr, part: Expr) -> float:
        array = self.arrays.get(str(label_of(access)))
        if array is None:
            return largest(part)
        return float(np.abs(values_at(part)(array.ravel())).max())


def _by_access(term: Expr) -> tuple[Expr, dict[Expr, Expr]]:
    """The constant factor of a product, and what else it is of each element: of ``ARGUMENT``.

    A factor of several elements makes the constant NaN.
    """
    constant: Expr = Integer(1)
    parts: dict[Expr, Expr] = {}
    for factor in Mul.make_args(term):
        found = accesses(factor)
        if len(found) == 1:
            part = factor.xreplace({found[0]: ARGUMENT})
            parts[found[0]] = parts.get(found[0], Integer(1)) * part
        else:
            constant *= nan if found else factor
    return constant, parts


def spectral(matrix: Array) -> float:
    """‖W‖, the largest singular value: the root of the largest eigenvalue of W Wᵀ."""
    square = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    return math.sqrt(max(float(np.linalg.eigvalsh(square)[-1]), 0.0))


def carry_back(
    program: Program, start: Mapping[Symbol, float], factor: Factor
) -> dict[Symbol, float]:
    """What reaches each tensor, back from the starting ones, by label.

    Each equation hands on what its target has, times ``factor`` for what it reads.
    """
    found = dict(start)
    for equation in reversed(program.flat):
        if equation.label not in found:
            continue
        for access in accesses(equation.value):
            tensor = program.tensor(access)
            if tensor is None or tensor.role != "intermediate" or tensor.label in start:
                continue
            carried = factor(equation, access) * found[equation.label]
            found[tensor.label] = found.get(tensor.label, 0.0) + carried
    return found
