"""The memory of a training: what is needed at the same time lies apart, the rest is shared."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from symprop import Dense, Network
from symprop.backends import memory
from symprop.backends.memory import LINE, PAGE, Life
from symprop.backends.numba import NumbaExecutable
from symprop.backends.numba_entry import BATCH, shape_of
from symprop.lowering import Lowering
from symprop.tensor import Tensor
from sympy import Idx


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(1, 400)), max_size=12))
def test_arrays_that_are_needed_together_lie_apart(found: list[tuple[int, int, int]]) -> None:
    tensors = [Tensor(f"t{n}", (Idx("i", size),)) for n, (_, _, size) in enumerate(found)]
    lives = {
        t.label: Life(start, start + more)
        for t, (start, more, _) in zip(tensors, found, strict=True)
    }
    shapes = {t: (size,) for t, (_, _, size) in zip(tensors, found, strict=True)}
    arrays = memory.arrays(shapes, dict.fromkeys(tensors, np.float32), lives)
    for t in tensors:
        assert arrays[t.name].shape == shapes[t]
        assert arrays[t.name].ctypes.data % LINE == 0
    for one, other in combinations(tensors, 2):
        if lives[one.label].meets(lives[other.label]):
            assert not np.shares_memory(arrays[one.name], arrays[other.name])


def executable(lowering: Lowering, layers: int = 12) -> NumbaExecutable:
    net = Network([Dense(64, "tanh")] * layers + [Dense(4)], inputs=64, loss="mse")
    model = net.compile(backend="numpy")
    return NumbaExecutable(net, model.optimizer, "float32", dict(model.values), lowering)


def copied(name: str) -> bool:
    """Whether there is a transposed copy: of all weights but the first, which lie transposed."""
    return name[0] == "W" and name != "W1"


def bytes_of(made: NumbaExecutable, rows: int, name: str = "train") -> int:
    """The memory of an entry's arrays, but for what begins it at a page."""
    roots = {}
    for array in made._entry(name).work.arrays(rows)[0].values():
        while array.base is not None:
            array = array.base
        roots[id(array)] = array.nbytes - PAGE
    return sum(roots.values())


def test_prediction_needs_memory_for_two_layers_at_a_time() -> None:
    sizes = []
    for on in (True, False):
        made = executable(Lowering(shared_memory=on))
        copies = sum(a.nbytes for name, a in made._values.items() if copied(name))
        sizes.append(bytes_of(made, 64, "predict") - copies)
    two = 2 * 2 * 64 * 64 * 4  # bytes of z and a of two layers
    assert sizes[0] < two < sizes[1] / 3


def test_a_training_step_needs_gradients_and_one_batch_of_activations_and_cotangents() -> None:
    made, rows = executable(Lowering(blocks=False, threads=1)), 64
    entry = made._entry("train")
    parameters = sum(a.size for name, a in made._values.items() if name[0] in "Wb")
    forward = made._programs.planned("loss").program
    activations = sum(
        np.prod(shape_of(t, {BATCH: rows}))
        for t in forward.tensors
        if t.name[0] in "xzay" and t.shape[:1] == (BATCH,)
    )
    transposed = sum(a.size for name, a in made._values.items() if copied(name))
    wanted = 4 * (parameters + transposed + 2 * activations)
    assert bytes_of(made, rows) <= 1.1 * wanted
    assert entry.work.arrays(rows) is entry.work.arrays(rows)  # made once


def test_each_thread_has_room_for_the_rows_of_its_part() -> None:
    made = executable(Lowering(threads=3), layers=2)
    entry = made._entry("train")
    for rows, room in ((64, 24), (24, 8), (100, 32)):  # a block of the last has 32
        for arrays in entry.work.arrays(rows, 3):
            assert {arrays[str(t.label)].shape[0] for t in entry.lowered.local} == {room}
        entry.work = type(entry.work)(entry.lowered)


def test_parameters_and_states_begin_at_different_lines_of_a_page() -> None:
    """Loops over several of equal size would meet in the same lines of the nearest cache."""
    net = Network([Dense(64, "tanh"), Dense(64, "tanh"), Dense(1)], inputs=8, loss="mse")
    model = net.compile("adam")
    model._executable._entry("train")
    places = [a.T.ctypes.data % PAGE for a in model.values.values()]
    assert len(set(places)) == len(places)
    assert not any(place % LINE for place in places)


def test_an_interrupt_while_room_is_made_leaves_no_room_too_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = executable(Lowering(), layers=2)
    x, y = np.ones((600, 64), np.float32), np.ones((600, 4), np.float32)
    made.gradients(x[:2], y[:2])
    expected = executable(Lowering(), layers=2).gradients(x, y)[0]
    with monkeypatch.context() as patch:

        def interrupted(*_: Any) -> Any:
            raise KeyboardInterrupt

        patch.setattr(memory, "arrays", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.gradients(x, y)
    assert made._entry("gradients").work._held[0] == 2
    assert made.gradients(x, y)[0] == expected
