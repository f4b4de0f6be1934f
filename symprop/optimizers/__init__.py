"""Optimizers: equations from a parameter, its gradient and a state to their new values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from symprop.activations import known_name
from symprop.errors import ArgumentTypeError
from symprop.optimizers.adaptive import Adagrad, Adam, AdamW, RMSProp
from symprop.optimizers.base import COUNT, RATE, Descent, Optimizer
from symprop.optimizers.descent import SGD
from symprop.optimizers.rates import CosineDecay, ExponentialDecay, StepDecay, WarmUp

__all__ = [
    "COUNT",
    "OPTIMIZERS",
    "RATE",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineDecay",
    "Descent",
    "ExponentialDecay",
    "Optimizer",
    "RMSProp",
    "StepDecay",
    "WarmUp",
    "is_fixed",
    "optimizer",
]

OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adagrad": Adagrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}
"""The optimizers by name, with their defaults."""


def is_fixed(given: Optimizer) -> bool:
    """Whether an optimizer is one of those here, with numbers for all that it declares: a class of
    a user's own, a function or a schedule may say something else the next time.
    """
    if not isinstance(given, Descent) or type(given) not in (SGD, Adagrad, RMSProp, Adam, AdamW):
        return False
    declared = (getattr(given, field.name) for field in fields(given))
    return all(value is None or isinstance(value, (int, float)) for value in declared)


def optimizer(given: Any) -> Optimizer:
    """The optimizer that a user means: a name, for its defaults, or an object."""
    if isinstance(given, str):
        return OPTIMIZERS[known_name("optimizer", given, OPTIMIZERS)]()
    if isinstance(given, type) or not isinstance(given, Optimizer):
        raise ArgumentTypeError(
            f"optimizer: expected a name or an object such as SGD(0.01), got {given!r}"
        )
    return given
