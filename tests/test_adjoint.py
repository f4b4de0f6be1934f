"""The adjoint rule against complex step, central differences, and the longer road over Kronecker
deltas.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from symprop import primitives
from symprop.adjoint import adjoint, backward
from symprop.backends.numpy import run
from symprop.equation import Equation
from symprop.errors import DerivationError
from symprop.program import Program
from symprop.scope import Scope, index
from symprop.tensor import Tensor, indices, label_of, subscripts_of

from cases import PROGRAMS, TIED, tied_max_pool
from oracles import (
    central_differences,
    complex_step,
    evaluate,
    gradients,
    points,
    second_order,
    subscripts,
    worst_error,
)

SMOOTH = [name for name, case in PROGRAMS.items() if case.smooth]


@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_matches_complex_step(name):
    case = PROGRAMS[name]
    assert worst_error(gradients(case), complex_step(case)) < 1e-12


@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_matches_central_differences(name):
    case = PROGRAMS[name]
    assert worst_error(gradients(case), central_differences(case)) < 1e-7


@pytest.mark.parametrize("name", SMOOTH)
def test_adjoint_of_the_adjoint_matches_complex_step_of_the_gradient(name):
    case = second_order(PROGRAMS[name])
    assert worst_error(gradients(case), complex_step(case)) < 1e-10


def test_third_derivatives_are_the_same_rule_again():
    case = second_order(second_order(PROGRAMS["repeated-tensor"]), seed=50)
    assert worst_error(gradients(case), complex_step(case)) < 1e-10


# -- role swap against the derivation over deltas -------------------------------------------------

i, j, k = index("i", 3), index("j", 2), index("k", 2)
u, v = Tensor("u", (index("p", 3),)), Tensor("v", (index("p", 2),))
M, A = Tensor("M", (index("p", 3), index("q", 2))), Tensor("A", (index("p", 6),))
s, n = Tensor("s"), Tensor("n", (index("p", 3),), role="input")
READ = (u, v, M, A, s)
ACCESSES = (
    *(u[i], u[2 - i], u[n[i]], u[j + k], u[1], v[j], v[k], v[1 - j]),
    *(M[i, j], M[i, k], M[n[i], k], M[2 - i, 1 - k], M[j + k, j], M[n[n[i]], 0]),
    *(A[2 * j + k], A[i + j], A[i + 2 * k], A[5 - i], A[i + 3], A[n[i] + j], s[()]),
)
TARGETS = {
    Tensor("y"): ((), 0),
    Tensor("y", (index("p", 3),)): (i,),
    Tensor("y", (index("p", 3), index("q", 2))): (i, j),
    Tensor("y", (index("p", 8),)): (2 * i + j,),
    Tensor("y", (index("p", 4), index("q", 2))): (n[i], k),
    Tensor("y", (index("p", 5), index("q", 1))): (4 - i, 0),
}
TARGETS[Tensor("y")] = ()


def combinations(parts):
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (2 + p[1] ** 2)),
        parts.map(sympy.sin),
        parts.map(sympy.tanh),
        parts.map(lambda p: p**3),
        parts.map(primitives.Absolute),
        pairs.map(lambda p: primitives.Maximum(*p)),
        pairs.map(lambda p: primitives.Minimum(*p)),
        st.tuples(parts, parts, parts).map(
            lambda p: primitives.Select(primitives.Greater(p[0], 0), p[1], p[2])
        ),
    )


VALUES = st.recursive(
    st.one_of(
        st.sampled_from(ACCESSES), st.integers(-2, 3).map(lambda number: sympy.Rational(number, 2))
    ),
    combinations,
    max_leaves=6,
)


@st.composite
def equations(draw):
    """An equation with accesses, subscripts, target and summed indices at random."""
    value = draw(VALUES)
    tensor = draw(st.sampled_from(list(TARGETS)))
    target = tensor[TARGETS[tensor]]
    free = [x for x in (i, j, k) if x not in indices(target)]
    extra = draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    over = tuple(x for x in free if x in indices(value) or x in extra)
    return tensor, Equation(target, value, over)


def random_arrays(tensors, seed):
    generator = np.random.default_rng(seed)
    arrays = {t.name: generator.uniform(-1, 1, [int(x) for x in t.shape]) for t in tensors}
    return {**arrays, "n": generator.integers(0, 3, 3)}


@settings(max_examples=150, deadline=None)
@given(equations(), st.integers(0, 9))
def test_role_swap_equals_delta_derivation(written, seed):
    """x̄[p] = Σ_loops ȳ[t] ∂value/∂x[p], with ∂x[s]/∂x[p] = δ_sp left in and summed as it stands."""
    target, equation = written
    seeds = target.cotangent(1)
    cotangents = {t.label: t.cotangent(1) for t in (*READ, target)}

    def cotangent(access):
        tensor = cotangents.get(label_of(access))
        return tensor[subscripts_of(access)] if tensor else None

    program = Program((*READ, n, target, *cotangents.values()), tuple(adjoint(equation, cotangent)))
    arrays = random_arrays((*READ, target), seed)
    weight = np.random.default_rng(seed + 100).uniform(-1, 1, [int(x) for x in target.shape])
    swapped = run(program, {**arrays, str(seeds.label): weight})
    for tensor in READ:
        place = sympy.symbols(f"P:{len(tensor.axes)}", integer=True)
        slope = equation.value.diff(tensor[place])
        expected = np.zeros([int(x) for x in tensor.shape])
        for element in np.ndindex(expected.shape):
            at = dict(zip(place, element, strict=True))
            for point in points(equation):
                y = weight[subscripts(equation.target, point, arrays)]
                expected[element] += y * evaluate(slope, {**point, **at}, arrays)
        found = swapped[str(tensor.cotangent(1).label)]
        size = 1 + np.max(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * size)


@settings(max_examples=150, deadline=None)
@given(equations(), st.integers(0, 9))
def test_interpreter_equals_plain_loops(written, seed):
    target, equation = written
    arrays = random_arrays(READ, seed)
    found = run(Program((*READ, n, target), (equation,)), arrays)[target.name]
    expected = np.zeros(found.shape)
    for point in points(equation):
        where = subscripts(equation.target, point, arrays)
        expected[where] += evaluate(equation.value, point, arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# -- what stops, shares and vanishes --------------------------------------------------------------


def test_ties_share_the_cotangent_equally():
    case = tied_max_pool()
    gradient = gradients(case)["x"]
    pooled = TIED.reshape(1, 2, 2, 2, 2).max(axis=(2, 4))
    received = case.arrays["weights"] * np.cos(pooled)
    for row in range(2):
        for column in range(2):
            window = np.s_[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            tied = TIED[window] == pooled[0, row, column]
            share = np.where(tied, received[0, row, column] / tied.sum(), 0.0)
            np.testing.assert_allclose(gradient[window], share, rtol=1e-15)


def test_ties_between_two_equations_of_a_maximum_share_too():
    scope = Scope()
    x, y = scope.tensor("x", role="input"), scope.tensor("y", role="input")
    top, loss = scope.tensor("top"), scope.tensor("L")
    scope.define(top[()], x[()], reduce="max")
    scope.define(top[()], y[()], reduce="max")
    scope.define(loss[()], top[()] ** 2)
    program = scope.freeze()
    values = run(program + backward(program, loss, (x, y)), {"x": 3.0, "y": 3.0})
    assert (values["x′1"], values["y′1"]) == (3, 3)


def test_the_derivative_stops_at_a_constant():
    scope = Scope()
    x, c, loss = (
        scope.tensor("x", (i,), role="input"),
        scope.tensor("c", role="constant"),
        scope.tensor("L"),
    )
    scope.define(c[()], x[i], over=(i,))
    scope.define(loss[()], c[()] * x[i], over=(i,))
    program = scope.freeze()
    for wrt in [(x,), (x, c)]:
        values = run(program + backward(program, loss, wrt), {"x": [1.0, 2.0, 3.0]})
        np.testing.assert_array_equal(values["x′1"], [6, 6, 6])
    assert values["c′1"] == 6


def test_the_softmax_shift_carries_no_derivative():
    case = PROGRAMS["attention"]
    written = {str(e.label) for e in backward(case.program, case.of, case.wrt).flat}
    assert not {name for name in written if name.startswith(("shift", "ties"))}


def test_what_the_loss_does_not_depend_on_has_derivative_zero():
    scope = Scope()
    x, unused = scope.tensor("x", (i,), role="input"), scope.tensor("w", (j,), role="parameter")
    dead, loss = scope.tensor("dead", (j,)), scope.tensor("L")
    scope.define(dead[j], unused[j] ** 2)
    scope.define(loss[()], x[i] ** 2, over=(i,))
    program = scope.freeze()
    for wrt in [(unused,), (x, unused), (unused, x)]:
        whole = program + backward(program, loss, wrt)
        values = run(whole, {"x": np.ones(3), "w": np.ones(2)})
        np.testing.assert_array_equal(values["w′1"], [0, 0])
        assert [t.name for t in whole.outputs] == [t.name for t in wrt]


def test_an_integer_tensor_has_derivative_zero():
    scope = Scope()
    x, loss = scope.tensor("x", (index("p", 3),), role="input"), scope.tensor("L")
    word = scope.tensor("word", (j,), role="input")
    scope.define(loss[()], x[word[j]] ** 2, over=(j,))
    program = scope.freeze()
    values = run(
        program + backward(program, loss, (word, x)), {"x": [1.0, 2.0, 3.0], "word": [2, 2]}
    )
    np.testing.assert_array_equal(values["word′1"], [0, 0])
    np.testing.assert_array_equal(values["x′1"], [0, 0, 12])


def test_cotangents_of_several_derivatives_stay_apart_whatever_tensors_are_called():
    """A maximum called x, the user's own ties_x and x_1, differentiated twice."""
    scope = Scope()
    w, x = scope.tensor("w", (i,), role="parameter"), scope.tensor("x")
    ties, other, loss = scope.tensor("ties_x"), scope.tensor("x_1"), scope.tensor("L")
    scope.define(x[()], w[i], over=(i,), reduce="max")
    scope.define(ties[()], x[()] ** 2)
    scope.define(other[()], ties[()] * x[()])
    scope.define(loss[()], other[()] * x[()])  # w_max⁴
    program = scope.freeze()
    first = program + backward(program, loss, (w,))
    again = Scope()
    again.adopt(*first.tensors)
    total = again.tensor("total")
    again.define(total[()], first.outputs[-1][i], over=(i,))
    whole = first + again.freeze((total,))
    second = whole + backward(whole, total, (w,))
    values = run(second, {"w": np.array([1.0, 2.0, 2.0])})
    np.testing.assert_allclose(values["w′1"], [0, 16, 16])  # 4·2³ shared by two
    assert len({str(t.label) for t in second.tensors}) == len(second.tensors)
    values = run(second, {"w": np.array([1.0, 2.0, 3.0])})
    np.testing.assert_allclose(values[str(second.outputs[-1].label)], [0, 0, 108])  # 12·3²


