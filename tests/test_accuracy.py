"""How exact the built-in functions are, on a small sweep: docs/accuracy.md has the large one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from symprop.activations import ACTIVATIONS
from symprop.losses import LOSSES

ROOT = Path(__file__).parents[1]
POINTS = 100


def _loaded() -> Any:
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("benchmarks.accuracy")
    finally:
        sys.path.remove(str(ROOT))


accuracy = _loaded()
CASES = {case.name: case for case in accuracy.cases()}
PLAIN = {
    "silu": 1.5,
    "log_cosh": 1.5,
    "mish": 2.0,
    "softmax": 1.5,
    "poisson": 300.0,
    "softmax + cross_entropy": 2.0,
    "softmax + binary_cross_entropy": 2.0,
    "softplus + poisson": 300.0,
}
"""Functions with an error that is larger than that near a zero or far out in a tail."""
SLOPES = {
    "gelu": 1.5,
    "tanh": 2.5,
    "silu": 2.0,
    "mish": 3.0,
    "softmax": 1.5,
    "softmax + cross_entropy": 1.5,
    "softmax + binary_cross_entropy": 1.5,
    "sigmoid + binary_cross_entropy": 1.5,
    "softplus + poisson": 2.5,
}
"""The same for gradients; all others are within 8 ulp of their result."""


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_errors_stay_within_their_ulps(name: str, dtype: str) -> None:
    value, slope = accuracy.measured(CASES[name], dtype, POINTS)
    assert (value.plain if name in PLAIN else value.ulp) <= PLAIN.get(name, 4.0), value
    assert (slope.plain if name in SLOPES else slope.ulp) <= SLOPES.get(name, 8.0), slope
    assert value.lost == slope.lost == 0


def test_every_built_in_has_a_row() -> None:
    assert {*ACTIVATIONS, *LOSSES} <= set(CASES)


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
def test_sweep_has_zeros_subnormals_powers_of_two_and_edges(dtype: str) -> None:
    kind, found = np.finfo(dtype), accuracy.sweep(dtype, accuracy.FEW)
    assert found.dtype == dtype
    assert np.isfinite(found).all()
    zeros = found[found == 0]
    assert {*np.signbit(zeros)} == {True, False}
    for x in (kind.smallest_subnormal, kind.tiny, kind.max, 1.0, 2.0**-30, 2.0**100):
        assert np.isin([x, -x], found).all()
    size = np.abs(found)
    assert ((size > 0) & (size < kind.tiny)).sum() > 50


def test_a_wrong_digit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = accuracy.run

    def sloppy(*given: Any) -> Any:
        with np.errstate(all="ignore"):
            return {label: value * (1 + 2e-15) for label, value in honest(*given).items()}

    monkeypatch.setattr(accuracy, "run", sloppy)
    value, _ = accuracy.measured(CASES["softplus"], "float64", POINTS)
    assert value.ulp > 4
