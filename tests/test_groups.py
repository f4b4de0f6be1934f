"""Repeated layers are found by their equations and told once."""

from __future__ import annotations

import pytest
from symprop import Dense, Network
from symprop.derive import derive
from symprop.derive.groups import Run, blocks_of, layer_number, runs


def told(net: Network) -> list[tuple[int, Run | None]]:
    pairs = [(layer_number(e.origin.layer), e) for e in net.forward.flat]
    blocks = blocks_of(pair for pair in pairs if pair[0] >= 0)
    return [(block.number, run) for block, run in runs(blocks)]


def test_equal_layers_are_one_run_and_exceptions_are_said() -> None:
    net = Network([Dense(4, "tanh")] * 6, 3, "mse")
    assert told(net) == [(2, Run(1, 6, 2, ((1, "x", "a1"), (6, "yhat", "a2"))))]


def test_another_activation_ends_a_run() -> None:
    net = Network([Dense(4, "tanh")] * 3 + [Dense(4, "relu")] * 2 + [Dense(1)], 4, "mse")
    assert [run and (run.first, run.last) for _, run in told(net)] == [(1, 3), None, None, None]


def test_sizes_do_not_end_a_run() -> None:
    net = Network([Dense(n, "tanh") for n in (5, 4, 3, 2)], 6, "mse")
    assert [(run.first, run.last) for _, run in told(net) if run] == [(1, 4)]


def test_two_layers_are_told_one_by_one() -> None:
    assert [run for _, run in told(Network([Dense(3, "tanh")] * 2, 3, "mse"))] == [None, None]


def test_layer_without_bias_is_another_layer() -> None:
    net = Network([Dense(3, "tanh"), Dense(3, "tanh", bias=False), Dense(3, "tanh")], 3, "mse")
    assert [run for _, run in told(net)] == [None, None, None]


@pytest.mark.parametrize("label", ["W3", "a2", "z4", "delta3", "x", "yhat", "z3′1"])
def test_symbolic_names(label: str) -> None:
    expected = {
        "W3": "W(l)",
        "a2": "a(l-1)",
        "z4": "z(l+1)",
        "delta3": "delta(l)",
        "x": "x",
        "yhat": "yhat",
        "z3′1": "z(l)′1",
    }
    assert Run(2, 9, 3).symbolic(label) == expected[label]


def test_deep_network_prints_on_two_pages() -> None:
    """A page has about 120 lines of this size; more layers add none."""
    lengths = [
        len(str(derive(Network([Dense(4, "tanh")] * depth + [Dense(2)], 4, "mse"))).splitlines())
        for depth in (5, 60)
    ]
    assert lengths[0] == lengths[1] < 240
