"""Each rule of stabilizing does what it says, and can be turned off; the derivation shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from symprop import Dense, Network, prediction, target
from symprop.activations import ARGUMENT
from symprop.adjoint import backward
from symprop.backends import numba, numpy
from symprop.derive import floating
from symprop.derive.floating import SECTION, in_words
from symprop.errors import DerivationError
from symprop.lowering import Lowering
from symprop.passes import lower, simplify_gradients
from symprop.passes.others import OTHERS, complement
from symprop.passes.relative import RELATIVE
from symprop.passes.rule import Rule
from symprop.passes.saturation import SATURATED_TANGENT
from symprop.passes.stabilize import EXACT_SLOPES, RULES, changes, stabilize
from symprop.primitives import Greater, Maximum
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from sympy import erf, erfc, exp, log, sqrt, tanh

BY_NAME = {rule.name: rule for rule in RULES}
b, j = index("b", BATCH), index("j", 3)


def elementwise(write: Any) -> Program:
    """f[b] of z[b], w[b] and a target y[b]."""
    scope = Scope()
    z, w = (scope.tensor(name, (b,), role="input") for name in "zw")
    y = scope.tensor("y", (b,), role="target")
    f = scope.tensor("f", (b,))
    scope.define(f[b], write(z[b], w[b], y[b]))
    return scope.freeze(outputs=(f,))


def through_stored(write: Any, outer: Any) -> Program:
    """f[b] of a[b], which is stored, z[b] and a target y[b]."""
    scope = Scope()
    z, y = scope.tensor("z", (b,), role="input"), scope.tensor("y", (b,), role="target")
    a, f = scope.tensor("a", (b,)), scope.tensor("f", (b,))
    scope.define(a[b], write(z[b]))
    scope.define(f[b], outer(a[b], z[b], y[b]))
    return scope.freeze(outputs=(f,))


def composed(as_logarithm: bool) -> Program:
    """Softmax and cross-entropy from exponentials, a sum and a logarithm, with their gradient."""
    scope = Scope()
    z, y = scope.tensor("z", (b, j), role="parameter"), scope.tensor("y", (b, j), role="target")
    e, s, p = scope.tensor("e", (b, j)), scope.tensor("s", (b,)), scope.tensor("p", (b, j))
    loss = scope.tensor("L")
    scope.define(e[b, j], exp(z[b, j]))
    scope.define(s[b], e[b, j], over=(j,))
    if as_logarithm:
        value = log(s[b]) - z[b, j]
    else:
        scope.define(p[b, j], e[b, j] / s[b])
        value = -log(p[b, j])
    scope.define(loss[()], y[b, j] * value, over=(b, j))
    forward = scope.freeze(outputs=(loss,))
    return simplify_gradients(forward + backward(forward, loss, (z,)))


def value_of(program: Program, rules: Any, dtype: Any = np.float64, **given: Any) -> Any:
    stable = stabilize(program, rules)
    names = {str(t.label) for t in stable.tensors}
    rows = {name: np.atleast_1d(value) for name, value in given.items() if name in names}
    rows = {"z": np.zeros(1), "w": np.zeros(1), "y": np.zeros(1), **rows}
    return numpy.run(stable, {n: v for n, v in rows.items() if n in names}, dtype)["f"][0]


WITNESSES: dict[str, tuple[Any, dict[str, float], float]] = {
    "tail of erf": (lambda z, w, y: 1 + erf(z), {"z": -8.0}, 1.1224297172982928e-29),
    "quotient of tails": (
        lambda z, w, y: exp(-(z**2)) / erfc(z),
        {"z": 100.0},
        177.25424647380068,
    ),
    "logarithm of a weighted tangent": (
        lambda z, w, y: log(1 + y * tanh(z)),
        {"z": 30.0, "y": -1.0},
        float(np.log(2)) - 60,
    ),
    "slope of the logarithm of a weighted tangent": (
        lambda z, w, y: (1 - tanh(z) ** 2) / (1 + y * tanh(z)),
        {"z": -30.0, "y": 1.0},
        2.0,
    ),
    "root of a softplus": (
        lambda z, w, y: sqrt(log(1 + exp(z))),
        {"z": -1000.0},
        float(sympy.exp(-500).n(30)),
    ),
    "rest of a cotangent": (
        lambda z, w, y: 1 / tanh(z) ** 2 - 1,
        {"z": 30.0},
        4 * float(sympy.exp(-60).n(30)),
    ),
    "slope by its ends": (
        lambda z, w, y: (1 + erf(z) - 2 * y) * exp(-(z**2)) / ((1 + erf(z)) * (erf(z) - 1)),
        {"z": 100.0, "y": 0.0},
        -177.25424647380068,
    ),
    "quotient of a falling exponential": (
        lambda z, w, y: exp(z) / (1 - exp(-exp(z))),
        {"z": -800.0},
        1.0,
    ),
    "logarithm of a tail": (lambda z, w, y: log(erfc(z)), {"z": 40.0}, -1604.26155665327356),
    "logarithm of a quotient": (lambda z, w, y: log(w * exp(z)), {"z": 800.0, "w": 1.0}, 800.0),
    "logarithm of a product": (
        lambda z, w, y: log(w * (1 + exp(z))),
        {"z": 800.0, "w": 1.0},
        800.0,
    ),
    "log cosh": (lambda z, w, y: log(sympy.cosh(z)), {"z": 1e-6}, 4.999999999999167e-13),
    "logarithm of a softplus": (lambda z, w, y: log(log(1 + exp(z))), {"z": -900.0}, -900.0),
    "logarithm of a sum of exponentials": (
        lambda z, w, y: log(exp(z) + exp(w)),
        {"z": 900.0, "w": 900.0},
        900.0 + np.log(2),
    ),
    "logarithm of a difference of exponentials": (
        lambda z, w, y: log(exp(z) - 1),
        {"z": 900.0},
        900.0,
    ),
    "slope of the logarithm of a softplus": (
        lambda z, w, y: 1 / ((1 + exp(-z)) * log(1 + exp(z))),
        {"z": -900.0},
        1.0,
    ),
    "log1p": (lambda z, w, y: log(1 + z), {"z": 1e-18}, 1e-18),
    "tanh of a logarithm": (
        lambda z, w, y: 1 - tanh(log(1 + exp(z))) ** 2,
        {"z": 30.0},
        3.50260430507795254e-26,
    ),
    "hyperbolic quotient": (lambda z, w, y: w / sympy.cosh(z), {"z": 711.0, "w": 1.0}, 0.0),
    "common exponential": (
        lambda z, w, y: exp(z) / (exp(z) + exp(w)),
        {"z": 900.0, "w": 900.0},
        0.5,
    ),
    "tanh from exponentials": (
        lambda z, w, y: (exp(2 * z) - 1) / (exp(2 * z) + 1),
        {"z": 900.0},
        1.0,
    ),
    "exponentials by sign": (
        lambda z, w, y: exp(z) / (2 + exp(z)) ** 2,
        {"z": 400.0},
        np.exp(-400.0),
    ),
    "ratio of exponentials": (
        lambda z, w, y: exp(z) / (w + exp(z)),
        {"z": 900.0, "w": 2.0},
        1.0,
    ),
    "rest of a tangent": (lambda z, w, y: 1 - tanh(z) ** 2, {"z": 30.0}, 4 * np.exp(-60.0)),
    "exponential of a product": (
        lambda z, w, y: exp(-(z**2) / 2),
        {"z": 37.123456789},
        float(sympy.exp(-(sympy.Rational(37.123456789) ** 2) / 2).n(30)),
    ),
    "vanished product": (lambda z, w, y: z**2 * exp(-z), {"z": 1e200}, 0.0),
    "logarithm less a number": (lambda z, w, y: log(1 + exp(z)) - log(2), {"z": 1e-18}, 5e-19),
    "part of a root": (lambda z, w, y: 1 - z / sqrt(z**2 + 1), {"z": 1e9}, 5e-19),
    "root of a polynomial": (lambda z, w, y: z**2 / sqrt(1 + z**2), {"z": 1e200}, 1e200),
    "product of tails": (lambda z, w, y: exp(z**2) * erfc(z), {"z": 100.0}, 0.005641613782989432),
    "logarithm of many exponentials": (
        lambda z, w, y: log(1 + exp(z) + exp(2 * z)),
        {"z": 900.0},
        1800.0,
    ),
    "power of a sum of exponentials": (
        lambda z, w, y: sqrt(1 + exp(z)),
        {"z": 1000.0},
        float(sympy.exp(500).n(30)),
    ),
    "inverse hyperbolic sine": (
        lambda z, w, y: log(z + sqrt(z**2 + 1)),
        {"z": -1e9},
        -float(np.arcsinh(1e9)),
    ),
    "inverse hyperbolic sine of an exponential": (
        lambda z, w, y: sympy.asinh(exp(z)),
        {"z": 800.0},
        800.0 + np.log(2),
    ),
    "root less a number": (lambda z, w, y: sqrt(1 + z**2) - 1, {"z": 1e-9}, 5e-19),
    "quotient of polynomials": (lambda z, w, y: z**2 / (1 + z**2), {"z": 1e200}, 1.0),
    "softplus less its argument": (
        lambda z, w, y: z - log(1 + exp(z)),
        {"z": 50.0},
        -1.928749847963917783e-22,
    ),
    "logarithm of a tangent": (
        lambda z, w, y: log(tanh(z)),
        {"z": 30.0},
        -2 * float(sympy.exp(-60).n(30)),
    ),
    "slope of the logarithm of a tangent": (
        lambda z, w, y: 1 / tanh(z) - tanh(z),
        {"z": 30.0},
        4 * float(sympy.exp(-60).n(30)),
    ),
    "half angle": (lambda z, w, y: 1 - sympy.cos(z), {"z": 1e-9}, 5e-19),
    "series at 0": (lambda z, w, y: sympy.sin(z) / z, {"z": 0.0}, 1.0),
    "root of a product": (lambda z, w, y: z / sqrt(z**2 * (1 + z**2)), {"z": -1e-200}, -1.0),
    "sum with a root": (lambda z, w, y: z + sqrt(z**2 + 4), {"z": -1e9}, 2e-9),
    "logarithm of a polynomial": (
        lambda z, w, y: log(1 + z**2),
        {"z": 1e200},
        400 * float(sympy.log(10).n(30)),
    ),
    "root of squares": (lambda z, w, y: sqrt(z**2 + w**2), {"z": 3e200, "w": 4e200}, 5e200),
    "common difference": (
        lambda z, w, y: (1 - y / z) * (1 - exp(-z)),
        {"z": 0.0, "y": 3.0},
        -3.0,
    ),
    "common difference in an exponent": (
        lambda z, w, y: exp(w * (1 - exp(-z)) / z**2),
        {"z": 1e-200, "w": 1e-200},
        np.e,
    ),
    "cancelled power": (lambda z, w, y: z * (1 - w / sqrt(z)), {"z": 0.0, "w": 1.0}, 0.0),
    "difference of a quotient": (
        lambda z, w, y: 1 - y / z,
        {"z": np.nextafter(1.1, 2), "y": 1.1},
        2.0**-52 / 1.1,
    ),
    "expm1": (lambda z, w, y: exp(z) - 1, {"z": 1e-18}, 1e-18),
    "logarithm of a power": (lambda z, w, y: log(z**2), {"z": 1e-300}, -1381.5510557964274),
    "switched off": (lambda z, w, y: Greater(0, z) * exp(z), {"z": 800.0}, 0.0),
    "entropy": (lambda z, w, y: z * log(z), {"z": 0.0}, 0.0),
    "corner": (lambda z, w, y: (z - y) / (z * (1 - z)), {"z": 0.0, "y": 0.0}, 1.0),
    "absent target": (lambda z, w, y: -y / z, {"z": 0.0, "y": 0.0}, 0.0),
}
"""For each rule a value and a point where it is lost without the rule, and what it is."""
EXACT = {"hyperbolic quotient": 2 * float(sympy.exp(-711).n(30))}
INSTEAD = {
    "tanh from exponentials": ("exponentials by sign", "ratio of exponentials"),
    "tanh of a logarithm": ("rest of a tangent",),
    "common difference": ("common difference in an exponent",),
    "inverse hyperbolic sine": ("sum with a root",),
    "logarithm of a root": ("root of a stored exponential",),
    "quotient of polynomials": ("ratio of exponentials",),
}
"""Rules that would find something too, if less short."""
STORED = {
    "vanished stored value": (
        through_stored(lambda z: exp(-(z**2)), lambda a, z, y: -2 * a * z**2),
        {"z": 1e200},
        0.0,
    ),
    "slope of a product of tails": (
        through_stored(
            lambda z: exp(z**2) * erfc(z), lambda a, z, y: 2 * a * z - 2 / sqrt(sympy.pi)
        ),
        {"z": 100.0},
        -5.64104976259931849e-05,
    ),
    "slope of a saturated activation": (
        through_stored(lambda z: 1 / (1 + exp(-z)), lambda a, z, y: a * (1 - a)),
        {"z": 50.0},
        float(np.exp(-50.0)),
    ),
    "slope of the logarithm of a stored tangent": (
        through_stored(tanh, lambda a, z, y: (1 - a**2) / (1 + y * a)),
        {"z": 30.0, "y": -1.0},
        2.0,
    ),
    "root of a stored exponential": (
        through_stored(exp, lambda a, z, y: sqrt(a)),
        {"z": -1000.0},
        float(sympy.exp(-500).n(30)),
    ),
    "logarithm of a root": (
        through_stored(exp, lambda a, z, y: log(sqrt(a))),
        {"z": -1000.0},
        -500.0,
    ),
    "inverse of what is stored": (
        through_stored(lambda z: z - tanh(z), lambda a, z, y: z - a),
        {"z": 1e18},
        1.0,
    ),
    "exponential of a stored logarithm": (
        through_stored(
            lambda z: log(erfc(z)), lambda a, z, y: sympy.Mul(exp(-a), exp(-(z**2)), evaluate=False)
        ),
        {"z": 100.0},
        177.25424647380068,
    ),
    "stored logarithm": (
        through_stored(lambda z: 1 / (1 + exp(-z)), lambda a, z, y: log(a)),
        {"z": -1000.0},
        -1000.0,
    ),
}


def witness(name: str) -> tuple[Program, dict[str, float], float]:
    if name in STORED:
        return STORED[name]
    write, given, expected = WITNESSES[name]
    return elementwise(write), given, EXACT.get(name, expected)


def is_near(found: float, expected: float) -> bool:
    return bool(abs(found - expected) <= 1e-14 * abs(expected))


@pytest.mark.parametrize("name", [*WITNESSES, *STORED])
def test_rule_gives_what_is_lost_without_it(name: str) -> None:
    program, given, expected = witness(name)
    others = [rule for rule in RULES if rule.name not in (name, *INSTEAD.get(name, ()))]
    assert is_near(value_of(program, RULES, **given), expected)
    assert not is_near(value_of(program, others, **given), expected)
    assert BY_NAME[name] in changes(program)[-1].rules


@pytest.mark.parametrize(
    ("write", "z", "expected"),
    [
        (lambda z: exp(-(Maximum(z, 0) ** 2)) / erfc(Maximum(z, 0)), 100.0, 177.25424647380068),
        (lambda z: log(erfc(Maximum(z, 0))), 30.0, -903.9741171106439),
        (lambda z: log(erfc(sympy.sqrt(2) * Maximum(z, 0))), 30.0, -1804.3204135000072),
        (lambda z: (z + sqrt(1 + z**2)) / (1 + z**2) ** sympy.Rational(3, 2), -1e10, 5e-41),
        (lambda z: 1 / tanh(z) ** 2 - 1, 1e-9, 1e18),
    ],
)
def test_shapes_beside_those_of_a_rule_stay_right(write: Any, z: float, expected: float) -> None:
    program = elementwise(lambda z, w, y: write(z))
    assert value_of(program, RULES, z=z) == pytest.approx(expected, rel=1e-14)


ALPHA = 4 - 4 * sqrt(prediction * target) - 4 * sqrt((1 - prediction) * (1 - target))
ENTROPY = -target * log(prediction) - (1 - target) * log(1 - prediction)


@pytest.mark.parametrize(
    ("write", "loss", "z", "y", "slope"),
    [
        (lambda z: 1 - exp(-(z**2)), ENTROPY, 0.0, 0.0, 0.0),
        (lambda z: 1 - exp(-(z**2)), ENTROPY, 1e-20, 0.0, 2e-20),
        (lambda z: exp(-exp(-z)), ALPHA, 60.0, 0.25, 0.0),
    ],
)
def test_slopes_where_a_stored_probability_is_0_or_1(
    write: Any, loss: Any, z: float, y: float, slope: float
) -> None:
    net = Network([Dense(1, write(ARGUMENT), bias=False)], 1, loss)
    for dtype in (np.float32, np.float64):
        given = {"x": [[z]], "W1": [[1.0]], "y": [[y]]}
        found = numpy.run(lower(net.gradients), given, dtype)["z1′1"].item()
        assert found == pytest.approx(slope, rel=4 * float(np.finfo(dtype).eps), abs=1e-30)


def test_every_rule_has_a_witness_and_a_name_of_its_own() -> None:
    assert {*WITNESSES, *STORED, "shifted exponentials", OTHERS.name, RELATIVE.name} == set(BY_NAME)
    assert len(BY_NAME) == len(RULES)
    assert all(rule.range and rule.shape and rule.form for rule in RULES)


def test_without_rules_nothing_changes() -> None:
    program = Network([Dense(3, "softplus")], 2, "poisson").gradients
    assert stabilize(program, ()) == program
    assert changes(program, ()) == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_logarithm", [False, True])
def test_softmax_cross_entropy_from_primitives_at_the_edge(as_logarithm: bool, dtype: type) -> None:
    program = composed(as_logarithm)
    arrays = {"z": [[1000.0, 0.0, -1000.0]], "y": [[0.0, 1.0, 0.0]]}
    for run in (numpy.run, numba.run):
        values = run(lower(program), arrays, dtype)
        assert values["z′1"].tolist() == [[1.0, -1.0, 0.0]]
        assert values["L"] == 1000.0
    others = [rule for rule in RULES if rule.name != "shifted exponentials"]
    assert np.isnan(numpy.run(stabilize(program, others), arrays, dtype)["z′1"]).any()


def test_shift_is_refused_where_it_does_not_cancel() -> None:
    scope = Scope()
    z, s, f = scope.tensor("z", (b, j), "input"), scope.tensor("s", (b,)), scope.tensor("f", (b,))
    scope.define(s[b], exp(z[b, j]), over=(j,))
    scope.define(f[b], 1 + s[b])
    for outputs in ((f,), (s,)):
        program = replace(scope.freeze(), outputs=outputs)
        assert stabilize(program) == program


def gradients_of(activation: Any, loss: Any, logits: Any, y: Any, dtype: Any = np.float64) -> Any:
    size = len(logits)
    net = Network([Dense(size, activation, bias=False)], inputs=size, loss=loss)
    arrays = {"x": [logits], "W1": np.eye(size), "y": [y]}
    return numba.run(lower(net.gradients), arrays, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_with_binary_cross_entropy_at_probability_one(dtype: type) -> None:
    values = gradients_of("softmax", "binary_cross_entropy", [1000.0, 0.0], [1.0, 0.0], dtype)
    assert values["yhat"].tolist() == [[1.0, 0.0]]
    assert values["z1′1"].tolist() == [[0.0, 0.0]]
    assert values["L"] == 0


def others_exact(logits: list[float], y: list[float]) -> tuple[float, list[float]]:
    """Softmax before binary cross-entropy and its gradient by the logits, in 400 digits or more."""
    with mpmath.workdps(9000 if max(logits) > 1000 else 900):
        powers = [mpmath.exp(mpmath.mpf(z) - max(logits)) for z in logits]
        total = sum(powers)
        p = [power / total for power in powers]
        rest = [sum(q for k, q in enumerate(p) if k != j) for j in range(len(p))]
        value = -sum(
            t * mpmath.log(a) + (1 - t) * mpmath.log(r) for t, a, r in zip(y, p, rest, strict=True)
        )
        poles = [(a - t) / r for t, a, r in zip(y, p, rest, strict=True)]
        slopes = [h - a * sum(poles) for h, a in zip(poles, p, strict=True)]
    return float(value), [float(slope) for slope in slopes]


CONFIDENT = (
    [1000.0, 0.0, 2.0],
    [1e4, -1e4, -1e4],
    [3.0, -40.0, -41.5],
    [0.5, 0.25, -0.125],
    [7.0, 7.0, -90.0],
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrong_class_with_all_the_probability_has_a_loss_and_a_gradient(dtype: type) -> None:
    rows = [(z, y) for z in CONFIDENT for y in ([0.0, 1.0, 0.0], [0.0, 0.25, 0.5])]
    exact = [others_exact(z, y) for z, y in rows]
    near = 1e-13 if dtype is np.float64 else 4e-6
    net = Network([Dense(3, "softmax", bias=False)], inputs=3, loss="binary_cross_entropy")
    arrays = {"x": [z for z, _ in rows], "W1": np.eye(3), "y": [y for _, y in rows]}
    for run in (numpy.run, numba.run):
        found = run(lower(net.gradients), arrays, dtype)
        assert found["L"] == pytest.approx(np.mean([value for value, _ in exact]), rel=near)
        for slopes, (_, expected) in zip(found["z1′1"] * len(rows), exact, strict=True):
            assert slopes.tolist() == pytest.approx(expected, rel=near, abs=near)


def test_the_sum_of_the_others_is_stored_only_where_it_is_read() -> None:
    for loss in ("cross_entropy", "mse", log(prediction) * target):
        net = Network([Dense(3, "softmax")], inputs=2, loss=loss)
        assert complement(net.gradients) == net.gradients
    net = Network([Dense(3, "softmax")], inputs=2, loss="binary_cross_entropy")
    assert OTHERS in {rule for change in changes(net.gradients) for rule in change.rules}
    text = str(net.derive(detail="summary"))
    assert in_words(OTHERS)[:40] in " ".join(text.split())
    net.derive().verify(points=1)


@pytest.mark.parametrize(
    ("write", "out", "far"),
    [
        (lambda z: (exp(z) - 1) / z, -1e30, 0.0),
        (lambda z: z / (exp(z) - 1), 1e30, 0.0),
        (lambda z: sympy.sin(z) / z, 1e30, 0.0),
        (lambda z: tanh(z) / z, 1e30, 0.0),
        (lambda z: 1 / tanh(z) - 1 / z, 1e30, 0.0),
        (lambda z: z - tanh(z), 1e30, 1.0),
        (lambda z: z * (1 + tanh(z / 2)) / 2, 1e30, 1.0),
        (lambda z: z**2 / (1 + sympy.Abs(z)), 1e30, 1.0),
        (lambda z: z**2 * exp(-(z**2) / 2), 1e30, 0.0),
        (lambda z: z * tanh(exp(z)), 1e30, 1.0),
        (lambda z: 1 - exp(-exp(z)), 1e30, 0.0),
    ],
)
def test_slopes_of_typed_forms_keep_their_digits(write: Any, out: float, far: float) -> None:
    """Near 0 by differences in 400 digits, far out by the limit."""
    u = sympy.Symbol("u", real=True)
    net = Network([Dense(1, write(u), bias=False)], inputs=1, loss=prediction + 0 * target)
    function, program = sympy.lambdify(u, write(u), "mpmath"), lower(net.gradients)
    rows = np.array([0.0, 1e-30, -1e-12, 1e-4, -0.03, 0.3, 0.9, -1.7, out])
    for dtype in (np.float32, np.float64):
        given = {"x": rows[:, None], "W1": np.ones((1, 1)), "y": np.zeros((len(rows), 1))}
        *found, last = numpy.run(program, given, dtype)["z1′1"].ravel() * len(rows)
        for z, slope in zip(rows.astype(dtype).tolist(), found, strict=False):
            with mpmath.workdps(400):
                step = mpmath.mpf(10) ** -150
                x = mpmath.mpf(z) or step / 16
                exact = float((function(x + step) - function(x - step)) / (2 * step))
            near = 16 * float(np.finfo(dtype).eps)
            assert float(slope) == pytest.approx(exact, rel=near, abs=1e-37)
        assert last == pytest.approx(far, abs=1e-6)


@pytest.mark.parametrize(
    ("write", "z", "slope"),
    [
        (lambda z: 2 * exp(z / 2) - sympy.Rational(3, 2), -60.0, float(np.exp(-30.0))),
        (lambda z: sympy.asinh(exp(z)), 3e38, 1.0),
        (lambda z: log(log(1 + exp(z))), -1000.0, 1.0),
        (lambda z: 1 / tanh(z) - 1 / z, 2.0**30, 2.0**-60),
        (lambda z: (1 + z**4) ** sympy.Rational(1, 4), -1e20, -1.0),
        (lambda z: sqrt(log(1 + exp(z))), -160.0, float(np.exp(-80.0)) / 2),
        (
            lambda z: (1 / (1 + exp(5 * z))) ** sympy.Rational(4, 3),
            12.0,
            -20 / 3 * float(np.exp(-80.0)),
        ),
        (lambda z: z * erf(log(1 + exp(z))), 1e30, 1.0),
    ],
)
def test_slopes_far_out_where_the_stored_value_tells_nothing(
    write: Any, z: float, slope: float
) -> None:
    net = Network([Dense(1, write(ARGUMENT), bias=False)], 1, prediction + 0 * target)
    for dtype in (np.float32, np.float64):
        given = {"x": [[z]], "W1": [[1.0]], "y": [[0.0]]}
        found = numpy.run(lower(net.gradients), given, dtype)["z1′1"].item()
        assert found == pytest.approx(slope, rel=4 * float(np.finfo(dtype).eps))


def test_part_of_a_root_times_its_argument_does_not_underflow() -> None:
    program = elementwise(lambda z, w, y: z * (1 + z / sqrt(1 + z**2)) / 2)
    largest = float(np.finfo(np.float32).max)
    assert is_near(value_of(program, RULES, z=-1e200), -0.25e-200)
    assert value_of(program, RULES, np.float32, z=-1e28) == pytest.approx(-0.25e-28, rel=3e-7)
    assert value_of(program, RULES, np.float32, z=largest) == largest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("logit", [-1000.0, -300.0, -40.0, 1000.0])
@pytest.mark.parametrize("y", [0.0, 3.0])
def test_softplus_with_poisson_is_finite_at_the_edge(logit: float, y: float, dtype: type) -> None:
    values = gradients_of("softplus", "poisson", [logit], [y], dtype)
    if logit < 0:  # σ(z)·(1 − y/softplus z) → σ(z) − y, and log softplus z → z
        assert values["z1′1"] == pytest.approx(-y, abs=1e-15)
        assert values["L"] == pytest.approx(-y * logit, abs=1e-15)
    else:
        assert values["z1′1"] == pytest.approx(1 - y / logit, rel=1e-6)


@pytest.mark.parametrize(
    "typed",
    [
        (lambda u: (exp(u) - exp(-u)) / (exp(u) + exp(-u))),
        (lambda u: (exp(2 * u) - 1) / (exp(2 * u) + 1)),
        (lambda u: 1 - 2 / (exp(2 * u) + 1)),
        (lambda u: sympy.sinh(u) / sympy.cosh(u)),
    ],
)
def test_tanh_is_recognized_and_exact_near_zero(typed: Any) -> None:
    net = Network([Dense(1, typed(sympy.Symbol("u")), bias=False)], inputs=1, loss="mse")
    for z in (1e-18, 1e-9, 0.3, 500.0, -1000.0):
        arrays = {"x": [[z]], "W1": [[1.0]], "y": [[0.0]]}
        found = numba.run(lower(net.forward), arrays)["yhat"].item()
        assert found == pytest.approx(np.tanh(z), rel=4e-16)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "mish", "softplus", "gelu", "elu", "tanh"])
def test_what_is_not_a_number_stays_so(name: str) -> None:
    values = gradients_of(name, "mse", [np.nan], [0.0])
    assert np.isnan(values["yhat"]).all()
    assert np.isnan(values["z1′1"]).all()


@pytest.mark.parametrize("logit", [-1000.0, 0.0, 1000.0])
def test_probit_loss_is_finite_in_both_tails(logit: float) -> None:
    loss = -log((1 + erf(prediction / sqrt(2))) / 2) + 0 * target
    values = gradients_of(None, loss, [logit], [0.0])
    expected = {-1000.0: (500007.82669481216, -1000.000999998), 0.0: (np.log(2), -0.7978845608)}
    value, slope = expected.get(logit, (0.0, 0.0))
    assert values["L"] == pytest.approx(value, rel=1e-12)
    assert values["z1′1"].item() == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "elu", "selu"])
def test_slope_rule_keeps_the_digits_of_a_saturated_activation(name: str) -> None:
    net = Network([Dense(1, name, bias=False)], inputs=1, loss=prediction + 0 * target)
    z = -50.0
    arrays = {"x": [[z]], "W1": [[1.0]], "y": [[0.0]]}
    net_gradient = numpy.run(lower(net.gradients, rules=EXACT_SLOPES), arrays)["z1′1"]
    exact = {"tanh": 4 * np.exp(2 * z), "sigmoid": np.exp(z), "elu": np.exp(z)}
    expected = exact.get(name, 1.7580993408473766 * np.exp(z))
    assert net_gradient.item() == pytest.approx(expected, rel=1e-14)
    assert SATURATED_TANGENT not in RULES


def test_lowering_gives_exact_slopes_of_tanh() -> None:
    net = Network([Dense(1, "tanh", bias=False)], inputs=1, loss=prediction + 0 * target)
    x, y, found = np.array([[-30.0]]), np.zeros((1, 1)), {}
    for exact in (False, True):
        model = net.compile(dtype="float64", lowering=Lowering(exact_slopes=exact))
        model.set_parameters({"W1": np.ones((1, 1))})
        _, gradients = model.loss_and_gradients(x, y)
        found[exact] = gradients["W1"].item()
    assert found[True] == pytest.approx(-30 * 4 * np.exp(-60.0), rel=1e-13)
    assert found[False] == 0


SHOWN = Network([Dense(4, "softplus"), Dense(3, "softmax")], inputs=5, loss="cross_entropy")


@pytest.mark.parametrize("form", ["text", "latex", "html", "markdown"])
def test_derivation_shows_each_rule_that_fires(form: str) -> None:
    text = " ".join(getattr(SHOWN.derive(detail="summary"), form)().split())
    assert SECTION in text
    fired = {rule for change in changes(SHOWN.gradients) for rule in change.rules}
    assert fired
    for rule in fired:
        assert rule.name[1:] in text
        assert ("overflows" in text) or ("cancels" in text)


def test_derivation_gives_the_range_of_each_rule_that_fires() -> None:
    text = " ".join(str(SHOWN.derive(detail="summary")).split())
    for rule in {rule for change in changes(SHOWN.gradients) for rule in change.rules}:
        assert in_words(rule) in text


def test_derivation_shows_what_each_rule_found() -> None:
    derivation = SHOWN.derive(detail="summary")
    lines = {line.rule: line for step in derivation.steps for line in step.steps if line.reason}
    values = {r.name for c in changes(SHOWN.gradients) for r in c.rules if r.level != "program"}
    assert values <= set(lines)
    text = " ".join(str(derivation).split())
    assert "log(ŷ[b, j]) = log(exp(min(z⁽²⁾[b, j] - c⁽²⁾[b], 0))/s⁽²⁾[b])" in text
    assert "1 - exp(-a⁽¹⁾[b, j]) = -expm1(-a⁽¹⁾[b, j])" in text


def test_verify_finds_a_rule_that_is_shown_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floating, "narrowed", lambda before, after: (before, 2 * after))
    with pytest.raises(DerivationError, match="does not hold"):
        SHOWN.derive().verify(points=1)


def test_derivation_has_no_such_section_where_nothing_changes() -> None:
    assert SECTION not in str(Network([Dense(2, "relu")], 2, "mse").derive())


def test_verify_finds_a_rule_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(program: Program, rules: Any = RULES) -> Any:
        found = changes(program, rules)
        return [replace(c, after=replace(c.after, value=2 * c.after.value)) for c in found]

    monkeypatch.setattr(floating, "changes", doubled)
    with pytest.raises(DerivationError, match=r"In floating point.*floating point does not hold"):
        SHOWN.derive().verify(points=1)


def test_rules_say_what_they_are() -> None:
    rule = BY_NAME["log1p"]
    assert isinstance(rule, Rule)
    assert repr(rule).startswith("Rule(log1p: log(1 + u) = log1p(u)")


@pytest.mark.parametrize("c", [sympy.Integer(1), sympy.Rational(17, 10), sympy.Rational(851, 1000)])
@pytest.mark.parametrize("v", [1e-30, 1e-16, 0.1])
def test_a_polynomial_at_0_keeps_its_numbers_in_range(c: Any, v: float) -> None:
    u = c * sympy.Symbol("z")
    net = Network(
        [Dense(1, activation=(exp(u) - exp(-u)) / (exp(u) + exp(-u)))], inputs=1, loss="mse"
    )
    model = net.compile(dtype="float32")
    model.set_parameters({"W1": [[1.0]], "b1": [0.0]})
    assert model.predict([[v]]).item() == pytest.approx(np.tanh(float(c) * v), rel=4e-7)


def powers_of_two_and_edges(dtype: Any, low: float, high: float) -> Any:
    """±0, subnormals, edges of overflow and what is between, with both signs, from low to high."""
    kind = np.finfo(dtype)
    small = [0.0, kind.smallest_subnormal, kind.tiny / 4, kind.tiny, kind.eps / 3]
    most = float(kind.max)
    large = [1e9, most**0.25, most**0.5 * 0.99, most**0.5 * 1.01, most**0.75, most * 0.4, most]
    between = [1e-3, 0.3, 1, 1.7, 3, 5.5, 6.5, 8, 9.3, 20, 37.5, 88.7, 104, 177, 710.4, 746, 4000]
    found = np.array([*small, *between, *large], dtype)
    found = np.concatenate([found, -found])
    return found[(found >= low) & (found <= high)]


mp = mpmath
INFINITE = float("inf")
KEPT: dict[str, tuple[Any, Any, Any, float, float]] = {
    "log(exp(-z) + 3)": (
        lambda z: log(exp(-z) + 3),
        lambda x: mp.log(mp.exp(-x) + 3),
        lambda x: -1 / (1 + 3 * mp.exp(x)),
        -INFINITE,
        INFINITE,
    ),
    "z/sqrt(1 + z^2)": (
        lambda z: z / sqrt(1 + z**2),
        lambda x: x / mp.sqrt(1 + x**2),
        lambda x: mp.power(1 + x**2, mp.mpf(-3) / 2),
        -INFINITE,
        INFINITE,
    ),
    "log(1 + e^z) - log(2)": (
        lambda z: log(1 + exp(z)) - log(2),
        lambda x: mp.log((1 + mp.exp(x)) / 2),
        lambda x: 1 / (1 + mp.exp(-x)),
        -INFINITE,
        INFINITE,
    ),
    "erfc(z) exp(z^2)": (
        lambda z: erfc(z) * exp(z**2),
        lambda x: mp.erfc(x) * mp.exp(x**2),
        lambda x: 2 * x * mp.erfc(x) * mp.exp(x**2) - 2 / mp.sqrt(mp.pi),
        -3,
        4000,
    ),
    "sqrt(z^2 + 1) - z": (
        lambda z: sqrt(z**2 + 1) - z,
        lambda x: mp.sqrt(x**2 + 1) - x,
        lambda x: x / mp.sqrt(x**2 + 1) - 1,
        -INFINITE,
        INFINITE,
    ),
    "exp(-z^2)": (
        lambda z: exp(-(z**2)),
        lambda x: mp.exp(-(x**2)),
        lambda x: -2 * x * mp.exp(-(x**2)),
        -INFINITE,
        INFINITE,
    ),
    "sqrt(z^2 + z^4)": (
        lambda z: sqrt(z**2 + z**4),
        lambda x: abs(x) * mp.sqrt(1 + x**2),
        lambda x: mp.sign(x) * (1 + 2 * x**2) / mp.sqrt(1 + x**2),
        -INFINITE,
        INFINITE,
    ),
    "log(1 + tanh z)": (
        lambda z: log(1 + tanh(z)),
        lambda x: mp.log(2) - mp.log(1 + mp.exp(-2 * x)),
        lambda x: 2 / (1 + mp.exp(2 * x)),
        -INFINITE,
        INFINITE,
    ),
    "sqrt(1 + e^z)": (
        lambda z: sqrt(1 + exp(z)),
        lambda x: mp.sqrt(1 + mp.exp(x)),
        lambda x: mp.exp(x) / mp.sqrt(1 + mp.exp(x)) / 2,
        -INFINITE,
        170,
    ),
}
"""Activations as they are typed, value and slope as they are, and from where to where."""
ULPS = {"erfc(z) exp(z^2)": 200}
"""All others are within 6 ulp; here a difference of z < 6 multiplies the error of erfc by 2z²."""


@cache
def all_kept() -> Program:
    """Each of them of an input of its own, with its slope: one program to compile."""
    scope = Scope()
    total = scope.tensor("total")
    inputs, values = [], []
    for n, (write, *_) in enumerate(KEPT.values()):
        z, a = scope.tensor(f"z{n}", (b,), role="input"), scope.tensor(f"a{n}", (b,))
        scope.define(a[b], write(z[b]))
        scope.define(total[()], a[b], over=(b,))
        inputs.append(z)
        values.append(a)
    forward = scope.freeze(outputs=(*values, total))
    return lower(simplify_gradients(forward + backward(forward, total, inputs)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("run", [numpy.run, numba.run], ids=["numpy", "numba"])
def test_values_and_slopes_keep_their_digits_over_the_whole_range(run: Any, dtype: Any) -> None:
    """Within a few ulp of the result, or the smallest normal number."""
    kind, points = np.finfo(dtype), powers_of_two_and_edges(dtype, -INFINITE, INFINITE)
    with np.errstate(all="ignore"):
        found = run(all_kept(), {f"z{n}": points for n in range(len(KEPT))}, dtype)
    for n, (name, (_, value, slope, low, high)) in enumerate(KEPT.items()):
        for label, exact in ((f"a{n}", value), (f"z{n}′1", slope)):
            for x, y in zip(points.tolist(), found[label].tolist(), strict=True):
                if not low <= x <= high:
                    continue
                with mpmath.workdps(80 if high == 4000 else 750):
                    true = exact(mpmath.mpf(x))
                    if abs(true) > float(kind.max):
                        continue
                    error = abs(mpmath.mpf(y) - true) if np.isfinite(y) else mpmath.inf
                    allowed = ULPS.get(name, 6) * float(kind.eps) * abs(true) + float(kind.tiny)
                assert error <= allowed, (name, label, x, y, float(true))


@pytest.mark.parametrize("run", [numpy.run, numba.run], ids=["numpy", "numba"])
def test_divergence_is_finite_however_it_is_typed(run: Any) -> None:
    """t·log(t/p) is t·log t − t·log p, and 0 where t = 0."""
    arrays = {
        "x": [[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]],
        "W1": np.eye(3),
        "y": [[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]],
    }
    found = []
    for loss in (
        target * log(target / prediction),
        target * log(target) - target * log(prediction),
        target * (log(target) - log(prediction)),
    ):
        net = Network([Dense(3, "softmax", bias=False)], inputs=3, loss=loss)
        values = run(lower(net.gradients), arrays)
        found.append([values["L"], *values["z1′1"].ravel()])
    p = np.exp([-2.0, -1.0, 0.0]) / np.exp([-2.0, -1.0, 0.0]).sum()
    second = -np.log(2) - (np.log(p[0]) + np.log(p[2])) / 2
    slopes = [0.5, -0.5, 0.0, *((p - [0.5, 0.0, 0.5]) / 2)]
    for values in found:
        assert values == pytest.approx([(1000 + second) / 2, *slopes], rel=1e-12, abs=1e-15)


TYPED = {
    "CELU": (
        sympy.Max(0, ARGUMENT) + sympy.Min(0, (exp(2 * ARGUMENT) - 1) / 2),
        lambda x: (x, 1) if x > 0 else (mp.expm1(2 * x) / 2, mp.exp(2 * x)),
    ),
    "z² log z²": (
        -(ARGUMENT**2) * log(ARGUMENT**2),
        lambda x: (-2 * x * x * mp.log(abs(x)), -4 * x * mp.log(abs(x)) - 2 * x) if x else (0, 0),
    ),
    "root of a ramp": (
        sqrt(sympy.Max(ARGUMENT, 0)),
        lambda x: (mp.sqrt(x), 1 / mp.sqrt(x) / 2) if x > 0 else (0, 0),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", TYPED)
def test_typed_activations_with_switches_are_finite(name: str, backend: str, dtype: str) -> None:
    activation, exact = TYPED[name]
    model = Network([Dense(1, activation)], 1, prediction).compile(dtype=dtype, backend=backend)
    model.set_parameters({"W1": [[1.0]], "b1": [0.0]})
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    for x in map(float, np.array([-1e15, -100, -3, -0.3, 1e-30, 0.2, 2.5, 90, 710, 1e15], dtype)):
        value, slopes = model.loss_and_gradients([[x]], [[0.0]])
        for found, expected in zip((value, slopes["b1"][0]), exact(mp.mpf(x)), strict=True):
            assert abs(found - expected) <= 20 * eps * abs(expected) + tiny, x


def test_a_symbol_stays_as_it_is_where_a_sentence_begins() -> None:
    derivation = Network([Dense(1, -(ARGUMENT**2) * log(ARGUMENT**2))], 1, "mse").derive()
    told = " ".join(str(derivation).split())
    assert "u = 0: 0·∞ where v = 0 too" in told
    assert "U = 0" not in told