def test_the_derivative_of_a_loss_by_itself_is_one():
    scope = Scope()
    x, loss = scope.tensor("x", role="input"), scope.tensor("L")
    scope.define(loss[()], x[()])
    program = scope.freeze()
    assert run(program + backward(program, loss, (loss,)), {"x": 2.0})["L′1"] == 1


def test_an_outer_index_that_occurs_nowhere_multiplies():
    scope = Scope()
    x, loss = scope.tensor("x", role="input"), scope.tensor("L")
    scope.define(loss[()], x[()] ** 2, over=(i, j))
    program = scope.freeze()
    values = run(program + backward(program, loss, (x,)), {"x": 5.0})
    assert (values["L"], values["x′1"]) == (150, 60)


# -- refusals -------------------------------------------------------------------------------------


def refusal(scope, of, wrt):
    with pytest.raises(DerivationError) as caught:
        backward(scope.freeze(), of, wrt)
    return str(caught.value)


def test_only_a_scalar_is_differentiated():
    scope = Scope()
    x = scope.tensor("x", (i, j), role="input")
    assert refusal(scope, x, (x,)) == (
        "backward: expected a scalar to differentiate, but x has 2 axes"
    )


def test_what_is_not_in_the_program_is_not_differentiated():
    scope = Scope()
    x = scope.tensor("x", role="input")
    assert refusal(scope, Tensor("L"), (x,)) == "backward: L is not a tensor of the program"
    assert refusal(scope, x, (Tensor("w"),)) == "backward: w is not a tensor of the program"


