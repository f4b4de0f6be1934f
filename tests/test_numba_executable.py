"""Compiled models: shared by threads, numbers that do not fit, numbers that are undefined."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from symprop import Dense, Network
from symprop.backends import numba as compiled
from symprop.backends import numpy as interpreter
from symprop.errors import LoweringError
from symprop.primitives import Maximum, Minimum
from symprop.scope import Scope, index
from sympy import Symbol


def test_threads_share_a_model():
    """Predictions, losses and gradients of many threads are those of one."""
    net = Network([Dense(64, activation="tanh"), Dense(2)], inputs=3, loss="mse")
    model = net.compile(dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    sets = [(rng.normal(size=(n, 3)), rng.normal(size=(n, 2))) for n in range(200, 1800, 100)]

    def results(data):
        loss, gradients = model.loss_and_gradients(*data)
        return [model.predict(data[0]), model.evaluate(*data)["loss"], loss, gradients["W1"]]

    alone = [results(data) for data in sets] * 20
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(results, sets * 20))
    for one, other in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sign", [1, -1])
def test_number_beyond_float32_is_refused_before_anything_changes(sign):
    z = Symbol("z")
    net = Network([Dense(1, activation=sign * 10**39 * z)], inputs=1, loss="mse")
    model = net.compile(dtype="float32", seed=0)
    before = model.generator.bit_generator.state
    for _ in range(2):  # the second time as the first
        with pytest.raises(LoweringError, match=r"1\.0+E\+39 does not fit float32, .* 3\.403e\+38"):
            model.fit([[1.0]], [1.0])
    assert model.generator.bit_generator.state == before
    assert np.isfinite(net.compile(dtype="float64").predict([[1.0]])).all()


@pytest.mark.parametrize("run", [interpreter.run, compiled.run])
@pytest.mark.parametrize("function", [Maximum, Minimum])
def test_undefined_number_goes_through_an_extreme(function, run):
    scope = Scope()
    i = index("i", 4)
    u, v = (scope.tensor(name, (i,), role="input") for name in ("u", "v"))
    found = scope.tensor("found", (i,))
    scope.define(found[i], function(u[i], v[i]))
    program = scope.freeze(outputs=(found,))
    values = run(program, {"u": [1.0, np.nan, np.nan, 1.0], "v": [np.nan, 1.0, np.nan, 1.0]})
    np.testing.assert_array_equal(values["found"], [np.nan, np.nan, np.nan, 1.0])


def test_extreme_with_a_number_costs_no_second_comparison():
    source = Network([Dense(1, activation="relu")], inputs=1, loss="mse").compile().source
    assert "<= F(0.0)" in source
    assert "!=" not in source
