"""Every optimization keeps what the interpreter computes, turned on and turned off."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import sympy
from symprop import Adam, BatchNorm, Dense, Network, prediction, target
from symprop.backends import Batches, numba_entry
from symprop.backends.numba import NumbaExecutable
from symprop.backends.numpy import NumpyExecutable
from symprop.lowering import Lowering
from symprop.optimizers import SGD, ExponentialDecay
from symprop.scope import Scope, index
from symprop.steps import Gemm
from symprop.tensor import Tensor, extent

from cases import draw

z = sympy.Symbol("z")


@dataclass(frozen=True)
class LowRank:
    """q = V·(U·x): a product directly below another."""

    rank: int
    units: int

    def declare(self, scope: Scope, source: Tensor, name: str = "") -> Tensor:
        with scope.layer("Low rank") as n:
            b, k = source.axes[0], index("k", extent(source.axes[-1]))
            r, j = index("r", self.rank), index("j", self.units)
            u = scope.tensor(f"U{n}", (r, k), role="parameter", init="glorot_uniform")
            v = scope.tensor(f"V{n}", (j, r), role="parameter", init="glorot_uniform")
            p, q = scope.tensor(f"p{n}", (b, r)), scope.tensor(name or f"q{n}", (b, j))
            scope.define(p[b, r], u[r, k] * source[b, k], over=(k,))
            scope.define(q[b, j], v[j, r] * p[b, r], over=(r,))
        return q


NETWORKS: dict[str, Network] = {
    "narrow": Network([Dense(1, "tanh"), Dense(1)], inputs=1, loss="mse"),
    "odd": Network([Dense(17, "gelu"), Dense(33, "relu"), Dense(3)], inputs=5, loss="huber"),
    "classifier": Network(
        [Dense(40, "sigmoid"), Dense(10, "softmax")], inputs=24, loss="cross_entropy"
    ),
    "deep": Network([*[Dense(16, "tanh")] * 6, Dense(2)], inputs=2, loss="mae"),
    "wide": Network([Dense(128, "tanh"), Dense(3)], inputs=130, loss="mse"),
    "normed": Network([*[Dense(16, "tanh"), BatchNorm()] * 5, Dense(2)], inputs=3, loss="mse"),
    "long": Network([Dense(180, "relu"), Dense(3, "softmax")], inputs=300, loss="cross_entropy"),
    "shared": Network(
        [Dense(520, bias=False), Dense(530, "relu"), BatchNorm(), Dense(3)], inputs=260, loss="mse"
    ),
    "low-rank": Network([LowRank(520, 530), Dense(3)], inputs=1031, loss="mse"),
    "large": Network([Dense(1030, "tanh"), Dense(130, "relu"), Dense(3)], inputs=5, loss="mse"),
    "custom": Network(
        [Dense(20, activation=z * sympy.atan(z)), Dense(9, "softplus")],
        inputs=16,
        loss=sympy.log(sympy.cosh(prediction - target)),
    ),
}
OFF = [Lowering(), Lowering(threads=1), Lowering(threads=3)] + [
    replace(Lowering(), **{field.name: False})
    for field in fields(Lowering)
    if field.name != "threads"
]
ROWS, BATCH = 75, 35  # the last batch is shorter, neither fills a tile or a vector


def data(net: Network) -> tuple[Any, Any]:
    """Inputs and targets that every loss takes."""
    inputs, outputs = (int(net.named(name).shape[1]) for name in ("x", "y"))
    x = draw(1, ROWS, inputs)
    if net.loss.labels == "classes":
        return x, np.eye(outputs)[np.arange(ROWS) % outputs]
    return x, draw(2, ROWS, outputs)


def values(net: Network, optimizer: Any) -> dict[str, Any]:
    model = net.compile(optimizer, dtype="float64", backend="numpy")
    return {label: array.copy() for label, array in model.values.items()}


def trained(executable: Any, net: Network) -> Any:
    """The losses of two epochs."""
    x, y = data(net)
    seeds = np.array([3, 4], np.uint64)
    batches = Batches.of(x, y, np.arange(ROWS), seeds, BATCH, epochs=2)
    executable.train(batches, 0, 2 * batches.per_epoch)
    return batches.losses


@pytest.fixture(autouse=True)
def _threads_always_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_entry, "WORTH_A_THREAD", 1)


CASES = [(name, lowering) for name in NETWORKS for lowering in OFF[:1]]
CASES += [("odd" if n % 2 else "classifier", lowering) for n, lowering in enumerate(OFF[1:])]
CASES += [(name, Lowering(threads=3)) for name in ("wide", "normed", "long", "shared", "low-rank")]
CASES += [(name, Lowering(blocks=False)) for name in ("wide", "normed")]


def told(value: object) -> str:
    """What is off, as the name of a case."""
    if not isinstance(value, Lowering):
        return str(value)
    off = [f.name for f in fields(Lowering) if getattr(value, f.name) != f.default]
    return " ".join(off) or "everything"


@pytest.mark.parametrize(("name", "lowering"), CASES, ids=told)
def test_optimizations_keep_the_interpreters_values(name: str, lowering: Lowering) -> None:
    net, optimizer = NETWORKS[name], Adam(0.01)
    mine, expected = values(net, optimizer), values(net, optimizer)
    slow = NumpyExecutable(net, optimizer, np.dtype("float64"), expected)
    fast = NumbaExecutable(net, optimizer, "float64", mine, lowering)
    x, y = data(net)
    np.testing.assert_allclose(fast.predict(x), slow.predict(x), rtol=1e-12, atol=1e-14)
    assert fast.loss(x, y) == pytest.approx(slow.loss(x, y), rel=1e-12)
    (_, found), (_, gradients) = fast.gradients(x, y), slow.gradients(x, y)
    for label, gradient in gradients.items():
        np.testing.assert_allclose(found[label], gradient, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(trained(fast, net), trained(slow, net), rtol=1e-10)
    for label, array in expected.items():
        np.testing.assert_allclose(mine[label], array, rtol=1e-8, atol=1e-10, err_msg=label)


def test_a_large_matrix_has_no_transposed_copy() -> None:
    model = NETWORKS["large"].compile()
    assert "W2, 1, 1030, " in model.source  # the distances between its rows and its columns
    assert "W2, 1030, 1, " in model.source
    assert "transpose32(W2," not in model.source


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("optimizer", "added"),
    [
        (SGD(0.01), 1),
        (SGD(ExponentialDecay(0.02, 2, 0.5)), 1),
        (SGD(0.01, momentum=0.9), 0),  # needs the gradient for the velocity
        (SGD(0.01, clip_norm=1.0), 0),  # and for its norm
    ],
    ids=str,
)
def test_a_large_gradient_that_only_descent_needs_is_added_into_the_weights(
    optimizer: Any, added: int, on: bool
) -> None:
    net = NETWORKS["wide"]
    mine, expected = values(net, optimizer), values(net, optimizer)
    slow = NumpyExecutable(net, optimizer, np.dtype("float64"), expected)
    fast = NumbaExecutable(net, optimizer, "float64", mine, Lowering(accumulation=on, threads=3))
    plan = fast._programs.planned("train").plan
    steps = [s for s in plan.steps if isinstance(s, Gemm) and s.factor != 1]
    assert [str(s.factor) for s in steps] == ["-alpha"] * (added * on)
    stored = {str(t.label) for t in plan.buffers}
    assert any(label.startswith("W1") for label in stored) != bool(steps)
    np.testing.assert_allclose(trained(fast, net), trained(slow, net), rtol=1e-10)
    for label, array in expected.items():
        np.testing.assert_allclose(mine[label], array, rtol=1e-10, atol=1e-13, err_msg=label)


class With:
    """Runs every range of batches with so many threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def run(self, run: Any, first: int, last: int, _parts: int) -> None:
        run(first, last, self.threads)


