"""The learning rate of a model while it trains: of each batch ahead, and that of now."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symprop.backends import NO_RATES, Array
from symprop.backends.numpy import Evaluator
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.optimizers import COUNT, RATE, Optimizer
from symprop.optimizers.rates import STEP, formula_of, takes_numbers
from symprop.settings import setting


def rates_of(optimizer: Optimizer, values: Mapping[str, Array], done: int, ahead: int) -> Array:
    """The learning rates of so many batches ``done`` and ``ahead``; none where there is no learning
    rate. Those done are found anew, so that a fit that was cut records what a whole one does.

    Raises ArgumentError for a rate that is negative or not finite, naming its step,
    ArgumentTypeError for what is no number.
    """
    count = done + ahead
    given = getattr(optimizer, "learning_rate", None)
    formula = formula_of(given)
    if formula is None and not takes_numbers(given):
        return np.full(count, current_rate(values)) if RATE in values else NO_RATES
    first = int(values[COUNT]) - done
    if formula is None:
        found = np.fromiter(_called(given, first, count), np.float64, count)
    else:
        steps = np.arange(first, first + count, dtype=np.float64)
        with np.errstate(all="ignore"):
            evaluate = Evaluator({str(STEP): steps}, {}, {}, np.float64)
            found = np.broadcast_to(np.asarray(evaluate(formula), np.float64), count)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise ArgumentError(
            f"learning_rate: expected at least 0 and finite at every step, got {found[at]} at step "
            f"{first + at}"
        )
    return found


def _called(function: Any, first: int, count: int) -> Iterator[float]:
    """What a function gives for so many steps."""
    for step in range(first, first + count):
        value = function(step)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ArgumentTypeError(
                f"learning_rate: expected a number at every step, got {type(value).__name__} "
                f"{value!r} at step {step}"
            )
        yield float(value)


def given_rates(optimizer: Optimizer, rates: Array) -> Array:
    """The rates that a training is handed: those that its equations do not compute."""
    return rates if takes_numbers(getattr(optimizer, "learning_rate", None)) else NO_RATES


def current_rate(values: Mapping[str, Array]) -> float:
    """The learning rate of the latest step, before any the first one's; NaN where there is none.

    In float32 it is the decimal that stands for the number, 0.1 and not 0.10000000149.
    """
    return float(str(values[RATE])) if RATE in values else math.nan


def set_rate(optimizer: Optimizer, values: Mapping[str, Array], given: Any) -> None:
    """Change a constant learning rate.

    Raises ArgumentError where the rate follows a schedule, or for a number that is no rate,
    ArgumentTypeError for anything else.
    """
    constant = isinstance(getattr(optimizer, "learning_rate", None), numbers.Real)
    if not constant or RATE not in values:
        raise ArgumentError(
            f"learning_rate: {optimizer} sets it itself; only a constant one can be changed"
        )
    values[RATE][...] = float(setting("learning_rate", given, 0))
