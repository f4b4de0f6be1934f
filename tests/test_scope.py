"""The scope: names, layers, recurrences."""

from __future__ import annotations

import pytest
from symprop.equation import Recurrence
from symprop.errors import DeclarationError
from symprop.scope import BATCH, Scope, index
from symprop.tensor import Tensor

i, t, u = index("i", 3), index("t", 3), index("u", 4)


def test_a_name_is_given_once():
    scope = Scope()
    scope.tensor("x")
    with pytest.raises(DeclarationError) as caught:
        scope.tensor("x", (i,))
    assert str(caught.value) == (
        "a tensor called 'x' exists already; give each tensor its own name"
    )


def test_an_adopted_name_is_taken():
    scope = Scope()
    scope.adopt(Tensor("x"))
    with pytest.raises(DeclarationError):
        scope.tensor("x")


def test_layers_with_parameters_are_counted_nested_ones_included():
    scope = Scope()
    y = scope.tensor("y")
    with scope.layer("Dense") as first:
        scope.define(y[()], 1, step="one")
        with scope.layer("Dense") as second:
            scope.define(y[()], 2)
        scope.define(y[()], 3, step="again")
    with scope.layer("Dropout", counted=False):
        scope.define(y[()], 4)
    with scope.layer("Dense") as third:
        pass
    scope.define(y[()], 5)
    assert (first, second, third) == (1, 2, 3)
    origins = [str(e.origin) for e in scope.freeze().flat]
    assert origins == ["Dense 1, one", "Dense 2", "Dense 1, again", "Dropout 2", ""]


def test_a_recurrence_collects_the_equations_inside():
    scope = Scope()
    h, x = scope.tensor("h", (u,)), scope.tensor("x", (t,), role="input")
    scope.define(h[0], 1)
    with scope.recurrence(t, reverse=True):
        scope.define(h[t + 1], x[t])
    before, group = scope.freeze().equations
    assert isinstance(group, Recurrence)
    assert (group.index, group.reverse, len(group.equations)) == (t, True, 1)
    assert before.target == h[0]


def test_recurrences_are_not_nested():
    scope = Scope()
    h = scope.tensor("h", (u,))
    with (
        pytest.raises(DeclarationError, match="recurrence over i: holds one over t; they cannot"),
        scope.recurrence(i),
        scope.recurrence(t),
    ):
        scope.define(h[t + 1], 1)


def test_the_batch_is_a_positive_whole_number_known_when_a_program_runs():
    assert BATCH.is_integer
    assert BATCH.is_positive


def test_facts_are_kept():
    scope = Scope()
    y = scope.tensor("y", (i,), role="target")
    scope.fact(y[i], (i,), 1, "one-hot")
    (fact,) = scope.freeze().facts
    assert (fact.value, fact.over, fact.equals, fact.reason) == (y[i], (i,), 1, "one-hot")
