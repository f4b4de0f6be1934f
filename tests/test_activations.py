"""Activations: built-ins against formulas, custom ones against complex step, refusals."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy
from symprop import Dense, Network, primitives
from symprop.activations import ACTIVATIONS, ARGUMENT, activation
from symprop.adjoint import partial
from symprop.backends.numpy import run
from symprop.errors import ArgumentTypeError, DeclarationError, UnknownNameError
from symprop.scope import Scope, index
from sympy import Abs, And, Heaviside, Max, Min, Not, Or, Piecewise, Rational, Symbol

from cases import draw, network, network_case
from oracles import complex_step, gradients, worst_error

z = Symbol("z")
POINTS = np.array([-30.0, -3.0, -1.0, -0.99, -0.5, -1e-9, 0.0, 1e-9, 0.3, 1.0, 2.5, 30.0])


def apply(expression, values, dtype=np.float64):
    """f at each of the values, through the interpreter."""
    scope = Scope()
    i = index("i", len(values))
    x, y = scope.tensor("x", (i,), role="input"), scope.tensor("y", (i,))
    scope.define(y[i], expression.xreplace({ARGUMENT: x[i]}))
    return run(scope.freeze(), {"x": values}, dtype)["y"]


# -- primitives -----------------------------------------------------------------------------------

u, v = Symbol("u"), Symbol("v")
KINKS = {  # value and slopes by u and v, at u < v, u = v, u > v (v = 1)
    primitives.Greater: ([0, 0, 1], [0, 0, 0], [0, 0, 0]),
    primitives.GreaterEqual: ([0, 1, 1], [0, 0, 0], [0, 0, 0]),
    primitives.Equal: ([0, 1, 0], [0, 0, 0], [0, 0, 0]),
    primitives.Maximum: ([1, 1, 2], [0, 0, 1], [1, 1, 0]),
    primitives.Minimum: ([0, 1, 1], [1, 0, 0], [0, 1, 1]),
}
AROUND = np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize("function", KINKS, ids=lambda f: f.__name__)
def test_values_and_slopes_of_a_primitive_of_two_at_its_kink(function):
    value, by_u, by_v = KINKS[function]
    for expected, expression in (
        (value, function(u, v)),
        (by_u, function(u, v).diff(u)),
        (by_v, function(u, v).diff(v)),
    ):
        at = expression.xreplace({u: ARGUMENT, v: sympy.Integer(1)})
        np.testing.assert_array_equal(apply(at, AROUND), expected)
        np.testing.assert_array_equal(apply(at, AROUND.astype(complex), complex), expected)
        for number, wanted in zip((0, 1, 2), expected, strict=True):  # SymPy's own numbers
            assert expression.subs({u: number, v: 1}) == wanted


def test_values_and_slopes_of_absolute_and_sign_at_zero():
    values = np.array([-2.0, 0.0, 3.0])
    for expression, expected in (
        (primitives.Absolute(ARGUMENT), [2, 0, 3]),
        (primitives.Absolute(ARGUMENT).diff(ARGUMENT), [-1, 0, 1]),
        (primitives.Sign(ARGUMENT), [-1, 0, 1]),
        (primitives.Sign(ARGUMENT).diff(ARGUMENT), [0, 0, 0]),
    ):
        np.testing.assert_array_equal(apply(expression, values), expected)
        for number, wanted in zip((-2, 0, 3), expected, strict=True):
            assert expression.subs(ARGUMENT, number) == wanted


def test_select_takes_value_and_slope_of_one_branch_only():
    """A weighted sum c·u′ + (1 − c)·v′ would be 0·∞ = NaN at 0."""
    chosen = primitives.Select(primitives.Greater(ARGUMENT, 0), sympy.sqrt(ARGUMENT), 3 * ARGUMENT)
    np.testing.assert_array_equal(apply(chosen, np.array([-1.0, 0.0, 4.0])), [-3, 0, 2])
    slope = chosen.diff(ARGUMENT)
    np.testing.assert_array_equal(apply(slope, np.array([-1.0, 0.0, 4.0])), [3, 3, 0.25])
    assert primitives.Select(sympy.Integer(0), u, v) == v
    assert primitives.Select(sympy.Integer(2), u, v) == u
    assert primitives.Select(u, v, v) == v


SECOND = [
    *(f(u**2, v * u) for f in KINKS),
    primitives.Absolute(u),
    primitives.Sign(u),
    primitives.Maximum(u, 0),
    primitives.Minimum(primitives.Maximum(u, -1), 1),
    primitives.Select(primitives.Greater(u, 0), u, 2 * u),
    primitives.Select(primitives.Greater(primitives.Absolute(u), 1), primitives.Absolute(u), u),
]


@pytest.mark.parametrize("expression", SECOND, ids=str)
def test_second_derivatives_have_no_delta(expression):
    second = expression.diff(u, 2)
    assert not second.has(sympy.DiracDelta, Heaviside, sympy.Derivative, sympy.Subs)
    if expression.diff(u).atoms(sympy.Function) and not expression.has(v):
        assert all(second.subs(u, number) == 0 for number in (-1, 0, 1))


def test_not_a_number_is_seen_through_every_primitive_of_one_operand_and_a_number():
    nan = np.array([np.nan])
    for expression in (
        primitives.Maximum(ARGUMENT, 0),
        primitives.Minimum(ARGUMENT, 1),
        primitives.Absolute(ARGUMENT),
        primitives.Sign(ARGUMENT),
        primitives.Maximum(primitives.Minimum(ARGUMENT, 1), -1),
    ):
        assert np.isnan(apply(expression, nan)[0]), expression
    assert apply(primitives.Greater(ARGUMENT, 0), nan)[0] == 0
    assert apply(primitives.Equal(ARGUMENT, ARGUMENT + 1), nan)[0] == 0


def test_primitives_differentiate_by_complex_step_on_both_sides():
    step = 1e-30
    for expression in (
        primitives.Absolute(ARGUMENT),
        primitives.Maximum(ARGUMENT, ARGUMENT**2),
        primitives.Minimum(ARGUMENT, 1),
    ):
        values = np.array([-0.7, 0.4, 1.7])
        found = apply(expression, values + 1j * step, complex).imag / step
        np.testing.assert_allclose(found, apply(expression.diff(ARGUMENT), values), rtol=1e-15)


# -- built-ins ------------------------------------------------------------------------------------

SELU = (
    mpmath.mpf("1.6732632423543772848170429916717"),
    mpmath.mpf("1.0507009873554804934193349852946"),
)
FORMULAS = {
    "linear": lambda t: t,
    "relu": lambda t: max(t, mpmath.mpf(0)),
    "leaky_relu": lambda t: t if t > 0 else t / 100,
    "elu": lambda t: t if t > 0 else mpmath.expm1(t),
    "selu": lambda t: SELU[1] * (t if t > 0 else SELU[0] * mpmath.expm1(t)),
    "gelu": lambda t: t * mpmath.ncdf(t),
    "sigmoid": lambda t: 1 / (1 + mpmath.exp(-t)),
    "tanh": mpmath.tanh,
    "softplus": lambda t: mpmath.log1p(mpmath.exp(t)),
    "silu": lambda t: t / (1 + mpmath.exp(-t)),
    "mish": lambda t: t * mpmath.tanh(mpmath.log1p(mpmath.exp(t))),
    "softsign": lambda t: t / (1 + abs(t)),
    "hard_tanh": lambda t: min(max(t, mpmath.mpf(-1)), mpmath.mpf(1)),
}


def test_every_built_in_has_its_formula_here():
    assert {*FORMULAS, "softmax"} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_built_in_has_the_value_of_its_formula(name):
    with mpmath.workdps(40):
        expected = [float(FORMULAS[name](mpmath.mpf(float(x)))) for x in POINTS]
    found = apply(ACTIVATIONS[name].expression, POINTS)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_built_in_has_the_slope_of_its_formula(name):
    away = POINTS[np.abs(np.abs(POINTS) - 0.5) < 30]
    away = away[(np.abs(away) > 1e-3) & (np.abs(np.abs(away) - 1) > 1e-3)]
    with mpmath.workdps(40):
        expected = [float(mpmath.diff(FORMULAS[name], mpmath.mpf(float(x)))) for x in away]
    found = apply(ACTIVATIONS[name].expression.diff(ARGUMENT), away)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "at", "slope"),
    [
        *(("relu", 0.0, 0), ("leaky_relu", 0.0, 0.01), ("elu", 0.0, 1), ("softsign", 0.0, 1)),
        *(("hard_tanh", -1.0, 0), ("hard_tanh", 1.0, 0), ("hard_tanh", 0.0, 1)),
    ],
)
def test_the_slope_at_a_kink(name, at, slope):
    found = apply(ACTIVATIONS[name].expression.diff(ARGUMENT), np.array([at]))
    np.testing.assert_allclose(found, [slope], rtol=1e-15)


def softmax(values, dtype=np.float64):
    scope = Scope()
    i, j = index("i", values.shape[0]), index("j", values.shape[1])
    x, y = scope.tensor("z1", (i, j), role="input"), scope.tensor("y", (i, j))
    ACTIVATIONS["softmax"].apply(scope, x, y)
    return run(scope.freeze(), {"z1": values}, dtype)["y"]


def test_softmax_has_the_value_of_its_formula_and_does_not_overflow():
    values = np.array([[1.0, 2.0, 3.0], [1000.0, 1001.0, 0.0], [-1000.0, -1000.0, -1001.0]])
    np.testing.assert_allclose(softmax(values), scipy.special.softmax(values, axis=1), rtol=1e-14)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "softmax"])
def test_a_built_in_stays_in_single_precision(name):
    found = apply(ACTIVATIONS[name].expression, POINTS, np.float32)
    assert found.dtype == np.float32


def test_initializers_follow_the_activation():
    he = {"relu", "leaky_relu", "elu", "gelu", "silu", "mish"}
    for name, built_in in ACTIVATIONS.items():
        expected = (
            "he_normal" if name in he else "lecun_normal" if name == "selu" else "glorot_uniform"
        )
        assert built_in.initializer == expected, name


# -- custom expressions ---------------------------------------------------------------------------

half = Rational(1, 2)
CUSTOM = {
    "swish": z * sympy.tanh(z),
    "gaussian": sympy.exp(-(z**2)),
    "polynomial": z**3 / 3 - 2 * z**2 + z / 7 - 1,
    "decimal": 0.1 * z**2.0 + 1.7 * z + z**0.5 * 0,
    "piecewise": Piecewise((z**2, z > half), (z / 2 - 1, z <= -half), (sympy.sin(z), True)),
    "and": Piecewise((z**2, And(z > -half, z < half)), (sympy.cos(z), True)),
    "or": Piecewise((z**2, Or(z < -half, z > half)), (sympy.exp(z), True)),
    "not": Piecewise((z**3, Not(And(z > -1, z < half))), (2 * z, True)),
    "equal": Piecewise((z, sympy.Ne(z, 0)), (sympy.Integer(5), sympy.Eq(z, 1)), (0, True)),
    "nested": Piecewise((Piecewise((z**2, z < 1), (z, True)), z > 0), (Abs(z), True)),
    "max-of-three": Max(z, z**2, half),
    "min-of-three": Min(z, z**3, half),
    "clip": Min(Max(z, -half), half),
    "sign": sympy.sign(z) * sympy.log(1 + Abs(z)),
    "heaviside": Heaviside(z) * z**2,
    "heaviside-at-zero": Heaviside(z - half, 1) * sympy.sin(z),
    "sinc": sympy.sinc(3 * z),
    "cot": sympy.cot(z + 4),
    "sec": sympy.sec(z / 2),
    "csc": sympy.csc(z / 2 + 4),
    "sech": sympy.sech(z),
    "csch": sympy.csch(z + 5),
    "coth": sympy.coth(z + 5),
    "atan": sympy.atan(2 * z),
    "asinh": sympy.asinh(z) + sympy.acosh(z**2 + 2) + sympy.atanh(sympy.tanh(z) / 2),
    "asin": sympy.asin(sympy.sin(z) / 2) - sympy.acos(z / 10),
    "erf": z * sympy.erf(z) + sympy.erfc(z / 2),
    "powers": (1 + z**2) ** Rational(-3, 2) + (z**2 + 1) ** Rational(1, 3),
    "root-of-square": sympy.sqrt(z**2) + z,
    "variable-exponent": (2 + sympy.tanh(z)) ** z + 3**z,
    "logit": sympy.log(1 + sympy.exp(z)) / (1 + sympy.exp(-z)),
    "hyperbolic": sympy.sinh(z) / sympy.cosh(z) ** 2 + sympy.tan(z / 4),
    "constants": sympy.pi * z + sympy.E**z + sympy.GoldenRatio * sympy.log(3) * z,
    "deep": sympy.sin(sympy.tanh(sympy.exp(sympy.cos(sympy.atan(z) ** 2) / 2) - z)),
    "flat": sympy.sign(z),
    "log-of-square": sympy.log(z**2 + 1, 2),
}
X, Y = draw(1, 5, 2), draw(2, 5, 2)


@pytest.mark.parametrize("which", ["raw_gradients", "gradients"])
@pytest.mark.parametrize("name", CUSTOM)
def test_gradients_of_a_custom_activation_match_complex_step(name, which):
    net = network(CUSTOM[name])
    case = network_case(net, X, Y)
    expected = complex_step(case)
    if which == "raw_gradients":
        assert worst_error(gradients(case), expected) < 1e-12
        return
    values = run(net.gradients, case.arrays)
    labels = [str(output.label) for output in net.raw_gradients.outputs]
    found = {str(p.label): values[key] for p, key in zip(net.parameters, labels, strict=True)}
    assert worst_error(found, expected) < 1e-12


@pytest.mark.parametrize("name", CUSTOM)
def test_a_custom_activation_has_the_value_that_sympy_gives(name):
    found = apply(activation(CUSTOM[name]).expression, np.array([-0.9, -0.2, 0.3, 0.8, 1.3]))
    expected = [
        complex(CUSTOM[name].subs(z, Rational(x)).evalf(30)).real
        for x in ("-9/10", "-1/5", "3/10", "4/5", "13/10")
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14, err_msg=name)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        *((z > 0, [0, 0, 1]), (z >= 0, [0, 1, 1]), (z < 0, [1, 0, 0]), (z <= 0, [1, 1, 0])),
        *((sympy.Eq(z, 0), [0, 1, 0]), (sympy.Ne(z, 0), [1, 0, 1]), (z**2 <= z, [0, 1, 1])),
        (And(z >= 0, z <= 0), [0, 1, 0]),
        (Or(z < 0, z > 0), [1, 0, 1]),
        (Not(And(z >= 0, z**2 <= 0)), [1, 0, 1]),
    ],
    ids=str,
)
def test_a_condition_holds_where_it_says_at_its_boundary_too(condition, expected):
    expression = activation(z * 0 + Piecewise((2, condition), (z - z, True)) + z).expression
    values = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(apply(expression - ARGUMENT, values), 2 * np.array(expected))


def test_any_symbol_will_do_whatever_its_assumptions():
    for symbol in (Symbol("q"), Symbol("q", real=True), Symbol("q", positive=True), sympy.Dummy()):
        assert activation(symbol * sympy.tanh(symbol)).expression == ARGUMENT * sympy.tanh(ARGUMENT)


def test_a_tie_with_a_number_belongs_to_the_number():
    for expression in (Max(0, z), Max(z, 0)):
        assert activation(expression).expression == ACTIVATIONS["relu"].expression
    expression = activation(Max(z, -z, 1)).expression
    assert apply(partial(expression, ARGUMENT), np.array([1.0]))[0] == 0


def test_decimals_are_the_numbers_that_they_are_written_as():
    assert activation(0.1 * z).expression == ARGUMENT / 10
    assert activation(z**0.5).expression == sympy.sqrt(ARGUMENT)


def test_none_is_linear_and_an_activation_is_itself():
    assert activation(None) is ACTIVATIONS["linear"]
    assert activation(ACTIVATIONS["softmax"]) is ACTIVATIONS["softmax"]


f = sympy.Function("f")
REFUSED = {
    "integral": (sympy.Integral(sympy.exp(-(z**2)), (z, 0, z)), "cannot compute Integral"),
    "floor": (sympy.floor(z) + z, "cannot compute floor in floor(z)"),
    "gamma": (z * sympy.gamma(z), "cannot compute gamma in gamma(z)"),
    "modulo": (sympy.Mod(z, 2), "cannot compute Mod in Mod(z, 2)"),
    "derivative": (sympy.Derivative(f(z), z), "cannot compute"),
    "unknown function": (f(z), "cannot compute f in f(z)"),
    "delta": (sympy.DiracDelta(z), "cannot compute DiracDelta in DiracDelta(z)"),
    "inside": (sympy.exp(sympy.zeta(z)), "cannot compute zeta in zeta(z)"),
    "second symbol": (z * Symbol("a"), "expected one symbol, found a, z"),
    "imaginary": (sympy.I * z, "is complex for a real argument"),
    "imaginary exponent": (sympy.exp(sympy.I * z), "is complex for a real argument"),
    "negative base": ((-2) ** z, "(-2)**z is complex for a real argument"),
    "root of a negative": (sympy.sqrt(-1 - z**2), "complex for a real argument"),
    "zoo": (z + sympy.zoo, "zoo"),
    "infinity": (Max(z, z * sympy.oo), "oo"),
    "huge": (z * sympy.Float("1e400"), "which is not a finite number"),
    "no default": (
        Piecewise((z, z > 0), (0, z < -1)),
        "a Piecewise needs a last branch (value, True)",
    ),
    "odd condition": (Piecewise((z, sympy.Contains(z, sympy.Integers)), (0, True)), "Contains"),
    "constant": (sympy.Integer(1), "expected one symbol, found none"),
    "not a number": (sympy.nan, "nan"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused_naming_the_node(name):
    expression, words = REFUSED[name]
    with pytest.raises(DeclarationError) as caught:
        Dense(2, activation=expression)
    assert words in str(caught.value)
    assert str(caught.value).startswith("activation ")


@pytest.mark.parametrize(
    "given",
    [
        *(2, 1.5, True, [z], z > 0, sympy.Eq(z, 0), sympy.true, sympy.Matrix([z]), sympy.tanh),
        *(sympy.MatrixSymbol("A", 2, 2), lambda x: x, np.tanh, {"z": z}, b"relu", Dense),
    ],
    ids=repr,
)
def test_what_is_no_expression_is_refused_by_type(given):
    with pytest.raises(ArgumentTypeError) as caught:
        Dense(2, activation=given)
    assert str(caught.value).startswith(
        "activation: expected a name, a SymPy expression in one symbol or None, got "
    )


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("rleu", "relu"),
        ("ReLU", "relu"),
        ("GELU", "gelu"),
        ("Sigmoid", "sigmoid"),
        ("leakyrelu", "leaky_relu"),
        ("swish", None),
        ("z**2", None),
        ("", None),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(given, near):
    with pytest.raises(UnknownNameError) as caught:
        Dense(2, activation=given)
    message = str(caught.value)
    assert message.startswith(f"activation: unknown name {given!r}; ")
    assert (f"did you mean {near!r}?" in message) if near else "known are linear, relu" in message


def test_a_network_of_a_flat_activation_has_gradient_zero_before_it():
    net = Network([Dense(3, activation=sympy.sign(z)), Dense(2)], inputs=2, loss="mse")
    found = gradients(network_case(net, X, Y))
    assert not found["W1"].any()
    assert found["W2"].any()
