"""The laws of scheduling: what is fused, what is assigned, what is a matrix product."""

from __future__ import annotations

import sympy
from symprop import Dense, Network
from symprop.equation import Equation
from symprop.passes.prune import prune
from symprop.program import Program
from symprop.schedule import schedule
from symprop.scope import BATCH, Scope, index
from symprop.steps import Fill, Gemm, Loop, Nest, Schedule, touched
from symprop.tensor import label_of
from sympy import Idx, Symbol

b, j, k = index("b", BATCH), index("j", 40), index("k", 64)


def named(plan: Schedule, kind: type) -> list[tuple[str, ...]]:
    """The labels that each step of a kind touches."""
    return [tuple(map(str, touched(step))) for step in plan.steps if isinstance(step, kind)]


def scope_with(*names: str) -> tuple[Scope, list]:
    scope = Scope()
    return scope, [scope.tensor(name, (b, j), role="input") for name in names]


def dense(activation: str = "tanh") -> Network:
    return Network(
        [Dense(40, activation=activation), Dense(48, activation=activation), Dense(50)],
        inputs=64,
        loss="mse",
    )


def test_equations_over_the_same_points_share_a_nest():
    scope, (x,) = scope_with("x")
    y, z = scope.tensor("y", (b, j)), scope.tensor("z", (b, j))
    scope.define(y[b, j], x[b, j] ** 2)
    scope.define(z[b, j], sympy.exp(y[b, j]))
    (nest,) = schedule(scope.freeze()).steps
    assert isinstance(nest, Nest)
    assert len(nest.statements) == 2
    assert nest.loops == (b, j)


def test_a_reduction_is_complete_before_it_is_read():
    scope, (x,) = scope_with("x")
    s, y = scope.tensor("s", (b,)), scope.tensor("y", (b, j))
    scope.define(s[b], x[b, j], over=(j,))
    scope.define(y[b, j], x[b, j] / s[b])
    assert [len(step.statements) for step in schedule(scope.freeze()).steps] == [1, 1]


def test_a_shifted_read_is_not_fused():
    scope, (x,) = scope_with("x")
    y, z = scope.tensor("y", (b, index("j", 41))), scope.tensor("z", (b, j))
    scope.define(y[b, j + 1], x[b, j])
    scope.define(z[b, j], y[b, 40 - j])
    kinds = [type(step) for step in schedule(scope.freeze()).steps]
    assert kinds == [Fill, Nest, Nest]


def test_an_equation_moves_up_only_past_what_it_does_not_depend_on():
    scope, (x,) = scope_with("x")
    y, s, z = scope.tensor("y", (b, j)), scope.tensor("s", (b,)), scope.tensor("z", (b, j))
    scope.define(y[b, j], x[b, j])
    scope.define(s[b], sympy.Integer(2))
    scope.define(z[b, j], y[b, j] + 1)
    first, _ = schedule(scope.freeze()).steps
    assert [str(s.label) for s in first.statements] == ["y", "z"]
    blocked = Equation(z[b, j], y[b, j] + s[b])
    program = scope.freeze()
    program = Program(program.tensors, (*program.equations[:2], blocked))
    assert [len(step.statements) for step in schedule(program).steps] == [1, 1, 1]


def test_the_first_writer_assigns_and_later_ones_add():
    scope, (x,) = scope_with("x")
    y = scope.tensor("y", (b, j))
    scope.define(y[b, j], x[b, j])
    scope.define(y[b, j], 2 * x[b, j])
    (nest,) = schedule(scope.freeze()).steps
    assert [statement.fresh for statement in nest.statements] == [True, False]


def test_a_given_tensor_is_added_to():
    scope, (x, y) = scope_with("x", "y")
    scope.define(y[b, j], x[b, j])
    (nest,) = schedule(scope.freeze()).steps
    assert not nest.statements[0].fresh


def test_a_scatter_is_filled_first_and_a_maximum_from_minus_infinity():
    scope, (x,) = scope_with("x")
    y, top = scope.tensor("y", (j,)), scope.tensor("top", (j,))
    scope.define(y[j], x[b, j], over=(b,))
    scope.define(top[j], x[b, j], over=(b,), reduce="max")
    fills = {str(s.label): s.value for s in schedule(scope.freeze()).steps if isinstance(s, Fill)}
    assert fills == {"y": 0, "top": -sympy.oo}


def test_the_innermost_loop_runs_along_memory():
    scope, (x,) = scope_with("x")
    w, y = scope.tensor("w", (index("i", 3), j), role="input"), scope.tensor("y", (b, Idx("i", 3)))
    i = y.axes[1]
    scope.define(y[b, i], w[i, j] * x[b, j], over=(j,))
    (nest,) = schedule(scope.freeze()).steps
    assert nest.loops == (b, i, j)
    assert nest.depth(nest.statements[0]) == 2
    assert nest.statements[0].fresh


