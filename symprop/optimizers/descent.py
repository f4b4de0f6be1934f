"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from symprop.arguments import constructed_by_name
from symprop.errors import ArgumentError
from symprop.layers.base import flag
from symprop.optimizers.base import Descent
from symprop.scope import Scope
from symprop.settings import exact
from symprop.tensor import Tensor


@constructed_by_name
@dataclass(frozen=True, repr=False)
class SGD(Descent):
    """Stochastic gradient descent, plain or with momentum.

        w ← w − α g                                    plain
        v ← μ v + g,   w ← w − α v                     momentum μ
        v ← μ v + g,   w ← w − α (g + μ v)             Nesterov

    w is a parameter, g = ∂L/∂w, v its velocity (starts from 0), α the learning rate. α = 0.01 by
    default: of the rates 0.1, 0.01, 0.0001 that textbooks compare, the one that progresses without
    overshooting. By name, "momentum" and "nesterov" have μ = 0.9, the usual choice. The form with α
    outside v is PyTorch's; Sutskever et al. 2013 (Keras too) keep α inside, which is the same while
    α is constant. ``clip_norm`` and ``clip_value`` bound g first, and α may follow a schedule, as
    for every optimizer: see ``symprop.optimizers.base.Descent``.

    Raises ArgumentError for α ≤ 0 or μ outside [0, 1), and for nesterov=True without momentum.

    Sources: Robbins and Monro 1951, "A stochastic approximation method" (plain); Polyak 1964, "Some
    methods of speeding up the convergence of iteration methods" (momentum); Sutskever, Martens,
    Dahl and Hinton 2013, "On the importance of initialization and momentum in deep learning", (3)
    and (4).

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(1)], inputs=1, loss="mse")
    >>> print(net.update(SGD(0.1)))
    W1[j, k] ← W1[j, k] - α·∂L/∂W1[j, k]
    b1[j] ← b1[j] - α·∂L/∂b1[j]
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", 0, 1, included=True)
        object.__setattr__(self, "nesterov", flag("SGD: nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov=True needs a momentum above 0, got momentum=0")

    def _step(
        self, scope: Scope, parameter: Tensor, g: Expr, rate: Expr, shared: tuple[Expr, ...]
    ) -> None:
        at, momentum, change = parameter.axes, exact(self.momentum), g
        if self.momentum:
            v = scope.tensor(f"v_{parameter.name}", at, role="state", init=0.0)[at]
            scope.define(v, momentum * v + g, reduce="set", step="velocity")
            change = g + momentum * v if self.nesterov else v
        scope.define(parameter[at], parameter[at] - rate * change, reduce="set", step="update")
