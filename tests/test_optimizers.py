"""Optimizers: ten steps against NumPy written from the papers, and refusals."""

from __future__ import annotations

import fractions

import numpy as np
import pytest
from symprop import SGD, Adagrad, Adam, AdamW, RMSProp
from symprop.backends.numpy import run
from symprop.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from symprop.optimizers import optimizer
from symprop.scope import Scope, index

from cases import draw, network

STEPS = 10


def gradients():
    return draw(7, STEPS, 4)


def sgd(rate, momentum=0.0, nesterov=False):
    w, velocity, path = draw(3, 4), np.zeros(4), []
    for g in gradients():
        velocity = momentum * velocity + g
        w = w - rate * (g + momentum * velocity if nesterov else velocity)
        path.append(w)
    return path


def adam(rate=0.001, first=0.9, second=0.999, epsilon=1e-8):
    w, m, v, path = draw(3, 4), np.zeros(4), np.zeros(4), []
    for t, g in enumerate(gradients(), start=1):
        m = first * m + (1 - first) * g
        v = second * v + (1 - second) * g * g
        w = w - rate * (m / (1 - first**t)) / (np.sqrt(v / (1 - second**t)) + epsilon)
        path.append(w)
    return path


def steps_of(given, start=None, count=STEPS, slope=lambda w, step: gradients()[step]):
    """The parameter after each step, its state carried over."""
    scope, i = Scope(), index("i", 4 if start is None else len(start))
    w, g = scope.tensor("w", (i,), role="parameter"), scope.tensor("g", (i,), role="input")
    given.update(scope, (w,), (g,))
    program = scope.freeze((w,))
    states = {t.name: t for t in program.tensors if t.role in ("state", "counter")}
    values = {name: np.full([int(n) for n in t.shape], t.init) for name, t in states.items()}
    values["w"], path = draw(3, 4) if start is None else start, []
    for step in range(count):
        gradient = slope(values["w"], step)
        after = run(program, {**values, "g": gradient})
        values = {name: after[name] for name in values}
        path.append(values["w"])
    return path


def adagrad(rate=0.01, start=0.0, epsilon=1e-10):
    w, s, path = draw(3, 4), np.full(4, start), []
    for g in gradients():
        s = s + g * g
        w = w - rate * g / (np.sqrt(s) + epsilon)
        path.append(w)
    return path


def rmsprop(rate=0.001, rho=0.9, epsilon=1e-8, momentum=0.0):
    w, v, u, path = draw(3, 4), np.zeros(4), np.zeros(4), []
    for g in gradients():
        v = rho * v + (1 - rho) * g * g
        u = momentum * u + g / (np.sqrt(v) + epsilon)
        w = w - rate * u
        path.append(w)
    return path


