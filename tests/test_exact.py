"""Exact values: they agree with the interpreter, with SymPy, and see every wrong formula."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from symprop import Dense, Network
from symprop.adjoint import partial
from symprop.backends.numpy import run
from symprop.derive.exact import Exact, difference
from symprop.derive.exact_draw import Draw, small_extents
from symprop.derive.exact_matrix import matrix_difference, matrix_value
from symprop.equation import Fact, Recurrence
from symprop.errors import DerivationError, ShapeError
from symprop.formula import Largest, Rate, Total
from symprop.primitives import Equal, Greater, Maximum, Select
from symprop.printers.index import Line, lines, names_of
from symprop.printers.matrix import in_matrices
from symprop.printers.structure import (
    Access,
    AllOf,
    AnyOf,
    Bracket,
    Case,
    Compare,
    Hadamard,
    Minus,
    Ones,
    Plus,
    Product,
    Quotient,
    Times,
    Transposed,
)
from symprop.printers.structure import Fraction as Division
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from symprop.tensor import accesses, extent, indices
from sympy import Idx, Indexed, IndexedBase, Integer, Symbol

from cases import PROGRAMS
from models import raises

TINY = 1e-40
STEEP = sympy.Piecewise((sympy.log(Symbol("z")), Symbol("z") > sympy.Rational(1, 2)), (2, True))
NETWORKS = {
    "softmax": Network([Dense(5, "tanh"), Dense(4, "softmax")], inputs=6, loss="cross_entropy"),
    "relu": Network([Dense(7, "relu"), Dense(1)], inputs=5, loss="hinge"),
    "tanh": Network([Dense(4, "tanh"), Dense(3, "sigmoid"), Dense(2)], inputs=3, loss="mse"),
    "hard": Network([Dense(4, "hard_tanh"), Dense(3, STEEP), Dense(2)], inputs=3, loss="mse"),
    "kinked": Network([Dense(4, "leaky_relu"), Dense(2)], inputs=3, loss="huber"),
}


def point(net, seed=0, batch=None):
    return Exact.draw(net.forward + net.raw_gradients, seed, batch)


def small(program, extents):
    """The program with other extents."""
    return Program(
        tuple(replace(t, axes=tuple(axis(i, extents) for i in t.axes)) for t in program.tensors),
        tuple(small_group(group, extents) for group in program.equations),
        tuple(replace(t, axes=tuple(axis(i, extents) for i in t.axes)) for t in program.outputs),
    )


def small_group(group, extents):
    if isinstance(group, Recurrence):
        inner = tuple(small_group(equation, extents) for equation in group.equations)
        return replace(group, index=axis(group.index, extents), equations=inner)
    names = {i: axis(i, extents) for i in {*group.loops, *indices(group.value)}}
    return group.renamed(names)


def axis(given, extents):
    size = extent(given)
    return Idx(given.label, extents.get(size, size)) if size.is_Integer else given


def floats(array):
    return np.vectorize(float, otypes=[float])(array)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_are_those_of_the_interpreter(name):
    program = PROGRAMS[name].program
    exact = Exact.draw(program, seed=1)
    given = {label: floats(array) for label, array in exact.given.items()}
    expected = run(small(program, exact.extents), given)
    for label, array in (exact.values | exact.after).items():
        np.testing.assert_allclose(floats(array), expected[label], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_training_has_the_interpreters_values(name):
    program = NETWORKS[name].forward + NETWORKS[name].raw_gradients + NETWORKS[name].update("adam")
    exact = Exact.draw(program, seed=2)
    expected = run(
        small(program, exact.extents), {key: floats(a) for key, a in exact.given.items()}
    )
    for label, array in (exact.values | exact.after).items():
        np.testing.assert_allclose(floats(array), expected[label], rtol=1e-12, atol=1e-12)


def test_what_rationals_give_is_rational():
    exact = point(NETWORKS["relu"])
    for array in exact.values.values():
        assert {type(number) for number in array.flat} <= {int, Fraction}


def test_a_seed_gives_the_same_point_and_another_seed_another():
    first, second, other = (point(NETWORKS["softmax"], seed) for seed in (3, 3, 4))
    assert first.extents == second.extents
    for label, array in first.values.items():
        assert difference(array, second.values[label]) == 0
    assert difference(first.values["L"], other.values["L"]) > 1e-3


def test_extents_are_small_and_differ_within_a_tensor():
    exact = Exact.draw(NETWORKS["softmax"].forward, seed=0)
    for label in ("W1", "W2", "z1", "z2", "x"):
        shape = exact.values[label].shape
        assert max(shape) <= 4
        assert len(set(shape)) == len(shape)


def test_extents_stay_where_equations_count_on_them():
    scope, n = Scope(), index("n", 9)
    x, y = scope.tensor("x", role="input"), scope.tensor("y")
    scope.define(y[()], x[()], over=(n,))
    for program in (PROGRAMS["conv1d-padded"].program, scope.freeze()):
        exact = Exact.draw(program, seed=0)
        assert exact.extents[Integer(9)] == 9
        assert all(number == size for size, number in exact.extents.items() if size.is_Integer)


@pytest.mark.parametrize("positive", [True, False])
def test_declared_facts_hold(positive):
    program = NETWORKS["softmax"].forward
    generator = np.random.default_rng(0)
    extents = small_extents(program, generator, batch=3)
    drawn = Draw(program, extents, generator, positive, Fraction(1)).arrays()
    assert {sum(row) for row in drawn["y"]} == {1}
    assert not positive or all(number > 0 for array in drawn.values() for number in array.flat)


def test_facts_that_cannot_hold_are_refused():
    program = one_equation(lambda x, u: u)
    fact = Fact(Symbol("u") * Symbol("x"), (), Integer(-1), "a square is negative")
    with raises(DerivationError, "the values drawn do not hold to: a square is negative"):
        Exact.draw(replace(program, facts=(fact,)), seed=0)


def test_what_an_update_assigns_stays_what_it_was_in_the_forward_pass():
    net = NETWORKS["softmax"]
    exact = Exact.draw(net.forward + net.raw_gradients + net.update(), seed=0)
    assert difference(exact.values["W1"], exact.given["W1"]) == 0
    step = exact.value(W[j, k] - Symbol("alpha") * IndexedBase("W1′1")[j, k], (j, k))
    assert difference(step, exact.after["W1"]) == 0


def test_arrays_of_other_shapes_are_infinitely_different():
    assert difference(np.full((2, 3), 1, object), np.full((3, 2), 1, object)) == math.inf


def test_mpmath_of_others_keeps_its_precision():
    before = mpmath.mp.dps
    point(NETWORKS["tanh"])
    assert mpmath.mp.dps == before


def one_equation(value):
    """y = f(u), u = x/2: a program of two equations."""
    scope = Scope()
    x, u, y = scope.tensor("x", role="input"), scope.tensor("u"), scope.tensor("y")
    scope.define(u[()], x[()] / 2)
    scope.define(y[()], value(x[()], u[()]))
    return scope.freeze()


def test_a_program_without_a_value_is_refused():
    program = one_equation(lambda x, u: sympy.log(-(x**2)))
    with raises(DerivationError, "no point was found in 26 attempts"):
        Exact.draw(program, seed=0)


def test_a_program_always_at_a_kink_is_refused():
    program = one_equation(lambda x, u: Maximum(x, 2 * u))
    with raises(DerivationError, "at the last: a function is at its kink"):
        Exact.draw(program, seed=0)


def test_it_moves_to_where_logarithms_have_values():
    net = Network([Dense(3, sympy.log(Symbol("z"))), Dense(2, "sigmoid")], inputs=3, loss="mse")
    assert Exact.draw(net.forward, seed=0).values["a1"].shape


# -- formulas --------------------------------------------------------------------------------------

b, c, k, j, o = (index(*of) for of in (("b", BATCH), ("c", BATCH), ("k", 6), ("j", 5), ("o", 4)))
x, W, z = (IndexedBase(name) for name in ("x", "W1", "z1"))


def test_a_sum_is_the_sum_of_its_terms():
    exact = point(NETWORKS["softmax"])
    found = exact.value(Total(W[j, k] * x[b, k], k) + IndexedBase("b1")[j], (b, j))
    assert difference(found, exact.values["z1"]) == 0
    largest = exact.value(Largest(W[j, k], k), (j,))
    assert list(largest) == [max(row) for row in exact.values["W1"]]


def test_another_program_has_its_values_at_the_same_point():
    net = NETWORKS["softmax"]
    exact = point(net)
    short = Exact(net.gradients, exact.extents, exact.given)
    for tensor in net.raw_gradients.outputs:
        label = str(tensor.label)
        assert difference(short.values[label], exact.values[label]) < TINY


def test_a_formula_without_a_value_is_refused():
    exact = point(NETWORKS["softmax"])
    with raises(DerivationError, "nothing gives a value to j"):
        exact.value(W[j, k], (k,))
    with raises(DerivationError, "has no value at this point"):
        exact.value(sympy.log(-(x[b, k] ** 2)), (b, k))
    with raises(DerivationError, "has no value at this point"):
        exact.value(sympy.log(Greater(x[b, k], 2)), (b, k))
    with raises(DerivationError, "there is no element"):
        exact.value(x[b, k - 1], (b, k))


def test_a_kronecker_delta_compares_indices():
    exact = point(NETWORKS["softmax"])
    other = index("i", 5)
    found = exact.value(Total(Equal(j, other) * W[other, k], other), (j, k))
    assert difference(found, exact.values["W1"]) == 0


def test_only_the_branch_taken_needs_a_value():
    exact = point(NETWORKS["softmax"])
    safe = Select(Greater(x[b, k], 0), sympy.log(x[b, k]), Integer(0))
    assert exact.value(safe, (b, k)).shape == exact.values["x"].shape


@pytest.mark.parametrize("name", [*PROGRAMS, *NETWORKS])
def test_a_rate_is_the_slope_that_sympy_finds(name):
    net = NETWORKS.get(name)
    program = net.forward if net else PROGRAMS[name].program
    exact = Exact.draw(program, seed=5)
    for equation in program.flat:
        for access in accesses(equation.value):
            if not exact.program.tensor(access) or equation.reduce == "set":
                continue
            slope = partial(equation.value, access)
            if slope.has(Equal) or gathered(program, access):
                continue
            free = tuple(equation.loops)
            expected = exact.value(slope, free)
            found = exact.value(Rate(equation.value, access), free)
            others = others_at_the_same_element(equation.value, access)
            assert others or difference(found, expected) < TINY


def gathered(program, access):
    return program.tensor(access).label in program.gathers


def others_at_the_same_element(value, access):
    """Whether a value reads the tensor elsewhere too: a Rate moves the element, not the symbol."""
    return any(
        a != access and a.atoms(Symbol) & {access.base.label}
        for a in accesses(value)
        if isinstance(a, Indexed) and isinstance(access, Indexed)
    )


def test_a_rate_reaches_into_a_sum():
    exact = point(NETWORKS["softmax"])
    i, n = index("i", 5), index("n", 6)
    body = Total(W[j, k] * x[b, k], k)
    found = exact.value(Rate(body, W[i, n]), (b, j, i, n))
    expected = exact.value(Equal(i, j) * x[b, n], (b, j, i, n))
    assert difference(found, expected) == 0


def test_the_rate_of_an_element_is_that_of_its_own_equations():
    exact = point(NETWORKS["softmax"])
    i, n = index("i", 5), index("n", 6)
    found = exact.value(Rate(z[b, j], W[i, n]), (b, j, i, n))
    assert difference(found, exact.value(Equal(i, j) * x[b, n], (b, j, i, n))) == 0
    bias = exact.value(Rate(z[b, j], IndexedBase("b1")[i]), (b, j, i))
    assert difference(bias, exact.value(Equal(i, j), (b, j, i))) == 0
    same = exact.value(Rate(z[b, j], z[c, i]), (b, j, c, i))
    assert difference(same, exact.value(Equal(b, c) * Equal(i, j), (b, j, c, i))) == 0
    assert not exact.value(Rate(Symbol("L"), z[b, j]), (b, j)).any()


def test_the_rate_of_an_element_is_that_of_the_terms_put_into_it():
    program = PROGRAMS["conv1d-padded"].program
    exact = Exact.draw(program, seed=0)
    p, n = index("p", 11), index("n", 9)
    found = exact.value(Rate(IndexedBase("padded")[b, p], x[b, n]), (b, p, n))
    assert difference(found, exact.value(Equal(p, n + 1), (b, p, n))) == 0


def test_values_are_as_before_after_a_rate():
    exact = point(NETWORKS["softmax"])
    before = {label: array.copy() for label, array in exact.values.items()}
    exact.value(Rate(sympy.exp(z[b, j]), z[b, j]), (b, j))
    exact.value(Rate(z[b, j], W[j, k]), (b, j, k))
    assert all(difference(array, exact.values[label]) == 0 for label, array in before.items())


# -- derivatives through the program ---------------------------------------------------------------


def direction(array):
    generator = np.random.default_rng(0)
    found = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        found[place] = Fraction(int(generator.integers(-9, 10)), 7)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_cotangents_are_directional_derivatives_of_the_loss(name):
    exact = point(NETWORKS[name], seed=6)
    checked = 0
    for tensor in NETWORKS[name].forward.tensors:
        bar = exact.values.get(str(tensor.cotangent(1).label))
        if bar is None or tensor.role == "constant" or not tensor.axes:
            continue
        along = direction(bar)
        found = exact.derivative(Symbol("L"), tensor.label, along)
        assert difference(np.array([found]), np.array([np.sum(bar * along)])) < TINY, tensor
        checked += 1
    assert checked >= 7


@pytest.mark.parametrize(
    "name",
    [
        "rnn-all",
        "rnn-reverse",
        "lstm-cell",
        "max-pool",
        "sgd-in-place",
        "repeated-tensor",
        "attention-causal",
        "batch-norm",
    ],
)
def test_cotangents_of_other_programs_are_directional_derivatives(name):
    from symprop.adjoint import backward

    case = PROGRAMS[name]
    exact = Exact.draw(case.program + backward(case.program, case.of, case.wrt), seed=7)
    for tensor in case.program.tensors:
        bar = exact.values.get(str(tensor.cotangent(1).label))
        if bar is None or tensor.role == "constant":
            continue
        along = direction(bar)
        found = exact.derivative(case.of.label, tensor.label, along)
        assert difference(np.array([found]), np.array([np.sum(bar * along)])) < TINY, tensor


def test_the_table_of_derivatives_of_a_loss_is_its_cotangent():
    exact = point(NETWORKS["softmax"])
    assert difference(exact.jacobian(Symbol("L"), Symbol("z1")), exact.values["z1′1"]) < TINY
    through = exact.value(Rate(IndexedBase("z2")[b, o], IndexedBase("a1")[c, j]), (b, o, c, j))
    table = exact.jacobian(Symbol("z2"), Symbol("a1"))
    assert difference(table, through) < TINY


def test_a_constant_is_held():
    scope = Scope()
    x, loss = scope.tensor("x", role="input"), scope.tensor("L")
    c = scope.tensor("c", role="constant")
    scope.define(c[()], x[()] ** 2)
    scope.define(loss[()], c[()] * x[()])
    exact = Exact.draw(scope.freeze(), seed=0)
    assert exact.derivative(loss.label, x.label, np.array(1)) == exact.values["c"][()]


# -- wrong formulas are seen -----------------------------------------------------------------------

DELTA, E = IndexedBase("z2′1"), IndexedBase("W2")
RIGHT = Total(E[o, j] * DELTA[b, o], o) * (1 - IndexedBase("a1")[b, j] ** 2)
WRONG = {
    "sign": -RIGHT,
    "factor": 2 * RIGHT,
    "1/m": RIGHT * BATCH,
    "derivative": Total(E[o, j] * DELTA[b, o], o) * (1 - IndexedBase("a1")[b, j]),
    "dropped": Total(E[o, j] * DELTA[b, o], o),
    "sum": E[0, j] * DELTA[b, 0] * (1 - IndexedBase("a1")[b, j] ** 2),
}


def test_the_right_recursion_has_the_value_of_the_plain_adjoint():
    exact = point(NETWORKS["softmax"])
    assert difference(exact.value(RIGHT, (b, j)), exact.values["z1′1"]) < TINY


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_recursion_is_seen(name):
    for seed in range(3):
        exact = point(NETWORKS["softmax"], seed)
        assert difference(exact.value(WRONG[name], (b, j)), exact.values["z1′1"]) > 1e-6


def test_an_index_in_the_wrong_place_is_seen():
    square = Network([Dense(5, "tanh"), Dense(5)], inputs=5, loss="mse")
    i = index("i", 5)
    for seed in range(3):
        exact = point(square, seed)
        slope = 1 - IndexedBase("a1")[b, j] ** 2
        right, wrong = (
            exact.value(Total(weight * DELTA[b, i], i) * slope, (b, j))
            for weight in (E[i, j], E[j, i])
        )
        assert difference(right, exact.values["z1′1"]) < TINY
        assert difference(wrong, exact.values["z1′1"]) > 1e-6


# -- matrices --------------------------------------------------------------------------------------


def matrix_lines(program, form):
    names = names_of(program)
    for line in lines(program.equations, names, program.by_label):
        found = in_matrices(line, names, form) if isinstance(line, Line) else None
        if found is not None:
            yield found, names


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("form", "batch"), [("batch", 3), ("sample", 1)])
def test_matrix_notation_has_the_value_of_its_equations(name, form, batch):
    net = NETWORKS[name]
    for program in (net.forward + net.raw_gradients, net.gradients):
        exact = Exact.draw(program, seed=8, batch=batch)
        found = list(matrix_lines(program, form))
        assert len(found) > 10
        for line, names in found:
            assert matrix_difference(exact, line.value, line.equations, names, form) < TINY, line


def corrupted(node):
    """The formula with one thing wrong, in every place."""
    if isinstance(node, Transposed):
        yield node.args[0]
    if isinstance(node, Access) and node.args[0].name[0] == "W":
        yield Transposed(node)
    if isinstance(node, (Product, Plus, Hadamard)):
        yield node.func(*node.args[1:]) if len(node.args) > 2 else node.args[1]
        yield node.func(*node.args[:-1]) if len(node.args) > 2 else node.args[0]
    if isinstance(node, Hadamard):
        yield Times(*node.args)
    for place, part in enumerate(node.args):
        for wrong in corrupted(part):
            yield node.func(*node.args[:place], wrong, *node.args[place + 1 :])


@pytest.mark.parametrize("units", [4, 6])
def test_corrupted_matrix_notation_is_seen(units):
    """Also where all matrices are square."""
    net = Network([Dense(units, "tanh"), Dense(4)], inputs=units, loss="mse")
    program, seen = net.gradients, 0
    exact = Exact.draw(program, seed=9)
    for line, names in matrix_lines(program, "batch"):
        for wrong in corrupted(line.value):
            assert matrix_difference(exact, wrong, line.equations, names) > 1e-6, wrong
            seen += 1
    assert seen > 15


A, V = Access(Symbol("A")), Access(Symbol("v"))
VALUES = {A: np.array([[1, 2, 3], [4, 5, 6]], dtype=object), V: np.array([[7], [8]], dtype=object)}


@pytest.mark.parametrize(
    "node",
    [
        Product(A, V),
        Product(A, A),
        Plus(A, V),
        Hadamard(A, Transposed(A)),
        Times(A, A),
        Quotient(A, V),
        Division(A, A),
        Plus(A, Ones()),
    ],
)
def test_shapes_that_do_not_fit_are_refused(node):
    with pytest.raises(ShapeError):
        matrix_value(node, VALUES)


def test_ones_are_as_long_as_what_they_meet():
    assert matrix_value(Product(A, Ones()), VALUES).tolist() == [[6], [15]]
    assert matrix_value(Product(Transposed(Ones()), A, Ones()), VALUES).tolist() == [[21]]
    repeated = Plus(A, Product(V, Transposed(Ones())))
    assert matrix_value(repeated, VALUES).tolist() == [[8, 9, 10], [12, 13, 14]]
    assert matrix_value(Plus(A, Integer(1)), VALUES).tolist() == [[2, 3, 4], [5, 6, 7]]
    with raises(ShapeError, "nothing says how long its column of ones is"):
        matrix_value(Product(V, Transposed(Ones())), VALUES)


def test_conditions_hold_element_by_element():
    above, below = (Compare(Symbol(r), A, Integer(n)) for r, n in ((">", 1), ("≤", 4)))
    assert matrix_value(Bracket(AllOf(above, below)), VALUES).tolist() == [[0, 1, 1], [1, 0, 0]]
    outside = (Compare(Symbol(r), A, Integer(n)) for r, n in (("<", 2), ("≥", 5)))
    assert matrix_value(Bracket(AnyOf(*outside)), VALUES).tolist() == [[1, 0, 0], [0, 1, 1]]
    chosen = Case(Integer(0), above, Minus(A))
    assert matrix_value(chosen, VALUES).tolist() == [[-1, 0, 0], [0, 0, 0]]
