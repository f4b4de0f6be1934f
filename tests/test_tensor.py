"""Tensors: names, roles, subscripts, and what their subscripts can be told to reach."""

from __future__ import annotations

import pytest
import sympy
from symprop.errors import DeclarationError, ShapeError
from symprop.scope import BATCH, index
from symprop.tensor import (
    Tensor,
    accesses,
    apart,
    extent,
    fresh_index,
    indices,
    label_of,
    steps_until,
    subscript_bounds,
    subscripts_of,
)
from sympy import Idx, Symbol

i, j, t = index("i", 3), index("j", 4), index("t", 5)
b = index("b", BATCH)
x, M, n = Tensor("x", (i,)), Tensor("M", (i, j)), Tensor("n", (i,))


@pytest.mark.parametrize("name", ["", "1x", "_x", "a b", "a′1", "x[0]", "δ", "x-1", "lambda;"])
def test_a_name_is_a_letter_then_letters_digits_underscores(name):
    with pytest.raises(DeclarationError) as caught:
        Tensor(name)
    assert str(caught.value) == (
        f"tensor name {name!r}: expected a letter followed by letters, digits and underscores"
    )


def test_an_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(DeclarationError, match=r"tensor x: unknown role 'weight'; expected one of"):
        Tensor("x", role="weight")  # type: ignore[arg-type]


def test_two_axes_cannot_be_one_index():
    """w[w.axes] would be the diagonal, and an update along it would leave the rest as it was."""
    with pytest.raises(DeclarationError, match=r"tensor A: two of its axes \(i, i\) are the same"):
        Tensor("A", (i, i))


@pytest.mark.parametrize("axis", [Idx("q", (1, 3)), Idx("q")])
def test_an_index_runs_from_zero(axis):
    with pytest.raises(DeclarationError, match=r"tensor x: index q runs from .*; expected one"):
        Tensor("x", (axis,))


def test_subscripts_must_be_as_many_as_axes():
    with pytest.raises(ShapeError) as caught:
        M[i]
    assert str(caught.value) == "tensor M has 2 axes, but 1 subscripts were given: (i,)"
    with pytest.raises(ShapeError):
        Tensor("s")[i]


def test_shape_and_extent():
    assert Tensor("x", (b, j)).shape == (BATCH, 4)
    assert extent(Idx("i", 3)) == 3


def test_a_cotangent_has_the_axes_and_none_of_the_role():
    W = Tensor("W", (i, j), role="parameter", init="zeros")
    bar = W.cotangent(1)
    assert (bar.axes, bar.role, bar.init, bar.order) == ((i, j), "intermediate", None, 1)
    labels = {W.label, bar.label, bar.cotangent(2).label, W.cotangent(2).label}
    assert len(labels) == 4
    with pytest.raises(DeclarationError):  # so no user's tensor has a cotangent's label
        Tensor(str(bar.label))


def test_accesses_are_named_once_by_name_and_not_inside_subscripts():
    value = M[i, 0] * x[n[i]] + sympy.exp(M[i, 0]) - BATCH + Tensor("s")[()] * i
    assert [str(a) for a in accesses(value)] == ["M[i, 0]", "m", "s", "x[n[i]]"]
    assert label_of(M[i, 0]) == M.label
    assert subscripts_of(M[i, 2]) == (i, 2)
    assert subscripts_of(Symbol("s")) == ()


def test_indices_are_found_inside_subscripts_in_order():
    assert indices(M[2 - i, j] * x[n[i]] * t) == (i, j, t) or set(
        indices(M[2 - i, j] * x[n[i]] * t)
    ) == {i, j, t}
    assert indices(x[n[i]]) == (i,)
    assert indices(sympy.Integer(3)) == ()


def test_a_fresh_index_has_a_name_that_is_not_taken():
    assert fresh_index(i, set()) == i
    assert str(fresh_index(i, {i, index("i2", 7)}).label) == "i3"
    assert extent(fresh_index(i, {i})) == 3
    assert str(fresh_index(index("k2", 3), {index("k2", 9)}).label) != "k2"


@pytest.mark.parametrize(
    ("subscript", "bounds"),
    [
        (i, (0, 2)),
        (2 * i + j, (0, 7)),
        (2 - i, (0, 2)),
        (3 - 2 * i + j, (-1, 6)),
        (sympy.Integer(4), (4, 4)),
        (b + 1, (1, BATCH)),
        (BATCH - 1 - b, (0, BATCH - 1)),
        (i * j, None),
        (i**2, None),
        (i / 2, None),
        (n[i] + 1, None),
    ],
)
def test_bounds_of_an_affine_subscript(subscript, bounds):
    assert subscript_bounds(subscript) == bounds


@pytest.mark.parametrize(
    ("read", "written", "steps"),
    [
        (x[t], x[t + 1], -1),
        (x[t + 1], x[t], 1),
        (x[t], x[t], 0),
        (x[2 * t], x[2 * t + 4], -2),
        (x[2 * t], x[2 * t + 1], -sympy.Rational(1, 2)),
        (x[4 - t], x[5 - t], 1),
        (x[t], x[2 * t], None),
        (x[i], x[t], None),
        (x[n[t]], x[t], None),
        (M[i, t], M[j, t + 1], -1),
    ],
)
def test_how_many_steps_after_its_read_an_element_is_written(read, written, steps):
    assert steps_until(read, written, t) == steps


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (x[0], x[t + 1], True),
        (x[t + 1], x[0], True),
        (x[t], x[t + 1], False),
        (x[i], x[i + 3], True),
        (M[0, i], M[1, i], True),
        (x[n[i]], x[i], False),
        (x[b], x[b + BATCH], True),
        (Tensor("s")[()], Tensor("s")[()], False),
    ],
)
def test_accesses_that_never_meet(one, other, expected):
    assert apart(one, other) is expected
