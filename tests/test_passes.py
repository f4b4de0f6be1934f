"""Passes keep every value, find the textbook forms, and stay finite at the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy
from symprop import Dense, Network, passes, prediction, target
from symprop.activations import ACTIVATIONS, ARGUMENT
from symprop.adjoint import backward, partial
from symprop.backends.numpy import run
from symprop.passes import lower, simplify_gradients
from symprop.passes.algebra import tidy
from symprop.passes.cost import cost
from symprop.passes.facts import apply_facts
from symprop.passes.inline import hoist, inline
from symprop.passes.merge import merge, tidy_values
from symprop.passes.orient import orient
from symprop.passes.prune import prune
from symprop.passes.reuse import expressed, reuse_stored
from symprop.passes.stabilize import stabilize, stable
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from sympy import Idx, IndexedBase, Symbol, exp, log

from cases import PROGRAMS, Case
from oracles import worst_error

PASSES = {
    "inline": lambda program: inline(program, kept(program)),
    "hoist": lambda program: hoist(program, kept(program)),
    "prune": prune,
    "tidy": tidy_values,
    "reuse": reuse_stored,
    "facts": apply_facts,
    "merge": merge,
    "stabilize": stabilize,
    "orient": lambda program: orient(program, 8),
    "simplify": simplify_gradients,
    "simplify and lower": lambda program: lower(simplify_gradients(program)),
}
z = IndexedBase("z")[Idx("b", 5)]
a = IndexedBase("a")[Idx("b", 5)]


def kept(program: Program) -> frozenset[Symbol]:
    return frozenset(tensor.label for tensor in program.outputs)


def differentiated(case: Case) -> Program:
    return case.program + backward(case.program, case.of, case.wrt)


def output_error(before: Program, after: Program, case: Case) -> float:
    """The worst relative difference between the outputs of two programs on the arrays of a case."""
    expected, found = run(before, case.arrays), run(after, case.arrays)
    labels = [str(tensor.label) for tensor in before.outputs]
    return worst_error({n: found[n] for n in labels}, {n: expected[n] for n in labels})


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("rewrite", PASSES)
def test_pass_preserves_values(rewrite: str, name: str) -> None:
    program = differentiated(PROGRAMS[name])
    assert output_error(program, PASSES[rewrite](program), PROGRAMS[name]) < 1e-13


def test_a_sabotaged_pass_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    case = PROGRAMS["layer-norm"]
    program = differentiated(case)
    honest = merge

    def dropping_a_sign(given: Program) -> Program:
        *others, last = honest(given).equations
        return replace(given, equations=(*others, replace(last, value=-last.value)))

    monkeypatch.setattr(passes, "merge", dropping_a_sign)
    monkeypatch.setattr(passes, "ROUNDS", 1)
    with pytest.raises(Exception, match="still change"):
        simplify_gradients(program)
    assert output_error(program, dropping_a_sign(program), case) > 0.1


FORMS = {
    "sigmoid": a * (1 - a),
    "tanh": 1 - a**2,
    "elu": "Select(Greater(z[b], 0), 1, a[b] + 1)",
    "softplus": 1 - exp(-a),
    "leaky_relu": "Select(Greater(z[b], 0), 1, 1/100)",
    "relu": "Greater(z[b], 0)",
    "hard_tanh": "Greater(1, z[b])*Greater(z[b], -1)",
    "softsign": "(Absolute(z[b]) + 1)**(-2)",
    "silu": "a[b] - a[b]/(1 + exp(-z[b])) + 1/(1 + exp(-z[b]))",
}


@pytest.mark.parametrize("name", FORMS)
def test_derivative_is_found_in_its_shortest_form(name: str) -> None:
    value = ACTIVATIONS[name].expression.xreplace({ARGUMENT: z})
    assert str(expressed(tidy(partial(value, z)), value, a)) == str(FORMS[name])


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (exp(-(z**2)), -2 * a * z),
        (exp(z), a),
        (1 / (1 + exp(-2 * z)), 2 * a * (1 - a)),
        (log(1 + exp(3 * z)), 3 - 3 * exp(-a)),
        (log(exp(-z) + 3), -1 / (3 * exp(z) + 1)),
        (log((1 + exp(z)) / 2), 1 / (1 + exp(-z))),
        (z / sympy.sqrt(1 + z**2), (1 + z**2) ** sympy.Rational(-3, 2)),
        (sympy.sqrt(1 + exp(-(z**2))), -z * exp(-(z**2)) / a),
    ],
    ids=str,
)
def test_custom_derivative_is_found_in_stored_values(value: sympy.Expr, form: sympy.Expr) -> None:
    assert expressed(tidy(partial(value, z)), value, a) == form


def test_no_denominator_is_brought_in() -> None:
    value = z * sympy.tanh(z)
    shown = expressed(tidy(partial(value, z)), value, a)
    assert not any(power.exp.is_negative for power in shown.atoms(sympy.Pow))


def delta(layer: int, **network: object) -> str:
    net = Network(**network)
    label = f"z{layer}′1"
    return str(sum(e.value for e in net.gradients.flat if str(e.label) == label))


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", "cross_entropy"),
        ("sigmoid", "binary_cross_entropy"),
        (1 / (1 + exp(-Symbol("u"))), "binary_cross_entropy"),
        (exp(Symbol("u")) / (1 + exp(Symbol("u"))), "binary_cross_entropy"),
    ],
    ids=str,
)
def test_output_delta_is_prediction_minus_target(activation: object, loss: object) -> None:
    found = delta(1, layers=[Dense(3, activation=activation)], inputs=2, loss=loss)
    assert found == "(-y[b, j] + yhat[b, j])/m"


def test_terms_that_cancel_are_one_fraction() -> None:
    u = prediction - target
    found = delta(1, layers=[Dense(3)], inputs=2, loss=u**2 / (1 + u**2))
    d = "(-y[b, j] + yhat[b, j])"
    assert found == f"2*{d}/(m*({d}**2 + 1)**2)"


def test_without_the_declared_fact_the_sum_of_the_targets_stays() -> None:
    layers = [Dense(3, activation="softmax")]
    found = delta(1, layers=layers, inputs=2, loss=-target * log(prediction))
    assert found == "(u1[b]*yhat[b, j] - y[b, j])/m"


def test_hidden_delta_is_the_textbook_recursion() -> None:
    layers = [Dense(4, activation="tanh"), Dense(3, activation="softmax")]
    found = delta(1, layers=layers, inputs=2, loss="cross_entropy")
    assert found == "(1 - a1[b, j]**2)*W2[j2, j]*z2′1[b, j2]"


def test_fact_is_used_only_where_it_is_declared() -> None:
    layers = [Dense(3, activation="softmax")]
    declared = Network(layers, 2, "cross_entropy").gradients
    undeclared = Network(layers, 2, -target * log(prediction)).gradients
    assert [
        e for e in declared.flat if e.over and "y[b, j]" in str(e.value) and str(e.label) != "L"
    ] == []
    assert any("y[b, j]" in str(e.value) and e.over for e in undeclared.flat if str(e.label) != "L")


STABLE = [
    (log(1 + exp(z)), [(-1000.0, 0.0), (0.0, np.log(2)), (1000.0, 1000.0), (-40.0, np.exp(-40.0))]),
    (log(sympy.cosh(z)), [(1000.0, 1000.0 - np.log(2)), (-1000.0, 1000.0 - np.log(2))]),
    (exp(z) / (1 + exp(z)), [(1000.0, 1.0), (-1000.0, 0.0), (-40.0, np.exp(-40.0))]),
    (exp(z) - 1, [(1e-18, 1e-18)]),
    (1 - exp(-z), [(1e-18, 1e-18)]),
    (log(1 + z), [(1e-18, 1e-18)]),
    ((exp(z) - exp(-z)) / (exp(z) + exp(-z)), [(1000.0, 1.0), (-1000.0, -1.0)]),
]


@pytest.mark.parametrize(("value", "points"), STABLE, ids=lambda given: str(given)[:40])
def test_stable_form_holds_at_the_edges(
    value: sympy.Expr, points: list[tuple[float, float]]
) -> None:
    from symprop.backends.numpy import Evaluator

    form = stable(value)
    for at, expected in points:
        evaluate = Evaluator({"z": np.array([at])}, {}, {Idx("b", 5): np.array([0])}, np.float64)
        with np.errstate(all="ignore"):
            assert evaluate(form)[0] == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "silu", "mish", "softplus", "gelu", "selu"])
def test_loss_and_gradients_are_finite_at_huge_inputs(name: str, dtype: type) -> None:
    loss = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}.get(name, "log_cosh")
    net = Network([Dense(3, activation=name, bias=False)], inputs=3, loss=loss)
    arrays = {"x": [[1000.0, 0.0, -1000.0]], "W1": np.eye(3), "y": [[0.0, 1.0, 0.0]]}
    values = run(lower(net.gradients), arrays, dtype)
    assert np.isfinite(values["L"])
    assert np.isfinite(values["W1′1"]).all()


def test_softmax_cross_entropy_gradient_at_the_edge() -> None:
    net = Network([Dense(3, activation="softmax", bias=False)], inputs=3, loss="cross_entropy")
    arrays = {"x": [[1000.0, 0.0, -1000.0]], "W1": np.eye(3), "y": [[0.0, 1.0, 0.0]]}
    values = run(lower(net.gradients), arrays)
    assert values["z1′1"].tolist() == [[1.0, -1.0, 0.0]]
    assert values["L"] == 1000.0


@pytest.mark.parametrize("target_row", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
def test_softmax_with_another_loss_is_finite_at_the_edge(target_row: list[float]) -> None:
    net = Network([Dense(3, activation="softmax", bias=False)], inputs=3, loss="poisson")
    arrays = {"x": [[1000.0, 0.0, -1000.0]], "W1": np.eye(3), "y": [target_row]}
    values = run(lower(net.gradients), arrays)
    expected = np.array([[1.0, 0.0, 0.0]]) - target_row  # ŷ − y − ŷ·Σ(ŷ − y)
    assert values["z1′1"] == pytest.approx(expected, abs=1e-15)
    assert np.isfinite(values["L"])


@pytest.mark.parametrize("logit", [-1000.0, -200.0, 30.0, 200.0, 1000.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_custom_focal_loss_is_finite_at_the_edge(logit: float, y: float) -> None:
    focal = -target * (1 - prediction) ** 2 * log(prediction)
    focal -= (1 - target) * prediction**2 * log(1 - prediction)
    net = Network([Dense(1, activation="sigmoid", bias=False)], inputs=1, loss=focal)
    arrays = {"x": [[logit]], "W1": [[1.0]], "y": [[y]]}
    values = run(lower(net.gradients), arrays, np.float32)
    far = (logit > 0) != (y == 1)  # on the wrong side the loss is |z|, its slope ±1
    assert values["L"] == pytest.approx(abs(logit) * far, abs=1e-6)
    assert values["z1′1"] == pytest.approx(far * (1 - 2 * y), abs=1e-6)


def test_a_gradient_that_nothing_reaches_is_said_to_be_zero() -> None:
    net = Network([Dense(2, sympy.Heaviside(Symbol("u"))), Dense(1)], inputs=3, loss="mse")
    assert "∂L/∂W1[j, k] = 0" in str(net.gradients)
    assert "∂L/∂z1" not in str(net.gradients)


def test_cost_prefers_no_overflow() -> None:
    assert cost(exp(z) / (1 + exp(z))) > cost(1 / (1 + exp(-z)))


def test_prune_drops_what_no_output_needs() -> None:
    net = Network([Dense(3, activation="softmax")], inputs=2, loss="cross_entropy")
    pruned = prune(net.forward, (net.named("yhat"),))
    assert net.named("L").label not in pruned.defined
    assert {tensor.role for tensor in pruned.tensors} >= {"input", "target", "parameter"}


def test_products_get_copies_and_results_that_lie_along_vectors() -> None:
    net = Network([Dense(64, "tanh"), Dense(48), Dense(48)], inputs=1, loss="mse")
    oriented = orient(net.gradients, 16)
    new = [tensor for tensor in oriented.tensors if tensor not in net.gradients.tensors]
    assert [str(t.label) for t in new] == ["W2T", "W3T", "W1T′1"]  # W1's gradient is narrow: turned
    assert all(all(size.is_Integer for size in tensor.shape) for tensor in new)


def test_a_copy_is_made_anew_after_what_it_copies_has_changed() -> None:
    scope = Scope()
    b, j, k = index("b", BATCH), index("j", 32), index("k", 32)
    x = scope.tensor("x", (b, k), role="input")
    W = scope.tensor("W", (j, k), role="parameter")
    y, z_ = scope.tensor("y", (b, j)), scope.tensor("z", (b, j))
    scope.define(y[b, j], W[j, k] * x[b, k], over=(k,))
    scope.define(W[j, k], 2 * W[j, k], reduce="set")
    scope.define(z_[b, j], W[j, k] * x[b, k], over=(k,))
    program = scope.freeze(outputs=(y, z_))
    oriented = orient(program, 8)
    assert len(oriented.equations) == len(program.equations) + 2
    arrays = {"x": np.ones((2, 32)), "W": np.random.default_rng(0).normal(size=(32, 32))}
    found = run(oriented, arrays)
    np.testing.assert_allclose(found["z"], 2 * found["y"])
