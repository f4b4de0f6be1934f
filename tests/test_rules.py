"""The rules of differentiation, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symprop.derive.rules import road
from symprop.formula import Rate, Total
from symprop.primitives import Absolute, Greater, Maximum, Minimum, Select
from symprop.tensor import Tensor
from sympy import Expr, Float, Idx, Integer, Rational, Symbol, cos, erf, exp, log, sin, sqrt, tanh

m = Symbol("m", integer=True)
b, c = (Idx(name, m) for name in "bc")
i, j, k = (Idx(name, 4) for name in "ijk")
W, a, bar = Tensor("W", (k, i)), Tensor("a", (b, i)), Tensor("bar", (b, k))
x, u = Tensor("x", (b, j))[b, j], Symbol("u")


def rules(start: Expr) -> list[str]:
    return [move.rule for move in road(start)]


def arrival(start: Expr) -> Expr:
    *_, last = road(start)
    return last.after


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (x**3, ["power rule"]),
        (x * tanh(x), ["product rule", "chain rule"]),
        (exp(-x), ["exponential", "constant factor"]),
        (log(1 + x), ["logarithm", "sum rule"]),
        (x / (1 + x), ["quotient rule", "sum rule"]),
        (1 / (1 + x), ["quotient rule", "sum rule"]),
        (5 * sin(x), ["constant factor", "chain rule"]),
        (Maximum(x, Integer(0)), ["kink convention"]),
        (Absolute(x), ["kink convention"]),
        (Select(Greater(x, Integer(0)), x, exp(x)), ["kink convention", "exponential"]),
        (2**x, ["exponential", "constant factor"]),
    ],
)
def test_each_rule_has_its_name(value: Expr, expected: list[str]) -> None:
    assert rules(Rate(value, x)) == expected


def test_delta_road_arrives_at_the_role_swap() -> None:
    start = Total(bar[c, k] * Rate(Total(W[k, i] * a[c, i], i), a[b, j]), c, k)
    assert arrival(start) == Total(W[k, j] * bar[b, k], k)
    assert rules(start) == ["linearity", "constant factor", *["Kronecker delta"] * 3]
    survivors = [move.reason for move in road(start)][-2:]
    assert survivors == ["only the term i = j survives", "only the term c = b survives"]


def test_delta_inside_a_sum_of_products_is_taken_out() -> None:
    value = a[c, i] * tanh(a[c, i])
    start = Total(bar[c, k] * Rate(Total(W[k, i] * value, i), a[b, j]), c, k)
    slope = tanh(a[b, j]) + a[b, j] * (1 - tanh(a[b, j]) ** 2)
    (total,) = arrival(start).atoms(Total)
    assert (
        arrival(start).xreplace({total: total.args[0]}) - slope * W[k, j] * bar[b, k]
    ).expand() == 0
    assert total.args[1:] == (k,)


def test_what_does_not_depend_is_zero_at_once() -> None:
    assert arrival(Rate(u * 3 + x, x)) == 1
    assert rules(Rate(u * 3 + x, x)) == ["sum rule"]


VALUES = st.recursive(
    st.sampled_from([x, Integer(2), Integer(-3), u]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        inner.map(tanh),
        inner.map(sin),
        inner.map(cos),
        inner.map(erf),
        inner.map(exp),
        inner.map(lambda v: log(2 + v**2)),
        inner.map(lambda v: 1 / (3 + v**2)),
        inner.map(lambda v: sqrt(1 + v**2)),
        inner.map(Absolute),
    ),
    max_leaves=6,
)


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_road_equals_the_derivative(value: Expr) -> None:
    symbol = Symbol("t", real=True)
    expected = value.xreplace({x: symbol}).diff(symbol).xreplace({symbol: x})
    start = Rate(value, x)
    found = arrival(start) if value.has(x) else Integer(0)
    for place in (0.31, -1.27):
        point = {x: Float(place), u: Float(0.73)}
        one, other = (complex(side.xreplace(point).evalf(30)) for side in (found, expected))
        assert abs(one - other) <= 1e-12 * max(1.0, abs(other))


@pytest.mark.parametrize("value", [tanh(x) / (1 + x**2), x / (1 + x), exp(x) * sin(x) / (2 + x**2)])
def test_quotient_rule_gives_the_derivative(value: Expr) -> None:
    symbol = Symbol("t", real=True)
    expected = value.xreplace({x: symbol}).diff(symbol).xreplace({symbol: x})
    assert "quotient rule" in rules(Rate(value, x))
    gap = (arrival(Rate(value, x)) - expected).xreplace({x: Rational(3, 7)})
    assert abs(gap.evalf(40)) < 1e-35


@pytest.mark.parametrize(
    ("kind", "words"), [(Maximum, "u′ where u > v, else v′"), (Minimum, "u′ where u < v, else v′")]
)
def test_convention_at_a_tie_is_said(kind: type[Expr], words: str) -> None:
    first, *_ = road(Rate(kind(x, Integer(0)), x))
    assert words in first.reason
