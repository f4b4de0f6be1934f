"""Matrices that lie transposed: chosen where every product would copy them, and nothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from symprop import Dense, Network
from symprop.backends.numpy import run
from symprop.passes.layout import laid_out, layout
from symprop.program import Program

from cases import draw

NET = Network([Dense(24, "tanh"), Dense(24, "tanh"), Dense(3)], inputs=40, loss="mse")
ROWS = 9


def arrays(program: Program) -> dict[str, Any]:
    """Numbers for everything that is given."""
    given = [t for t in program.tensors if t.role not in ("intermediate", "constant")]
    shapes = [[ROWS if not size.is_Integer else int(size) for size in t.shape] for t in given]
    pairs = enumerate(zip(given, shapes, strict=True))
    found = {str(t.label): np.abs(draw(n, *shape)) for n, (t, shape) in pairs}
    return {k: a.astype(int) if k in map(str, program.integers) else a for k, a in found.items()}


def test_first_weights_lie_transposed_with_all_that_is_updated_with_them() -> None:
    found = layout(NET.step("adam"), lanes=8)
    assert {str(label) for label in found} == {"W1", "W1′1", "m_W1", "v_W1"}
    assert [int(size) for size in next(iter(found.values())).shape] == [40, 24]


def test_weights_that_backpropagation_reads_straight_stay() -> None:
    assert not any(str(label).endswith(("W2", "W3")) for label in layout(NET.step("sgd"), lanes=8))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_layout_keeps_every_value(optimizer: str) -> None:
    program = NET.step(optimizer)
    found = layout(program, lanes=8)
    given = arrays(program)
    turned = {str(label): str(tensor.label) for label, tensor in found.items()}
    moved = {turned.get(k, k): a.T.copy() if k in turned else a for k, a in given.items()}
    expected = run(program, given, np.float64)
    values = run(laid_out(program, found), moved, np.float64)
    assert set(values) == {turned.get(label, label) for label in expected}
    for label, array in expected.items():
        value = values[turned[label]].T if label in turned else values[label]
        np.testing.assert_allclose(value, array, rtol=1e-13, atol=1e-15)
