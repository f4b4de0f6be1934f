"""Programs: every name, extent and order is checked when they are put together."""

from __future__ import annotations

import pytest
import sympy
from symprop.equation import Equation, Origin, Recurrence
from symprop.errors import DeclarationError, ShapeError
from symprop.program import Program
from symprop.scope import BATCH, index
from symprop.tensor import Tensor

i, j, b, t = index("i", 3), index("j", 4), index("b", BATCH), index("t", 2)
x, y, M = Tensor("x", (i,), role="input"), Tensor("y", (i,)), Tensor("M", (i, j))
s, n = Tensor("s"), Tensor("n", (i,), role="input")
X = Tensor("X", (b, i), role="input")
ALL = (x, y, M, s, n, X)


def refusal(error, *equations, tensors=ALL):
    with pytest.raises(error) as caught:
        Program(tensors, equations)
    return str(caught.value)


def test_two_tensors_of_one_name_are_refused():
    message = refusal(DeclarationError, tensors=(x, Tensor("x", (j,))))
    assert message == "two different tensors are called x; give each its own name"


def test_a_tensor_that_is_not_there_is_named():
    equation = Equation(y[i], Tensor("w", (i,))[i], origin=Origin("Dense 1", "activation"))
    message = refusal(DeclarationError, equation)
    assert "w[i] is not a tensor of the program (in Dense 1, activation); there are ['x'" in message
    assert "q is not a tensor" in refusal(DeclarationError, Equation(y[i], sympy.Symbol("q")))
    assert "w[i] is not a tensor" in refusal(DeclarationError, Equation(Tensor("w", (i,))[i], x[i]))


def test_a_gather_of_a_gather_must_be_there_too():
    q = Tensor("q", (i,))
    message = refusal(DeclarationError, Equation(y[i], x[n[q[i]]]))
    assert "q[i] is not a tensor of the program" in message


def test_a_tensor_is_not_called_like_a_size():
    with pytest.raises(DeclarationError) as caught:
        Program((X, Tensor("m")), ())
    assert str(caught.value) == "m is both a tensor and a size; rename the tensor"


def test_an_index_must_have_the_extent_of_its_axis():
    message = refusal(ShapeError, Equation(y[i], M[j, j], (j,), origin=Origin("Dense 2", "sum")))
    assert "index j has extent 4, but axis i of M has extent 3 (in Dense 2, sum)" in message
    assert message.endswith("the two must be equal")


def test_a_batch_and_a_number_are_two_extents():
    message = refusal(ShapeError, Equation(y[i], X[i, i]))
    assert "index i has extent 3, but axis b of X has extent m" in message


@pytest.mark.parametrize(
    ("subscript", "low", "high"),
    [(i + 1, 1, 3), (i - 1, -1, 1), (2 * i, 0, 4), (sympy.Integer(3), 3, 3), (1 - i, -1, 1)],
)
def test_a_subscript_must_stay_on_its_axis(subscript, low, high):
    message = refusal(ShapeError, Equation(y[i], x[subscript]))
    assert (
        f"subscript {subscript} runs from {low} to {high}, outside axis i of x of extent 3"
        in message
    )


def test_a_subscript_of_the_batch_must_stay_on_its_axis():
    message = refusal(ShapeError, Equation(y[i], X[b + 1, i], (b,)))
    assert "subscript b + 1 runs from 1 to m, outside axis b of X of extent m" in message
    Program(ALL, (Equation(y[i], X[BATCH - 1 - b, i], (b,)),))


def test_the_target_must_stay_on_its_axis_too():
    assert "outside axis" in refusal(ShapeError, Equation(y[i + 1], x[i]))


def test_the_number_of_subscripts_must_fit():
    twin = Tensor("x", (i, j))
    message = refusal(ShapeError, Equation(y[i], twin[i, 0]))
    assert "x has 1 axes but 2 subscripts" in message


def test_a_subscript_is_a_whole_number():
    message = refusal(DeclarationError, Equation(y[i], x[i / 2]))
    assert "subscript i/2 of x is no whole number" in message
    assert "is no whole number" in refusal(DeclarationError, Equation(y[i], x[sympy.sin(i)]))


def test_nothing_is_assigned_more_than_once_by_one_equation():
    message = refusal(DeclarationError, Equation(s[()], x[i], (i,), "set"))
    assert "reduce='set' would assign each element once for every i" in message
    Program(ALL, (Recurrence(i, (Equation(s[()], s[()] + x[i], (i,), "set"),)),))


def test_other_elements_of_the_target_are_read_only_from_step_to_step():
    h = Tensor("h", (i,))
    step = Equation(h[t + 1], h[t] * 2)
    message = refusal(DeclarationError, Equation(h[i], h[2 - i]), tensors=(h,))
    assert "reads h[2 - i] of its own target" in message
    assert "or let a Recurrence lead from one step to the next" in message
    Program((h,), (Recurrence(t, (step,)),))
    Program((h,), (Recurrence(t, (Equation(h[t], h[t + 1] * 2),), reverse=True),))
    H = Tensor("H", (i, j))
    within = Equation(H[t, j], H[t, 3 - j])
    message = refusal(DeclarationError, Recurrence(t, (within,)), tensors=(H,))
    assert "reads H[t, 3 - j] of its own target" in message


def test_a_tensor_is_not_both_a_maximum_and_a_sum():
    message = refusal(DeclarationError, Equation(s[()], x[i], (i,), "max"), Equation(s[()], 1))
    assert message.startswith("s is both a maximum and not:\n")
    assert message.endswith("give the maximum a tensor of its own")


def test_composition_runs_one_after_the_other_and_what_both_have_once():
    first = Program((x, y), (Equation(y[i], x[i]),), (y,))
    second = Program((x, y, s), (Equation(y[i], x[i]), Equation(s[()], y[i], (i,))), (s,))
    both = first + second
    assert both.equations == second.equations
    assert both.outputs == (y, s)
    assert both.tensors == (x, y, s)


def test_a_program_keeps_an_equation_that_is_written_twice():
    twice = Program((x, y), (Equation(y[i], x[i]), Equation(y[i], x[i])))
    assert len((Program((x, y), ()) + twice).flat) == 2


def test_composition_refuses_two_meanings_of_one_name():
    with pytest.raises(DeclarationError, match="two different tensors are called y"):
        Program((x, y), ()) + Program((x, Tensor("y", (j,))), ())


def test_named_tensors_are_found_or_listed():
    program = Program(ALL, ())
    assert program.named("x") is x
    with pytest.raises(DeclarationError, match=r"no tensor 'z' of order 0; there are \['x', 'y'"):
        program.named("z")
    assert program.with_role("input") == (x, n, X)


def test_sizes_gathers_and_definitions():
    program = Program(
        ALL, (Equation(y[i], x[n[i]]), Equation(y[i], 1), Equation(s[()], 1 / BATCH, (b,)))
    )
    assert program.sizes == (BATCH,)
    assert program.gathers == {n.label}
    assert len(program.defined[y.label]) == 2


def test_a_scalar_in_a_subscript_is_an_integer():
    at = Tensor("at", role="input")
    assert Program((x, at, s), (Equation(s[()], x[at[()]]),)).gathers == {at.label}


def test_equal_programs_are_equal_and_hash_alike():
    one, other = (Program((x, y), (Equation(y[i], x[i]),), (y,)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
