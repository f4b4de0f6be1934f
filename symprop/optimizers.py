"""Optimizers: equations from a parameter, its gradient and a state to their new values."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from sympy import Expr, Rational, sqrt

from symprop.activations import known_name
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.scope import Scope
from symprop.tensor import Tensor


@runtime_checkable
class Optimizer(Protocol):
    """What a training step needs of an optimizer: the equations shared by all parameters, and those
    of each.
    """

    def update(
        self, scope: Scope, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> None: ...


def _number(
    what: str, given: Any, low: float, high: float = math.inf, low_included: bool = False
) -> Rational:
    """A setting in its range, as the rational that its decimal is."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise ArgumentTypeError(f"{what}: expected a number, got {type(given).__name__} {given!r}")
    value = float(given)
    if not math.isfinite(value):
        raise ArgumentError(f"{what}: expected a finite number, got {given}")
    inside = (low <= value if low_included else low < value) and value < high
    if not inside:
        raise ArgumentError(
            f"{what}: expected {'at least' if low_included else 'more than'} {low}"
            f"{'' if high == math.inf else f' and less than {high}'}, got {given}"
        )
    return Rational(repr(value))


def _rate(scope: Scope, learning_rate: float) -> Expr:
    """The learning rate α, a state, so that it can be changed without compiling anew."""
    return scope.tensor("alpha", role="state", init=float(learning_rate))[()]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, plain or with momentum.

        w ← w − α g                                    plain
        v ← μ v + g,   w ← w − α v                     momentum μ
        v ← μ v + g,   w ← w − α (g + μ v)             Nesterov

    w is a parameter, g = ∂L/∂w, v its velocity (starts from 0), α the learning rate. α = 0.01 by
    default: of the rates 0.1, 0.01, 0.0001 that textbooks compare, the one that progresses without
    overshooting. The form with α outside v is PyTorch's; Sutskever et al. 2013 (Keras too) keep α
    inside, which is the same while α is constant.

    Raises ArgumentError for α ≤ 0 or μ outside [0, 1), and for nesterov=True without momentum.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(1)], inputs=1, loss="mse")
    >>> print(net.update(SGD(0.1)))
    W1[j, k] ← W1[j, k] - α·∂L/∂W1[j, k]
    b1[j] ← b1[j] - α·∂L/∂b1[j]
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _number("SGD: learning_rate", self.learning_rate, 0)
        _number("SGD: momentum", self.momentum, 0, 1, low_included=True)
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov=True needs a momentum above 0, got momentum=0")

    def update(
        self, scope: Scope, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> None:
        """Write the update of each parameter."""
        rate, momentum = _rate(scope, self.learning_rate), Rational(repr(float(self.momentum)))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            at = parameter.axes
            step = gradient[at]
            if self.momentum:
                velocity = scope.tensor(f"v_{parameter.name}", at, role="state", init=0.0)
                scope.define(
                    velocity[at],
                    momentum * velocity[at] + gradient[at],
                    reduce="set",
                    step="velocity",
                )
                step = gradient[at] + momentum * velocity[at] if self.nesterov else velocity[at]
            scope.define(parameter[at], parameter[at] - rate * step, reduce="set", step="update")


@dataclass(frozen=True)
class Adam:
    """Adaptive moment estimation.

        t ← t + 1
        m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
        w ← w − α (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

    w is a parameter, g = ∂L/∂w, m and v its running moments (start from 0), t the step, α the
    learning rate. The defaults are those of the paper. PyTorch computes the same; Keras has ε =
    1e-7.

    Raises ArgumentError for α ≤ 0, β outside [0, 1) or ε ≤ 0.

    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", Algorithm 1.

    >>> Adam(1e-3).beta_2
    0.999
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _number("Adam: learning_rate", self.learning_rate, 0)
        _number("Adam: beta_1", self.beta_1, 0, 1, low_included=True)
        _number("Adam: beta_2", self.beta_2, 0, 1, low_included=True)
        _number("Adam: epsilon", self.epsilon, 0)

    def update(
        self, scope: Scope, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> None:
        """Write the step count, its two corrections, and moments and update of each parameter."""
        rate = _rate(scope, self.learning_rate)
        first, second, epsilon = (
            Rational(repr(float(x))) for x in (self.beta_1, self.beta_2, self.epsilon)
        )
        step = scope.tensor("t", role="state", init=0.0)[()]
        scope.define(step, step + 1, reduce="set", step="step count")
        corrections = []
        for name, decay in (("correction_1", first), ("correction_2", second)):
            correction = scope.tensor(name)[()]
            scope.define(correction, 1 - decay**step, step="bias correction")
            corrections.append(correction)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            at = parameter.axes
            g, w = gradient[at], parameter[at]
            m = scope.tensor(f"m_{parameter.name}", at, role="state", init=0.0)[at]
            v = scope.tensor(f"v_{parameter.name}", at, role="state", init=0.0)[at]
            scope.define(m, first * m + (1 - first) * g, reduce="set", step="first moment")
            scope.define(v, second * v + (1 - second) * g**2, reduce="set", step="second moment")
            change = (m / corrections[0]) / (sqrt(v / corrections[1]) + epsilon)
            scope.define(w, w - rate * change, reduce="set", step="update")


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}


def optimizer(given: Any) -> Optimizer:
    """The optimizer that a user means: a name, for its defaults, or an object."""
    if isinstance(given, str):
        return OPTIMIZERS[known_name("optimizer", given, OPTIMIZERS)]()
    if isinstance(given, type) or not isinstance(given, Optimizer):
        raise ArgumentTypeError(
            f"optimizer: expected a name or an object such as SGD(0.01), got {given!r}"
        )
    return given
