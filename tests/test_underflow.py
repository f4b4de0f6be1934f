"""Losses on probabilities and rates that underflow: finite and right where the exact value is."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from symprop import Dense, Network, prediction, target
from symprop.activations import ARGUMENT
from symprop.backends import numba, numpy
from symprop.passes import lower
from symprop.passes.ends import ENDS
from symprop.passes.relative import RELATIVE
from symprop.passes.stabilize import RULES, changes
from symprop.primitives import Absolute, Maximum, Minimum
from symprop.smooth import smooth
from sympy import Abs, Expr, Max, erf, erfc, exp, log, sqrt

P, T, Z = prediction, target, sympy.Symbol("z")
MIDDLE = (P + T) / 2
LOSSES: dict[str, Any] = {
    "focal": -T * (1 - P) ** 2 * log(P),
    "binary focal": -T * (1 - P) ** 2 * log(P) - (1 - T) * P**2 * log(1 - P),
    "Jensen-Shannon": T * log(T / MIDDLE) / 2 + P * log(P / MIDDLE) / 2,
    "Hellinger": (sqrt(T) - sqrt(P)) ** 2,
    "triangular": (T - P) ** 2 / (T + P),
    "Kullback-Leibler": T * log(T / P),
    "gamma": log(P) + T / P,
    "Tweedie": 2 * sqrt(P) + 2 * T / sqrt(P),
}
"""Where the value or a slope was 0·∞, 0/0 or log 0 once a prediction had underflowed."""
WITHOUT = {"softmax": ("gamma", "Tweedie"), "softplus": ("focal", "binary focal"), "sigmoid": ()}
"""Whose exact slopes overflow, or which have no meaning there."""
LOGITS = (
    [1000.0, 0.0, -1000.0],
    [-100.0, 99.0, 3.0],
    [0.5, -20.0, 1.25],
)
TARGETS = ([0.25, 0.25, 0.5], [0.0, 1.0, 0.0])


def activated(activation: str, logits: list[Any]) -> list[Any]:
    if activation == "softmax":
        powers = [mpmath.exp(z - max(logits)) for z in logits]
        return [power / sum(powers) for power in powers]
    if activation == "softplus":
        return [mpmath.log1p(mpmath.exp(z)) for z in logits]
    return [1 / (1 + mpmath.exp(-z)) for z in logits]


def exact(activation: str, loss: Any, logits: list[Any], y: list[float]) -> tuple[Any, list[Any]]:
    """The loss and its slopes by differences, with all their digits; y = 0 as a limit."""
    function = sympy.lambdify((P, T), loss, "mpmath")
    tiny = mpmath.mpf(10) ** -4000

    def total(at: list[Any]) -> Any:
        pairs = zip(activated(activation, at), y, strict=True)
        return sum(function(p, mpmath.mpf(t) or tiny) for p, t in pairs)

    step = mpmath.mpf(10) ** -50
    moved = [
        [z + step * (k == j) * s for k, z in enumerate(logits)] for j in range(3) for s in (1, -1)
    ]
    ends = [total(at) for at in moved]
    slopes = [(up - down) / (2 * step) for up, down in zip(ends[::2], ends[1::2], strict=True)]
    return total(logits), slopes


CASES = [(a, name) for a, left in WITHOUT.items() for name in LOSSES if name not in left]


@pytest.mark.parametrize(("activation", "name"), CASES)
def test_a_prediction_that_underflows_keeps_its_loss_and_slopes(activation: str, name: str) -> None:
    net = Network([Dense(3, activation, bias=False)], inputs=3, loss=LOSSES[name])
    program = lower(net.gradients)
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        for logits in LOGITS:
            for y in TARGETS:
                given = {"x": [logits], "W1": np.eye(3), "y": [y]}
                found = numpy.run(program, given, dtype)
                with mpmath.workdps(800):
                    value, slopes = exact(
                        activation, LOSSES[name], list(map(mpmath.mpf, logits)), y
                    )
                pairs = [(found["L"], value), *zip(found["z1′1"][0], slopes, strict=True)]
                scale = 0 if activation == "softplus" else max(1, *map(abs, slopes))
                for mine, true in pairs:
                    if abs(true) < info.max:
                        near = 64 * info.eps * max(abs(true), scale) + info.tiny
                        assert abs(float(mine) - true) <= near, (dtype, logits, y, mine, true)


def test_compiled_focal_loss_after_softmax_at_the_edge() -> None:
    net = Network([Dense(3, "softmax", bias=False)], inputs=3, loss=LOSSES["focal"])
    given = {"x": [[1000.0, 0.0, -1000.0]], "W1": np.eye(3), "y": [[0.0, 0.0, 1.0]]}
    for dtype in (np.float32, np.float64):
        found = numba.run(lower(net.gradients), given, dtype)
        assert found["z1′1"].tolist() == [[1.0, 0.0, -1.0]]
        assert found["L"] == 2000.0
    others = [rule for rule in RULES if rule is not RELATIVE]
    assert np.isnan(numpy.run(lower(net.gradients, rules=others), given)["z1′1"]).any()


def test_the_slope_by_a_logarithm_is_stored_only_where_it_is_needed() -> None:
    for loss in ("cross_entropy", "mse", log(P) * T, (P - T) ** 4):
        gradients = Network([Dense(3, "softmax")], inputs=2, loss=loss).gradients
        assert RELATIVE.rewrite(gradients) == gradients
    net = Network([Dense(3, "softmax")], inputs=2, loss=LOSSES["focal"])
    assert RELATIVE in {rule for change in changes(net.gradients) for rule in change.rules}
    net.derive().verify(points=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinks_that_cancel_leave_a_smooth_slope(dtype: type) -> None:
    """σ(z) − y, 1/2 − y at 0, of the form that people type for the sake of large z."""
    loss = Max(P, 0) - P * T + log(1 + exp(-Abs(P)))
    net = Network([Dense(1, bias=False)], inputs=1, loss=loss)
    z = np.array([[-1000.0], [-2.0], [0.0], [1e-8], [3.0], [1000.0]])
    found = numpy.run(lower(net.gradients), {"x": z, "W1": [[1.0]], "y": 0 * z + 0.25}, dtype)
    expected = (np.tanh(z / 2) + 1) / 2 - 0.25
    assert found["z1′1"] * len(z) == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize(
    ("u", "v", "z", "value", "slope"),
    [
        (Z, 1, 100, 100, 1),
        (Z**2, 1, 30, 900, 60),
        (Z**2, Z, 40, 1600, 80),
        (Z**2, 2 * Z, 20, 400, 40),
        (Z, -1000, -800, -800, 1),
        (Max(Z, 0) + log(1 + exp(-Abs(Z))), 1, 80, 80, 1),
    ],
)
def test_joined_kinks_do_not_overflow(
    u: Expr, v: Expr, z: float, value: float, slope: float
) -> None:
    typed = Max(u, v) + log(1 + exp(-Abs(u - v)))
    net = Network([Dense(1, typed, bias=False)], inputs=1, loss=P * T)
    given = {"x": [[float(z)]], "W1": [[1.0]], "y": [[1.0]]}
    found = numpy.run(lower(net.gradients), given, np.float32)
    assert found["L"] == value
    assert found["z1′1"][0, 0] == slope


@pytest.mark.parametrize(
    ("typed", "z"),
    [
        (1 / (1 + exp((1 - exp(-Z)) / Z)), -8.75),
        (sqrt(1 / (1 + exp((1 - exp(-Z / 3)) / Z))), -30.0),
        (log(1 + exp(-Z)), 30.0),
    ],
)
def test_differences_of_exponentials_keep_what_is_around_them(typed: Expr, z: float) -> None:
    """An exponent that is a difference is seen to overflow, and exp(−ŷ)/m − 1/m to cancel."""
    net = Network([Dense(1, typed, bias=False)], inputs=1, loss=P * T)
    found = numpy.run(lower(net.gradients), {"x": [[z]], "W1": [[1.0]], "y": [[1.0]]}, np.float64)
    with mpmath.workdps(800):
        at = sympy.lambdify(Z, typed, "mpmath")
        exact_slope = sympy.lambdify(Z, typed.diff(Z), "mpmath")
        assert found["L"] == pytest.approx(float(at(mpmath.mpf(z))), rel=1e-9)
        assert found["z1′1"][0, 0] == pytest.approx(float(exact_slope(mpmath.mpf(z))), rel=1e-9)


def test_only_kinks_that_cancel_are_taken_for_smooth() -> None:
    u, v = ARGUMENT, sympy.Symbol("v", real=True)
    pair = 3 * v * Maximum(u, v) + 3 * v * log(1 + exp(-Absolute(u - v))) - u
    assert smooth(pair) == 3 * v * (v + log(exp(u - v) + 1)) - u
    joined = log(exp(-2 * u) + 1)
    assert smooth(log(1 + exp(-2 * Absolute(u))) - Minimum(2 * u, 0)) == joined
    assert smooth(Maximum(-2 * u, 0) + log(1 + exp(-Absolute(2 * u)))) == joined
    for other in (
        Maximum(u, 0) + log(1 + exp(-Absolute(v))),
        2 * Maximum(u, 0) + log(1 + exp(-Absolute(u))),
        Maximum(u, 0) - log(1 + exp(-Absolute(u))),
    ):
        assert smooth(other) == other


def normal_tail(z: Any) -> tuple[Any, Any]:
    """log Φ(z) and its slope φ(z)/Φ(z)."""
    share = mpmath.ncdf(z)
    return mpmath.log(share), mpmath.npdf(z) / share


def other_normal_tail(z: Any) -> tuple[Any, Any]:
    """log(1 − Φ(z)) and its slope."""
    value, slope = normal_tail(-z)
    return value, -slope


def gumbel_tail(z: Any) -> tuple[Any, Any]:
    """log(1 − exp(−eᶻ)) and its slope."""
    power = mpmath.exp(z)
    return mpmath.log(-mpmath.expm1(-power)), power / mpmath.expm1(power)


LINKS: dict[str, tuple[Expr, Any, Any]] = {
    "probit": ((1 + erf(Z / sqrt(2))) / 2, normal_tail, other_normal_tail),
    "probit by erfc": (erfc(-Z / sqrt(2)) / 2, normal_tail, other_normal_tail),
    "complementary log-log": (
        1 - exp(-exp(Z)),
        gumbel_tail,
        lambda z: (-mpmath.exp(z), -mpmath.exp(z)),
    ),
    "log-log": (
        exp(-exp(-Z)),
        lambda z: (-mpmath.exp(-z), mpmath.exp(-z)),
        lambda z: (gumbel_tail(-z)[0], -gumbel_tail(-z)[1]),
    ),
}
"""Probabilities p = F(z), with log p and log(1 − p) and their slopes by z."""


@pytest.mark.parametrize("name", LINKS)
def test_links_with_binary_cross_entropy_keep_loss_and_slope(name: str) -> None:
    typed, present, absent = LINKS[name]
    net = Network([Dense(1, typed, bias=False)], inputs=1, loss="binary_cross_entropy")
    program = lower(net.gradients)
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        for z in (-800.0, -38.5, -8.5, -1e-30, 0.5, 6.0, 20.0, 800.0):
            for y in (0.0, 1.0):
                given = {"x": [[z]], "W1": [[1.0]], "y": [[y]]}
                found = numpy.run(program, given, dtype)
                with mpmath.workdps(350):
                    exact_value, exact_slope = (present if y else absent)(mpmath.mpf(z))
                    if abs(exact_value) > info.max:
                        continue
                    size = max(1, z * z, float(mpmath.exp(min(abs(z), 6))))
                    pairs = ((found["L"], exact_value), (found["z1′1"].item(), exact_slope))
                    for mine, true in pairs:
                        near = 2 * size * info.eps * abs(true) + info.tiny
                        assert abs(mpmath.mpf(float(mine)) + true) <= near, (dtype, z, y, mine)


def test_a_slope_is_told_apart_by_its_ends_only_where_it_has_a_pole() -> None:
    probit = LINKS["probit"][0]
    for activation, loss in (("sigmoid", "binary_cross_entropy"), (probit, "mse"), ("tanh", "mse")):
        gradients = Network([Dense(2, activation)], inputs=2, loss=loss).gradients
        assert ENDS.rewrite(gradients) == gradients
    net = Network([Dense(2, probit)], inputs=2, loss="binary_cross_entropy")
    assert ENDS in {rule for change in changes(net.gradients) for rule in change.rules}
    net.derive().verify(points=1)