def test_a_maximum_of_what_is_not_stored_is_not_differentiated():
    """Compiled code that computes sin(x) twice need not find the same bits: no element would attain
    it.
    """
    scope = Scope()
    x, top = scope.tensor("x", (i,), role="input"), scope.tensor("top")
    scope.define(top[()], sympy.sin(x[i]), over=(i,), reduce="max")
    message = refusal(scope, top, (x,))
    assert "compares sin(x[i]) with the maximum" in message
    assert "write it into a tensor of its own, and take the maximum of that" in message


def in_place(define):
    """A program over x, s (given), c, y and L, written by ``define``."""
    scope = Scope()
    t = index("t", 3)
    x, state = scope.tensor("x", (t,), role="input"), scope.tensor("s", role="state", init=0.0)
    c, y, loss = scope.tensor("c"), scope.tensor("y", (t,)), scope.tensor("L")
    define(scope, t, x, state, c, y)
    scope.define(loss[()], y[t], over=(t,))
    return scope, loss, x


def overwritten_by_itself(scope, t, x, s, c, y):
    scope.define(s[()], s[()] * x[0], reduce="set")
    scope.define(y[t], s[()])


def overwritten_later(scope, t, x, s, c, y):
    scope.define(s[()], s[()] + x[0], reduce="set")
    scope.define(y[t], s[()] * x[t])
    scope.define(s[()], s[()] + 1, reduce="set")


