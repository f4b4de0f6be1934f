"""Activations as users write them: rewritten functions and conditions, hints, how they read."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from symprop import Dense
from symprop.activations import ARGUMENT, activation
from symprop.adjoint import partial
from symprop.errors import ArgumentTypeError, UnknownNameError
from sympy import Piecewise, Rational

from test_activations import POINTS, apply, z


@pytest.mark.parametrize("name", ["acot", "asec", "acsc", "acoth", "asech", "acsch"])
def test_an_inverse_without_a_function_of_its_own_is_sympys(name):
    function = getattr(sympy, name)
    points = np.array([-1e9, -3.0, -1.5, -1.0, -0.7, -0.2, 0.2, 0.7, 1.0, 1.5, 3.0, 1e9])
    at_zero = [0.0] if name == "acot" else []
    expected = {u: complex(sympy.N(function(Rational(u)), 30)) for u in (*points, *at_zero)}
    inside = np.array([u for u, value in expected.items() if abs(value.imag) < 1e-20])
    assert len(inside) >= 3
    wanted = np.array([expected[u].real for u in inside])
    assert apply(activation(function(z)).expression, inside) == pytest.approx(wanted, rel=1e-14)


def test_the_derivative_of_acot_is_finite_at_zero():
    slope = partial(activation(sympy.acot(z)).expression, ARGUMENT)
    found = apply(slope, np.array([-2.0, 0.0, 0.5, 3.0]))
    assert found == pytest.approx([-0.2, -1.0, -0.8, -0.1], rel=1e-14)


@pytest.mark.parametrize(
    "condition",
    [
        sympy.Xor(z > 0, z > 1),
        sympy.Implies(z > 0, z > 1),
        sympy.ITE(z > 0, z > 1, z > -1),
        sympy.Equivalent(z > 0, z > 1),
    ],
)
def test_any_logic_of_comparisons_is_a_condition(condition):
    given = Piecewise((z, condition), (2, True))
    expected = [float(given.subs(z, Rational(u))) for u in POINTS]
    assert apply(activation(given).expression, POINTS) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("given", ["z**2", "z*tanh(z)", "z+1"])
def test_a_formula_in_quotes_is_told_how_to_be_written(given):
    words = r'a formula is a SymPy expression without quotes, in z = sympy.Symbol\("z"\)'
    with pytest.raises(UnknownNameError, match=words):
        activation(given)


def test_a_function_without_its_argument_is_told_how_to_be_written():
    with pytest.raises(ArgumentTypeError, match=r"write sympy\.sin\(z\) with z = sympy.Symbol"):
        activation(sympy.sin)


def test_activations_read_as_they_were_declared():
    assert repr(Dense(4, activation="selu")).startswith("Dense(units=4, activation='selu', ")
    assert "activation='softmax'" in repr(Dense(4, activation="softmax"))
    assert "activation=z*erf(z)" in repr(Dense(4, activation=z * sympy.erf(z)))
