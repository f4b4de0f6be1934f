"""The interpreter: what a program means."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from symprop.adjoint import backward
from symprop.backends import numpy as interpreter
from symprop.backends.numpy import run
from symprop.errors import DataError, LoweringError, ShapeError
from symprop.primitives import Greater, Maximum, Minimum, Select
from symprop.scope import BATCH, Scope, index

from cases import PROGRAMS, draw
from oracles import gradients, worst_error

i, j, b = index("i", 4), index("j", 3), index("b", BATCH)


@pytest.mark.parametrize("name", PROGRAMS)
def test_slices_equal_the_whole(name, monkeypatch):
    case = PROGRAMS[name]
    whole = gradients(case)
    for grid in (1, 7):
        monkeypatch.setattr(interpreter, "GRID", grid)
        assert worst_error(gradients(case), whole) < 1e-14


@pytest.mark.parametrize("name", PROGRAMS)
def test_single_precision_stays_single(name):
    case = PROGRAMS[name]
    program = case.program + backward(case.program, case.of, case.wrt)
    values = run(program, case.arrays, np.float32)
    labels = {str(label) for label in program.integers}
    assert {a.dtype.name for key, a in values.items() if key not in labels} == {"float32"}
    assert worst_error(gradients(case, np.float32), gradients(case)) < 2e-4


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_number_in_a_value_is_of_another_precision(name, monkeypatch):
    """Literals, sizes, indices and gathered integers enter a float32 value as float32."""
    seen = set()
    original = interpreter.Evaluator.__call__

    def watched(self, node):
        result = original(self, node)
        seen.add(np.asarray(result).dtype.name)
        return result

    monkeypatch.setattr(interpreter.Evaluator, "__call__", watched)
    gradients(PROGRAMS[name], np.float32)
    assert seen == {"float32"}


def test_given_arrays_are_not_changed():
    case = PROGRAMS["sgd-in-place"]
    before = {name: array.copy() for name, array in case.arrays.items()}
    values = run(case.program, case.arrays)
    for name, array in before.items():
        np.testing.assert_array_equal(case.arrays[name], array)
    assert not np.array_equal(values["w"], before["w"])


def written(define, arrays=None, dtype=np.float64):
    """Run a program over x (4 numbers), n (4 positions below 3), giving y (3), s."""
    scope = Scope()
    x, n = scope.tensor("x", (i,), role="input"), scope.tensor("n", (i,), role="input")
    y, s = scope.tensor("y", (j,)), scope.tensor("s")
    define(scope, x, n, y, s)
    values = {"x": [1.0, -2.0, 3.0, 4.0], "n": [2, 0, 2, 2], **(arrays or {})}
    return run(scope.freeze(), values, dtype)


def test_a_scatter_to_one_place_adds():
    values = written(lambda scope, x, n, y, s: scope.define(y[n[i]], x[i]))
    np.testing.assert_array_equal(values["y"], [-2, 0, 8])


def test_a_maximum_scattered_keeps_the_largest_and_starts_from_minus_infinity():
    values = written(lambda scope, x, n, y, s: scope.define(y[n[i]], x[i], reduce="max"))
    np.testing.assert_array_equal(values["y"], [-2, -np.inf, 4])


def test_a_maximum_into_a_scalar():
    values = written(lambda scope, x, n, y, s: scope.define(s[()], -x[i], (i,), "max"))
    assert values["s"] == 2
    values = written(lambda scope, x, n, y, s: scope.define(s[()], x[0], reduce="max"))
    assert values["s"] == 1


def test_a_maximum_of_complex_numbers_looks_at_the_real_part_and_keeps_the_whole():
    values = written(
        lambda scope, x, n, y, s: scope.define(s[()], x[i], (i,), "max"),
        {"x": np.array([1, 2 + 1e-30j, -3 + 5j, 0])},
        complex,
    )
    assert values["s"] == 2 + 1e-30j


def test_a_maximum_holds_not_a_number():
    values = written(
        lambda scope, x, n, y, s: scope.define(y[n[i]], x[i], reduce="max"),
        {"x": [1.0, np.nan, 2.0, 3.0]},
    )
    np.testing.assert_array_equal(values["y"], [np.nan, -np.inf, 3])


def test_a_sum_over_an_index_that_does_not_occur_multiplies():
    values = written(lambda scope, x, n, y, s: scope.define(s[()], x[0] + 1, (i, j)))
    assert values["s"] == 24


def test_set_assigns_and_sums_after_it_add():
    def define(scope, x, n, y, s):
        scope.define(s[()], x[0])
        scope.define(s[()], 10 * x[1], reduce="set")
        scope.define(s[()], s[()] ** 2 + 1, reduce="set")
        scope.define(s[()], x[2])

    assert written(define)["s"] == 404


def test_a_given_tensor_is_the_start_of_its_sum():
    values = written(
        lambda scope, x, n, y, s: scope.define(s[()], x[i], (i,)), {"s": np.array(10.0)}
    )
    assert values["s"] == 16


def test_comparisons_of_indices_are_numbers():
    scope = Scope()
    y = scope.tensor("y", (i, j))
    scope.define(y[i, j], Select(Greater(i, j), i * 10 + j, -1) / (j + 1) ** 2)
    values = run(scope.freeze(), {}, np.float32)["y"]
    rows, columns = np.indices((4, 3))
    expected = np.where(rows > columns, 10 * rows + columns, -1) / (columns + 1) ** 2
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_an_integer_tensor_is_a_number_too():
    values = written(
        lambda scope, x, n, y, s: scope.define(s[()], x[n[i]] * (n[i] + 1) ** -2, (i,))
    )
    np.testing.assert_allclose(values["s"], 3 * (3 / 9) + 1, rtol=1e-15)


def test_not_a_number_and_infinity_run_through():
    for value in (np.nan, np.inf, -np.inf):
        values = written(
            lambda scope, x, n, y, s: scope.define(
                s[()], Maximum(x[0], 0) + Minimum(x[0], 0) + sympy.exp(x[1]) * 0
            ),
            {"x": [value, 1.0, 1.0, 1.0]},
        )
        np.testing.assert_array_equal(values["s"], value)


def test_an_empty_batch_sums_to_zero():
    scope = Scope()
    x, s = scope.tensor("x", (b, j), role="input"), scope.tensor("s")
    scope.define(s[()], x[b, j], over=(b, j))
    assert run(scope.freeze(), {"x": np.zeros((0, 3))})["s"] == 0


def test_a_recurrence_of_no_steps_does_nothing():
    scope = Scope()
    t = index("t", BATCH)
    x, s = scope.tensor("x", (t,), role="input"), scope.tensor("s")
    with scope.recurrence(t):
        scope.define(s[()], x[t], over=(t,))
    assert run(scope.freeze(), {"x": np.zeros(0)})["s"] == 0


def test_a_recurrence_runs_its_equations_together_step_by_step():
    """Fibonacci: each equation alone, over all steps, would give another sequence."""
    scope = Scope()
    t = index("t", 6)
    u = index("u", 7)
    a, c = scope.tensor("a", (u,)), scope.tensor("c", (u,))
    scope.define(a[0], 1)
    scope.define(c[0], 1)
    with scope.recurrence(t):
        scope.define(a[t + 1], c[t])
        scope.define(c[t + 1], a[t] + c[t])
    values = run(scope.freeze(), {})
    np.testing.assert_array_equal(values["c"], [1, 2, 3, 5, 8, 13, 21])
    np.testing.assert_array_equal(values["a"], [1, 1, 2, 3, 5, 8, 13])


def test_a_reversed_recurrence_starts_at_the_last_step():
    scope = Scope()
    t = index("t", 3)
    s = scope.tensor("s")
    with scope.recurrence(t, reverse=True):
        scope.define(s[()], 10 * s[()] + t, over=(t,), reduce="set")
    assert run(scope.freeze(), {})["s"] == 210


def test_results_are_the_same_bits_again():
    case = PROGRAMS["attention"]
    first, second = (gradients(case) for _ in range(2))
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ({"x": [1.0, 2.0]}, ShapeError, r"x: expected shape \(4,\), got \(2,\)"),
        ({"x": np.zeros((4, 1))}, ShapeError, r"x: expected 1 axes \(4,\), got shape \(4, 1\)"),
        (
            {"n": [0, 1, 2, 3]},
            DataError,
            r"y\[n\[i\]\]: subscript 3 lies outside of an axis of ext",
        ),
        ({"n": [0, -1, 2, 0]}, DataError, r"y\[n\[i\]\]: subscript -1 lies outside of an axis"),
        ({"n": [0, 0.5, 2, 0]}, DataError, "n: expected whole numbers, as it is a subscript or"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, error, words):
    with pytest.raises(error, match=words):
        written(lambda scope, x, n, y, s: scope.define(y[n[i]], x[i]), arrays)


def test_a_gather_outside_of_its_tensor_is_refused_when_read():
    with pytest.raises(
        DataError, match=r"x\[n\[i\] \+ 2\]: subscript 4 lies outside of an axis of"
    ):
        written(lambda scope, x, n, y, s: scope.define(s[()], x[n[i] + 2], (i,)))


def test_a_batch_is_of_one_size():
    scope = Scope()
    x, y, s = (
        scope.tensor("x", (b,), role="input"),
        scope.tensor("y", (b,), role="input"),
        scope.tensor("s"),
    )
    scope.define(s[()], x[b] * y[b], over=(b,))
    with pytest.raises(ShapeError, match=r"x: expected shape \(3,\), got \(2,\)"):
        run(scope.freeze(), {"x": np.zeros(2), "y": np.zeros(3)})


def test_a_size_that_no_array_tells_is_asked_for():
    scope = Scope()
    s = scope.tensor("s")
    scope.define(s[()], 1, over=(b,))
    with pytest.raises(ShapeError, match="no given array tells the size m; give one whose shape"):
        run(scope.freeze(), {})


def test_an_input_that_is_not_given_is_asked_for():
    scope = Scope()
    x, s = scope.tensor("x", role="input"), scope.tensor("s")
    scope.define(s[()], x[()])
    with pytest.raises(LoweringError, match="the program reads input x, for which no array was"):
        run(scope.freeze(), {})


def test_a_function_that_means_nothing_is_refused():
    scope = Scope()
    x, s = scope.tensor("x", role="input"), scope.tensor("s")
    scope.define(s[()], sympy.gamma(x[()]))
    with pytest.raises(LoweringError, match=r"gamma cannot be evaluated: gamma\(x\)"):
        run(scope.freeze(), {"x": 1.0})


def test_every_function_means_what_sympy_means():
    scope = Scope()
    k = index("k", 3)
    x = scope.tensor("x", (k,), role="input")
    names = [
        *("exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "erf", "erfc"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    ]
    values = np.array([0.2, 0.5, 0.9])
    for name in names:
        y = scope.tensor(name, (k,))
        scope.define(y[k], getattr(sympy, name)(x[k] + (1 if name == "acosh" else 0)))
    found = run(scope.freeze(), {"x": values})
    for name in names:
        shift = 1 if name == "acosh" else 0
        expected = [float(getattr(sympy, name)(sympy.Float(v, 30) + shift)) for v in values]
        np.testing.assert_allclose(found[name], expected, rtol=1e-14, err_msg=name)


def test_powers_mean_what_they_mean():
    scope = Scope()
    k = index("k", 3)
    x = scope.tensor("x", (k,), role="input")
    values = draw(1, 3, low=0.5, high=3.0)
    exponents = (-3, -2, -1, 2, 5, *(sympy.Rational(n, 6) for n in (-9, -3, -2, 1, 3, 7)))
    for position, exponent in enumerate(exponents):
        y = scope.tensor(f"y{position}", (k,))
        scope.define(y[k], x[k] ** exponent)
    found = run(scope.freeze(), {"x": values})
    for position, exponent in enumerate(exponents):
        np.testing.assert_allclose(found[f"y{position}"], values ** float(exponent), rtol=1e-14)
