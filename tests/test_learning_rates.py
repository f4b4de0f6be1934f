"""Learning rates: schedules against their formulas, functions of the step, and a constant one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
from symprop import (
    SGD,
    Adam,
    CosineDecay,
    Dense,
    ExponentialDecay,
    Network,
    StepDecay,
    WarmUp,
    load,
)
from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError

from cases import draw

t = sympy.Symbol("t")


def branching(step):
    return 0.1 if step < 7 else 0.02


def at_one_step(step):
    return 0.5 if step == 3 else 0.1


RATES = {
    "step": (StepDecay(0.1, steps=4, factor=0.5), lambda n: 0.1 * 0.5 ** (n // 4)),
    "step-of-49": (StepDecay(0.1, steps=1, factor=0.9), lambda n: 0.1 * 0.9**n),
    "exponential": (ExponentialDecay(0.1, 4, 0.5), lambda n: 0.1 * 0.5 ** (n / 4)),
    "cosine": (
        CosineDecay(0.1, steps=8, final=0.01),
        lambda n: 0.01 + 0.09 * (1 + math.cos(math.pi * min(n, 8) / 8)) / 2,
    ),
    "warm-up": (WarmUp(5, then=0.1), lambda n: 0.1 * min(1, (n + 1) / 5)),
    "warm-up-then-decay": (
        WarmUp(3, then=StepDecay(0.1, steps=4, factor=0.5)),
        lambda n: 0.1 * (n + 1) / 3 if n < 3 else 0.1 * 0.5 ** ((n - 3) // 4),
    ),
    "expression": (0.1 / (1 + t), lambda n: 0.1 / (1 + n)),
    "function-of-a-symbol": (lambda n: 0.1 * 0.5 ** (n // 3), lambda n: 0.1 * 0.5 ** (n // 3)),
    "remainder": (lambda n: 0.01 * (1 + n % 4), lambda n: 0.01 * (1 + n % 4)),
    "branching-function": (branching, branching),
    "function-of-one-step": (at_one_step, at_one_step),
    "function-of-math": (lambda n: 0.1 * math.exp(-n / 9), lambda n: 0.1 * math.exp(-n / 9)),
}


def line():
    return Network([Dense(1, bias=False)], inputs=1, loss="mse")


def descended(rates):
    """The weight after each of some batches of one sample, by hand: L = (w x − y)²."""
    w, found = 1.0, []
    for x, y, rate in zip(X[:, 0], Y, rates, strict=True):
        w -= rate * 2 * (w * x - y) * x
        found.append(w)
    return found


X, Y = draw(1, 12, 1), draw(2, 12)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", RATES)
def test_every_step_has_its_rate(name, backend):
    given, formula = RATES[name]
    model = line().compile(SGD(given), dtype="float64", backend=backend)
    model.set_parameters({"W1": [[1.0]]})
    rates, path = [formula(n) for n in range(12)], []
    for n in range(6):  # in calls of two steps: the count of steps goes on
        rows = slice(2 * n, 2 * n + 2)
        history = model.fit(X[rows], Y[rows], epochs=1, batch_size=1, shuffle=False)
        path.append(float(model.parameters["W1"].item()))
        assert history.learning_rate == pytest.approx([rates[2 * n + 1]], rel=1e-14)
        assert model.learning_rate == pytest.approx(rates[2 * n + 1], rel=1e-14)
    np.testing.assert_allclose(path, descended(rates)[1::2], rtol=1e-12)


def test_history_has_the_rate_of_every_epoch_when_many_run_in_one_call():
    model = line().compile(SGD(ExponentialDecay(0.1, 1, 0.9)), dtype="float64")
    history = model.fit(X, Y, epochs=40, batch_size=4)
    assert history.learning_rate == pytest.approx([0.1 * 0.9 ** (3 * n + 2) for n in range(40)])
    assert "learning_rate" not in history.metrics


@pytest.mark.parametrize("steps", [7, 41, 47, 55, 100, 1000])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_step_is_not_late_or_early_in_single_precision(steps, backend):
    """t/n is a whole number for multiples of n, t·(1/n) may be less."""
    from symprop.backends import numba, numpy
    from symprop.scope import Scope, index

    scope, i = Scope(), index("i", 4000)
    count = scope.tensor("n", (i,), role="input")
    rate = scope.tensor("rate", (i,))
    scope.define(rate[i], StepDecay(1.0, steps, 0.5)(count[i]))
    run = {"numpy": numpy.run, "numba": numba.run}[backend]
    numbers = np.arange(4000)
    found = run(scope.freeze((rate,)), {"n": numbers}, np.dtype("float32"))["rate"]
    exact = 0.5 ** (numbers // steps).astype(float)
    np.testing.assert_allclose(found, exact.astype("float32"), rtol=1e-5)


def test_steps_are_counted_exactly_beyond_what_single_precision_holds():
    model = line().compile(SGD(0.1 / (1 + t)), dtype="float32")
    model.values["t"][...] = 2**24 + 5
    model.fit(X, Y, epochs=1, batch_size=1)
    assert int(model.values["t"]) == 2**24 + 17


def test_a_constant_rate_is_changed_without_compiling_anew():
    model = line().compile(SGD(0.5), dtype="float64")
    source = model.source
    model.fit(X[:1], Y[:1], batch_size=1)
    model.learning_rate = 0.1
    model.set_parameters({"W1": [[1.0]]})
    history = model.fit(X[1:2], Y[1:2], batch_size=1)
    x, y = X[1, 0], Y[1]
    assert model.parameters["W1"].item() == pytest.approx(1 - 0.1 * 2 * (x - y) * x)
    assert (history.learning_rate, model.learning_rate) == ([0.1], 0.1)
    assert model.source is source


def test_a_rate_that_is_set_is_checked_and_that_of_a_schedule_stays():
    model = line().compile("adam")
    with pytest.raises(ArgumentError, match="learning_rate: expected more than 0, got 0"):
        model.learning_rate = 0
    assert model.learning_rate == 0.001
    model = line().compile(SGD(StepDecay(0.1, steps=4)))
    with pytest.raises(ArgumentError, match="only a constant one can be changed"):
        model.learning_rate = 0.1


def test_a_rate_below_zero_is_refused_before_anything_is_trained():
    for given in (0.1 - t / 50, lambda n: 0.1 if n < 6 else -0.1):
        model = line().compile(SGD(given))
        before = model.parameters["W1"].copy()
        with pytest.raises(
            ArgumentError, match="expected at least 0 and finite at every step, got"
        ):
            model.fit(X, Y, epochs=1, batch_size=1)
        assert (model.parameters["W1"] == before).all()


def test_what_is_no_rate_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"expected a number at every step, got str 'x'"):
        line().compile(SGD(lambda n: 0.1 if n < 1 else "x")).fit(X, Y, batch_size=1)
    with pytest.raises(DeclarationError, match="expected one symbol, the step, found a, b"):
        SGD(sympy.Symbol("a") + sympy.Symbol("b"))
    with pytest.raises(ArgumentTypeError, match="WarmUp: then: this function cannot take a symbol"):
        WarmUp(3, then=branching)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0, 3), "StepDecay: initial: expected more than 0, got 0"),
        (lambda: StepDecay(0.1, 0), "StepDecay: steps: expected at least 1, got 0"),
        (lambda: ExponentialDecay(0.1, 3, 1), "ExponentialDecay: factor: expected more than 0"),
        (lambda: CosineDecay(0.1, 3, 0.1), "CosineDecay: final: expected at least 0 and less than"),
        (lambda: WarmUp(3, then=0), "WarmUp: then: expected more than 0, got 0"),
    ],
)
def test_a_schedule_outside_its_range_is_refused(make, message):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_the_schedule_is_printed_as_it_runs():
    text = str(line().step(SGD(CosineDecay(0.1, steps=100))))
    assert "α ← (1 + cos(π·min(t, 100)/100))/20\nt ← t + 1\n" in text


@pytest.mark.parametrize("name", ["step", "cosine", "warm-up-then-decay", "function-of-a-symbol"])
def test_a_loaded_model_goes_on_where_the_schedule_was(name, tmp_path):
    model = line().compile(Adam(RATES[name][0], clip_norm=1.0), dtype="float64")
    model.fit(X, Y, epochs=1, batch_size=2)
    model.save(tmp_path / "model.npz")
    other = load(tmp_path / "model.npz")
    histories = [m.fit(X, Y, epochs=1, batch_size=2) for m in (model, other)]
    assert histories[0].records == histories[1].records
    assert model.parameters["W1"].tobytes() == other.parameters["W1"].tobytes()


def test_a_function_of_numbers_cannot_be_saved(tmp_path):
    model = line().compile(SGD(branching))
    with pytest.raises(
        ArgumentTypeError, match="save: cannot store the function branching: a file"
    ):
        model.save(tmp_path / "model.npz")


def test_a_fit_cut_after_an_epochs_last_batch_records_the_rate_that_a_whole_one_does(tmp_path):
    x, y = draw(1, 6, 2), draw(2, 6, 1)
    network = Network([Dense(1)], inputs=2, loss="mse")
    whole, model = (network.compile(SGD(1 / (3 + t)), backend="numpy") for _ in range(2))
    whole.fit(x, y, 2, 3, validation=0.5)
    files, save = [], model.save

    def kept(path):
        save(path)
        files.append(path.read_bytes())

    model.save = kept
    model.fit(x, y, 2, 3, validation=0.5, checkpoint=tmp_path / "m", every=1)
    (tmp_path / "m").write_bytes(files[0])
    loaded = load(tmp_path / "m")
    assert (loaded.epoch, loaded.step) == (0, 1)
    assert loaded.fit(x, y, 2, 3, validation=0.5) == whole.history


@pytest.mark.parametrize(
    ("rate", "got"),
    [
        (1 / sympy.Symbol("t"), "zoo"),
        (sympy.log(sympy.Symbol("t")), "zoo"),
        (lambda step: "a" if step == 0 else 0.1, "'a'"),
        (sympy.Symbol("t") - 1, "-1"),
    ],
    ids=str,
)
def test_a_rate_without_a_value_at_the_first_step_is_told(rate, got):
    with pytest.raises(ArgumentError, match=f"learning_rate: .* got {got} at the first, t = 0"):
        Network([Dense(1)], inputs=1, loss="mse").compile(SGD(rate), backend="numpy")
