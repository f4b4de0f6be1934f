"""Equations: what may be written, and the words that refuse the rest."""

from __future__ import annotations

import pytest
import sympy
from symprop.equation import Equation, Origin, Recurrence, flat
from symprop.errors import DeclarationError
from symprop.scope import index
from symprop.tensor import Tensor
from sympy import Idx

i, j, k = index("i", 3), index("j", 4), index("k", 5)
x, y, M, n = Tensor("x", (i,)), Tensor("y", (i,)), Tensor("M", (i, j)), Tensor("n", (i,))
s = Tensor("s")


def refusal(*arguments, **keywords):
    with pytest.raises(DeclarationError) as caught:
        Equation(*arguments, **keywords)
    return str(caught.value)


def test_loops_are_those_of_the_target_then_those_in_over():
    assert Equation(M[i, j], x[k], (k,)).loops == (i, j, k)
    assert Equation(x[2 * i + j], s[()], (k,)).loops == (i, j, k)
    assert Equation(x[n[i]], s[()], (j,)).loops == (i, j)
    assert Equation(s[()], s[()] + x[i], (i,), "set").loops == (i,)


def test_an_unknown_reduction_is_refused():
    message = refusal(s[()], x[i], (i,), "min")
    assert "s = x[i]" in message
    assert message.endswith("unknown reduce 'min'; expected 'sum', 'max' or 'set'")


def test_an_index_of_the_target_is_not_summed():
    message = refusal(y[i], x[i], (i,))
    assert "y[i] = x[i], over (i,)" in message
    assert "index i is in `over` twice, or is an index of the target too" in message


def test_an_index_is_summed_once():
    assert "index i is in `over` twice" in refusal(s[()], x[i], (i, i))


def test_an_index_of_the_value_must_be_bound():
    message = refusal(y[i], M[i, j] * k)
    assert "index j, k occurs in the value, but neither in the target nor in `over`" in message
    assert "add it to `over` to reduce along it" in message
    assert "index i occurs" in refusal(s[()], x[n[i]])


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_a_sum_does_not_read_the_element_that_it_writes(reduce):
    message = refusal(y[i], y[i] + x[i], reduce=reduce)
    assert message.endswith("reads the element that it writes; only reduce='set' may")


def test_an_index_that_does_not_run_from_zero_is_refused():
    q = Idx("q", (1, 3))
    assert "index q runs from 1; expected one that runs from 0" in refusal(y[q], x[q])


def test_text_is_no_value():
    with pytest.raises((ValueError, TypeError)):
        Equation(s[()], "x")  # type: ignore[arg-type]


def test_a_number_becomes_an_expression():
    assert Equation(s[()], 1).value == sympy.Integer(1)


def test_reads_include_what_is_read_inside_subscripts_at_any_depth():
    q = Tensor("q", (i,))
    equation = Equation(y[i], x[n[q[i]]] + 1)
    assert {str(a) for a in equation.reads} == {"x[n[q[i]]]", "n[q[i]]", "q[i]"}


def test_renamed_summed_indices_keep_the_meaning():
    equation = Equation(y[i], M[i, j] * x[i], (j,))
    apart = equation.apart_from({j, index("j2", 9)})
    (fresh,) = apart.over
    assert str(fresh.label) not in ("j", "j2", "i")
    assert apart.value == M[i, fresh] * x[i]
    assert apart.target == y[i]
    assert equation.apart_from({k}) == equation
    assert equation.apart_from({i}) == equation


def test_flat_gives_the_equations_of_recurrences_in_place():
    first, inner, last = (Equation(y[i], value) for value in (1, 2, 3))
    assert list(flat((first, Recurrence(j, (inner,)), last))) == [first, inner, last]


def test_an_origin_names_layer_and_step():
    assert str(Origin("Dense 1", "pre-activation")) == "Dense 1, pre-activation"
    assert str(Origin("loss")) == "loss"
    assert str(Origin()) == ""
