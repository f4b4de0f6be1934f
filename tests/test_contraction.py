"""A contraction says what an equation computes: rebuilt as a matrix product it gives the same
numbers.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from symprop.adjoint import backward
from symprop.backends.numpy import run
from symprop.equation import Equation
from symprop.passes.contraction import contraction
from symprop.program import Program
from symprop.scope import BATCH, index
from symprop.tensor import Tensor, indices

from cases import PROGRAMS

b, i, j, k = index("b", 2), index("i", 3), index("j", 4), index("k", 5)
d = Tensor("d", (b,))


def tensors(target, left, right):
    return (
        Tensor("T", tuple(target)),
        Tensor("A", tuple(left)),
        Tensor("B", tuple(right)),
    )


def product(target, left, right, over=(k,), scale=1, reduce="sum"):
    T, A, B = tensors(target, left, right)
    value = scale * A[tuple(left)] * B[tuple(right)]
    return Equation(T[tuple(target)], value, over, reduce)


def matrix_product(found, arrays, target):
    """scale · Σ left · right, by what the contraction says of rows, columns and batch."""
    letters = {index: chr(97 + n) for n, index in enumerate((b, i, j, k))}

    def word(access):
        return "".join(letters[x] for x in access.indices)

    def array(access):
        return arrays[str(access.base.label)]

    out = "".join(letters[x] for x in target.indices)
    operands = [array(found.left), array(found.right)]
    text = f"{word(found.left)},{word(found.right)}"
    scale = found.scale
    for factor in sympy.Mul.make_args(found.scale):
        if indices(factor):
            operands.append(array(factor))
            text += f",{word(factor)}"
            scale /= factor
    return float(scale) * np.einsum(f"{text}->{out}", *operands)


LAYOUTS = [
    ((i, j), (i, k), (k, j)),
    ((i, j), (k, i), (k, j)),
    ((i, j), (i, k), (j, k)),
    ((i, j), (k, i), (j, k)),
    ((i, j), (j, k), (i, k)),
    ((i, j), (k, j), (k, i)),
    ((i,), (i, k), (k,)),
    ((i,), (k,), (i, k)),
    ((i,), (k,), (k, i)),
    ((b, i, j), (b, i, k), (b, k, j)),
    ((b, i, j), (j, b, k), (k, i, b)),
    ((i, b, j), (b, k, j), (b, i, k)),
    ((b, i), (b, i, k), (b, k)),
    ((b,), (b, k), (b, k)),
    ((b, i), (b, i, k), (b, i, k)),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("scale", [1, sympy.Rational(-1, 3), "d"])
def test_a_product_is_found_with_row_left_and_column_right(layout, scale):
    target, left, right = layout
    if scale == "d" and b not in target:
        pytest.skip("no batch to scale along")
    scale = d[b] if scale == "d" else scale
    equation = product(target, left, right, scale=scale)
    found = contraction(equation)
    assert found is not None
    assert found.summed == k
    assert found.row is None or (
        found.row in indices(found.left) and found.row not in indices(found.right)
    )
    assert found.column is None or (
        found.column in indices(found.right) and found.column not in indices(found.left)
    )
    named = [*found.batch, *(x for x in (found.row, found.column) if x is not None)]
    assert sorted(named, key=str) == sorted(target, key=str)
    order = [x for x in indices(equation.target) if x in (found.row, found.column)]
    assert order == [x for x in (found.row, found.column) if x is not None]
    generator = np.random.default_rng(1)
    used = (*tensors(target, left, right), d)
    arrays = {t.name: generator.normal(size=[int(n) for n in t.shape]) for t in used[1:]}
    expected = run(Program(used, (equation,)), arrays)["T"]
    np.testing.assert_allclose(matrix_product(found, arrays, equation.target), expected, rtol=1e-12)


A, B, C, v, n = (
    Tensor("A", (i, k)),
    Tensor("B", (k, j)),
    Tensor("C", (k, j)),
    Tensor("v", (k,)),
    Tensor("n", (i,)),
)
S = Tensor("S", (index("p", 4), index("q", 4)))
T, s = Tensor("T", (i, j)), Tensor("s")
NO_PRODUCTS = {
    "three factors": Equation(T[i, j], A[i, k] * B[k, j] * v[k], (k,)),
    "one factor": Equation(T[i, j], A[i, k], (k,)),
    "a sum": Equation(T[i, j], A[i, k] * B[k, j] + 1, (k,)),
    "a square": Equation(T[i, j], A[i, k] ** 2, (k,)),
    "a function": Equation(T[i, j], sympy.exp(A[i, k]) * B[k, j], (k,)),
    "a maximum": Equation(T[i, j], A[i, k] * B[k, j], (k,), "max"),
    "two sums": Equation(v[k], A[i, k] * B[k, j], (i, j)),
    "a scalar": Equation(s[()], v[k] * v[k], (k,)),
    "a dot product": Equation(s[()], v[k] * A[0, k], (k,)),
    "no sum": Equation(T[i, j], A[i, 0] * B[0, j]),
    "a broadcast": Equation(T[i, j], A[i, k] * v[k], (k,)),
    "an affine subscript": Equation(T[i, j], S[i, 4 - k] * B[k, j], (k,)),
    "a diagonal": Equation(v[k], S[j, j] * B[k, j], (j,)),
    "a gather": Equation(T[i, j], A[n[i], k] * B[k, j], (k,)),
    "a scattered target": Equation(T[n[i], j], A[i, k] * B[k, j], (k,)),
    "an affine target": Equation(S[i + 1, j], A[i, k] * B[k, j], (k,)),
    "a factor without the sum": Equation(T[i, j], A[i, 0] * v[k], (k,)),
}


@pytest.mark.parametrize("name", NO_PRODUCTS)
def test_what_is_no_matrix_product_is_not_taken_for_one(name):
    assert contraction(NO_PRODUCTS[name]) is None


def test_the_products_of_a_dense_network_are_all_found():
    case = PROGRAMS["mlp"]
    program = case.program + backward(case.program, case.of, case.wrt)
    found = [str(e.label) for e in program.flat if contraction(e)]
    assert found == ["z", "p", "V′1", "a′1", "W′1", "x′1"]


def test_a_batch_of_unknown_size_is_summed_like_any_other():
    m = index("b", BATCH)
    x, delta, W = Tensor("x", (m, k)), Tensor("delta", (m, j)), Tensor("W", (j, k))
    found = contraction(Equation(W[j, k], delta[m, j] * x[m, k] / BATCH, (m,)))
    assert found is not None
    assert (found.left, found.right, found.summed) == (delta[m, j], x[m, k], m)
    assert found.scale == 1 / BATCH


SUBSETS = [s for n in range(4) for s in itertools.permutations((b, i, j), n)]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SUBSETS), st.sampled_from(SUBSETS), st.sampled_from(SUBSETS), st.data())
def test_whatever_is_found_computes_the_same(target, left, right, data):
    if not set(left) | set(right) <= set(target) or not target:
        return
    place = data.draw(st.integers(0, len(left))), data.draw(st.integers(0, len(right)))
    left = (*left[: place[0]], k, *left[place[0] :])
    right = (*right[: place[1]], k, *right[place[1] :])
    equation = product(target, left, right)
    found = contraction(equation)
    if found is None:
        return
    generator = np.random.default_rng(2)
    used = tensors(target, left, right)
    arrays = {t.name: generator.normal(size=[int(n) for n in t.shape]) for t in used[1:]}
    expected = run(Program(used, (equation,)), arrays)["T"]
    np.testing.assert_allclose(matrix_product(found, arrays, equation.target), expected, rtol=1e-12)
