"""The sign of a sum where it is free: as declared, with the fewest minus signs, the same value."""

from __future__ import annotations

import pytest
import sympy
from symprop import Dense, Network, prediction, target
from symprop.formula import Total
from symprop.primitives import Absolute, Sign
from symprop.printers.arrange import Arrange
from symprop.printers.signs import parity, signed, sums
from symprop.printers.structure import Names
from sympy import Indexed, Rational, S, Symbol, cos, cosh, exp, log, sin, sqrt, symbols, tanh

P, Y, Z = prediction, target, Symbol("z")
U, V, W, M = symbols("u v w m", real=True)


def names(*declared, targets=()):
    return Names(sums=frozenset(t for v in declared for t in sums(v)), targets=frozenset(targets))


def shown(value, known=None):
    return str(Arrange(known or Names())(value))


VALUES = [
    (V - U) / (M * U * (U - 1)),
    -tanh(V - U) / M,
    V * (U - 1) ** 3 * (2 * U - V) / (U - 1) ** 2,
    -3 * W * (U - V) * (V - U - 1) / (W - 1),
    -2 * cos(V - U) * sin(V - U) ** 3 / (1 - U) ** 5,
    1 / (U - 1),
    (U - 1) ** -3,
    -Sign(U - V) * Absolute(U - V),
    -U / (1 + U) - V * (-U - 1) * W,
    sqrt(U - V) * (V - U) * W,
    2 * (U - 1),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("declared", [(), (1 - U, 1 - W, V - U), (U - 1, U - V)])
def test_signs_keep_the_value_and_are_settled_at_once(value, declared):
    known = names(*declared, targets=["v"])
    at = {U: Rational(2, 7), V: Rational(-3, 5), W: Rational(11, 13), M: S(3)}
    found = signed(value, known)
    assert abs((found.subs(at) - value.subs(at)).evalf(30)) < 1e-25
    assert signed(found, known) == found
    assert shown(found, known) == shown(value, known)


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        ((V - U) / (M * U * (U - 1)), [log(1 - U)], "(u - v)/(m·u·(1 - u))"),
        (V * (U - 1) ** 3, [(1 - U) ** 2], "-v·(1 - u)³"),
        (V * (U - 1) ** 2, [1 - U], "v·(1 - u)²"),
        (V * (U - 1) ** 3, [], "v·(u - 1)³"),
        ((2 * U - 1) * V, [U * (U - 1)], "v·(2·u - 1)"),
        (2 * (1 - U) * V, [(U - 1) ** 2], "2·v·(1 - u)"),
        (-2 * (1 - U) * V, [(U - 1) ** 2], "2·v·(u - 1)"),
        (-V / (1 - U), [], "-v/(1 - u)"),
        (W * -2 * (U - V), [], "2·w·(v - u)"),
        (W * -2 * (U - V), [(U - V) ** 2], "-2·w·(u - v)"),
        (3 * (U - V) ** 2 * W, [(V - U) ** 3], "3·w·(v - u)²"),
        (-tanh(V - U) / M, [], "tanh(u - v)/m"),
        (tanh(V - U) / M, [], "tanh(v - u)/m"),
        (-tanh(V - 1), [], "tanh(1 - v)"),
        (-U / (1 + U), [], "-u/(1 + u)"),
        (1 / (U - 1), [1 - U], "-1/(1 - u)"),
    ],
)
def test_signs_are_as_declared_and_few(value, declared, expected):
    assert shown(value, names(*declared)) == expected


def test_a_target_stands_behind_what_it_is_compared_with_where_that_is_free():
    known = names(targets=["v"])
    assert shown(log(cosh(V - U)), known) == "log(cosh(u - v))"
    assert shown(log(cosh(U - V)), names(targets=["u"])) == "log(cosh(v - u))"
    assert shown(Absolute(V - U), known) == "|u - v|"
    assert shown(W * tanh(V - U), known) == "w·tanh(v - u)"
    assert shown((V - U) ** 2, names((V - U) ** 2, targets=["v"])) == "(v - u)²"


def test_the_sign_of_what_is_summed_stands_in_front_of_the_sum():
    b = sympy.Idx("b", 3)
    u, v = Indexed("u", b), Indexed("v", b)
    total = Arrange(names(1 - u)).reduction(-v * (u - 1) ** 3 * W, [b])
    assert str(total) == "w·Σ_b v[b]·(1 - u[b])³"
    assert shown(Total(-v * (u - 1) ** 2, b), names(1 - u)) == "-Σ_b v[b]·(1 - u[b])²"


@pytest.mark.parametrize(
    ("function", "expected"), [(cos, 1), (tanh, -1), (Absolute, 1), (Sign, 0), (exp, 0), (log, 0)]
)
def test_parity_is_what_a_function_does_at_minus_u(function, expected):
    assert parity(function) == expected


FOCAL = -(Y * (1 - P) ** 2 * log(P) + (1 - Y) * P**2 * log(1 - P))


@pytest.mark.parametrize(
    ("activation", "loss", "text", "latex"),
    [
        (
            "sigmoid",
            "binary_cross_entropy",
            ["∂L/∂ŷ[b, j] = (ŷ[b, j] - y[b, j])/(m·ŷ[b, j]·(1 - ŷ[b, j]))"],
            [r"\frac{\hat{y}_{bj} - y_{bj}}{m \, \hat{y}_{bj} \, \left(1 - \hat{y}_{bj}\right)}"],
        ),
        (
            "sigmoid",
            FOCAL,
            ["- y ⊙ (1 - ŷ)³", "2·(y ⊙ ŷ ⊙ (1 - ŷ)² ⊙ log(ŷ))"],
            [r"\odot \left(1 - \hat{y}\right)^{3}"],
        ),
        (
            None,
            log(cosh(P - Y)),
            ["log(cosh(ŷ[b, j] - y[b, j]))", "δ⁽¹⁾[b, j] = tanh(ŷ[b, j] - y[b, j])/m"],
            [r"\tanh\left(\hat{y}_{bj} - y_{bj}\right)", r"\cosh\left(\hat{y} - y\right)"],
        ),
    ],
)
def test_all_notations_have_the_same_signs(activation, loss, text, latex):
    derivation = Network([Dense(1, activation)], inputs=2, loss=loss).derive()
    plain = " ".join(str(derivation).split())
    for part in text:
        assert part in plain
    for part in latex:
        assert part in derivation.latex()
    for other in ("ŷ - 1)", "y - ŷ)", "y[b, j] - ŷ", "ŷ[b, j] - 1)"):
        assert other not in plain
