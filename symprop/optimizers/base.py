"""What every optimizer has: a learning rate, clipping, and an update of each parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

from sympy import Expr, Integer, sqrt

from symprop.optimizers.rates import STEP, formula_of, learning_rate, start_of, takes_numbers
from symprop.primitives import Absolute, Maximum, Minimum
from symprop.scope import Scope
from symprop.settings import exact, setting
from symprop.tensor import Tensor

RATE, COUNT = "alpha", "t"
"""What the learning rate and the number of steps are called, in formulas and among a model's
values.
"""


@runtime_checkable
class Optimizer(Protocol):
    """What a training step needs of an optimizer: the equations shared by all parameters, and those
    of each.
    """

    def update(
        self, scope: Scope, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> None: ...


@dataclass(frozen=True)
class Descent:
    """Descent along the gradients, in steps of the learning rate α.

        α ← α(t), t ← t + 1                            where α follows a schedule
        g ← min(max(g, −v), v)                         clip_value v, each element by itself
        g ← g · c / max(‖g‖, c)                        clip_norm c, all parameters together

    ``learning_rate`` is a number, a schedule, an expression or a function of the step t = 0, 1, …
    (see ``symprop.optimizers.rates``). ``clip_value`` comes first where both are given. ‖g‖ is the
    root of the sum of squares over all elements of all gradients; g is multiplied by min(1, c/‖g‖)
    exactly, as TensorFlow's ``clip_by_global_norm`` does (PyTorch's ``clip_grad_norm_`` adds 1e-6
    to ‖g‖, so that its gradients stay below c by a millionth). It is computed as M·√Σ(g/M)² with
    M = max(c, max |g|), so that no square overflows.

    Sources: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural
    networks", Algorithm 1 (norm); Mikolov 2012, "Statistical language models based on neural
    networks", section 3.2.2 (value).
    """

    learning_rate: Any = 0.01
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = type(self).__name__
        rate = learning_rate(f"{name}: learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", rate)
        for what in ("clip_norm", "clip_value"):
            if getattr(self, what) is not None:
                setting(f"{name}: {what}", getattr(self, what), 0)

    def _check(self, name: str, low: float, high: float = math.inf, included: bool = False) -> None:
        """Refuse a setting outside its range."""
        setting(f"{type(self).__name__}: {name}", getattr(self, name), low, high, included)

    def update(
        self, scope: Scope, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> None:
        """Write what all parameters share, then the state and the update of each."""
        rate, step = self._rate(scope)
        shared = self._shared(scope, step)
        found = self._clipped(scope, gradients)
        for parameter, gradient in zip(parameters, found, strict=True):
            self._step(scope, parameter, gradient[parameter.axes], rate, shared)

    def _shared(self, scope: Scope, step: Expr) -> tuple[Expr, ...]:
        """Write what the update of every parameter reads."""
        return ()

    def _step(
        self, scope: Scope, parameter: Tensor, g: Expr, rate: Expr, shared: tuple[Expr, ...]
    ) -> None:
        """Write the state and the update of one parameter."""
        raise NotImplementedError

    @property
    def _counts(self) -> bool:
        """Whether the equations need the number of the step."""
        return formula_of(self.learning_rate) is not None or takes_numbers(self.learning_rate)

    def _rate(self, scope: Scope) -> tuple[Expr, Expr]:
        """The learning rate, a state, so that it can be changed without compiling anew; and the
        number of steps, 0 where nothing needs it.
        """
        given = self.learning_rate
        formula, numeric = formula_of(given), takes_numbers(given)
        rate = scope.tensor(RATE, role="scheduled" if numeric else "state", init=start_of(given))
        if not self._counts:
            return rate[()], Integer(0)
        step = scope.tensor(COUNT, role="counter", init=0.0)[()]
        if formula is not None:
            value = formula.xreplace({STEP: step})
            scope.define(rate[()], value, reduce="set", step="learning rate")
        scope.define(step, step + 1, reduce="set", step="step count")
        return rate[()], step

    def _clipped(self, scope: Scope, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.clip_value is not None:
            gradients = clipped_by_value(scope, gradients, exact(self.clip_value))
        if self.clip_norm is not None:
            gradients = clipped_by_norm(scope, gradients, exact(self.clip_norm))
        return gradients

    def __repr__(self) -> str:
        """As it is declared, without what is not asked for."""
        order = sorted(fields(self), key=lambda f: f.name.startswith("clip_"))
        told = [(f.name, getattr(self, f.name)) for f in order]
        shown = (f"{name}={_shown(value)}" for name, value in told if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: Any) -> str:
    """A setting; a function by its name, which is the same in every run."""
    return value.__name__ if takes_numbers(value) and hasattr(value, "__name__") else repr(value)


def clipped_by_value(
    scope: Scope, gradients: tuple[Tensor, ...], bound: Expr
) -> tuple[Tensor, ...]:
    """Each gradient with its elements between −bound and bound."""
    found = _like(scope, "q", gradients)
    for clipped, gradient in zip(found, gradients, strict=True):
        at = gradient.axes
        value = Minimum(Maximum(gradient[at], -bound), bound)
        scope.define(clipped[at], value, step="clipping by value")
    return found


def clipped_by_norm(scope: Scope, gradients: tuple[Tensor, ...], bound: Expr) -> tuple[Tensor, ...]:
    """The gradients, all multiplied by bound / max(‖g‖, bound).

    With M = max(bound, max |g|) and s = Σ(g/M)², which is at most the number of elements, the
    factor is (bound/M) / max(√s, bound/M), and 1 exactly where ‖g‖ ≤ bound.
    """
    largest, squares, factor = (scope.tensor(name) for name in ("g_max", "g_squares", "g_factor"))
    scope.define(largest[()], bound, reduce="max", step="clipping by norm")
    for g in gradients:
        size = Absolute(g[g.axes])
        scope.define(largest[()], size, over=g.axes, reduce="max", step="clipping by norm")
    for g, ratio in zip(gradients, _like(scope, "r", gradients), strict=True):
        at = g.axes
        scope.define(ratio[at], g[at] / largest[()], step="clipping by norm")
        scope.define(squares[()], ratio[at] ** 2, over=at, step="clipping by norm")
    share = bound / largest[()]
    scope.define(factor[()], share / Maximum(sqrt(squares[()]), share), step="clipping by norm")
    found = _like(scope, "g", gradients)
    for clipped, g in zip(found, gradients, strict=True):
        scope.define(clipped[g.axes], g[g.axes] * factor[()], step="clipping by norm")
    return found


def _like(scope: Scope, letter: str, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A tensor for each gradient, called by a letter and its name."""
    names = (f"{letter}_{g.name.removeprefix('q_')}" for g in gradients)
    return tuple(scope.tensor(n, g.axes) for n, g in zip(names, gradients, strict=True))