def test_forward_and_both_backward_products_are_found():
    net = dense()
    products = named(schedule(net.gradients), Gemm)
    assert ("z2", "a1", "W2") in products
    targets = {product[0] for product in products}
    assert {"z1", "z2", "z3", "W1′1", "W2′1", "W3′1"} <= targets
    assert any({"W3", "z3′1"} <= {*product[1:]} for product in products)


def test_a_small_product_stays_in_loops():
    net = Network([Dense(3), Dense(1)], inputs=2, loss="mse")
    assert not named(schedule(net.gradients), Gemm)


def test_a_second_product_goes_through_a_buffer_of_its_own():
    scope = Scope()
    x, w = (scope.tensor(n, a, role="input") for n, a in (("x", (b, k)), ("w", (j, k))))
    y = scope.tensor("y", (b, j))
    scope.define(y[b, j], sympy.sin(x[b, 0]))
    scope.define(y[b, j], 3 * w[j, k] * x[b, k], over=(k,))
    plan = schedule(scope.freeze())
    (gemm,) = (step for step in plan.steps if isinstance(step, Gemm))
    assert label_of(gemm.target) not in scope.freeze().by_label
    assert label_of(gemm.target) in {buffer.label for buffer in plan.buffers}
    add = plan.steps[-1].statements[-1]
    assert add.value == 3 * gemm.target
    assert not add.fresh


def test_bias_and_activation_follow_the_product_in_one_nest():
    plan = schedule(dense().forward)
    nest = next(step for step in plan.steps if isinstance(step, Nest))
    assert [str(s.label) for s in nest.statements] == ["z1", "a1"]


def test_a_tensor_used_at_one_point_only_needs_no_buffer():
    net = dense("gelu")
    forward = prune(net.forward, (net.named("yhat"),))
    plan = schedule(forward, keep={net.named("yhat").label})
    everything = schedule(forward)
    assert len(plan.buffers) <= len(everything.buffers)
    scope, (x,) = scope_with("x")
    y, z = scope.tensor("y", (b, j)), scope.tensor("z", (b, j))
    scope.define(y[b, j], x[b, j] ** 2)
    scope.define(z[b, j], sympy.exp(y[b, j]))
    assert schedule(scope.freeze(), keep={z.label}).buffers == (z,)


def test_a_recurrence_is_a_loop_and_its_state_is_filled_before():
    t, steps = index("t", 5), index("t", 6)
    scope = Scope()
    x = scope.tensor("x", (t, b, j), role="input")
    h, z = scope.tensor("h", (steps, b, j)), scope.tensor("z", (t, b, j))
    with scope.recurrence(t):
        scope.define(z[t, b, j], x[t, b, j] + h[t, b, j])
        scope.define(h[t + 1, b, j], sympy.tanh(z[t, b, j]))
    fill, loop = schedule(scope.freeze()).steps
    assert (fill.label, type(loop)) == (Symbol("h"), Loop)
    assert loop.steps[0].statements[0].fresh


def test_what_nothing_defines_is_zero():
    scope, _ = scope_with("x")
    scope.tensor("y", (b, j))
    assert [step.label for step in schedule(scope.freeze()).steps] == [Symbol("y")]


def test_statements_with_nothing_in_common_keep_to_themselves():
    net = Network([Dense(40), Dense(40), Dense(40)], inputs=40, loss="mse")
    plan = schedule(net.step("adam"))
    updates = [s for s in plan.steps if isinstance(s, Nest) and "m_W2" in map(str, touched(s))]
    assert [{str(s.label) for s in nest.statements} for nest in updates] == [{"m_W2", "v_W2", "W2"}]


def test_a_short_reduction_is_innermost():
    scope = Scope()
    i = index("i", 4)
    w, y = scope.tensor("w", (i, j), role="input"), scope.tensor("y", (b, j))
    u = scope.tensor("u", (b, i), role="input")
    scope.define(y[b, j], w[i, j] * u[b, i], over=(i,))
    (nest,) = schedule(scope.freeze()).steps
    assert nest.loops == (b, j, i)


def test_a_transposed_read_is_not_fused():
    scope = Scope()
    i, n = index("i", 3), index("n", 3)
    x = scope.tensor("x", (i, n), role="input")
    y, z = scope.tensor("y", (i, n)), scope.tensor("z", (i, n))
    scope.define(y[i, n], x[i, n])
    scope.define(z[i, n], y[n, i] + x[i, n])
    assert [len(step.statements) for step in schedule(scope.freeze()).steps] == [1, 1]
