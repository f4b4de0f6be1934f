"""Sequences of calls that repeat are found, and nothing is lost or reordered."""

from __future__ import annotations

from symprop.backends.numba_calls import Call, arguments_of, repeated


def layer(n: int) -> list[Call]:
    return [Call("product", (f"a{n}", f"W{n}")), Call("nest", (f"W{n}", f"a{n + 1}", "m"))]


def test_equal_layers_are_found_between_others() -> None:
    calls = [Call("first", ("x",)), *layer(1), *layer(2), *layer(3), Call("last", ("a4",))]
    runs = list(repeated(calls))
    assert [len(run) for run in runs] == [1, 3, 1]
    assert [call for run in runs for sequence in run for call in sequence] == calls
    assert arguments_of(runs[1][0]) == ("a1", "W1", "a2", "m")


def test_a_sequence_that_uses_its_arguments_otherwise_is_no_repetition() -> None:
    odd = [Call("product", ("a3", "W3")), Call("nest", ("a3", "W3", "m"))]
    runs = list(repeated([*layer(1), *layer(2), *odd]))
    assert all(len(run) == 1 for run in runs)


def test_nothing_is_cut_out_of_few_calls() -> None:
    assert list(repeated([])) == []
    assert [len(run) for run in repeated([*layer(1), *layer(2)])] == [1, 1, 1, 1]
