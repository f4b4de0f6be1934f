"""Sequences of calls that repeat are found, and nothing is lost or reordered."""

from __future__ import annotations

from symprop.backends.numba_calls import Call, arguments_of, repeated


def layer(n: int) -> list[Call]:
    return [Call("product", (f"a{n}", f"W{n}")), Call("nest", (f"W{n}", f"a{n + 1}", "m"))]


def kind(argument: str) -> str:
    """Arrays of one kind by their letter; "m" is itself."""
    return argument[0]


def test_equal_layers_are_found_between_others() -> None:
    calls = [Call("first", ("x",)), *layer(1), *layer(2), *layer(3), Call("last", ("a4",))]
    runs = list(repeated(calls, kind))
    assert [len(run) for run in runs] == [1, 3, 1]
    assert [call for run in runs for sequence in run for call in sequence] == calls
    assert arguments_of(runs[1][0]) == ("a1", "W1", "a2", "m")


def test_a_sequence_that_uses_its_arguments_otherwise_is_no_repetition() -> None:
    odd = [Call("product", ("a3", "W3")), Call("nest", ("a3", "W3", "m"))]
    runs = list(repeated([*layer(1), *layer(2), *odd], kind))
    assert all(len(run) == 1 for run in runs)


def test_nothing_is_cut_out_of_few_calls() -> None:
    assert list(repeated([], kind)) == []
    assert [len(run) for run in repeated([*layer(1), *layer(2)], kind)] == [1, 1, 1, 1]


def test_arguments_of_another_kind_end_a_run() -> None:
    calls = [Call("fill", (name,)) for name in ("x1", "b1", "b2", "b3", "b4", "y1")]
    assert [len(run) for run in repeated(calls, kind)] == [1, 4, 1]