CASES = {
    "adagrad": (Adagrad(), adagrad()),
    "adagrad-settings": (Adagrad(0.1, accumulator=0.2, epsilon=0.5), adagrad(0.1, 0.2, 0.5)),
    "rmsprop": (RMSProp(), rmsprop()),
    "rmsprop-momentum": (RMSProp(0.1, 0.8, 0.5, 0.7), rmsprop(0.1, 0.8, 0.5, 0.7)),
    "sgd": (SGD(0.1), sgd(0.1)),
    "momentum": (SGD(0.1, momentum=0.9), sgd(0.1, 0.9)),
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True), sgd(0.1, 0.9, nesterov=True)),
    "adam": (Adam(), adam()),
    "adam-settings": (Adam(0.05, 0.8, 0.95, 1e-3), adam(0.05, 0.8, 0.95, 1e-3)),
    "adam-no-momentum": (Adam(0.05, beta_1=0), adam(0.05, 0.0)),
    "adam-no-memory": (Adam(0.05, beta_1=0.5, beta_2=0), adam(0.05, 0.5, 0.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_equal_the_formulas_of_the_paper(name):
    given, expected = CASES[name]
    np.testing.assert_allclose(steps_of(given), expected, rtol=1e-12, atol=1e-14)


def test_nesterov_looks_ahead():
    assert not np.allclose(CASES["momentum"][1], CASES["nesterov"][1])


def test_a_whole_training_step_is_one_program():
    """Forward pass, gradients and update from the network, against plain SGD on the gradients
    alone.
    """
    net = network()
    arrays = {"x": draw(1, 5, 2), "y": draw(2, 5, 2), "alpha": 0.1}
    arrays |= {p.name: draw(3 + i, *map(int, p.shape)) for i, p in enumerate(net.parameters)}
    before = run(net.gradients, {k: v for k, v in arrays.items() if k != "alpha"})
    after = run(net.step(SGD(0.1)), arrays)
    for parameter in net.parameters:
        gradient = before[str(parameter.cotangent(1).label)]
        expected = arrays[parameter.name] - 0.1 * gradient
        np.testing.assert_allclose(after[parameter.name], expected, rtol=1e-14)
    assert after["L"] == before["L"]


def test_the_learning_rate_is_a_state_that_can_be_changed():
    for given in (SGD(0.25), Adam(0.25)):
        (rate,) = (t for t in network().update(given).with_role("state") if t.name == "alpha")
        assert (rate.init, rate.axes) == (0.25, ())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0), "SGD: learning_rate: expected more than 0, got 0"),
        (lambda: SGD(-1.0), "SGD: learning_rate: expected more than 0, got -1.0"),
        (lambda: SGD(float("nan")), "SGD: learning_rate: expected a finite number, got nan"),
        (lambda: SGD(float("inf")), "SGD: learning_rate: expected a finite number, got inf"),
        (lambda: SGD(0.1, 1), "SGD: momentum: expected at least 0 and less than 1, got 1"),
        (lambda: SGD(0.1, -0.1), "SGD: momentum: expected at least 0 and less than 1, got -0.1"),
        (
            lambda: SGD(0.1, nesterov=True),
            "SGD: nesterov=True needs a momentum above 0, got momentum=0",
        ),
        (lambda: Adam(0), "Adam: learning_rate: expected more than 0, got 0"),
        (lambda: Adam(0.1, 1.0), "Adam: beta_1: expected at least 0 and less than 1, got 1.0"),
        (lambda: Adam(0.1, 0.9, 2), "Adam: beta_2: expected at least 0 and less than 1, got 2"),
        (lambda: Adam(epsilon=0), "Adam: epsilon: expected more than 0, got 0"),
        (lambda: SGD(clip_norm=0), "SGD: clip_norm: expected more than 0, got 0"),
        (lambda: Adam(clip_value=-1), "Adam: clip_value: expected more than 0, got -1"),
        (lambda: AdamW(weight_decay=-1), "AdamW: weight_decay: expected at least 0, got -1"),
        (lambda: RMSProp(rho=1), "RMSProp: rho: expected at least 0 and less than 1, got 1"),
        (lambda: Adagrad(accumulator=-1), "Adagrad: accumulator: expected at least 0, got -1"),
    ],
)
def test_a_setting_outside_its_range_is_refused(make, message):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("given", ["0.1", None, True, 1j, [0.1], SGD])
def test_a_setting_that_is_no_number_is_refused(given):
    with pytest.raises(ArgumentTypeError, match="SGD: learning_rate: expected a number, a sched"):
        SGD(given)


def test_nesterov_is_a_flag():
    with pytest.raises(ArgumentTypeError, match="SGD: nesterov: expected True or False, got 'no'"):
        SGD(0.1, momentum=0.9, nesterov="no")


def test_bias_correction_keeps_its_digits_in_float32():
    """1 − β for β near 1, where β rounded to float32 is another number."""
    model = network().compile(Adam(0.01, beta_2=0.99999), dtype="float32")
    model.fit(draw(3, 20, 2), draw(4, 20, 2))
    np.testing.assert_allclose(np.abs(model.parameters["b1"]), 0.01, rtol=1e-5)


@pytest.mark.parametrize("given", [np.float32(0.5), np.float64(0.5), fractions.Fraction(1, 2), 1])
def test_any_real_number_is_a_setting(given):
    network().update(SGD(given))


def test_an_optimizer_by_name_has_its_defaults():
    assert optimizer("sgd") == SGD()
    assert optimizer("adam") == Adam()
    assert optimizer("momentum") == SGD(momentum=0.9)
    assert optimizer("nesterov") == SGD(momentum=0.9, nesterov=True)
    others = {"adagrad": Adagrad(), "rmsprop": RMSProp(), "adamw": AdamW()}
    assert {name: optimizer(name) for name in others} == others
    given = SGD(0.3)
    assert optimizer(given) is given


@pytest.mark.parametrize(
    ("given", "near"), [("Adam", "adam"), ("SGD", "sgd"), ("rmspropp", "rmsprop")]
)
def test_an_unknown_optimizer_is_refused(given, near):
    with pytest.raises(UnknownNameError) as caught:
        network().update(given)
    assert f"optimizer: unknown name {given!r}; " in str(caught.value)
    assert near is None or f"did you mean {near!r}?" in str(caught.value)


@pytest.mark.parametrize("given", [SGD, Adam, 0.1, None])
def test_what_is_no_optimizer_is_refused(given):
    with pytest.raises(ArgumentTypeError, match="optimizer: expected a name or an object such as"):
        network().update(given)