@pytest.mark.parametrize(
    ("optimizer", "lowering", "is_divided"),
    [
        (Adam(0.01), Lowering(), True),
        (Adam(0.01), Lowering(divided_products=False), False),
        (Adam(0.01), Lowering(threads=1), False),  # nobody to share with
        (Adam(0.01), Lowering(blocks=False), False),  # rows are not shared either
        (SGD(0.01), Lowering(), False),  # without moments the matrix is small enough
    ],
    ids=told,
)
def test_threads_share_the_sum_of_a_product_with_a_matrix_that_has_moments(
    optimizer: Any, lowering: Lowering, is_divided: bool
) -> None:
    text = NETWORKS["long"].compile(optimizer, lowering=lowering).source
    assert ("share(300, 8, part, parts)" in text) == is_divided


@pytest.mark.parametrize("on", [True, False])
def test_threads_share_the_columns_of_a_product_with_a_large_matrix(on: bool) -> None:
    model = NETWORKS["shared"].compile(SGD(0.1), lowering=Lowering(divided_products=on))
    assert ("left_530, right_530 = " in model.source) == on


@pytest.mark.parametrize(
    ("name", "parts", "optimizer"),
    [
        ("odd", 2, SGD(0.01)),
        ("odd", 3, SGD(0.01)),
        ("wide", 3, SGD(0.01)),
        ("long", 3, Adam(0.01)),
        ("shared", 3, Adam(0.01)),
        ("low-rank", 3, Adam(0.01)),
    ],
)
def test_bits_depend_on_the_parts_of_a_batch_not_on_the_threads(
    name: str, parts: int, optimizer: Any
) -> None:
    net = NETWORKS[name]
    found = []
    for threads in (1, parts):
        mine = values(net, optimizer)
        executable = NumbaExecutable(
            net, optimizer, "float32", as_float32(mine), Lowering(threads=parts)
        )
        assert executable._entry("train").parts(BATCH) == parts
        executable._threads = With(threads)  # type: ignore[assignment]
        losses = trained(executable, net).tobytes()
        found.append((losses, {k: v.tobytes() for k, v in executable._values.items()}))
    assert found[0] == found[1]