def overwritten_in_the_next_step(scope, t, x, s, c, y):
    with scope.recurrence(t):
        scope.define(s[()], s[()] + x[t], over=(t,), reduce="set")
        scope.define(y[t], s[()] ** 2)


def sum_that_grows(scope, t, x, s, c, y):
    with scope.recurrence(t):
        scope.define(c[()], x[t], over=(t,))
        scope.define(y[t], c[()] ** 2)


def read_before_it_is_complete(scope, t, x, s, c, y):
    scope.define(c[()], x[t], over=(t,))
    scope.define(y[t], c[()] ** 2)
    scope.define(c[()], y[t], over=(t,))
    scope.define(y[t], c[()])


STALE = [
    overwritten_by_itself,
    overwritten_later,
    overwritten_in_the_next_step,
    sum_that_grows,
    read_before_it_is_complete,
]


@pytest.mark.parametrize("define", STALE, ids=lambda f: f.__name__)
def test_a_value_that_is_gone_is_not_differentiated(define):
    scope, loss, x = in_place(define)
    message = refusal(scope, loss, (x,))
    assert message.startswith("the derivative of\n    ")
    name = "s" if "overwritten" in define.__name__ else "c"
    assert f"needs the value of {name} from before" in message
    assert "overwrote it; write the new value into a tensor of its own" in message


def test_a_read_of_other_elements_than_those_overwritten_is_differentiated():
    scope = Scope()
    t = index("t", 3)
    x, loss = scope.tensor("x", (t,), role="input"), scope.tensor("L")
    h = scope.tensor("h", (index("r", 7),))
    y = scope.tensor("y")
    scope.define(h[t + 1], x[t])
    scope.define(y[()], h[t + 1] ** 2, over=(t,))
    scope.define(h[t + 4], y[()] * x[t])
    scope.define(loss[()], h[t + 4], over=(t,))
    program = scope.freeze()
    values = run(program + backward(program, loss, (x,)), {"x": [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(values["x′1"], [14 + 12, 14 + 24, 14 + 36])  # Σx² + 2x Σx
