"""Arguments by name: one that there is not is refused with the name that it has here."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from symprop.errors import ArgumentTypeError

Given = ParamSpec("Given")
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

ELSEWHERE = {
    "betas": "beta_1= and beta_2=",
    "clipnorm": "clip_norm=",
    "clipvalue": "clip_value=",
    "eps": "epsilon=",
    "in_features": "inputs= of the Network",
    "input_dim": "inputs= of the Network",
    "input_shape": "inputs= of the Network",
    "kernel_initializer": "initializer=",
    "kernel_regularizer": "l1= and l2=",
    "learning_rate": "an optimizer such as Adam(learning_rate=0.001)",
    "loss": "loss= of the Network",
    "lr": "learning_rate= of an optimizer such as Adam(learning_rate=0.001)",
    "metrics": "metrics= of fit and evaluate",
    "p": "rate=",
    "restore_best_weights": "restore_best=",
    "use_bias": "bias=",
    "validation_data": "validation=(x, y)",
    "validation_split": "validation=0.2",
    "verbose": "progress=True",
    "weight_decay": "AdamW(weight_decay=…), or l2= of the Network",
}
"""What arguments of Keras and PyTorch are here, by their names there."""


def by_name(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, which refuses arguments that it has not by ArgumentTypeError, with a hint.

    >>> from symprop import Dropout
    >>> Dropout(p=0.5)
    Traceback (most recent call last):
    symprop.errors.ArgumentTypeError: Dropout: there is no argument p=; use rate=
    """
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    what = function.__qualname__.removesuffix(".__init__").split(".")[-1]

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        for name in kwargs:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"{near[0]}=" if near else f"one of {', '.join(known)}"
                raise ArgumentTypeError(
                    f"{what}: there is no argument {name}=; use {ELSEWHERE.get(name, meant)}"
                )
        return function(*args, **kwargs)

    return called


def constructed_by_name(cls: Class) -> Class:
    """The class, whose constructor is ``by_name``."""
    type.__setattr__(cls, "__init__", by_name(vars(cls)["__init__"]))
    return cls