def as_float32(arrays: dict[str, Any]) -> dict[str, Any]:
    return {label: array.astype("float32") for label, array in arrays.items()}


def test_one_code_serves_every_batch_size() -> None:
    net = NETWORKS["odd"]
    executable = NumbaExecutable(net, SGD(0.01), "float64", values(net, SGD(0.01)))
    x, y = data(net)
    for size in (1, 7, 64):
        executable.train(Batches.of(x, y, np.arange(70), np.empty(0, np.uint64), size, 1), 0, 2)
    assert len(executable._entry("train").module.module.train.overloads) == 1


@pytest.mark.parametrize(("threads", "words"), [(-1, "at least 0, got -1"), (1.5, "a number")])
def test_a_number_of_threads_is_checked(threads: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"Lowering: threads: expected {words}"):
        Lowering(threads=threads)


def test_all_threads_wait_between_adding_up_a_divided_sum_and_a_product_of_it() -> None:
    lines = [s.strip() for s in NETWORKS["low-rank"].compile(Adam(0.01)).source.splitlines()]
    joined = next(n for n, line in enumerate(lines) if line.startswith("join_others(p1"))
    assert lines[joined + 1] == "wait(barrier, threads)"


def test_a_divided_sum_takes_no_more_memory_than_the_matrix() -> None:
    found = NumbaExecutable(NETWORKS["long"], Adam(0.01), "float32", {})._entry("train")
    ((others, summed),) = found.lowered.others
    for rows, parts, room in ((64, 2, 64), (4096, 2, 300), (64, 16, 20)):
        assert found.work._new(rows, parts)[0][str(others.label)].shape == (parts - 1, room, 180)
    assert summed == 300


BLOCKS = {"dense": [Dense(16, "tanh")], "normed": [Dense(16), BatchNorm(), Dense(16, "relu")]}
BLOCKS["wide"] = [Dense(520, "relu")]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("block", BLOCKS)
def test_code_does_not_grow_with_depth(block: str, optimizer: str) -> None:
    sources = []
    for count in (8, 16):
        net = Network(BLOCKS[block] * count + [Dense(2)], inputs=16, loss="mse")
        made = NumbaExecutable(net, net.compile(optimizer).optimizer, "float32", {})
        made.lower()
        sources.append(len(made._entry("train").module.text.splitlines()))
    assert sources[0] == sources[1]


@pytest.mark.parametrize(("rows", "size"), [(20_000, 20_000), (4_000, 32)])
def test_a_float32_loss_is_summed_right_to_a_millionth(rows: int, size: int) -> None:
    net = Network([Dense(16, "tanh"), Dense(4, "softmax")], inputs=4, loss="cross_entropy")
    x, y = draw(1, rows, 4).astype("float32"), np.arange(rows) % 4
    single, double = (net.compile(SGD(1e-30), dtype=t) for t in ("float32", "float64"))
    double.set_parameters(single.parameters)
    losses = [m.fit(x, y, batch_size=size, shuffle=False).loss[0] for m in (single, double)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
