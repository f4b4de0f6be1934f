"""What a rule of stabilizing is: a form that is equal on paper, and better in floating point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["program", "stored", "value", "edge"]


@dataclass(frozen=True)
class Rule:
    """One rule: where it finds ``shape`` it writes ``form``, which holds on ``range``.

    ``rewrite`` gives its argument back where there is nothing to do. What it is called with depends
    on the ``level``:

    ===========  ===========================================  ====================================
    level        called with                                  applied
    ===========  ===========================================  ====================================
    ``program``  the program                                  first, to all equations at once
    ``stored``   a value, what tensors are computed from      then, to the value of each equation
    ``value``    an expression                                from the outside in, until none fits
    ``edge``     an expression, the elements of targets       last, from the inside out, once
    ===========  ===========================================  ====================================
    """

    name: str
    shape: str
    form: str
    range: str
    """Where the shape fails or loses digits, and where the form holds."""
    rewrite: Callable[..., Any]
    level: Level = "value"

    def __repr__(self) -> str:
        return f"Rule({self.name}: {self.shape} = {self.form}; {self.range})"
